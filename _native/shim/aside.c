/* Mounts that a process makes which is there for nothing else: in a mount namespace that it alone is in, or
 * in a container's. They come back attached nowhere, and nothing is mounted on the host. */
#include "shim.h"

#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/signal.h>

static _Noreturn void make_and_tell(struct shim *shim, const struct clib_op *op, mount_maker make,
                                    int channel, uint64_t flags) {
    long result = flags & CLONE_NEWNS ? sys(mount, 0, "/", 0, MS_REC | MS_SLAVE, 0) : 0;
    int mount = result < 0 ? (int)result : make(shim, op);
    struct clib_message answer = {
        .kind = CLIB_MESSAGE_DONE,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {mount < 0 ? -mount : 0},
    };
    channel_send(channel, &answer, mount < 0 ? -1 : mount);
    leave(0);
}

int receive_mount(int channel, int *made) {
    struct clib_message answer;
    int fds[CLIB_MAX_FDS], count;
    int result = channel_receive(channel, &answer, fds, &count, 0);
    if (result <= 0)
        return result < 0 ? result : -EOWNERDEAD;
    if (answer.kind == CLIB_MESSAGE_DONE && !answer.value[0] && count == 1) {
        *made = fds[0];
        return 0;
    }
    close_fds(fds, count);
    return answer.kind == CLIB_MESSAGE_DONE && answer.value[0] > 0 ? -answer.value[0] : -EPROTO;
}

int make_aside(struct shim *shim, const struct clib_op *op, mount_maker make, uint64_t flags, int *made) {
    int pair[2];
    int result = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair);
    if (result < 0)
        return result;
    cleanup_close int ours = pair[0];
    int pid = (int)sys(clone, flags | SIGCHLD, 0);
    if (pid == 0)
        make_and_tell(shim, op, make, pair[1], flags);
    sys(close, pair[1]);
    if (pid < 0)
        return pid;
    result = receive_mount(ours, made);
    sys(wait4, pid, 0, 0, 0);
    return result;
}
