/* The loop: one poll over everything that can happen to a container. */
#include "shim.h"

#include <linux/poll.h>
#include <linux/signal.h>
#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/wait.h>

enum {
    SLOT_SIGNALS,
    SLOT_LISTENER,
    SLOT_OWNER,
    SLOT_SYNC,
    SLOT_CHECK,
    SLOT_PUMPS,
    SLOT_CLIENTS = SLOT_PUMPS + SHIM_PUMPS
};
enum {
    SLOTS = SLOT_CLIENTS + SHIM_CLIENTS,
    IDLE_NS = 500000000,
    RETRY_NS = 100000000, /* a full disk is looked at again */
    DAY = 86400,
    READ_LAST_S = 5, /* how long an end waits for those who have attached and do not read */
    SIGNAL_INFO_SIZE = 128
};

static int64_t earlier(int64_t a, int64_t b) {
    return !a ? b : !b || a < b ? a : b;
}

static void limit_to(struct __kernel_timespec *limit, int64_t due) {
    int64_t left = due - clock_ns(CLOCK_MONOTONIC);
    if (left < 0)
        left = 0;
    if (left < limit->tv_sec * 1000000000 + limit->tv_nsec)
        *limit = (struct __kernel_timespec){left / 1000000000, left % 1000000000};
}

static int64_t timers_due(const struct shim *shim) {
    int64_t due = earlier(earlier(health_due(shim), keeper_due(shim)), tracer_due(shim));
    return earlier(earlier(due, shim->life.kill_at), shim->deaf_until);
}

/* polls; returns how many descriptors are ready */
static long wait_for_events(const struct shim *shim, struct pollfd *slots, int may_sleep) {
    slots[SLOT_SIGNALS] = (struct pollfd){shim->signals, POLLIN, 0};
    int listens = control_vacancy(shim) >= 0;
    slots[SLOT_LISTENER] = (struct pollfd){listens ? shim->listener : -1, POLLIN, 0};
    slots[SLOT_OWNER] = (struct pollfd){shim->owner, POLLIN, 0};
    slots[SLOT_SYNC] = (struct pollfd){shim->sync, POLLIN, 0};
    slots[SLOT_CHECK] = (struct pollfd){shim->health.output, POLLIN, 0};
    int buffers = shim->log.buffer != NULL;
    for (int i = 0; i < SHIM_PUMPS; i++) {
        struct pollfd *slot = &slots[SLOT_PUMPS + i];
        slot->revents = 0;
        slot->fd = pump_wants(shim, &shim->pumps[i], &slot->events);
        buffers += shim->pumps[i].buffer != NULL;
    }
    for (int i = 0; i < shim->client_count; i++)
        slots[SLOT_CLIENTS + i] = (struct pollfd){shim->clients[i].fd, POLLIN, 0};
    struct __kernel_timespec limit = {.tv_sec = may_sleep ? DAY : 0};
    if (may_sleep && buffers)
        limit = (struct __kernel_timespec){.tv_nsec = shim->log.stuck ? RETRY_NS : IDLE_NS};
    int64_t due = earlier(timers_due(shim), shim->life.rest_until);
    if (due)
        limit_to(&limit, due);
    int forever = may_sleep && !buffers && !due;
    return sys(ppoll, slots, SLOT_CLIENTS + shim->client_count, forever ? 0 : &limit, 0, 0);
}

static void run_timers(struct shim *shim) {
    int64_t due = timers_due(shim);
    int64_t now = due ? clock_ns(CLOCK_MONOTONIC) : 0;
    if (!due || due > now)
        return;
    if (shim->deaf_until <= now)
        shim->deaf_until = 0;
    if (shim->life.kill_at && shim->life.kill_at <= now) {
        shim->life.kill_at = 0;
        after_kill(shim);
        sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
    }
    health_run(shim, now);
    keeper_run(shim, now);
    tracer_run(shim, now);
}

static void record_start(struct shim *shim, int64_t start_time) {
    shim->start_time = start_time;
    struct clib_message state = control_state(shim);
    if (shim->phase == PHASE_RUNNING && shim->flags & CLIB_LAUNCH_LOG) {
        life_began(shim);
        /* before anybody takes it for running, and the last run's health for this one's */
        health_begin(shim);
        keeper_begin(shim);
    }
    if (shim->flags & CLIB_LAUNCH_UNSUPERVISED) {
        shim->released = 1;
    } else {
        int result = record_write(shim, "started", &state);
        if (result < 0) { /* nobody would ever find it */
            shim->end = (struct clib_message){.kind = CLIB_MESSAGE_FAILED,
                                              .version = CLIB_PROTOCOL_VERSION,
                                              .value = {CLIB_STAGE_RECORD, -result, -1}};
            sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
            return;
        }
        shim->recorded = 1;
    }
    control_broadcast(shim, &state);
}

/* the program runs: its poststart hooks are part of the start, and one that fails ends it */
void loop_started(struct shim *shim, int64_t start_time) {
    int index, result;
    shim->phase = PHASE_RUNNING;
    result = handover_hooks(shim, shim->plan.header->before_count, shim->plan.header->started_count, &index);
    if (result == 0) {
        record_start(shim, start_time);
        return;
    }
    shim->end = handover_failure(shim, result, index);
    sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
}

void loop_created(struct shim *shim) {
    struct process_facts facts;
    if (shim->life.restarts && !(shim->flags & CLIB_LAUNCH_FOREIGN)) { /* it has been let go once */
        struct clib_message start = {.kind = CLIB_MESSAGE_START, .version = CLIB_PROTOCOL_VERSION};
        channel_send(shim->sync, &start, -1);
        return;
    }
    shim->phase = PHASE_CREATED;
    process_facts(shim->pid, &facts);
    record_start(shim, facts.start_time);
}

void loop_attach(struct shim *shim, int master) {
    struct clib_message message = {.kind = CLIB_MESSAGE_TERMINAL, .version = CLIB_PROTOCOL_VERSION};
    if (shim->flags & CLIB_LAUNCH_LOG) {
        stdio_attach_terminal(shim, master);
    } else {
        channel_send(shim->clients[0].fd, &message, master);
        sys(close, master);
    }
}

/* Whether the plan has such an op, and the first process may still ask for what goes with it: whoever has got
 * hold of it later must not be able to. */
static int expects(const struct shim *shim, enum clib_op_kind kind) {
    return !shim->recorded && plan_index(&shim->plan, kind) >= 0;
}

/* The child that takes the first process's place: ours too, so that its number stays its own until it is
 * reaped; another's would be killed, and joined, in its stead. */
int loop_adopt(struct shim *shim, int pid) {
    char info[SIGNAL_INFO_SIZE];
    long result = sys(waitid, P_PID, pid, info, WEXITED | WNOHANG | WNOWAIT, 0);
    if (result < 0)
        return (int)result;
    close_fd(&shim->pidfd);
    shim->pid = pid;
    shim->pidfd = (int)sys(pidfd_open, pid, 0);
    record_init(shim);
    return shim->pidfd < 0 ? shim->pidfd : 0;
}

/* the first process is silent from now on: by its exec, by its death, or by breaking the rules */
static void part_from_init(struct shim *shim) {
    struct process_facts facts;
    close_fd(&shim->sync);
    shim->sync = -1;
    if (shim->end.kind != CLIB_MESSAGE_NONE)
        return;
    process_facts(shim->pid, &facts);
    if (facts.has_execed && shim->criu >= 0) {
        restore_begin(shim);
        return;
    }
    if (facts.has_execed || (facts.is_init && plan_index(&shim->plan, CLIB_OP_INIT) >= 0)) {
        loop_started(shim, facts.start_time);
        return;
    }
    if (!shim->recorded) /* of a created one its exit status tells */
        shim->end = (struct clib_message){
            .kind = CLIB_MESSAGE_FAILED,
            .version = CLIB_PROTOCOL_VERSION,
            .value = {CLIB_STAGE_LOST, EOWNERDEAD, -1},
        };
    sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
}

/* what the container's first process says while it runs its ops; -EAGAIN: nothing */
static int serve_init(struct shim *shim) {
    if (shim->restoring)
        return restore_serve(shim);
    struct clib_message message;
    int fds[CLIB_MAX_FDS], count;
    int result = channel_receive(shim->sync, &message, fds, &count, 0);
    if (result == -EAGAIN)
        return result;
    if (result <= 0) {
        part_from_init(shim);
    } else if (message.kind == CLIB_MESSAGE_TERMINAL && count == 1 && expects(shim, CLIB_OP_CONSOLE)) {
        loop_attach(shim, take_fd(fds));
    } else if (message.kind == CLIB_MESSAGE_CREATED) {
        loop_created(shim);
    } else if (message.kind == CLIB_MESSAGE_REBORN && expects(shim, CLIB_OP_REBIRTH)) {
        loop_adopt(shim, message.value[0]);
    } else if (message.kind == CLIB_MESSAGE_RESTORING && count == 1 && expects(shim, CLIB_OP_RESTORE)) {
        close_fd(&shim->criu);
        shim->criu = take_fd(fds);
    } else if (message.kind == CLIB_MESSAGE_HANDOVER) {
        handover_serve(shim, &message);
    } else if (message.kind == CLIB_MESSAGE_FAILED) {
        shim->end = message;
    }
    close_fds(fds, count);
    return 0;
}

/* whether the process has ended, without reaping it */
static int has_ended(int pidfd) {
    union {
        int signal; /* 0: it has not */
        char info[SIGNAL_INFO_SIZE];
    } found = {0};
    return sys(waitid, P_PIDFD, pidfd, &found, WEXITED | WNOHANG | WNOWAIT, 0) == 0 && found.signal;
}

void loop_ended(struct shim *shim, int status) {
    shim->phase = PHASE_ENDING;
    shim->ended_at = clock_ns(CLOCK_MONOTONIC);
    if (shim->end.kind != CLIB_MESSAGE_NONE)
        return;
    int signal = status & 0x7f;
    shim->end = (struct clib_message){
        .kind = CLIB_MESSAGE_EXITED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {signal ? 128 + signal : status >> 8 & 0xff, signal},
        .number = {clock_ns(CLOCK_REALTIME)},
    };
}

static void reap(struct shim *shim) {
    char info[SIGNAL_INFO_SIZE];
    sys(read, shim->signals, info, sizeof info);
    /* what it said is read while its number is still its own; who else holds its socket is not waited for */
    while (shim->sync >= 0 && has_ended(shim->pidfd))
        if (shim->restoring)
            restore_finish(shim);
        else if (serve_init(shim) == -EAGAIN)
            part_from_init(shim);
    if (shim->released) /* its exit status is for whoever adopts it, and reaping would take it from them */
        return;
    int status;
    long pid;
    while ((pid = sys(wait4, -1, &status, WNOHANG, 0)) > 0) {
        if (pid == shim->pid) /* others are orphans of a container without a pid namespace of its own */
            loop_ended(shim, status);
        else if (pid == shim->health.pid)
            health_reaped(shim);
        else if (pid == shim->reader_pid)
            pages_heard(shim, status);
    }
    keeper_look(shim);
    if (shim->phase == PHASE_ENDING)
        after_kill(shim);
}

static int streams_open(const struct shim *shim) {
    return shim->pumps[PUMP_STDOUT].from >= 0 || shim->pumps[PUMP_STDERR].from >= 0;
}

static void end_with_owner(struct shim *shim) {
    close_fd(&shim->owner);
    shim->owner = -1;
    shim->life.final = 1;
    if (shim->phase != PHASE_ENDING && shim->phase != PHASE_RESTING) {
        after_kill(shim);
        sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
    }
}

static void serve(struct shim *shim, const struct pollfd *slots) {
    for (int i = 0; i < SHIM_PUMPS; i++)
        if (slots[SLOT_PUMPS + i].revents)
            pump_run(shim, &shim->pumps[i]);
    if (slots[SLOT_OWNER].revents)
        end_with_owner(shim);
    if (slots[SLOT_SYNC].revents && shim->sync >= 0)
        serve_init(shim);
    if (slots[SLOT_CHECK].revents)
        health_listen(shim);
    if (slots[SLOT_SIGNALS].revents)
        reap(shim);
    for (int i = 0; i < shim->client_count; i++)
        if (slots[SLOT_CLIENTS + i].revents)
            control_serve(shim, &shim->clients[i]);
    if (slots[SLOT_LISTENER].revents)
        control_accept(shim);
}

/* whether there is something to wait for */
static int goes_on(const struct shim *shim) {
    if (shim->phase == PHASE_ENDING)
        return streams_open(shim) || shim->log.stuck;
    if (shim->phase == PHASE_RESTING)
        return !shim->life.final && clock_ns(CLOCK_MONOTONIC) < shim->life.rest_until;
    return 1;
}

void loop_run(struct shim *shim) {
    struct pollfd slots[SLOTS];
    while (!shim->released && goes_on(shim)) {
        int ending = shim->phase == PHASE_ENDING;
        /* output that a client has still to take is waited for; what else holds the pipe is not */
        int stuck = shim->log.stuck;
        for (int i = 0; i < 2; i++) {
            stuck |= pump_is_behind(&shim->pumps[i]);
            if (ending)
                pump_make_room(&shim->pumps[i]);
        }
        long ready = wait_for_events(shim, slots, !ending || stuck);
        if (shim->log.stuck)
            log_retry(&shim->log, ending && ready == 0);
        if (ready > 0)
            serve(shim, slots);
        if (ready == 0)
            log_release(&shim->log);
        run_timers(shim);
        if (ending && stuck && clock_ns(CLOCK_MONOTONIC) - shim->ended_at > READ_LAST_S * (int64_t)1000000000)
            stdio_give_up(shim);
        for (int i = 0; ready == 0 && i < SHIM_PUMPS; i++)
            ending && !stuck ? pump_close(shim, &shim->pumps[i]) : pump_release(&shim->pumps[i]);
    }
    log_close(&shim->log);
}
