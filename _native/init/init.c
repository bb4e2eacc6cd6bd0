#include "init.h"

#include "channel.h"

#include <linux/close_range.h>
#include <linux/signal.h>

enum { SIGNALS = 64 };

/* every op of the contract, one line each */
static int run_op(struct init *init, const struct clib_op *op) {
    const struct plan *plan = init->plan;
    switch ((enum clib_op_kind)op->kind) {
    case CLIB_OP_CGROUP_JOIN:
        return op_cgroup_join(op_text(plan, op, 0));
    case CLIB_OP_UNSHARE:
        return op_unshare(op->number[0]);
    case CLIB_OP_SETNS:
        return op_setns(op_text(plan, op, 0), op->number[0]);
    case CLIB_OP_JOIN:
        return op_join(init, op->number[0]);
    case CLIB_OP_OOM_SCORE_ADJ:
        return op_oom_score_adj((int32_t)op->number[0]);
    case CLIB_OP_LOOPBACK_UP:
        return op_loopback_up();
    case CLIB_OP_PROPAGATION:
        return op_propagation(op->number[0]);
    case CLIB_OP_ROOT_BIND:
        return op_root_bind(init, op);
    case CLIB_OP_ROOT_OVERLAY:
        return op_root_overlay(init, op);
    case CLIB_OP_MOUNT:
        return op_mount(init, op);
    case CLIB_OP_BIND:
        return op_bind(init, op);
    case CLIB_OP_MKNOD:
        return op_mknod(init, op);
    case CLIB_OP_SYMLINK:
        return op_symlink(init, op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_CONSOLE:
        return op_console(init, op);
    case CLIB_OP_MASK:
        return op_mask(init, op_text(plan, op, 1));
    case CLIB_OP_READONLY:
        return op_readonly(init, op_text(plan, op, 1));
    case CLIB_OP_SYSCTL:
        return op_sysctl(init, op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_HOSTNAME:
        return (int)sys(sethostname, op_text(plan, op, 0), text_length(op_text(plan, op, 0)));
    case CLIB_OP_DOMAINNAME:
        return (int)sys(setdomainname, op_text(plan, op, 0), text_length(op_text(plan, op, 0)));
    case CLIB_OP_PIVOT:
        return op_pivot(init, op->number[0]);
    case CLIB_OP_SESSION_KEYRING:
        return op_session_keyring(op_text(plan, op, 0));
    case CLIB_OP_RLIMIT:
        return op_rlimit(op);
    case CLIB_OP_UMASK:
        sys(umask, op->number[0]);
        return 0;
    case CLIB_OP_NO_NEW_PRIVS:
        return op_no_new_privs();
    case CLIB_OP_SECCOMP:
        return op_seccomp(init, op);
    case CLIB_OP_CAP_BOUNDING:
        return op_cap_bounding(op->number[0]);
    case CLIB_OP_USER:
        return op_user(init, op);
    case CLIB_OP_CAPABILITIES:
        return op_capabilities(init, op);
    case CLIB_OP_CHDIR:
        return op_chdir(init, op);
    case CLIB_OP_PARENT_DEATH:
        return op_parent_death(op->number[0]);
    case CLIB_OP_EXEC:
        return op_exec(init, op);
    case CLIB_OP_OOM_RECORD:
    case CLIB_OP_CGROUP_KILL:
    case CLIB_OP_CGROUP_REMOVE: /* the shim's */
    case CLIB_OP_NONE:
    case CLIB_OP_KINDS:
        return -EINVAL;
    }
    return -EINVAL;
}

static _Noreturn void fail(enum clib_stage stage, int error, int index) {
    struct clib_message message = {
        .kind = CLIB_MESSAGE_FAILED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {stage, -error, index},
    };
    channel_send(INIT_SYNC_FD, &message, -1);
    leave(125);
}

/* The caller's ignored signals (Python ignores SIGPIPE) and the shim's blocked ones are not the program's. */
static void reset_signals(void) {
    struct default_action defaults = {0};
    for (int signal = 1; signal <= SIGNALS; signal++)
        sys(rt_sigaction, signal, &defaults, 0, sizeof defaults.mask);
    uint64_t none = 0;
    sys(rt_sigprocmask, SIG_SETMASK, &none, 0, sizeof none);
}

_Noreturn void init_main(const struct plan *plan, uint32_t launch_flags, int rows, int columns) {
    struct init init = {
        .plan = plan,
        .launch_flags = launch_flags,
        .rows = rows,
        .columns = columns,
        .root = -1,
        .null = -1,
        .empty = -1,
    };
    sys(close_range, launch_flags & CLIB_LAUNCH_TARGET ? INIT_TARGET_FD + 1 : INIT_TARGET_FD, ~0u, 0);
    sys(setsid);
    sys(umask, 0);
    reset_signals();
    for (uint32_t i = 0; i < plan->header->before_count; i++) {
        const struct clib_op *op = &plan->ops[i];
        int result = run_op(&init, op);
        if (result < 0)
            fail(op->kind == CLIB_OP_EXEC ? CLIB_STAGE_EXEC : CLIB_STAGE_OP, result, (int)i);
    }
    fail(CLIB_STAGE_LAUNCH, -EINVAL, -1); /* a plan without EXEC */
}
