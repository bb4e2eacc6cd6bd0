/* Who answers for names in a container that is on networks: a copy of this process that is nobody, and ends
 * with it. See resolver.h. */
#include "resolver.h"
#include "shim.h"

#include <asm/socket.h>
#include <linux/in.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>

enum { SOCK_DGRAM_ = 2, BACKLOG = 16, TRIES = 200 };

/* The address is there once loopback is up, which is later. */
static int bound(int kind) {
    static const union address address = {
        .v4 = {INET, (CLIB_RESOLVER_PORT >> 8 | CLIB_RESOLVER_PORT << 8) & 0xffff, {127, 0, 0, 11}, {0}}};
    int one = 1;
    cleanup_close int socket = (int)sys(socket, INET, kind | O_CLOEXEC | O_NONBLOCK, 0);
    if (socket < 0)
        return socket;
    long result = sys(setsockopt, socket, IPPROTO_IP, IP_FREEBIND, &one, sizeof one);
    if (result == 0)
        result = sys(bind, socket, &address, sizeof address.v4);
    if (result == 0 && kind == SOCK_STREAM_)
        result = sys(listen, socket, BACKLOG);
    return result < 0 ? (int)result : take_fd(&socket);
}

/* By a process in the container's network namespace that shares this one's descriptors: for who has no rights
 * in the host's there is no way back. */
static _Noreturn void prepare_inside(int pid, const struct plan *plan, const struct clib_op *op,
                                     int channel) {
    int own = network_enter(pid);
    struct clib_message made = {.version = CLIB_PROTOCOL_VERSION, .value = {own, -1, -1}};
    if (own >= 0) {
        made.value[1] = bound(SOCK_DGRAM_);
        made.value[2] = bound(SOCK_STREAM_);
        made.value[0] = netlink_run(plan, op, 0, NULL);
        sys(close, own);
    }
    channel_send(channel, &made, -1);
    leave(0);
}

static int prepare(int pid, const struct plan *plan, const struct clib_op *op, int sockets[2]) {
    int pair[2], fds[CLIB_MAX_FDS], count;
    int result = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair);
    if (result < 0)
        return result;
    cleanup_close int ours = pair[0], theirs = pair[1];
    int inside = (int)sys(clone, CLONE_FILES | SIGCHLD, 0);
    if (inside == 0)
        prepare_inside(pid, plan, op, theirs);
    if (inside < 0)
        return inside;
    sys(wait4, inside, 0, 0, 0);
    struct clib_message made;
    result = channel_receive(ours, &made, fds, &count, MSG_DONTWAIT_);
    if (result <= 0)
        return result == -EAGAIN ? -EOWNERDEAD : result;
    sockets[0] = made.value[1];
    sockets[1] = made.value[2];
    return sockets[0] < 0 ? sockets[0] : sockets[1] < 0 ? sockets[1] : made.value[0];
}

static _Noreturn void serve(int directory, const int sockets[2], const char *view, int parent) {
    const int kept[] = {directory, sockets[0], sockets[1]};
    close_others(kept, sizeof kept / sizeof *kept);
    sys(prctl, PR_SET_NAME, "cl-resolver", 0, 0, 0);
    struct resolver *resolver = resolver_make(sockets[0], sockets[1], view);
    if (!resolver || fence(directory, parent) < 0)
        leave(1);
    sys(close, directory);
    resolver_serve(resolver);
}

int names_start(struct shim *shim, const struct plan *plan, const struct clib_op *op) {
    if (shim->resolver >= 0) /* of this run, which was connected before */
        return 0;
    cleanup_close int directory =
        (int)sys(openat, AT_FDCWD, op_text(plan, op, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0)
        return directory;
    int sockets[2] = {-1, -1}, pidfd = -1;
    int result = prepare(shim->pid, plan, op, sockets);
    /* in a namespace that outlives its runs the last one's may be ending still */
    for (int i = 0; i < TRIES && result == -EADDRINUSE; i++) {
        close_fds(sockets, 2);
        sockets[0] = sockets[1] = -1;
        pause_briefly();
        result = prepare(shim->pid, plan, op, sockets);
    }
    cleanup_close int datagrams = sockets[0], listener = sockets[1];
    if (result < 0)
        return result;
    int parent = (int)sys(getpid);
    int pid = (int)sys(clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd);
    if (pid == 0)
        serve(directory, sockets, op_text(plan, op, 1), parent);
    if (pid < 0)
        return pid;
    shim->resolver = pidfd;
    return 0;
}

void names_end(struct shim *shim) {
    if (shim->resolver < 0)
        return;
    sys(pidfd_send_signal, shim->resolver, SIGKILL, 0, 0);
    close_fd(&shim->resolver);
    shim->resolver = -1;
}
