/* The last step: find the program, wait for START where that was asked for, become the program. */
#include "channel.h"
#include "init.h"
#include "program.h"

#include <linux/close_range.h>

enum { X_OK_ = 1 };

/* is it a file that execve would take? 0 or -errno */
static int check_program(const char *path) {
    struct file_facts facts;
    int result = path_facts(path, &facts); /* not by a descriptor, which its limit may not allow any more */
    if (result < 0)
        return result;
    if (!S_ISREG(facts.mode))
        return -EACCES;
    return (int)sys(faccessat2, AT_FDCWD, path, X_OK_, AT_EACCESS);
}

int find_program(const char *name, const char *search, char found[PROGRAM_SIZE]) {
    size_t length = text_length(name);
    if (length == 0)
        return -ENOENT;
    if (length >= PROGRAM_SIZE)
        return -ENAMETOOLONG;
    if (find_byte(name, name + length, '/') != name + length) {
        memcpy(found, name, length + 1);
        return check_program(found);
    }
    int worst = -ENOENT;
    const char *end = search + text_length(search);
    for (const char *at = search; at <= end; at++) {
        const char *stop = find_byte(at, end, ':');
        size_t prefix = (size_t)(stop - at);
        if (prefix && prefix + 1 + length < PROGRAM_SIZE) {
            memcpy(found, at, prefix);
            found[prefix] = '/';
            memcpy(found + prefix + 1, name, length + 1);
            int result = check_program(found);
            if (result == 0)
                return 0;
            if (result == -EACCES)
                worst = result;
        }
        at = stop;
    }
    return worst;
}

/* the shim says START, or whoever connects to start.sock where no shim stays */
static int start_asked(struct init *init) {
    struct clib_message message;
    int fds[CLIB_MAX_FDS], count;
    for (;;) {
        if (init->launch_flags & CLIB_LAUNCH_UNSUPERVISED) {
            int caller = (int)sys(accept4, INIT_LISTENER_FD, 0, 0, O_CLOEXEC);
            if (caller < 0)
                return caller;
            sys(close, init->sync);
            init->sync = caller;
        }
        int result = channel_receive(init->sync, &message, fds, &count, 0);
        close_fds(fds, count);
        if (result > 0 && message.kind == CLIB_MESSAGE_START)
            return 0;
        if (!(init->launch_flags & CLIB_LAUNCH_UNSUPERVISED))
            return result < 0 ? result : result ? -EPROTO : -EOWNERDEAD;
    }
}

/* What the set-up needed may be the host's, and whoever may trace this process could take it for as long as
 * nobody starts the container. Those that are known go by close(2), since a filter may refuse the other. */
static void close_own(struct init *init) {
    int *known[] = {&init->root, &init->proc, &init->null, &init->empty, &init->tree, &init->listener};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        close_fd(known[i]);
        *known[i] = -1;
    }
    int last = init->launch_flags & CLIB_LAUNCH_UNSUPERVISED ? INIT_LISTENER_FD - 1 : INIT_LISTENER_FD;
    sys(close_range, INIT_TARGET_FD, last, 0);
    sys(close_range, INIT_PRESERVED_FD + init->preserved, ~0u, 0);
}

/* without a name there will be no program, and nobody says START: it is here for its mounts */
int op_hold(struct init *init, const char *name, const char *search) {
    char program[PROGRAM_SIZE];
    struct clib_message message = {.kind = CLIB_MESSAGE_CREATED, .version = CLIB_PROTOCOL_VERSION};
    int result = !name              ? 0
                 : init->found <= 0 ? init->found
                                    : find_program(name, search ? search : "", program);
    if (result < 0)
        return result;
    close_own(init);
    sys(close_range, INIT_SYNC_FD, ~0u, CLOSE_RANGE_CLOEXEC);
    result = channel_send(init->sync, &message, -1);
    return result < 0 ? result : start_asked(init);
}

/* Other descriptors of ours are now where those go that the program is given. All but stdio and these end
 * with the exec; each was born so, and here nothing can have been missed. */
int op_descriptors(struct init *init) {
    sys(close_range, INIT_SYNC_FD, ~0u, CLOSE_RANGE_CLOEXEC);
    if (!init->preserved)
        return 0;
    int sync = (int)sys(fcntl, init->sync, F_DUPFD_CLOEXEC, INIT_PRESERVED_FD + init->preserved);
    if (sync < 0)
        return sync;
    init->sync = sync;
    for (int i = 0; i < init->preserved; i++) {
        long result = sys(dup3, INIT_PRESERVED_FD + i, 3 + i, 0);
        if (result < 0)
            return (int)result;
    }
    return 0;
}

static int prepare_words(struct init *init, const struct clib_op *op) {
    struct words words = program_words(init->plan, op, op->number[0], op->number[1], 0);
    init->argv = words.argv;
    init->envp = words.envp;
    return words.argv ? 0 : -ENOMEM;
}

int exec_prepare(struct init *init, const struct clib_op *from) {
    const struct clib_op *end = init->plan->ops + init->plan->header->before_count;
    char program[PROGRAM_SIZE];
    int result = 0;
    for (const struct clib_op *op = from; op < end && result == 0; op++) {
        const char *search = op_text(init->plan, op, 1);
        if (op->kind == CLIB_OP_HOLD && !op->number[0])
            init->found = find_program(op_text(init->plan, op, 0), search ? search : "", program);
        if (op->kind == CLIB_OP_EXEC)
            result = prepare_words(init, op);
    }
    return result;
}

/* does the search go on behind a place where execve(2) has failed so? */
static int is_elsewhere(int result) {
    return result == -ENOENT || result == -ENOTDIR || result == -EACCES || result == -ELOOP ||
           result == -ENAMETOOLONG;
}

/* As execvp(3) does: a seccomp filter need not allow the calls that would look for the program first. */
static int search_and_execute(const struct init *init, const char *name, const char *search) {
    char program[PROGRAM_SIZE];
    size_t length = text_length(name);
    int worst = -ENOENT;
    const char *end = search + text_length(search);
    for (const char *at = search; at <= end; at++) {
        const char *stop = find_byte(at, end, ':');
        size_t prefix = (size_t)(stop - at);
        if (prefix && prefix + 1 + length < PROGRAM_SIZE) {
            memcpy(program, at, prefix);
            program[prefix] = '/';
            memcpy(program + prefix + 1, name, length + 1);
            int result = (int)sys(execve, program, init->argv, init->envp);
            if (!is_elsewhere(result))
                return result;
            worst = result == -EACCES ? result : worst;
        }
        at = stop;
    }
    return worst;
}

int op_exec(struct init *init, const struct clib_op *op) {
    const char *name = op_text(init->plan, op, 0), *search = op_text(init->plan, op, 1);
    size_t length = text_length(name);
    int result = init->argv ? 0 : prepare_words(init, op);
    if (result < 0 || length == 0)
        return result < 0 ? result : -ENOENT;
    if (find_byte(name, name + length, '/') != name + length)
        return (int)sys(execve, name, init->argv, init->envp);
    return search_and_execute(init, name, search ? search : "");
}
