/* The helper: shim of one container or exec. Started with descriptor 3 as its control socket and nothing
 * else; see wire.h for the conversation. */
#include "init.h"
#include "shim.h"

#include <linux/close_range.h>
#include <linux/prctl.h>
#include <linux/signal.h>

void helper_main(const long *stack);

int shim_prepare(struct shim *shim) {
    /* nothing inside the container may look at this process or its memory while they share a namespace */
    sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    sys(prctl, PR_SET_NAME, "containerlib", 0, 0, 0);
    sys(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    sys(close_range, CLIB_CONTROL_FD, ~0u, CLOSE_RANGE_CLOEXEC);
    uint64_t every = ~0ull, child = 1ull << (SIGCHLD - 1);
    sys(rt_sigprocmask, SIG_SETMASK, &every, 0, sizeof every);
    /* an inherited SIG_IGN would make the kernel reap, and lose, the exit status */
    struct default_action defaults = {0};
    sys(rt_sigaction, SIGCHLD, &defaults, 0, sizeof defaults.mask);
    shim->signals = (int)sys(signalfd4, -1, &child, sizeof child, O_CLOEXEC | O_NONBLOCK);
    return shim->signals < 0 ? shim->signals : 0;
}

void shim_clear(struct shim *shim) {
    int *const none[] = {
        &shim->directory,      &shim->owner,         &shim->target,         &shim->cgroup,
        &shim->stdio[0],       &shim->stdio[1],      &shim->stdio[2],       &shim->input,
        &shim->log.fd,         &shim->listener,      &shim->start_listener, &shim->signals,
        &shim->sync,           &shim->terminal,      &shim->pidfd,          &shim->root_daemon,
        &shim->guard,          &shim->host_mounts,   &shim->life.stdin,     &shim->health.pidfd,
        &shim->health.channel, &shim->health.output, &shim->lent,           &shim->failed_op,
        &shim->resolver,       &shim->filter,        &shim->criu,           &shim->keeper.pidfd,
        &shim->tracer.pidfd,   &shim->reader,        &shim->reader_up,
    };
    memset(shim, 0, __builtin_offsetof(struct shim, clients));
    for (unsigned i = 0; i < sizeof none / sizeof *none; i++)
        *none[i] = -1;
    for (int i = 0; i < SHIM_PUMPS; i++)
        shim->pumps[i] = (struct pump){.from = -1, .stream = LOG_NONE};
    shim->clients[shim->client_count++] = (struct client){.fd = CLIB_CONTROL_FD, .waiting = WAITING_END};
}

/* the end of a container, told in the order in which it may be relied on */
static void finish(struct shim *shim) {
    if (!shim->life.settled)
        life_count(shim);
    int supervised = !(shim->flags & CLIB_LAUNCH_UNSUPERVISED);
    if (supervised && (shim->recorded || shim->end.kind == CLIB_MESSAGE_EXITED))
        record_exit(shim);
    if (shim->flags & CLIB_LAUNCH_FOREIGN) { /* the other runtime forgets it while its groups are there */
        life_poststop(shim);
        after_kill(shim);
        foreign_dismiss(shim);
    }
    guard_dismiss(shim);
    pages_end(shim);
    roots_end(shim);
    links_end(shim);
    if (shim->end.kind == CLIB_MESSAGE_FAILED) /* it must not be heard of before it is gone */
        after_remove(shim);
    control_end(shim);
    keeper_end(shim); /* which nobody who waits for the end has to wait for */
    after_remove(shim);
    if (!(shim->flags & CLIB_LAUNCH_FOREIGN))
        life_poststop(shim);
    if (shim->listener >= 0)
        sys(unlinkat, shim->directory, "shim.sock", 0);
    foreign_leave(shim);
    life_remove(shim);
}

/* hooks of a container that nobody stays with: its poststart and its poststop */
static _Noreturn void run_chores(struct shim *shim) {
    struct clib_message done = {.kind = CLIB_MESSAGE_DONE, .version = CLIB_PROTOCOL_VERSION};
    int index = -1;
    const struct clib_plan *header = shim->plan.header;
    int result =
        handover_hooks(shim, header->before_count + header->started_count, header->after_count, &index);
    if (result != 0)
        done = handover_failure(shim, result, index);
    control_broadcast(shim, &done);
    leave(0);
}

_Noreturn void shim_run(struct shim *shim, int result, enum clib_stage stage) {
    if (result == 0)
        result = launch_start(shim, &stage);
    if (result == 0)
        do
            loop_run(shim);
        while (life_goes_on(shim));
    else
        shim->end = (struct clib_message){
            .kind = CLIB_MESSAGE_FAILED,
            .version = CLIB_PROTOCOL_VERSION,
            .value = {(int)stage, -result, shim->failed_op},
        };
    if (shim->released)
        leave(0);
    if (shim->plan.header)
        finish(shim);
    else
        control_broadcast(shim, &shim->end);
    leave(0);
}

/* With words behind its name it is the first program of a container that another runtime makes. */
void helper_main(const long *stack) {
    const char *const *argv = (const char *const *)(stack + 1);
    if (stack[0] > 1)
        first_main(argv, argv + stack[0] + 1);
    struct shim shim;
    enum clib_stage stage = CLIB_STAGE_LAUNCH;
    shim_clear(&shim);
    int result = shim_prepare(&shim);
    if (result == 0)
        result = launch_receive(&shim, &stage);
    if (result == 0 && shim.flags & CLIB_LAUNCH_CHORES)
        run_chores(&shim);
    shim_run(&shim, result, stage);
}
