/* The first process of a container whose program is to be its child.
 *
 *   this process    has no descriptor left, hands each signal on, and reaps whoever is left to it
 *   its child       goes on with the plan, and becomes the program
 *
 * It ends as the program did: with its exit code, or with 128 and the number of the signal that ended it,
 * since no signal of its own ends the first process of a pid namespace. It is never executed anew: what it
 * runs is the sealed helper, which nobody in the container can read, trace or write. */
#include "init.h"

#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/wait.h>

enum { SIGNALED = 0x7f, FAILED_ITSELF = 125, SIGNAL_INFO_SIZE = 128 };

static const uint64_t every_signal = ~0ull;

static int exit_code(int status) {
    return status & SIGNALED ? 128 + (status & SIGNALED) : status >> 8 & 0xff;
}

/* all that have ended by now, or with 0 for `how` the next one; does not return when the program has */
static void reap(int program, int how) {
    for (;;) {
        int status = 0;
        long pid = sys(wait4, -1, &status, how, 0);
        if (pid == program)
            leave(exit_code(status));
        if (pid == -EINTR)
            continue;
        if (pid == -ECHILD)
            leave(FAILED_ITSELF);
        if (pid <= 0 || !how)
            return;
    }
}

/* The shim takes the end of the channel for the exec, so that it may not stay open here; a filter may have
 * something against the one call. */
static void close_all(int last) {
    if (sys(close_range, 0, ~0u, 0) < 0)
        for (int fd = 0; fd <= last; fd++)
            sys(close, fd);
}

/* By a descriptor, so that the signals stay blocked also while they are waited for: whoever is to send one
 * looks whether it would be heard. */
static _Noreturn void serve(int last_fd, int program) {
    union {
        uint32_t signal;
        char info[SIGNAL_INFO_SIZE];
    } next;
    sys(prctl, PR_SET_NAME, "init");
    close_all(last_fd);
    int signals = (int)sys(signalfd4, -1, &every_signal, sizeof every_signal, O_CLOEXEC);
    for (;;) {
        long size = sys(read, signals, &next, sizeof next);
        if (size !=
            sizeof next) { /* a filter, or no descriptors at all: no signals then, but no zombies either */
            if (size != -EINTR)
                reap(program, 0);
        } else if (next.signal == SIGCHLD) {
            reap(program, WNOHANG);
        } else if (next.signal != SIGTTIN && next.signal != SIGTTOU) {
            sys(kill, program, next.signal);
        }
    }
}

/* The terminal, if there is one, is the program's: what is typed there goes to its group alone, and not
 * twice. SIGTTOU is blocked meanwhile. */
static void take_terminal(void) {
    int group = (int)sys(getpid);
    sys(setpgid, 0, 0);
    sys(ioctl, 0, TIOCSPGRP, &group);
}

int reaper_part(int last_fd) {
    uint64_t none = 0;
    int parent = (int)sys(getpid);
    sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); /* where the pid namespace is not its own */
    sys(rt_sigprocmask, SIG_SETMASK, &every_signal, 0, sizeof every_signal);
    long pid = sys(clone, SIGCHLD, 0); /* not clone3(2), which Docker's seccomp profile answers with ENOSYS */
    if (pid > 0)
        serve(last_fd, (int)pid);
    if (pid == 0) {
        take_terminal();
        sys(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (sys(getppid) != parent)
            leave(FAILED_ITSELF);
    }
    sys(rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
    return (int)pid;
}

int op_init(const struct init *init) {
    int last = INIT_PRESERVED_FD + init->preserved;
    return reaper_part(init->sync > last ? init->sync : last);
}
