/* From the launch message to the container's first process. */
#include "shim.h"

#include "init.h"
#include "other.h"

#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/socket.h>

enum { FD_PARKING = 128 };

static int count_bits(uint32_t flags) {
    int count = 0;
    for (; flags; flags &= flags - 1)
        count++;
    return count;
}

int launch_receive(struct shim *shim, enum clib_stage *stage) {
    struct clib_message message;
    int fds[CLIB_MAX_FDS], count, next = 0;
    *stage = CLIB_STAGE_LAUNCH;
    int result = channel_receive(CLIB_CONTROL_FD, &message, fds, &count, 0);
    if (result <= 0)
        return result < 0 ? result : -ECONNRESET;
    /* whoever has the other end need not read what is told there */
    sys(fcntl, CLIB_CONTROL_FD, F_SETFL, O_NONBLOCK);
    shim->flags = (uint32_t)message.value[0];
    shim->rows = message.value[1];
    shim->columns = message.value[2];
    int preserved = shim->flags & CLIB_LAUNCH_PRESERVE ? message.value[3] : 0;
    int64_t layers = shim->flags & CLIB_LAUNCH_LAYERS ? message.number[0] : 0;
    if (message.kind != CLIB_MESSAGE_LAUNCH || preserved < 0 || preserved > count || layers < 0 ||
        layers > count - preserved ||
        count - preserved - layers !=
            count_bits(shim->flags & (0xff | CLIB_LAUNCH_INPUT | CLIB_LAUNCH_RESTORE)) ||
        !(shim->flags & CLIB_LAUNCH_PLAN))
        return -EPROTO;
    cleanup_close int plan = fds[next++];
    int *places[] = {&shim->directory, &shim->owner,    &shim->target,  &shim->cgroup,
                     &shim->stdio[0],  &shim->stdio[1], &shim->stdio[2]};
    for (int bit = 0; bit < 7; bit++)
        if (shim->flags & (uint32_t)CLIB_LAUNCH_DIRECTORY << bit)
            *places[bit] = fds[next++];
    if (shim->flags & CLIB_LAUNCH_INPUT)
        shim->input = fds[next++];
    cleanup_close int first = shim->flags & CLIB_LAUNCH_RESTORE ? fds[next++] : -1;
    shim->preserved_count = preserved;
    memcpy(shim->preserved, fds + next, (size_t)preserved * sizeof *fds);
    shim->layer_count = (int)layers;
    memcpy(shim->layers, fds + next + preserved, (size_t)layers * sizeof *fds);
    if (shim->flags & CLIB_LAUNCH_FILTER && shim->layer_count)
        shim->filter = shim->layers[--shim->layer_count];
    result = plan_map(plan, &shim->plan);
    if (result < 0 || first < 0)
        return result;
    shim->later = shim->plan;
    return plan_map(first, &shim->plan);
}

/* The user namespace comes first where this process has no right to the other one without it. */
static int join_pid_namespace_of_target(const struct shim *shim, uint64_t flags) {
    long result = sys(setns, shim->target, CLONE_NEWPID);
    if (result == -EPERM && flags & CLONE_NEWUSER)
        result = sys(setns, shim->target, CLONE_NEWUSER | CLONE_NEWPID);
    return (int)result;
}

static int enter_pid_namespace(const struct plan *plan, const struct clib_op *op) {
    cleanup_close int fd = other_setns(plan, op);
    return fd < 0 ? fd : (int)sys(setns, fd, CLONE_NEWPID);
}

/* A process enters a pid namespace by being born in it, so what joins one is the shim, for its child. */
static int join_pid_namespace(struct shim *shim, enum clib_stage *stage) {
    for (uint32_t i = 0; i < shim->plan.header->before_count; i++) {
        const struct clib_op *op = &shim->plan.ops[i];
        if (op->kind == CLIB_OP_JOIN && op->number[0] & CLONE_NEWPID)
            return join_pid_namespace_of_target(shim, op->number[0]);
        if (op->kind == CLIB_OP_SETNS && op->number[0] == CLONE_NEWPID) {
            int result = enter_pid_namespace(&shim->plan, op);
            *stage = result < 0 ? CLIB_STAGE_OP : *stage;
            shim->failed_op = result < 0 ? (int)i : -1;
            return result;
        }
    }
    return 0;
}

/* puts fd at number `at`; the descriptors were parked above every such number first */
static void place(int fd, int at, int flags) {
    if (fd >= 0)
        sys(dup3, fd, at, flags);
}

static int park(int fd) {
    return fd < 0 ? -1 : (int)sys(fcntl, fd, F_DUPFD_CLOEXEC, FD_PARKING);
}

/* is each that is given parked? A caller's limit of open files may leave no room for it */
static int are_parked(const int *fds, const int *parked, int count) {
    for (int i = 0; i < count; i++)
        if (fds[i] >= 0 && parked[i] < 0)
            return 0;
    return 1;
}

static _Noreturn void give_up(int sync) {
    struct clib_message failure = {.kind = CLIB_MESSAGE_FAILED,
                                   .version = CLIB_PROTOCOL_VERSION,
                                   .value = {CLIB_STAGE_STDIO, EMFILE, -1}};
    channel_send(sync, &failure, -1);
    leave(125);
}

static _Noreturn void become_init(const struct shim *shim, const int child[3], int sync, int ordinary) {
    const int given[] = {child[0], child[1], child[2], sync, shim->target, shim->start_listener};
    int own[INIT_PRESERVED_FD], more[CLIB_MAX_FDS], parked[CLIB_MAX_FDS];
    int more_count = shim->preserved_count + shim->layer_count;
    memcpy(more, shim->preserved, (size_t)shim->preserved_count * sizeof *more);
    memcpy(more + shim->preserved_count, shim->layers, (size_t)shim->layer_count * sizeof *more);
    for (int i = 0; i < INIT_PRESERVED_FD; i++)
        own[i] = park(given[i]);
    for (int i = 0; i < more_count; i++)
        parked[i] = park(more[i]);
    if (!are_parked(given, own, INIT_PRESERVED_FD) || !are_parked(more, parked, more_count))
        give_up(sync);
    /* stdio that is not given stays /dev/null */
    sys(close_range, INIT_SYNC_FD, FD_PARKING - 1, 0);
    for (int i = 0; i < INIT_PRESERVED_FD; i++)
        place(own[i], i, i < INIT_SYNC_FD ? 0 : O_CLOEXEC);
    for (int i = 0; i < more_count; i++) {
        more[i] = INIT_PRESERVED_FD + i;
        place(parked[i], more[i], O_CLOEXEC);
    }
    sys(close_range, FD_PARKING, ~0u, 0);
    struct init init = {
        .plan = &shim->plan,
        .launch_flags = shim->flags,
        .rows = shim->rows,
        .columns = shim->columns,
        .preserved = shim->preserved_count,
        .layers = more + shim->preserved_count,
        .layer_count = shim->layer_count,
        .links = shim->has_links,
        .sync = INIT_SYNC_FD,
        .ordinary = ordinary,
        .tree = -1,
        .listener = -1,
        .found = 1,
        .root = -1,
        .null = -1,
        .empty = -1,
    };
    init_main(&init);
}

static int clone_init(struct shim *shim, const int child[3], int sync) {
    struct clone_args arguments = {
        .flags = shim->plan.header->clone_flags | CLONE_PIDFD,
        .pidfd = (uint64_t)(uintptr_t)&shim->pidfd,
        .exit_signal = SIGCHLD,
    };
    if (shim->flags & CLIB_LAUNCH_CGROUP) {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = (uint64_t)shim->cgroup;
    }
    int ordinary = sys(geteuid) != 0; /* there, it is nobody yet */
    long pid = sys(clone3, &arguments, sizeof arguments);
    if (pid == 0)
        become_init(shim, child, sync, ordinary);
    if (pid < 0)
        return (int)pid;
    shim->pid = (int)pid;
    record_init(shim);
    return 0;
}

static int open_sockets(struct shim *shim) {
    if (shim->listener >= 0) /* it is not the first run */
        return 0;
    int foreign_exec = shim->flags & CLIB_LAUNCH_FOREIGN && !(shim->flags & CLIB_LAUNCH_LOG);
    if (shim->directory < 0 || foreign_exec)
        return 0;
    int *place = &shim->listener;
    if (shim->flags & CLIB_LAUNCH_UNSUPERVISED)
        *(place = &shim->start_listener) = control_listen(shim, "start.sock", SOCK_SEQPACKET_);
    else
        *place = control_listen(shim, "shim.sock", SOCK_SEQPACKET_ | O_NONBLOCK);
    return *place < 0 ? *place : 0;
}

int launch_start(struct shim *shim, enum clib_stage *stage) {
    int child[3] = {-1, -1, -1}, pair[2];
    *stage = CLIB_STAGE_SOCKET;
    int result = open_sockets(shim);
    if (result < 0)
        return result;
    *stage = CLIB_STAGE_STDIO;
    if ((result = stdio_open(shim, child)) < 0)
        return result;
    if (shim->flags & CLIB_LAUNCH_FOREIGN) {
        foreign_launch(shim, child);
        close_fds(child, 3);
        return 0;
    }
    *stage = CLIB_STAGE_NAMESPACE;
    cleanup_close int own = (int)sys(openat, AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if ((result = join_pid_namespace(shim, stage)) < 0)
        return result;
    shim->has_links = shim->directory >= 0 && sys(faccessat, shim->directory, "links", 0) == 0;
    *stage = CLIB_STAGE_CLONE;
    if ((result = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair)) < 0)
        return result;
    shim->sync = pair[0];
    /* whoever gets hold of the other end and reads or writes nothing there is not waited for */
    sys(fcntl, shim->sync, F_SETFL, O_NONBLOCK);
    result = clone_init(shim, child, pair[1]);
    /* hooks are the host's, and not for the container's processes to see (no right to: as an ordinary user)
     */
    if (own >= 0)
        sys(setns, own, CLONE_NEWPID);
    close_fd(&pair[1]);
    close_fds(child, 3);
    close_fd(&shim->target);
    close_fd(&shim->start_listener);
    shim->target = shim->start_listener = -1;
    close_fds(shim->preserved, shim->preserved_count);
    shim->preserved_count = 0;
    if (shim->flags & CLIB_LAUNCH_LOG) /* which may run again */
        return result;
    close_fds(shim->layers, shim->layer_count);
    shim->layer_count = 0;
    close_fd(&shim->cgroup);
    shim->cgroup = -1;
    return result;
}
