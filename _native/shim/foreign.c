/* A container whose process another OCI runtime makes (runc, crun, runsc): the plan's ops are run in this
 * process, whose mount namespace is private by then, and in it the runtime's commands. What the runtime
 * leaves running when it has ended becomes a child of this process, which is a subreaper, and is supervised
 * like any other.
 *
 *   before    UNSHARE, PROPAGATION, the view of cgroups, the root, RUNTIME create | exec, HOLD
 *   started   RUNTIME start
 *   after     the groups, RUNTIME delete
 */
#include "init.h"
#include "program.h"
#include "shim.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/close_range.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

enum { PID_SIZE = 24, TICK_MS = 5, LAST_ROUNDS = 200, ENDED = 32, RUNNING = -1 };

static const char CONSOLE[] = "console.sock";

/* Who was reaped before it was known what the runtime has made: a short exec may end before its command. */
struct ended {
    int count;
    struct {
        int pid, status;
    } last[ENDED];
};

/* Reaps all but the command: runsc waits until what it has killed is gone, and not only dead. -ECHILD: there
 * is nobody. */
static int reap_others(struct shim *shim, int command, struct ended *ended) {
    for (;;) {
        union {
            struct {
                int signal, error, code, padding, pid;
            } child;
            char info[128];
        } found = {.info = {0}};
        int status;
        long result = sys(waitid, P_ALL, 0, &found, WEXITED | WNOHANG | WNOWAIT, 0);
        if (result < 0 || !found.child.pid || found.child.pid == command)
            return (int)result;
        if (sys(wait4, found.child.pid, &status, WNOHANG, 0) <= 0)
            continue;
        if (found.child.pid == shim->pid)
            loop_ended(shim, status);
        else if (ended) {
            int place = ended->count++ % ENDED;
            ended->last[place].pid = found.child.pid;
            ended->last[place].status = status;
        }
    }
}

static int run_command(struct shim *shim, const struct clib_op *op, const int stdio[3], struct ended *ended) {
    cleanup_close int pidfd = -1;
    int command = program_runtime(&shim->plan, op, stdio, shim->directory, &pidfd), status = 0;
    if (command < 0)
        return command;
    struct pollfd slot = {pidfd, POLLIN, 0};
    for (uint64_t waited = 0; waited < op->number[2]; waited += TICK_MS) {
        struct __kernel_timespec tick = {.tv_nsec = TICK_MS * 1000000};
        if (sys(ppoll, &slot, 1, &tick, 0, 0) != 0)
            break;
        reap_others(shim, command, ended);
    }
    int late = !slot.revents;
    if (late)
        sys(pidfd_send_signal, pidfd, SIGKILL, 0, 0);
    sys(wait4, command, &status, 0, 0);
    if (late)
        return -ETIMEDOUT;
    return status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
}

int foreign_command(struct shim *shim, const struct clib_op *op) {
    static const int none[] = {-1, -1, -1};
    return run_command(shim, op, none, NULL);
}

/* what the runtime has written to its pid file, if it is this process's to reap by now, or was; *status is
 * then its own */
static int adopt(struct shim *shim, const char *file, const struct ended *ended, int *status) {
    char text[PID_SIZE];
    const char *end;
    long size = read_file(shim->directory, file, text, sizeof text);
    if (size < 0)
        return (int)size;
    uint64_t pid = parse_decimal(text, &end);
    for (int i = 0; i < ended->count && i < ENDED; i++) {
        if (ended->last[i].pid == (int)pid) {
            shim->pid = (int)pid;
            *status = ended->last[i].status;
            return 0;
        }
    }
    cleanup_close int fd = (int)sys(pidfd_open, pid, 0);
    if (fd < 0)
        return fd;
    char info[128];
    long result = -ECHILD; /* it is not: whoever started it may still be about to end */
    for (int round = 0; round < LAST_ROUNDS && result == -ECHILD; round++) {
        if (round)
            pause_briefly();
        result = sys(waitid, P_PIDFD, fd, info, WEXITED | WNOHANG | WNOWAIT, 0);
    }
    if (result < 0)
        return (int)result;
    shim->pid = (int)pid;
    shim->pidfd = take_fd(&fd);
    return 0;
}

/* the master of the terminal, which the runtime sent before it ended */
static int take_console(struct shim *shim, int listener) {
    cleanup_close int sender = (int)sys(accept4, listener, 0, 0, O_CLOEXEC | O_NONBLOCK);
    int master = sender < 0 ? sender : channel_receive_fd(sender);
    if (master < 0)
        return master;
    struct winsize size = {.ws_row = (unsigned short)shim->rows, .ws_col = (unsigned short)shim->columns};
    if (size.ws_row)
        sys(ioctl, master, TIOCSWINSZ, &size);
    loop_attach(shim, master);
    return 0;
}

static int make_process(struct shim *shim, const struct clib_op *op, const int child[3], int *status) {
    const char *file = op_text(&shim->plan, op, 1);
    int terminal = !!(shim->flags & CLIB_LAUNCH_TERMINAL);
    cleanup_close int listener = terminal ? control_listen(shim, CONSOLE, SOCK_STREAM_ | O_NONBLOCK) : -1;
    if (terminal && listener < 0)
        return listener;
    struct ended ended = {.count = 0};
    int result = run_command(shim, op, child, &ended);
    if (result == 0 && file)
        result = adopt(shim, file, &ended, status);
    if (result == 0 && terminal)
        result = take_console(shim, listener);
    if (terminal)
        sys(unlinkat, shim->directory, CONSOLE, 0);
    return result;
}

void foreign_dismiss(struct shim *shim) {
    guard_dismiss(shim);
    /* what a command that failed left dying would keep the groups busy for as long as nobody reaps it */
    for (int round = 0; round < LAST_ROUNDS && reap_others(shim, 0, NULL) != -ECHILD; round++)
        pause_briefly();
}

/* one of the ops that the container's first process runs otherwise; "/" is that of the mount namespace in
 * which this process is by then */
static int run_op(struct init *init, const struct clib_op *op) {
    if (op->kind != CLIB_OP_UNSHARE && init->root < 0)
        init->root = (int)sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return init_run_op(init, op);
}

/* The root's overlay is mounted in its place at once. */
static int makes_mount(const struct clib_op *op) {
    return op->kind == CLIB_OP_ROOT_FUSE || op->kind == CLIB_OP_TREE || op->kind == CLIB_OP_MEMORY ||
           op->kind == CLIB_OP_NAMESPACE || op->kind == CLIB_OP_BORROW;
}

struct launch {
    int index;  /* of the op that failed */
    int hold;   /* START is to be waited for */
    int status; /* of wait4(2), where the process has ended by now; else RUNNING */
};

/* runs the ops; 0, or what the one of launch->index came to */
static int run_ops(struct shim *shim, struct init *init, const int child[3], struct launch *launch) {
    const struct plan *plan = &shim->plan;
    for (uint32_t i = 0; i < plan->header->before_count; i++) {
        const struct clib_op *op = &plan->ops[i];
        int result = 0;
        launch->index = (int)i;
        if (op->kind == CLIB_OP_RUNTIME)
            result = make_process(shim, op, child, &launch->status);
        else if (makes_mount(op))
            result = handover_make(shim, op, &init->tree);
        else if (op->kind == CLIB_OP_LEND)
            result = lend_open(shim, op_text(plan, op, 1));
        else if (op->kind == CLIB_OP_HOLD)
            launch->hold = 1;
        else if (op->kind != CLIB_OP_CGROUP_JOIN && op->kind != CLIB_OP_SECRET) /* each is another op's */
            result = run_op(init, op);
        if (result != 0)
            return result;
    }
    launch->index = -1;
    return shim->pid ? guard_post(shim) : -EINVAL;
}

void foreign_leave(struct shim *shim) {
    if (shim->host_mounts >= 0)
        sys(setns, shim->host_mounts, CLONE_NEWNS);
}

/* What a run has mounted goes with its mount namespace: the next begins in the host's again. */
static void enter_host(struct shim *shim) {
    foreign_leave(shim);
    if (shim->host_mounts < 0 && shim->flags & CLIB_LAUNCH_LOG)
        shim->host_mounts = (int)sys(openat, AT_FDCWD, "/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
}

void foreign_launch(struct shim *shim, const int child[3]) {
    enter_host(shim);
    struct init init = {
        .plan = &shim->plan,
        .layers = shim->layers,
        .layer_count = shim->layer_count,
        .root = -1,
        .tree = -1,
        .null = -1,
        .empty = -1,
    };
    struct launch launch = {.index = -1, .status = RUNNING};
    int result = run_ops(shim, &init, child, &launch);
    close_fd(&init.root);
    sys(fchdir, shim->directory);
    if (result != 0) {
        shim->end = handover_failure(shim, result, launch.index);
        shim->phase = PHASE_ENDING;
        return;
    }
    if (!(shim->flags & CLIB_LAUNCH_LOG)) { /* an exec's files are gone when it has started */
        close_fd(&shim->directory);
        shim->directory = -1;
    }
    struct process_facts facts;
    process_facts(shim->pid, &facts);
    if (launch.hold)
        loop_created(shim);
    else
        loop_started(shim, facts.start_time);
    if (launch.status != RUNNING)
        loop_ended(shim, launch.status);
}
