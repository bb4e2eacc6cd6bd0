/* CRIU, while it makes a checkpoint of the container: it traces the processes, and whoever had it do so may
 * be gone.
 *
 * Where the first process is killed then, it waits for all others of its pid namespace to be reaped. Those
 * that are traced are CRIU's to reap, and CRIU waits for the first process: each for the other, for ever. So
 * who is found to be waiting at one look and the next is set free by CRIU's end; it has nothing to undo any
 * more. */
#include "shim.h"

#include <linux/signal.h>
#include <linux/time.h>

enum { BETWEEN_LOOKS_NS = 250000000, LOOKS = 2 };

static void forget(struct shim *shim) {
    close_fd(&shim->tracer.pidfd);
    shim->tracer = (struct tracer){.pidfd = -1};
}

void tracer_watch(struct shim *shim, int pidfd) {
    forget(shim);
    shim->tracer.pidfd = pidfd;
    shim->tracer.next = clock_ns(CLOCK_MONOTONIC) + BETWEEN_LOOKS_NS;
}

int64_t tracer_due(const struct shim *shim) {
    return shim->tracer.next;
}

void tracer_run(struct shim *shim, int64_t now) {
    struct process_facts facts;
    if (!shim->tracer.next || shim->tracer.next > now)
        return;
    if (shim->phase != PHASE_RUNNING || ends_within(shim->tracer.pidfd, 0)) {
        forget(shim);
        return;
    }
    process_facts(shim->pid, &facts);
    shim->tracer.next = now + BETWEEN_LOOKS_NS;
    shim->tracer.seen = facts.is_ending ? shim->tracer.seen + 1 : 0;
    if (shim->tracer.seen == LOOKS)
        sys(pidfd_send_signal, shim->tracer.pidfd, SIGKILL, 0, 0);
}
