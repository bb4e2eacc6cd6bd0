/* What the container's first process hands over, since it has no right to it, or no way, once it is in its
 * own namespaces: see CLIB_OP_HANDOVER. It waits meanwhile, so that its pid is its own. */
#include "init.h"
#include "path.h"
#include "program.h"
#include "shim.h"

#include <asm/socket.h>
#include <linux/mman.h>
#include <linux/mount.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/socket.h>
#include <linux/time_types.h>
#include <linux/un.h>
#include <linux/wait.h>

enum { AGENT_SECONDS = 5 };

static int write_proc(int pid, const char *name, const char *text) {
    cleanup_close int fd = open_proc(pid, name, O_WRONLY);
    long written = fd < 0 ? fd : sys(write, fd, text, text_length(text));
    return written < 0 ? (int)written : 0;
}

static int join_cgroup(int pid, const char *path) {
    char number[24];
    return write_file(path, number, format_decimal(number, (uint64_t)pid));
}

/* A user namespace that exists for its mapping only: its one process waits to be killed, and the descriptor
 * keeps it. Root's maps need nothing else to be written before them. */
static int mapped_namespace(const char *uid_map, const char *gid_map) {
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_NEWUSER | CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&pidfd, .exit_signal = SIGCHLD};
    long pid = sys(clone3, &arguments, sizeof arguments);
    if (pid < 0)
        return (int)pid;
    if (pid == 0) { /* it has all that this process has open, and must not outlive it */
        sys(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        for (;;)
            sys(pause);
    }
    cleanup_close int child = pidfd;
    int result = write_proc((int)pid, "uid_map", uid_map);
    if (result == 0)
        result = write_proc((int)pid, "gid_map", gid_map);
    int fd = result < 0 ? result : open_proc((int)pid, "ns/user", O_RDONLY);
    sys(pidfd_send_signal, child, SIGKILL, 0, 0);
    sys(waitid, P_PIDFD, child, 0, WEXITED, 0);
    return fd;
}

static int mapping_of(const struct shim *shim, const struct clib_op *op) {
    if (op->number[1] == CLIB_TREE_OF_NAMESPACE)
        return open_proc(shim->pid, "ns/user", O_RDONLY);
    const char *uid_map = shim->plan.blob + op->text[2], *end = uid_map + op->size;
    const char *gid_map = find_byte(uid_map, end, 0) + 1;
    if (gid_map >= end || find_byte(gid_map, end, 0) == end)
        return -EINVAL;
    return mapped_namespace(uid_map, gid_map);
}

static int map_tree(const struct shim *shim, const struct clib_op *op, int tree) {
    cleanup_close int mapping = mapping_of(shim, op);
    if (mapping < 0)
        return mapping;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)mapping};
    unsigned flags = AT_EMPTY_PATH | (op->number[0] & CLIB_MOUNT_ATTR_RECURSIVE ? AT_RECURSIVE : 0);
    return (int)sys(mount_setattr, tree, "", flags, &attributes, sizeof attributes);
}

/* A part of it may be what a container has written: it is resolved inside. */
static int clone_source(const struct plan *plan, const struct clib_op *op) {
    const char *path = op_text(plan, op, 0), *part = op_text(plan, op, 1);
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    flags |= op->number[0] & CLIB_MOUNT_RECURSIVE ? AT_RECURSIVE : 0;
    if (!part)
        return (int)sys(open_tree, AT_FDCWD, path, flags);
    cleanup_close int top = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int source = top < 0 ? top : path_open(top, part, O_PATH, PATH_FOLLOW);
    return source < 0 ? source : (int)sys(open_tree, source, "", flags | AT_EMPTY_PATH);
}

/* *made stays as it is where an ordinary user's shim may not open the tree: the first process may */
static int open_tree_of(const struct shim *shim, const struct clib_op *op, int *made) {
    cleanup_close int tree = clone_source(&shim->plan, op);
    if (tree == -EPERM && op->number[1] == CLIB_TREE_AS_IT_IS)
        return 0;
    if (tree < 0)
        return tree;
    struct mount_attr attributes = {.propagation = op->number[2]};
    long result = 0;
    if (attributes.propagation)
        result = sys(mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes);
    if (result == 0 && op->number[1] != CLIB_TREE_AS_IT_IS)
        result = map_tree(shim, op, tree);
    if (result == 0)
        *made = take_fd(&tree);
    return (int)result;
}

/* a connection to the seccomp agent, on which nothing waits longer than AGENT_SECONDS for it */
static int reach_agent(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX_};
    struct __kernel_old_timeval patience = {.tv_sec = AGENT_SECONDS};
    size_t length = text_length(path);
    if (length >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);
    cleanup_close int socket = (int)sys(socket, AF_UNIX_, SOCK_STREAM_ | O_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    long result = sys(setsockopt, socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (result == 0)
        result = sys(connect, socket, &address, sizeof address);
    return result < 0 ? (int)result : take_fd(&socket);
}

/* takes the filter's descriptor out of the first process, which may be unable to send it: its filter is in
 * place */
static int send_listener(const struct shim *shim, const struct clib_op *op, int number) {
    cleanup_close int listener = (int)sys(pidfd_getfd, shim->pidfd, number, 0);
    if (listener < 0)
        return listener;
    cleanup_close int socket = reach_agent(op_text(&shim->plan, op, 0));
    if (socket < 0)
        return socket == -EAGAIN ? -ETIMEDOUT : socket;
    cleanup_close int state = program_state(shim->plan.blob + op->text[2], shim->pid);
    if (state < 0)
        return state;
    long size = sys(lseek, state, 0, 2 /* SEEK_END */);
    long text = sys(mmap, 0, size, 1 /* PROT_READ */, MAP_PRIVATE, state, 0);
    if (text < 0 && text > -4096)
        return (int)text;
    int sent = channel_send_bytes(socket, (const void *)text, (size_t)size, listener);
    sys(munmap, text, size);
    return sent == -EAGAIN ? -ETIMEDOUT : sent;
}

int handover_make(struct shim *shim, const struct clib_op *op, int *made) {
    close_fd(made);
    *made = -1;
    if (op->kind == CLIB_OP_TREE)
        return open_tree_of(shim, op, made);
    if (op->kind == CLIB_OP_MEMORY)
        return memory_mount(shim, op, made);
    if (op->kind == CLIB_OP_NAMESPACE)
        return lend_namespace(&shim->plan, op, made);
    if (op->kind == CLIB_OP_BORROW)
        return borrow(op_text(&shim->plan, op, 0), made);
    if (op->kind == CLIB_OP_ROOT_OVERLAY)
        return roots_overlay(shim, op, made);
    return op->kind == CLIB_OP_ROOT_FUSE ? roots_fuse(shim, op, made) : -EINVAL;
}

static int run_op(struct shim *shim, const struct clib_op *op, int number, int *made) {
    const struct plan *plan = &shim->plan;
    switch ((enum clib_op_kind)op->kind) {
    case CLIB_OP_CGROUP_JOIN:
        return join_cgroup(shim->pid, op_text(plan, op, 0));
    case CLIB_OP_ID_MAP:
        return write_proc(shim->pid, op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_COMMAND:
        return program_command(plan, op, shim->pid);
    case CLIB_OP_TREE:
    case CLIB_OP_MEMORY:
    case CLIB_OP_NAMESPACE:
    case CLIB_OP_BORROW:
    case CLIB_OP_ROOT_OVERLAY:
    case CLIB_OP_ROOT_FUSE:
        return handover_make(shim, op, made);
    case CLIB_OP_LEND:
        return lend_open(shim, op_text(plan, op, 1));
    case CLIB_OP_SECRET: /* the MEMORY before it has made it */
        return 0;
    case CLIB_OP_LINK:
        return link_move(shim->pid, op_text(plan, op, 0), op_text(plan, op, 1));
    case CLIB_OP_LINKS:
        return links_make(shim);
    case CLIB_OP_LISTENER:
        return send_listener(shim, op, number);
    case CLIB_OP_HOOK:
        return program_hook_of(plan, op, shim->pid, shim->owner);
    case CLIB_OP_NONE:
    case CLIB_OP_NETLINK: /* of LINKS */
    case CLIB_OP_RESOLVER:
    case CLIB_OP_REBIRTH:
    case CLIB_OP_HANDOVER:
    case CLIB_OP_RUNTIME:
    case CLIB_OP_UNSHARE:
    case CLIB_OP_SETNS:
    case CLIB_OP_JOIN:
    case CLIB_OP_OOM_SCORE_ADJ:
    case CLIB_OP_TIME_OFFSETS:
    case CLIB_OP_LOOPBACK_UP:
    case CLIB_OP_PROPAGATION:
    case CLIB_OP_UNMOUNT:
    case CLIB_OP_ROOT_BIND:
    case CLIB_OP_MOUNT:
    case CLIB_OP_BIND:
    case CLIB_OP_MKNOD:
    case CLIB_OP_SYMLINK:
    case CLIB_OP_CONSOLE:
    case CLIB_OP_MASK:
    case CLIB_OP_READONLY:
    case CLIB_OP_SYSCTL:
    case CLIB_OP_HOSTNAME:
    case CLIB_OP_DOMAINNAME:
    case CLIB_OP_PIVOT:
    case CLIB_OP_SESSION_KEYRING:
    case CLIB_OP_PERSONALITY:
    case CLIB_OP_SCHEDULER:
    case CLIB_OP_IO_PRIORITY:
    case CLIB_OP_CPU_AFFINITY:
    case CLIB_OP_MEMORY_POLICY:
    case CLIB_OP_LABEL:
    case CLIB_OP_RLIMIT:
    case CLIB_OP_UMASK:
    case CLIB_OP_NO_NEW_PRIVS:
    case CLIB_OP_SECCOMP:
    case CLIB_OP_CAP_BOUNDING:
    case CLIB_OP_USER:
    case CLIB_OP_CAPABILITIES:
    case CLIB_OP_CHDIR:
    case CLIB_OP_PARENT_DEATH:
    case CLIB_OP_HOLD:
    case CLIB_OP_DESCRIPTORS:
    case CLIB_OP_INIT:
    case CLIB_OP_EXEC:
    case CLIB_OP_TARGET:
    case CLIB_OP_PAGES:
    case CLIB_OP_REQUEST:
    case CLIB_OP_RESTORE:
    case CLIB_OP_OOM_RECORD:
    case CLIB_OP_CGROUP_KILL:
    case CLIB_OP_CGROUP_REMOVE:
    case CLIB_OP_LOG:
    case CLIB_OP_KINDS:
        return -EINVAL;
    }
    return -EINVAL;
}

struct clib_message handover_failure(const struct shim *shim, int result, int index) {
    int runtime = index >= 0 && shim->plan.ops[index].kind == CLIB_OP_RUNTIME;
    return (struct clib_message){
        .kind = CLIB_MESSAGE_FAILED,
        .version = CLIB_PROTOCOL_VERSION,
        .value = {runtime      ? CLIB_STAGE_RUNTIME
                  : result > 0 ? CLIB_STAGE_HOOK
                               : CLIB_STAGE_OP,
                  result > 0 ? 0 : -result, index, result > 0 ? result : shim->failed_link},
        .number = {shim->plan.header->before_count},
    };
}

/* Only what the plan hands over is run, and only while it may still be: whoever has got hold of the first
 * process must not have the shim run other ops, a startContainer hook say, on the host. */
static int is_planned(const struct shim *shim, uint32_t at, uint32_t count) {
    uint32_t end = shim->plan.header->before_count;
    if (shim->recorded || at > end || count > end - at)
        return 0;
    if (count == 1 && shim->plan.ops[at].kind == CLIB_OP_LINKS)
        return shim->has_links;
    if (at == 0)
        return 0;
    const struct clib_op *op = &shim->plan.ops[at - 1];
    return op->kind == CLIB_OP_HANDOVER && op->number[0] == count;
}

void handover_serve(struct shim *shim, const struct clib_message *request) {
    struct clib_message answer = {.kind = CLIB_MESSAGE_DONE, .version = CLIB_PROTOCOL_VERSION};
    uint32_t at = (uint32_t)request->value[0], end = at + (uint32_t)request->value[1];
    cleanup_close int made = -1;
    if (!is_planned(shim, at, end - at)) {
        answer = handover_failure(shim, -EPROTO, -1);
        at = end;
    }
    for (; at < end; at++) {
        int result = run_op(shim, &shim->plan.ops[at], request->value[2], &made);
        if (result != 0) { /* the process may be unable to hear and to tell of it: its filter is in place */
            shim->end = handover_failure(shim, result, (int)at);
            sys(pidfd_send_signal, shim->pidfd, SIGKILL, 0, 0);
            return;
        }
    }
    channel_send(shim->sync, &answer, made);
}

int handover_hooks(struct shim *shim, uint32_t at, uint32_t count, int *index) {
    /* those of a container that has ended are for after its owner too */
    int owner = shim->end.kind == CLIB_MESSAGE_NONE ? shim->owner : -1;
    for (uint32_t i = at; i < at + count; i++) {
        *index = (int)i;
        const struct clib_op *op = &shim->plan.ops[i];
        int result = op->kind == CLIB_OP_HOOK      ? program_hook_of(&shim->plan, op, shim->pid, owner)
                     : op->kind == CLIB_OP_RUNTIME ? foreign_command(shim, op)
                                                   : 0;
        if (result != 0)
            return result;
    }
    return 0;
}
