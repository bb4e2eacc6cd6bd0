/* Starting the helper. The child borrows the caller's memory until its exec (CLONE_VM | CLONE_VFORK), so a
 * start costs the same from a process of 10 MiB and of 10 GiB, and no lock that another thread holds is ever
 * copied. */
#include "ext.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"

enum { CHILD_STACK = 16384 };

/* no handler of the caller may run in the child, on the caller's memory */
static void block_signals(sigset_t *before) {
    sigset_t every;
    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, before);
}

int clib_spawn(int exe_fd, int control_fd, int null_fd, int *pidfd, struct clib_error *error) {
    struct clib_spawn_call call = {exe_fd, control_fd, null_fd, 0};
    _Alignas(16) char stack[CHILD_STACK];
    sigset_t before;
    block_signals(&before);
    int pid = clone(clib_spawn_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    &call, pidfd);
    int failure = pid < 0 ? errno : call.err;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failure)
        return 0;
    if (pid >= 0) {
        clib_pidfd_reap(*pidfd, 0);
        close(*pidfd);
        *pidfd = -1;
    }
    *error = (struct clib_error){.stage = CLIB_STAGE_SPAWN, .err = failure, .index = -1};
    return -1;
}

int clib_socket_in(int pidfd, int family) {
    struct clib_socket_call call = {pidfd, family, -ECANCELED};
    _Alignas(16) char stack[CHILD_STACK];
    sigset_t before;
    block_signals(&before);
    /* without a signal at its end no wait of the caller's finds it */
    int pid = clone(clib_socket_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES, &call);
    int failure = pid < 0 ? errno : 0;
    while (pid >= 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure ? -failure : call.socket;
}
