/* Processes by descriptor: a pid can be another process by the time it is used, a pidfd cannot. */
#include "ext.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

int clib_pidfd_open(int pid) {
    long fd = syscall(SYS_pidfd_open, pid, 0);
    return fd < 0 ? -errno : (int)fd;
}

int clib_pidfd_signal(int pidfd, int signal) {
    return syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0) < 0 ? -errno : 0;
}

int clib_pidfd_reap(int *pidfd) {
    siginfo_t info = {0};
    int result;
    do
        result = waitid((idtype_t)P_PIDFD, (id_t)*pidfd, &info, WEXITED);
    while (result < 0 && errno == EINTR);
    result = result < 0 ? -errno : 0;
    close(take_fd(pidfd));
    return result;
}

int clib_become_subreaper(void) {
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0 ? -errno : 0;
}
