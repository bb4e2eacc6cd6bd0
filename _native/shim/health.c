/* Health checks: when one is made, what it says, and what follows.
 *
 *   starting --(first success)--> healthy <--(success)-- unhealthy --(failures in a row)--> policy's action
 *        \--(failures in a row)---------------------------------^
 *
 * A check is made by a process of this one's (check.c), which the loop waits for: one at a time, the next
 * `every` after the end of the last. As in Docker a failure does not count before the first success within
 * `start_period`. Beyond Docker, a container that starts is looked at early and ever less often, so that it
 * is known to be healthy when it is, and not only after `every`; a failure counts no earlier than in Docker.
 *
 * The record is written aside and renamed: it has several pages, and must be read whole. */
#include "shim.h"

#include <asm/ioctls.h>
#include <linux/mman.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/wait.h>

enum { PROT_RW_ = 3, EARLY_MS = 100, LAST_WORDS_NS = 1000000000 };

static int64_t nanoseconds(uint32_t milliseconds) {
    return milliseconds * (int64_t)1000000;
}

static void *map(size_t size) {
    long memory = sys(mmap, 0, size, PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory < 0 && memory > -4096 ? NULL : (void *)memory;
}

static int is_whole(const struct clib_health *health, long size) {
    return size == sizeof *health && health->magic == CLIB_HEALTH_MAGIC &&
           health->version == CLIB_LIFE_VERSION && health->count <= CLIB_HEALTH_RESULTS;
}

static void write_record(const struct shim *shim, const struct clib_health *health) {
    static const char aside[] = "health.new";
    cleanup_close int fd =
        (int)sys(openat, shim->directory, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (sys(write, fd, health, sizeof *health) == sizeof *health)
        sys(renameat, shim->directory, aside, shim->directory, "health");
    else /* the disk is full: what was known stays */
        sys(unlinkat, shim->directory, aside, 0);
}

/* the record with the status of now, and `result` behind those that are there unless it is NULL */
static void record(const struct shim *shim, const struct clib_health_result *result) {
    struct clib_health *health = map(sizeof *health);
    if (!health)
        return;
    cleanup_close int fd = (int)sys(openat, shim->directory, "health", O_RDONLY | O_CLOEXEC);
    if (!is_whole(health, fd < 0 ? fd : sys(read, fd, health, sizeof *health)))
        memset(health, 0, sizeof *health);
    health->magic = CLIB_HEALTH_MAGIC;
    health->version = CLIB_LIFE_VERSION;
    health->status = shim->health.status;
    health->streak = shim->health.streak;
    if (result && health->count == CLIB_HEALTH_RESULTS)
        memmove(health->result, health->result + 1, --health->count * sizeof *result);
    if (result)
        health->result[health->count++] = *result;
    write_record(shim, health);
    sys(munmap, health, sizeof *health);
}

static int is_starting(const struct shim *shim, const struct clib_policy *policy, int64_t now) {
    return shim->health.status == CLIB_HEALTH_STARTING &&
           now - shim->life.began < nanoseconds(policy->start_period_ms);
}

static void plan_next(struct shim *shim, const struct clib_policy *policy, int64_t now) {
    struct health *health = &shim->health;
    uint32_t pause = is_starting(shim, policy, now) ? policy->start_every_ms : policy->every_ms;
    if (health->status == CLIB_HEALTH_STARTING && health->early_ms < pause) {
        pause = health->early_ms;
        health->early_ms *= 2;
    }
    health->next = now + nanoseconds(pause);
}

void health_begin(struct shim *shim) {
    struct clib_policy policy;
    if (policy_read(shim, &policy) < 0 || policy.check == CLIB_CHECK_NONE)
        return;
    struct health *health = &shim->health;
    health->status = CLIB_HEALTH_STARTING;
    health->streak = 0;
    health->early_ms = EARLY_MS;
    health->counted_from = shim->life.began + nanoseconds(policy.every_ms);
    record(shim, NULL);
    plan_next(shim, &policy, shim->life.began);
}

static void let_go(struct health *health) {
    close_fd(&health->pidfd);
    close_fd(&health->channel);
    close_fd(&health->output);
    health->pidfd = health->channel = health->output = -1;
    health->pid = health->late = 0;
    health->deadline = 0;
    if (health->result)
        sys(munmap, health->result, sizeof *health->result);
    health->result = NULL;
}

void health_end(struct shim *shim) {
    struct health *health = &shim->health;
    health->next = 0;
    health->status = 0;
    if (!health->pid)
        return;
    sys(pidfd_send_signal, health->pidfd, SIGKILL, 0, 0);
    sys(wait4, health->pid, 0, 0, 0);
    let_go(health);
}

int64_t health_due(const struct shim *shim) {
    if (shim->phase != PHASE_RUNNING)
        return 0;
    return shim->health.pid ? shim->health.deadline : shim->health.next;
}

static void act(struct shim *shim, const struct clib_policy *policy) {
    switch ((enum clib_unhealthy)policy->unhealthy) {
    case CLIB_UNHEALTHY_NONE:
        return;
    case CLIB_UNHEALTHY_KILL:
        after_kill(shim);
        sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
        return;
    case CLIB_UNHEALTHY_RESTART:
        shim->life.again = 1;
        life_stop(shim, policy);
        return;
    case CLIB_UNHEALTHY_STOP:
        life_end(shim);
        life_stop(shim, policy);
        return;
    }
}

/* what a result makes of the container */
static void judge(struct shim *shim, const struct clib_policy *policy, int failed, int64_t now) {
    struct health *health = &shim->health;
    int counted = health->status != CLIB_HEALTH_STARTING ||
                  (!is_starting(shim, policy, now) && now >= health->counted_from);
    enum clib_health_status before = health->status;
    if (!failed) {
        health->streak = 0;
        health->status = CLIB_HEALTH_HEALTHY;
    } else if (counted) {
        health->counted_from = now + nanoseconds(policy->every_ms);
        if (++health->streak >= policy->failures)
            health->status = CLIB_HEALTH_UNHEALTHY;
    }
    record(shim, health->result);
    if (health->status == CLIB_HEALTH_UNHEALTHY && before != CLIB_HEALTH_UNHEALTHY)
        act(shim, policy);
}

static void conclude(struct shim *shim) {
    struct clib_policy policy;
    struct health *health = &shim->health;
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    int failed = health->result && (health->result->exit_code != 0 || health->result->stage);
    /* what a container that ends at this moment answered, or could not be asked, says nothing of it */
    int meant = shim->phase == PHASE_RUNNING && health->result && health->result->err != ESRCH;
    if (health->result)
        health->result->end = clock_ns(CLOCK_REALTIME);
    health->next = 0;
    if (meant && policy_read(shim, &policy) == 0 && policy.check != CLIB_CHECK_NONE) {
        judge(shim, &policy, failed, now);
        plan_next(shim, &policy, now);
    }
    let_go(health);
}

static void begin_check(struct shim *shim, int64_t now) {
    struct clib_policy policy;
    struct health *health = &shim->health;
    health->next = 0;
    if (policy_read(shim, &policy) < 0 || policy.check == CLIB_CHECK_NONE)
        return;
    health->next = now + nanoseconds(policy.every_ms);
    if (after_is_frozen(shim) || !(health->result = map(sizeof *health->result)))
        return;
    health->result->start = clock_ns(CLOCK_REALTIME);
    health->deadline = now + nanoseconds(policy.timeout_ms);
    int pid = check_start(shim, &policy);
    if (pid > 0) {
        health->pid = pid;
        return;
    }
    health->result->stage = CLIB_STAGE_CLONE;
    health->result->err = -pid;
    conclude(shim);
}

/* A command is told to kill its process group; who does not hear that is killed itself, and so is a probe.
 * While the container is paused nothing can answer: that time is not the check's. */
static void end_late(struct shim *shim, int64_t now) {
    struct clib_policy policy;
    struct health *health = &shim->health;
    if (after_is_frozen(shim) && policy_read(shim, &policy) == 0) {
        health->deadline = now + nanoseconds(policy.timeout_ms);
        return;
    }
    struct clib_message kill = {
        .kind = CLIB_MESSAGE_SIGNAL, .version = CLIB_PROTOCOL_VERSION, .value = {SIGKILL, 1}};
    int told = !health->late && channel_send(health->channel, &kill, -1) == 0;
    health->late = 1;
    health->deadline = told ? now + LAST_WORDS_NS : 0;
    if (!told)
        sys(pidfd_send_signal, health->pidfd, SIGKILL, 0, 0);
}

void health_run(struct shim *shim, int64_t now) {
    int64_t due = health_due(shim);
    if (!due || due > now)
        return;
    if (shim->health.pid)
        end_late(shim, now);
    else
        begin_check(shim, now);
}

/* what there is to read; what there is no room for is dropped. -EAGAIN or 0: nothing any more */
static long listen_once(struct health *health) {
    char dropped[512];
    struct clib_health_result *result = health->result;
    size_t room = sizeof result->output - result->size;
    long got = sys(read, health->output, room ? result->output + result->size : dropped,
                   room ? room : sizeof dropped);
    if (got > 0 && room)
        result->size += (uint32_t)got;
    return got;
}

void health_listen(struct shim *shim) {
    struct health *health = &shim->health;
    long got = health->output < 0 ? -EAGAIN : listen_once(health);
    if (got > 0 || got == -EAGAIN)
        return;
    close_fd(&health->output);
    health->output = -1;
}

/* its last report; one that was killed has made none */
static void take_report(struct health *health) {
    struct clib_health_result *result = health->result;
    struct clib_message message;
    int fds[CLIB_MAX_FDS], count;
    result->exit_code = 128 + SIGKILL;
    while (channel_receive(health->channel, &message, fds, &count, MSG_DONTWAIT_) > 0) {
        close_fds(fds, count);
        if (message.kind == CLIB_MESSAGE_EXITED) {
            result->exit_code = message.value[0];
            result->err = message.value[3];
        } else if (message.kind == CLIB_MESSAGE_FAILED) {
            result->exit_code = message.value[1] == ENOENT ? 127 : 126;
            result->stage = message.value[0];
            result->err = message.value[1];
        }
    }
    if (health->late)
        result->exit_code = -1;
}

void health_reaped(struct shim *shim) {
    struct health *health = &shim->health;
    /* bounded: who is left behind may write on */
    for (int round = 0; round < 64 && health->output >= 0 && listen_once(health) > 0; round++)
        ;
    take_report(health);
    conclude(shim);
}
