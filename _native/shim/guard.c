/* Who ends the container where the shim is killed, and nothing in the kernel ties its processes to the shim's
 * life, as PARENT_DEATH does for those that it has started itself: a child of the shim's, which waits for
 * that. */
#include "init.h"
#include "shim.h"

#include <linux/close_range.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>

enum { WATCHED_FD = 0, PROGRAM_FD = 1, READER_FD = 3, KEPT_FDS = 4 };

static _Noreturn void keep_guard(struct shim *shim, int self) {
    sys(dup3, self, WATCHED_FD, O_CLOEXEC);
    sys(dup3, shim->pidfd, PROGRAM_FD, O_CLOEXEC);
    if (sys(dup3, shim->reader, READER_FD, O_CLOEXEC) < 0)
        sys(close, READER_FD);
    sys(close_range, KEPT_FDS, ~0u, 0); /* 2 is /dev/null */
    shim->directory = -1;
    struct pollfd slot = {WATCHED_FD, POLLIN, 0};
    sys(ppoll, &slot, 1, 0, 0, 0);
    after_kill(shim);
    sys(pidfd_send_signal, PROGRAM_FD, SIGKILL, 0, 0);
    sys(pidfd_send_signal, READER_FD, SIGKILL, 0, 0); /* after those whose memory it brings */
    int index;
    const struct clib_plan *header = shim->plan.header;
    handover_hooks(shim, header->before_count + header->started_count, header->after_count, &index);
    after_remove(shim);
    leave(0);
}

int guard_post(struct shim *shim) {
    guard_dismiss(shim);
    long own = sys(getpid);
    cleanup_close int self = (int)sys(pidfd_open, own, 0);
    long pid = self < 0 ? self : sys(clone, CLONE_PIDFD | SIGCHLD, 0, &shim->guard);
    if (pid == 0)
        keep_guard(shim, self);
    return pid < 0 ? (int)pid : 0;
}

void guard_dismiss(struct shim *shim) {
    if (shim->guard >= 0)
        sys(pidfd_send_signal, shim->guard, SIGKILL, 0, 0);
    close_fd(&shim->guard);
    shim->guard = -1;
}
