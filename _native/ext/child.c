/* Between clone and exec, in a child that shares the caller's memory: raw system calls and the stack only.
 * Nothing here may allocate, lock, or touch errno; `nm -u` on this object shows that it calls nobody. */
#include "child.h"

#include <linux/close_range.h>
#include <linux/fcntl.h>
#include <linux/if.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/sockios.h>

#include "syscall.h"
#include "wire.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

static const uint64_t EVERY_SIGNAL = ~0ull;

enum { FD_PARKING = 16, STREAM = 1, DATAGRAM = 2, INTERNET = 2 };

int clib_spawn_child(void *argument) {
    struct clib_spawn_call *call = argument;
    /* out of the way first, since any of them may be one of the numbers that they are wanted at */
    long exe = sys(fcntl, call->exe_fd, F_DUPFD_CLOEXEC, FD_PARKING);
    long control = sys(fcntl, call->control_fd, F_DUPFD_CLOEXEC, FD_PARKING);
    long null = sys(fcntl, call->null_fd, F_DUPFD_CLOEXEC, FD_PARKING);
    long result = exe < 0 ? exe : control < 0 ? control : null;
    for (int fd = 0; result >= 0 && fd < 3; fd++)
        result = sys(dup3, null, fd, 0);
    if (result >= 0)
        result = sys(dup3, control, CLIB_CONTROL_FD, 0);
    if (result >= 0)
        result = sys(close_range, CLIB_CONTROL_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
    if (result >= 0)
        result = sys(setsid);
    if (result >= 0) {
        const char *argv[] = {"containerlib", 0};
        const char *const *environment = argv + 1;
        result = sys(execveat, exe, "", argv, environment, AT_EMPTY_PATH);
    }
    call->err = (int32_t)-result;
    sys(exit, 127);
    return 127;
}

/* shares the caller's descriptors as well: the socket is made there */
int clib_socket_child(void *argument) {
    struct clib_socket_call *call = argument;
    long result = sys(setns, call->pidfd, CLONE_NEWNET);
    if (result >= 0)
        result = sys(socket, call->family, STREAM | O_CLOEXEC | O_NONBLOCK, 0);
    call->socket = (int32_t)result;
    sys(exit, 0);
    return 0;
}

/* All its signals are blocked but SIGKILL. */
int clib_hold_child(void *nothing) {
    (void)nothing;
    sys(prctl, PR_SET_PDEATHSIG, 9);
    for (;;)
        sys(rt_sigsuspend, &EVERY_SIGNAL, sizeof EVERY_SIGNAL);
}

static long loopback_up(void) {
    long socket = sys(socket, INTERNET, DATAGRAM | O_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    long result = sys(ioctl, socket, SIOCSIFFLAGS, &request);
    sys(close, socket);
    return result;
}

/* as clib_socket_child */
int clib_network_child(void *argument) {
    int32_t *made = argument;
    long result = sys(unshare, CLONE_NEWNET);
    if (result >= 0)
        result = loopback_up();
    if (result >= 0)
        result = sys(openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    *made = (int32_t)result;
    sys(exit, 0);
    return 0;
}
