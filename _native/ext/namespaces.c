/* The caller's own way into other namespaces, for a process that has one thread: and somebody who holds new
 * ones until they are mapped and entered. */
#include "ext.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>

#include "child.h"
#include "cleanup.h"

enum { HOLDER_STACK = 4096 };

int clib_join(int fd, int flags) {
    return setns(fd, flags) ? -errno : 0;
}

int clib_hold(int flags, int *pidfd) {
    /* the child's for as long as it lives, on the caller's memory; one at a time */
    static _Alignas(16) char stack[HOLDER_STACK];
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_BLOCK, &every, &before);
    int pid =
        clone(clib_hold_child, stack + sizeof stack, CLONE_VM | CLONE_PIDFD | SIGCHLD | flags, NULL, pidfd);
    int failure = pid < 0 ? errno : 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return failure ? -failure : pid;
}

int clib_own_mounts(const char *source, const char *target) {
    cleanup_close int made = source ? open(target, O_RDONLY | O_CREAT | O_CLOEXEC, 0600) : -1;
    if ((source && made < 0) || unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_REC | MS_SLAVE, NULL))
        return -errno;
    const char *type = source ? NULL : "tmpfs";
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC | (source ? MS_BIND : 0);
    return mount(source ? source : type, target, type, flags, "mode=0700") ? -errno : 0;
}
