#include "init.h"

#include "channel.h"
#include "other.h"
#include "program.h"

#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>

/* by write(2), which a seccomp filter allows where it allows anything */
static _Noreturn void tell(const struct init *init, const struct clib_message *failure) {
    sys(write, init->sync, failure, sizeof *failure);
    leave(125);
}

/* By write(2), since a seccomp filter with a listener may already wait for somebody to judge sendmsg(2). */
static int hand_over(struct init *init, const struct clib_op *first, int ops) {
    int fds[CLIB_MAX_FDS], count;
    struct clib_message message = {
        .kind = CLIB_MESSAGE_HANDOVER,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {(int)(first - init->plan->ops), ops, init->listener},
    };
    long result = sys(write, init->sync, &message, sizeof message);
    if (result > 0)
        result = channel_receive(init->sync, &message, fds, &count, 0);
    if (result <= 0)
        return result < 0 ? (int)result : -EOWNERDEAD;
    if (count)
        init->tree = fds[0];
    close_fds(fds + 1, count - 1);
    if (message.kind == CLIB_MESSAGE_FAILED)
        tell(init, &message);
    return 0;
}

/* its number on the host, by the host's /proc, which is gone when a hook wants it */
static int host_pid(void) {
    char number[24];
    long length = sys(readlinkat, AT_FDCWD, "/proc/self", number, sizeof number - 1);
    const char *end;
    number[length > 0 ? length : 0] = 0;
    return (int)parse_decimal(number, &end);
}

/* What ops further on need of the host, whose tree will be gone: its number for hooks, /proc for labels. */
static void look_ahead(struct init *init) {
    const struct plan *plan = init->plan;
    int hooked = 0, labelled = 0;
    for (uint32_t i = 0; i < plan->header->before_count; i++) {
        hooked |= plan->ops[i].kind == CLIB_OP_HOOK;
        labelled |= plan->ops[i].kind == CLIB_OP_LABEL;
    }
    init->pid = hooked ? host_pid() : 0;
    init->proc = labelled ? labels_open() : -1;
}

/* A process enters a pid namespace by being born in it. The child is the shim's, as this process is. */
static int be_reborn(struct init *init) {
    int told[2];
    long pid = sys(pipe2, told, O_CLOEXEC);
    if (pid == 0)
        pid = sys(clone, CLONE_PARENT | SIGCHLD, 0);
    if (pid < 0)
        return (int)pid;
    if (pid == 0) { /* its end must not be seen, nor its requests heard, before the shim knows of it */
        char end;
        sys(close, told[1]);
        sys(read, told[0], &end, 1);
        sys(close, told[0]);
        init->pid = init->pid ? host_pid() : 0;
        return 0;
    }
    struct clib_message message = {
        .kind = CLIB_MESSAGE_REBORN, .version = CLIB_PROTOCOL_VERSION, .value = {(int)pid}};
    channel_send(init->sync, &message, -1);
    leave(0);
}

/* every op of the contract, one line each */
int init_run_op(struct init *init, const struct clib_op *op) {
    const struct plan *plan = init->plan;
    switch ((enum clib_op_kind)op->kind) {
    case CLIB_OP_HANDOVER:
        return hand_over(init, op + 1, (int)op->number[0]);
    case CLIB_OP_LINKS:
        return init->links ? hand_over(init, op, 1) : 0;
    case CLIB_OP_HOOK:
        return program_hook(plan, op, init->pid, init->root);
    case CLIB_OP_CGROUP_JOIN:
        return op_cgroup_join(op_text(plan, op, 0));
    case CLIB_OP_UNSHARE:
        return op_unshare(op->number[0]);
    case CLIB_OP_SETNS:
        return op_setns(init, op);
    case CLIB_OP_REBIRTH:
        return be_reborn(init);
    case CLIB_OP_JOIN:
        return op_join(init, op->number[0]);
    case CLIB_OP_OOM_SCORE_ADJ:
        return op_oom_score_adj((int32_t)op->number[0]);
    case CLIB_OP_TIME_OFFSETS:
        return op_time_offsets(op_text(plan, op, 0));
    case CLIB_OP_LOOPBACK_UP:
        return op_loopback_up();
    case CLIB_OP_PROPAGATION:
        return op_propagation(op->number[0]);
    case CLIB_OP_UNMOUNT:
        return op_unmount(op_text(plan, op, 0));
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
        return op_pivot(init, op);
    case CLIB_OP_SESSION_KEYRING:
        return op_session_keyring(op_text(plan, op, 0), op->number[0]);
    case CLIB_OP_PERSONALITY:
        return op_personality(op->number[0]);
    case CLIB_OP_SCHEDULER:
        return op_scheduler(init, op);
    case CLIB_OP_IO_PRIORITY:
        return op_io_priority(op->number[0]);
    case CLIB_OP_CPU_AFFINITY:
        return op_cpu_affinity(init, op);
    case CLIB_OP_MEMORY_POLICY:
        return op_memory_policy(init, op);
    case CLIB_OP_LABEL:
        return op_label(init, op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_RLIMIT:
        return op_rlimit(op);
    case CLIB_OP_UMASK:
        sys(umask, op->number[1] ? (uint64_t)init->umask : op->number[0]);
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
    case CLIB_OP_HOLD:
        return op_hold(init, op->number[0] ? NULL : op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_DESCRIPTORS:
        return op_descriptors(init);
    case CLIB_OP_INIT:
        return op_init(init);
    case CLIB_OP_EXEC:
        return op_exec(init, op);
    case CLIB_OP_TARGET:
        return op_target(init, op);
    case CLIB_OP_PAGES:   /* the shim starts it, */
    case CLIB_OP_REQUEST: /* and sends it */
        return 0;
    case CLIB_OP_RESTORE:
        return op_restore(init, op);
    case CLIB_OP_ID_MAP:
    case CLIB_OP_COMMAND:
    case CLIB_OP_TREE:
    case CLIB_OP_MEMORY:
    case CLIB_OP_SECRET:
    case CLIB_OP_NAMESPACE:
    case CLIB_OP_LEND:
    case CLIB_OP_BORROW:
    case CLIB_OP_LINK:
    case CLIB_OP_NETLINK:
    case CLIB_OP_RESOLVER:
    case CLIB_OP_LISTENER:
    case CLIB_OP_RUNTIME:
    case CLIB_OP_ROOT_FUSE:
    case CLIB_OP_OOM_RECORD:
    case CLIB_OP_CGROUP_KILL:
    case CLIB_OP_CGROUP_REMOVE:
    case CLIB_OP_LOG: /* the shim's */
    case CLIB_OP_NONE:
    case CLIB_OP_KINDS:
        return -EINVAL;
    }
    return -EINVAL;
}

/* `result`: -errno, or how a hook ended */
static _Noreturn void fail(const struct init *init, enum clib_stage stage, int result, int index) {
    struct clib_message message = {
        .kind = CLIB_MESSAGE_FAILED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {stage, result < 0 ? -result : 0, index, result > 0 ? result : 0},
        .number = {init->plan->header->before_count},
    };
    tell(init, &message);
}

static enum clib_stage stage_of(const struct clib_op *op) {
    return op->kind == CLIB_OP_EXEC || op->kind == CLIB_OP_HOLD ? CLIB_STAGE_EXEC
           : op->kind == CLIB_OP_HOOK                           ? CLIB_STAGE_HOOK
                                                                : CLIB_STAGE_OP;
}

/* Whoever has joined a user namespace has no right to look at other processes' any more. */
static void open_spaces(struct init *init) {
    const struct plan *plan = init->plan;
    for (uint32_t i = 0; i < plan->header->before_count && init->opened < INIT_SPACES; i++) {
        const struct clib_op *op = &plan->ops[i];
        if (op->kind != CLIB_OP_SETNS || !op_text(plan, op, 1))
            continue;
        int fd = other_setns(plan, op);
        if (fd < 0)
            fail(init, stage_of(op), fd, (int)i);
        init->spaces[init->opened++] = fd;
    }
}

_Noreturn void init_main(struct init *init) {
    const struct plan *plan = init->plan;
    sys(setsid);
    init->umask = (int)sys(umask, 0);
    program_signals();
    look_ahead(init);
    open_spaces(init);
    /* An ordinary user who maps a user namespace cannot write to files that belong to root, as they do while
     * it is not dumpable. Root can, and must: a process that shares the pid namespace and is the host's root
     * without a capability has all of them in the new user namespace, and would trace this one. */
    if (plan->header->clone_flags & CLONE_NEWUSER && init->ordinary)
        sys(prctl, PR_SET_DUMPABLE, 1, 0, 0, 0);
    uint32_t count = plan->header->before_count;
    for (uint32_t i = 0; i < count; i++) {
        const struct clib_op *op = &plan->ops[i];
        int result = init_run_op(init, op);
        if (result < 0 || (result > 0 && op->kind == CLIB_OP_HOOK))
            fail(init, stage_of(op), result, (int)i);
        if (op->kind == CLIB_OP_HANDOVER) /* the shim has checked that there are as many */
            i += (uint32_t)op->number[0];
    }
    fail(init, CLIB_STAGE_LAUNCH, -EINVAL, -1); /* a plan without EXEC */
}
