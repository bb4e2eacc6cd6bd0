/* The process that makes one health check: a copy of the shim, which is small, and so cheaper than another
 * start of the helper. With a command it becomes the shim of an exec, whose plan Python has left in `check`;
 * with a port it asks that itself, from the container's network namespace. Either reports like any shim, on
 * its channel, and ends with the shim that it checks for. */
#include "shim.h"

#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/close_range.h>

enum { REQUEST_SIZE = 4096 };

void close_others(const int *kept, int count) {
    int next = 3;
    for (;;) {
        int least = -1;
        for (int i = 0; i < count; i++)
            if (kept[i] >= next && (least < 0 || kept[i] < least))
                least = kept[i];
        if (least < 0)
            break;
        if (least > next)
            sys(close_range, next, least - 1, 0);
        next = least + 1;
    }
    sys(close_range, next, ~0u, 0);
}

static _Noreturn void check_by_command(const struct shim *checked, int plan, int self, int output,
                                       int channel) {
    struct shim shim;
    shim_clear(&shim);
    int foreign = checked->flags & CLIB_LAUNCH_FOREIGN;
    if (foreign)
        shim.directory = (int)sys(openat, checked->directory, "checking", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    shim.host_mounts = checked->host_mounts;
    const int kept[] = {
        plan, self, output, channel, checked->pidfd, checked->cgroup, shim.host_mounts, shim.directory};
    close_others(kept, sizeof kept / sizeof *kept);
    shim.clients[0].fd = channel;
    shim.owner = self;
    shim.target = checked->pidfd;
    shim.cgroup = checked->cgroup;
    shim.flags = CLIB_LAUNCH_PLAN | CLIB_LAUNCH_TARGET | CLIB_LAUNCH_OWNER | (uint32_t)foreign |
                 (shim.cgroup >= 0 ? CLIB_LAUNCH_CGROUP : 0);
    shim.stdio[1] = output;
    shim.stdio[2] = (int)sys(fcntl, output, F_DUPFD_CLOEXEC, 0);
    int result = plan_map(plan, &shim.plan);
    close_fd(&plan);
    if (result == 0)
        result = shim_prepare(&shim);
    shim_run(&shim, result, CLIB_STAGE_LAUNCH);
}

static _Noreturn void check_by_port(const struct shim *checked, const struct clib_policy *policy, int request,
                                    int output, int channel) {
    char text[REQUEST_SIZE];
    const int kept[] = {request, output, channel, checked->pidfd};
    sys(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    close_others(kept, sizeof kept / sizeof *kept);
    long size = request < 0 ? 0 : sys(read, request, text, sizeof text);
    struct clib_message report = probe(checked->pidfd, policy, text, size < 0 ? 0 : (size_t)size, output);
    channel_send(channel, &report, -1);
    leave(0);
}

static _Noreturn void make_check(const struct shim *checked, const struct clib_policy *policy, int self,
                                 int output, int channel) {
    int given = (int)sys(openat, checked->directory, "check", O_RDONLY | O_CLOEXEC);
    if (policy->check == CLIB_CHECK_COMMAND)
        check_by_command(checked, given, self, output, channel);
    check_by_port(checked, policy, given, output, channel);
}

int check_start(struct shim *shim, const struct clib_policy *policy) {
    struct health *health = &shim->health;
    int pipe[2], pair[2], pidfd = -1;
    long own = sys(getpid);
    cleanup_close int self = (int)sys(pidfd_open, own, 0);
    int result = self < 0 ? self : (int)sys(pipe2, pipe, O_CLOEXEC);
    if (result < 0)
        return result;
    cleanup_close int reading = pipe[0], writing = pipe[1];
    if ((result = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair)) < 0)
        return result;
    cleanup_close int ours = pair[0], theirs = pair[1];
    sys(fcntl, reading, F_SETFL, O_NONBLOCK);
    int pid = (int)sys(clone, CLONE_PIDFD | SIGCHLD, 0, &pidfd);
    if (pid == 0)
        make_check(shim, policy, self, writing, theirs);
    if (pid < 0)
        return pid;
    health->pidfd = pidfd;
    health->channel = take_fd(&ours);
    health->output = take_fd(&reading);
    return pid;
}
