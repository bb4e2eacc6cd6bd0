/* What connects the container to networks: messages for the kernel, as an engine's plans say.
 *
 *   `links`, a file of the container's directory: read at each start, and at the end
 *     before: HANDOVER n, n ops in the host's namespace; then ops in the container's
 *     after:  ops in the host's namespace, whatever becomes of them
 *   a change, which comes with a LINKS message: the way from the links as they were to those that the file
 * says now; its "after" when whoever asked for it has heard
 *
 * So a container is connected and disconnected while it runs, and its next run finds it so. */
#include "shim.h"

#include <linux/sched.h>
#include <linux/signal.h>

static int map_file(const struct shim *shim, const char *name, struct plan *plan) {
    cleanup_close int fd =
        shim->directory < 0 ? -ENOENT : (int)sys(openat, shim->directory, name, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? fd : plan_map(fd, plan);
}

int network_enter(int pid) {
    cleanup_close int own = (int)sys(openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    cleanup_close int theirs = open_proc(pid, "ns/net", O_RDONLY);
    if (own < 0 || theirs < 0)
        return own < 0 ? own : theirs;
    long result = sys(setns, theirs, CLONE_NEWNET);
    return result < 0 ? (int)result : take_fd(&own);
}

int network_leave(int own) {
    long result = sys(setns, own, CLONE_NEWNET);
    sys(close, own);
    return (int)result;
}

static int run_outside(struct shim *shim, const struct plan *plan, const struct clib_op *op) {
    if (op->kind == CLIB_OP_RESOLVER)
        return names_start(shim, plan, op);
    return op->kind == CLIB_OP_NETLINK ? netlink_run(plan, op, shim->pid, &shim->filter) : -EINVAL;
}

static int run_inside(const struct shim *shim, const struct plan *plan, uint32_t *at) {
    if (*at == plan->header->before_count)
        return 0;
    int result = 0, own = network_enter(shim->pid);
    if (own < 0)
        return own;
    for (; *at < plan->header->before_count; ++*at) {
        const struct clib_op *op = &plan->ops[*at];
        if ((result = op->kind == CLIB_OP_NETLINK ? netlink_run(plan, op, 0, NULL) : -EINVAL) < 0)
            break;
    }
    int left = network_leave(own);
    return result < 0 ? result : left;
}

/* *at is the op that failed */
static int run(struct shim *shim, const struct plan *plan, uint32_t *at) {
    uint32_t count = plan->header->before_count, outside = 0;
    int result = 0;
    *at = 0;
    if (count && plan->ops[0].kind == CLIB_OP_HANDOVER)
        outside = 1 + (uint32_t)plan->ops[(*at)++].number[0];
    if (outside > count)
        return -EINVAL;
    for (; *at < outside; ++*at)
        if ((result = run_outside(shim, plan, &plan->ops[*at])) < 0)
            return result;
    return run_inside(shim, plan, at);
}

int links_make(struct shim *shim) {
    struct plan plan;
    uint32_t at;
    int result = map_file(shim, "links", &plan);
    if (result < 0)
        return result;
    result = run(shim, &plan, &at);
    shim->failed_link = result < 0 ? (int)at + 1 : 0;
    plan_unmap(&plan);
    return result;
}

int links_change(struct shim *shim, const struct plan *plan, int *failed) {
    uint32_t at;
    if (shim->phase == PHASE_LAUNCHING) /* it may have no namespace of its own yet */
        return -EAGAIN;
    if (shim->phase != PHASE_CREATED && shim->phase != PHASE_RUNNING) /* its next run reads `links` */
        return 0;
    int result = run(shim, plan, &at);
    *failed = result < 0 ? (int)at + 1 : 0;
    return result;
}

static void run_after(const struct plan *plan, int *filter) {
    uint32_t first = plan->header->before_count + plan->header->started_count;
    for (uint32_t i = 0; i < plan->header->after_count; i++)
        if (plan->ops[first + i].kind == CLIB_OP_NETLINK)
            netlink_run(plan, &plan->ops[first + i], 0, filter);
}

/* By a child: the kernel takes its time to remove a device, and lets others go on meanwhile. */
void links_changed(const struct plan *plan) {
    if (plan->header->after_count && sys(clone, SIGCHLD, 0) == 0) {
        close_others(NULL, 0);
        run_after(plan, NULL);
        leave(0);
    }
}

void links_end(struct shim *shim) {
    struct plan plan;
    names_end(shim);
    if (map_file(shim, "links", &plan) < 0)
        return;
    run_after(&plan, &shim->filter);
    plan_unmap(&plan);
}
