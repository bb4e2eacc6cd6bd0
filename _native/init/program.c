#include "program.h"

#include "init.h"

#include <linux/close_range.h>
#include <linux/memfd.h>
#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

enum { PROT_RW_ = 3, NOT_RUN = 127, SIGNAL_INFO_SIZE = 128, PID_MARK = 1, SIGNALS = 64 };

/* The caller's ignored signals (Python ignores SIGPIPE) and the shim's blocked ones are not the program's. */
void program_signals(void) {
    struct default_action defaults = {0};
    for (int signal = 1; signal <= SIGNALS; signal++)
        sys(rt_sigaction, signal, &defaults, 0, sizeof defaults.mask);
    uint64_t none = 0;
    sys(rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
}

struct words program_words(const struct plan *plan, const struct clib_op *op, uint64_t argc, uint64_t envc,
                           int more) {
    struct words words = {0};
    size_t count = (size_t)more + argc + 1 + envc + 1;
    long memory = sys(mmap, 0, count * sizeof(char *), PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory < 0 && memory > -4096)
        return words;
    words.argv = (const char **)memory;
    words.size = count * sizeof(char *);
    words.envp = words.argv + more + argc + 1;
    const char *text = plan->blob + op->text[2];
    for (uint64_t i = 0; i < argc; i++, text = next_text(text))
        words.argv[(size_t)more + i] = text;
    for (uint64_t i = 0; i < envc; i++, text = next_text(text))
        words.envp[i] = text;
    return words;
}

void words_release(struct words *words) {
    if (words->argv)
        sys(munmap, words->argv, words->size);
    words->argv = NULL;
}

static int write_all(int fd, const char *text, size_t length) {
    while (length) {
        long written = sys(write, fd, text, length);
        if (written < 0)
            return (int)written;
        text += written;
        length -= (size_t)written;
    }
    return 0;
}

int program_state(const char *text, int pid) {
    cleanup_close int file = (int)sys(memfd_create, "state", MFD_CLOEXEC);
    int result = file;
    char number[24];
    size_t digits = format_decimal(number, (uint64_t)pid);
    for (const char *at = text, *end = text + text_length(text); result >= 0 && at < end;) {
        const char *mark = find_byte(at, end, PID_MARK);
        result = write_all(file, at, (size_t)(mark - at));
        if (result == 0 && mark < end)
            result = write_all(file, number, digits);
        at = mark + 1;
    }
    if (result >= 0)
        result = (int)sys(lseek, file, 0, 0);
    return result < 0 ? result : take_fd(&file);
}

/* where a program runs, beside its words */
struct place {
    int stdio[3];                       /* above 2, or -1: /dev/null */
    int directory;                      /* or -1 */
    const struct plan *plan;            /* of the groups that it joins: */
    const struct clib_op *joins, *last; /* CGROUP_JOINs up to `last`, which is none */
};

/* the child's half: `report` takes -errno and ends with the exec */
static _Noreturn void become(const char *path, const struct words *words, const struct place *place,
                             int report) {
    long result = place->directory < 0 ? sys(chdir, "/") : sys(fchdir, place->directory);
    program_signals();
    for (const struct clib_op *join = place->joins; join < place->last && result >= 0; join++)
        result = op_cgroup_join(op_text(place->plan, join, 0));
    cleanup_close int null = (int)sys(openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; fd < 3 && result >= 0; fd++) {
        int from = place->stdio[fd] >= 0 ? place->stdio[fd] : null;
        result = from < 0 ? from : sys(dup3, from, fd, 0);
    }
    sys(close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC);
    if (result >= 0)
        result = sys(execve, path, words->argv, words->envp);
    int error = (int)result;
    sys(write, report, &error, sizeof error);
    leave(NOT_RUN);
}

/* `owner`: another process that it ends with, or -1 */
static int await_end(int pidfd, int owner, uint64_t milliseconds) {
    struct pollfd slots[] = {{pidfd, POLLIN, 0}, {owner, POLLIN, 0}};
    struct __kernel_timespec limit = {(long long)(milliseconds / 1000),
                                      (long long)(milliseconds % 1000) * 1000000};
    long ready = sys(ppoll, slots, 2, milliseconds ? &limit : 0, 0, 0);
    if (!slots[0].revents)
        sys(pidfd_send_signal, pidfd, SIGKILL, 0, 0);
    union {
        struct {
            int signal, error, code, padding, pid, uid, status;
        } child;
        char info[SIGNAL_INFO_SIZE];
    } end = {.info = {0}};
    sys(waitid, P_PIDFD, pidfd, &end, WEXITED, 0);
    if (!slots[0].revents)
        return ready == 0 ? -ETIMEDOUT : ready < 0 ? (int)ready : -EOWNERDEAD;
    return end.child.code == 1 /* CLD_EXITED */ ? end.child.status : 128 + end.child.status;
}

/* starts it; its pid, with *pidfd, or -errno */
static int spawn(const char *path, const struct words *words, const struct place *place, int *pidfd) {
    int report[2], child = -1;
    int result = (int)sys(pipe2, report, O_CLOEXEC);
    if (result < 0)
        return result;
    cleanup_close int reading = report[0];
    /* not clone3(2), which Docker's seccomp profile, in place for startContainer's, answers with ENOSYS */
    long pid = sys(clone, CLONE_PIDFD | SIGCHLD, 0, &child);
    if (pid == 0)
        become(path, words, place, report[1]);
    sys(close, report[1]);
    if (pid < 0)
        return (int)pid;
    int error = 0;
    if (sys(read, reading, &error, sizeof error) == sizeof error) {
        await_end(child, -1, 0);
        close_fd(&child);
        return error;
    }
    *pidfd = child;
    return (int)pid;
}

static int run(const char *path, const struct words *words, const struct place *place, int owner,
               uint64_t milliseconds) {
    cleanup_close int pidfd = -1;
    int pid = spawn(path, words, place, &pidfd);
    return pid < 0 ? pid : await_end(pidfd, owner, milliseconds);
}

static int run_hook(const struct plan *plan, const struct clib_op *op, int pid, int directory, int owner) {
    const char *text = plan->blob + op->text[2];
    for (uint64_t i = 0; i < op->number[0] + op->number[1]; i++)
        text = next_text(text);
    cleanup_close int state = program_state(text, pid);
    if (state < 0)
        return state;
    struct words words = program_words(plan, op, op->number[0], op->number[1], 0);
    struct place place = {.stdio = {state, -1, -1}, .directory = directory};
    int result = words.argv ? run(op_text(plan, op, 0), &words, &place, owner, op->number[2]) : -ENOMEM;
    words_release(&words);
    return result;
}

int program_hook(const struct plan *plan, const struct clib_op *op, int pid, int directory) {
    return run_hook(plan, op, pid, directory, -1);
}

int program_hook_of(const struct plan *plan, const struct clib_op *op, int pid, int owner) {
    const char *path = op_text(plan, op, 1);
    cleanup_close int directory =
        path ? (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    return path && directory < 0 ? directory : run_hook(plan, op, pid, directory, owner);
}

int program_runtime(const struct plan *plan, const struct clib_op *op, const int stdio[3], int directory,
                    int *pidfd) {
    struct words words = program_words(plan, op, op->number[0], op->number[1], 0);
    struct place place = {.stdio = {stdio[0], stdio[1], stdio[2]},
                          .directory = directory,
                          .plan = plan,
                          .joins = op,
                          .last = op};
    while (place.joins > plan->ops && place.joins[-1].kind == CLIB_OP_CGROUP_JOIN)
        place.joins--;
    int pid = words.argv ? spawn(op_text(plan, op, 0), &words, &place, pidfd) : -ENOMEM;
    words_release(&words);
    return pid;
}

int program_command(const struct plan *plan, const struct clib_op *op, int pid) {
    char number[24];
    number[format_decimal(number, (uint64_t)pid)] = 0;
    struct words words = program_words(plan, op, op->size, 0, 2);
    if (!words.argv)
        return -ENOMEM;
    words.argv[0] = op_text(plan, op, 0);
    words.argv[1] = number;
    struct place place = {.stdio = {-1, -1, -1}, .directory = -1};
    int result = run(words.argv[0], &words, &place, -1, op->number[0]);
    words_release(&words);
    return result;
}
