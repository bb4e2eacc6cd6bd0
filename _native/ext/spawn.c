/* Starting the helper. The child borrows the caller's memory until its exec (CLONE_VM | CLONE_VFORK), so a
 * start costs the same from a process of 10 MiB and of 10 GiB, and no lock that another thread holds is ever
 * copied. */
#include "ext.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "cleanup.h"

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
    int made = -1;
    block_signals(&before);
    int pid = clone(clib_spawn_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_PIDFD | SIGCHLD,
                    &call, &made);
    int failure = pid < 0 ? errno : call.err;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!failure) {
        *pidfd = made; /* the kernel writes its number before there is a descriptor of that number */
        return 0;
    }
    if (pid >= 0)
        clib_pidfd_reap(&made);
    *error = (struct clib_error){.stage = CLIB_STAGE_SPAWN, .err = failure, .index = -1};
    return -1;
}

/* for what the caller's own threads are not to be in. Without a signal at its end no wait of the caller's
 * finds the child. 0 or -errno */
static int run_beside(int (*child)(void *), void *call) {
    _Alignas(16) char stack[CHILD_STACK];
    sigset_t before;
    block_signals(&before);
    int pid = clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | CLONE_FILES, call);
    int failure = pid < 0 ? errno : 0;
    while (pid >= 0 && waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -failure;
}

int clib_socket_in(int pidfd, int family) {
    struct clib_socket_call call = {pidfd, family, -ECANCELED};
    int result = run_beside(clib_socket_child, &call);
    return result < 0 ? result : call.socket;
}

int clib_network_keep(const char *path) {
    int32_t made = -ECANCELED;
    int result = run_beside(clib_network_child, &made);
    if (result < 0 || made < 0)
        return result < 0 ? result : made;
    cleanup_close int namespace = made;
    char source[32];
    snprintf(source, sizeof source, "/proc/self/fd/%d", namespace);
    return mount(source, path, NULL, MS_BIND, NULL) ? -errno : 0;
}

int clib_network_let_go(const char *path) {
    return umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) ? -errno : 0;
}
