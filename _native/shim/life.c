/* What follows the end of a container's program: its next run, or the end of the container.
 *
 *   ends -> stdio drained -> what is left killed -> `ends`, `restarts` -> rests -> the stored plan again
 *                                              \-> no policy says so, or somebody has stopped it: `exit`
 *
 * A run has what the first one had: the cgroup, the log, standard input. Its namespaces are new. It begins
 * anew, or where the policy says so goes on from the last checkpoint (keeper.c). The rest between two runs
 * doubles from one to the next (Docker's 100 ms up to a minute), and begins anew after one that went well. A
 * start that fails is an end like any other, but for the first: whoever asked for that one is there to hear
 * of it. */
#include "shim.h"

#include <linux/signal.h>
#include <linux/time.h>
#include <linux/time_types.h>

enum {
    RENAME_EXCHANGE_ = 2,
    NOT_FOUND = 127,
    NOT_EXECUTABLE = 126,
    NOT_STARTED = 128,
    LOCK_EX_NB = 6,
    LOCK_ROUNDS = 100
};

int64_t clock_ns(int clock) {
    struct __kernel_timespec now = {0};
    sys(clock_gettime, clock, &now);
    return now.tv_sec * 1000000000 + now.tv_nsec;
}

int policy_read(const struct shim *shim, struct clib_policy *policy) {
    if (shim->directory < 0)
        return -ENOENT;
    cleanup_close int fd = (int)sys(openat, shim->directory, "policy", O_RDONLY | O_CLOEXEC);
    memset(policy, 0, sizeof *policy);
    long size = fd < 0 ? fd : sys(read, fd, policy, sizeof *policy);
    if (size < 0)
        return (int)size;
    int known = size >= CLIB_POLICY_LEAST && policy->magic == CLIB_POLICY_MAGIC &&
                policy->version == CLIB_LIFE_VERSION;
    return known ? 0 : -EINVAL;
}

void life_poststop(struct shim *shim) {
    const struct clib_plan *header = shim->plan.header;
    uint32_t first = header->before_count + header->started_count;
    int index;
    for (uint32_t i = 0; !shim->life.settled && i < header->after_count; i++)
        handover_hooks(shim, first + i, 1, &index);
}

void life_end(struct shim *shim) {
    struct clib_policy policy;
    struct clib_message stopped = {.kind = CLIB_MESSAGE_DONE, .version = CLIB_PROTOCOL_VERSION};
    shim->life.final = 1;
    /* who finds that this process was killed must not start it again either */
    if (policy_read(shim, &policy) == 0 && policy.restart != CLIB_RESTART_NO)
        record_write(shim, "stopped", &stopped);
}

void life_stop(struct shim *shim, const struct clib_policy *policy) {
    sys(pidfd_send_signal, shim->pidfd, policy->stop_signal, 0, 0);
    shim->life.kill_at = clock_ns(CLOCK_MONOTONIC) + policy->grace_ms * (int64_t)1000000;
}

void life_count(struct shim *shim) {
    if (shim->end.kind == CLIB_MESSAGE_EXITED)
        shim->end.value[2] = after_oom_kills(shim) - shim->life.oom_before;
}

static void record(const struct shim *shim, int64_t start) {
    struct clib_message message = {
        .kind = CLIB_MESSAGE_RESTARTS,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {(int)shim->life.restarts, shim->life.end.value[0], shim->life.end.value[1],
                  shim->life.end.value[2]},
        .number = {shim->life.end.number[0], start},
    };
    record_write(shim, "restarts", &message);
}

/* why a start has failed, in numbers: whoever asks has no plan */
static void record_failure(struct shim *shim) {
    const struct clib_plan *header = shim->plan.header;
    int index = shim->end.value[2];
    uint32_t count = header->before_count + header->started_count;
    if (index >= 0 && (uint32_t)index < count)
        shim->end.number[1] = shim->plan.ops[index].kind;
    record_write(shim, "failed", &shim->end);
}

/* a start that has failed has Docker's exit codes */
static void count_as_exit(struct shim *shim) {
    int stage = shim->end.value[0], error = shim->end.value[1];
    if (shim->end.kind != CLIB_MESSAGE_FAILED)
        return;
    record_failure(shim);
    shim->end = (struct clib_message){
        .kind = CLIB_MESSAGE_EXITED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {stage != CLIB_STAGE_EXEC ? NOT_STARTED
                  : error == ENOENT        ? NOT_FOUND
                                           : NOT_EXECUTABLE},
        .number = {clock_ns(CLOCK_REALTIME)},
    };
    shim->life.end = shim->end;
    record(shim, 0);
}

static int is_wanted(const struct shim *shim, const struct clib_policy *policy) {
    if (shim->life.final)
        return 0;
    switch ((enum clib_restart)policy->restart) {
    case CLIB_RESTART_NO:
        break;
    case CLIB_RESTART_ON_FAILURE:
        if (shim->end.value[0] != 0 && (!policy->retries || shim->life.restarts < policy->retries))
            return 1;
        break;
    case CLIB_RESTART_ALWAYS:
    case CLIB_RESTART_UNLESS_STOPPED:
        return 1;
    }
    return shim->life.again;
}

int life_may_go_on(const struct shim *shim) {
    struct clib_policy policy;
    return shim->flags & CLIB_LAUNCH_LOG && !shim->life.final && policy_read(shim, &policy) == 0 &&
           (policy.restart != CLIB_RESTART_NO || shim->life.again);
}

void life_began(struct shim *shim) {
    shim->life.began = clock_ns(CLOCK_MONOTONIC);
    if (!shim->life.restarts)
        return;
    sys(unlinkat, shim->directory, "failed", 0);
    record(shim, 0);
}

/* all that is left of the run */
static void settle(struct shim *shim) {
    life_count(shim);
    after_empty(shim);
    life_poststop(shim);
    guard_dismiss(shim);
    if (shim->flags & CLIB_LAUNCH_FOREIGN)
        foreign_dismiss(shim);
    roots_end(shim);
    lend_end(shim);
    names_end(shim);
    pages_end(shim);
    close_fd(&shim->root_daemon);
    close_fd(&shim->pidfd);
    shim->root_daemon = shim->pidfd = shim->terminal = -1;
    shim->pid = 0;
    shim->life.settled = 1;
    shim->life.kill_at = 0;
}

static void rest(struct shim *shim, const struct clib_policy *policy) {
    struct life *life = &shim->life;
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    int calm = life->began && now - life->began >= policy->calm_ms * (int64_t)1000000;
    uint32_t doubled = life->pause_ms * 2;
    life->pause_ms = calm || !life->pause_ms        ? policy->pause_ms
                     : doubled > policy->longest_ms ? policy->longest_ms
                                                    : doubled;
    int64_t pause = life->pause_ms * (int64_t)1000000;
    shim->life.end = shim->end;
    shim->phase = PHASE_RESTING;
    life->rest_until = now + pause;
    ends_add(shim);
    record(shim, clock_ns(CLOCK_REALTIME) + pause);
    control_exited(shim);
    loop_run(shim);
    life->rest_until = 0;
}

/* The next run goes on from the last checkpoint, unless the one that has just ended was to, and could not. */
static void choose_plan(struct shim *shim, const struct clib_policy *policy) {
    int failed = shim->life.resumed && !shim->life.began;
    if (failed) /* and its files have been put back for nothing */
        sys(renameat2, shim->directory, "upper.before", shim->directory, "upper", RENAME_EXCHANGE_);
    if (shim->later.header) {
        plan_unmap(&shim->plan);
        shim->plan = shim->later;
        shim->later.header = NULL;
    }
    struct plan kept;
    shim->life.resumed = policy->resume && !failed && keeper_last(shim, &kept) == 0;
    if (!shim->life.resumed)
        return;
    shim->later = shim->plan;
    shim->plan = kept;
}

static void run_again(struct shim *shim, const struct clib_policy *policy) {
    enum clib_stage stage;
    choose_plan(shim, policy);
    shim->life.oom_before += shim->end.value[2];
    shim->life.restarts++;
    shim->life.again = shim->life.settled = shim->recorded = 0;
    shim->life.began = 0;
    shim->log = (struct log){.fd = -1, /* and what could not be written down yet */
                             .lost_lines = shim->log.lost_lines,
                             .lost_bytes = shim->log.lost_bytes,
                             .lost_to = shim->log.lost_to};
    shim->end = (struct clib_message){.kind = CLIB_MESSAGE_NONE};
    if (shim->life.stdin >= 0)
        shim->stdio[0] = (int)sys(fcntl, shim->life.stdin, F_DUPFD_CLOEXEC, 0);
    shim->phase = PHASE_LAUNCHING;
    int result = launch_start(shim, &stage);
    if (result == 0)
        return;
    for (int i = 0; i < SHIM_PUMPS; i++)
        pump_close(shim, &shim->pumps[i]);
    shim->phase = PHASE_ENDING;
    shim->end = (struct clib_message){.kind = CLIB_MESSAGE_FAILED,
                                      .version = CLIB_PROTOCOL_VERSION,
                                      .value = {(int)stage, -result, shim->failed_op}};
}

int life_goes_on(struct shim *shim) {
    struct clib_policy policy;
    health_end(shim);
    int first_failed = shim->end.kind == CLIB_MESSAGE_FAILED && !shim->life.restarts;
    if (shim->released || !(shim->flags & CLIB_LAUNCH_LOG) || first_failed)
        return 0;
    count_as_exit(shim);
    if (policy_read(shim, &policy) < 0 || !is_wanted(shim, &policy))
        return 0;
    keeper_end(shim);
    settle(shim);
    rest(shim, &policy);
    if (shim->life.final)
        return 0;
    run_again(shim, &policy);
    return 1;
}

/* The directory's lock says that nobody starts or removes the container just now. Whoever holds it may wait
 * for this process to be gone: so it is not waited for. */
void life_remove(struct shim *shim) {
    struct clib_policy policy;
    int ours = shim->flags & CLIB_LAUNCH_LOG && !shim->life.keep && (shim->recorded || shim->life.restarts);
    if (!ours || policy_read(shim, &policy) < 0 || !policy.remove)
        return;
    close_fd(&shim->listener);
    for (int round = 0; sys(flock, shim->directory, LOCK_EX_NB) < 0; round++) {
        if (round == LOCK_ROUNDS)
            return;
        for (int i = 0; round == 0 && i < shim->client_count; i++)
            close_fd(&shim->clients[i].fd);
        pause_briefly();
    }
    remove_tree(shim->directory);
}
