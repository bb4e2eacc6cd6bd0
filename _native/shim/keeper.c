/* Checkpoints that are taken while the container runs, and nobody but this process is there: each by a
 * program that is run for it, one at a time, the next so long after the end of the last.
 *
 *   due -> `keeper`, a HOOK -> checkpoints/N, `last` leads there -> due again
 *
 * What it says of a failure it stores by itself. While it is at work the processes may stand still, held by
 * CRIU, which lets go of them when it is told to or when the program has gone: so it is asked to end first,
 * and killed only where it does not hear. */
#include "program.h"
#include "shim.h"

#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

enum { PATIENCE_S = 5 };

static void plan_next(struct shim *shim, int64_t now) {
    struct clib_policy policy;
    shim->keeper.next = 0;
    if (policy_read(shim, &policy) == 0 && policy.checkpoint_ms)
        shim->keeper.next = now + policy.checkpoint_ms * (int64_t)1000000;
}

void keeper_begin(struct shim *shim) {
    plan_next(shim, shim->life.began);
}

int64_t keeper_due(const struct shim *shim) {
    return shim->phase == PHASE_RUNNING && shim->keeper.pidfd < 0 ? shim->keeper.next : 0;
}

static int open_plan(const struct shim *shim, const char *name, struct plan *plan) {
    cleanup_close int fd = (int)sys(openat, shim->directory, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fd : plan_map(fd, plan);
}

static int begin(struct shim *shim) {
    static const int nothing[3] = {-1, -1, -1};
    struct plan plan;
    int result = open_plan(shim, "keeper", &plan);
    if (result < 0)
        return result;
    const struct clib_op *op = plan.ops;
    int known = plan.header->before_count == 1 && op->kind == CLIB_OP_HOOK;
    result = known ? program_runtime(&plan, op, nothing, -1, &shim->keeper.pidfd) : -EINVAL;
    plan_unmap(&plan);
    return result;
}

void keeper_run(struct shim *shim, int64_t now) {
    int64_t due = keeper_due(shim);
    if (due && due <= now && (after_is_frozen(shim) || begin(shim) < 0))
        plan_next(shim, now);
}

int ends_within(int pidfd, int seconds) {
    struct pollfd slot = {pidfd, POLLIN, 0};
    struct __kernel_timespec limit = {.tv_sec = seconds};
    return sys(ppoll, &slot, 1, &limit, 0, 0) > 0;
}

void keeper_look(struct shim *shim) {
    if (shim->keeper.pidfd < 0 || !ends_within(shim->keeper.pidfd, 0))
        return;
    close_fd(&shim->keeper.pidfd);
    shim->keeper.pidfd = -1;
    plan_next(shim, clock_ns(CLOCK_MONOTONIC));
}

void keeper_end(struct shim *shim) {
    struct keeper *keeper = &shim->keeper;
    keeper->next = 0;
    if (keeper->pidfd < 0)
        return;
    sys(pidfd_send_signal, keeper->pidfd, SIGTERM, 0, 0);
    if (!ends_within(keeper->pidfd,
                     PATIENCE_S)) /* a disk may keep it from that too, which is not waited for */
        sys(pidfd_send_signal, keeper->pidfd, SIGKILL, 0, 0);
    sys(waitid, P_PIDFD, keeper->pidfd, 0, WEXITED | WNOHANG, 0);
    close_fd(&keeper->pidfd);
    keeper->pidfd = -1;
}

int keeper_last(const struct shim *shim, struct plan *plan) {
    return open_plan(shim, "checkpoints/last/run", plan);
}
