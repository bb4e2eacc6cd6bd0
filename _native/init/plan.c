#include "plan.h"

#include <linux/filter.h>
#include <linux/mman.h>

enum { PROT_READ_ = 1 };

/* does op carry `size` strings at text[2] (lists), or `size` raw bytes there (data), or neither? */
enum payload { PAYLOAD_NONE, PAYLOAD_STRINGS, PAYLOAD_BYTES };

static enum payload payload_of(uint32_t kind) {
    switch ((enum clib_op_kind)kind) {
    case CLIB_OP_ROOT_OVERLAY:
    case CLIB_OP_ROOT_FUSE:
    case CLIB_OP_MOUNT:
    case CLIB_OP_MEMORY:
    case CLIB_OP_EXEC:
    case CLIB_OP_COMMAND:
    case CLIB_OP_LISTENER:
    case CLIB_OP_HOOK:
    case CLIB_OP_RUNTIME:
    case CLIB_OP_RESTORE:
    case CLIB_OP_PAGES:
        return PAYLOAD_STRINGS;
    case CLIB_OP_SECCOMP:
    case CLIB_OP_USER:
    case CLIB_OP_CAPABILITIES:
    case CLIB_OP_SCHEDULER:
    case CLIB_OP_CPU_AFFINITY:
    case CLIB_OP_MEMORY_POLICY:
    case CLIB_OP_TREE:
    case CLIB_OP_SECRET:
    case CLIB_OP_NETLINK:
    case CLIB_OP_RESOLVER:
    case CLIB_OP_REQUEST:
        return PAYLOAD_BYTES;
    case CLIB_OP_NONE:
    case CLIB_OP_REBIRTH:
    case CLIB_OP_HANDOVER:
    case CLIB_OP_ID_MAP:
    case CLIB_OP_LINK:
    case CLIB_OP_NAMESPACE:
    case CLIB_OP_LEND:
    case CLIB_OP_BORROW:
    case CLIB_OP_TIME_OFFSETS:
    case CLIB_OP_PERSONALITY:
    case CLIB_OP_IO_PRIORITY:
    case CLIB_OP_LABEL:
    case CLIB_OP_LINKS:
    case CLIB_OP_HOLD:
    case CLIB_OP_CGROUP_JOIN:
    case CLIB_OP_UNSHARE:
    case CLIB_OP_SETNS:
    case CLIB_OP_JOIN:
    case CLIB_OP_OOM_SCORE_ADJ:
    case CLIB_OP_LOOPBACK_UP:
    case CLIB_OP_PROPAGATION:
    case CLIB_OP_UNMOUNT:
    case CLIB_OP_ROOT_BIND:
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
    case CLIB_OP_RLIMIT:
    case CLIB_OP_UMASK:
    case CLIB_OP_NO_NEW_PRIVS:
    case CLIB_OP_DESCRIPTORS:
    case CLIB_OP_INIT:
    case CLIB_OP_CAP_BOUNDING:
    case CLIB_OP_CHDIR:
    case CLIB_OP_PARENT_DEATH:
    case CLIB_OP_OOM_RECORD:
    case CLIB_OP_CGROUP_KILL:
    case CLIB_OP_CGROUP_REMOVE:
    case CLIB_OP_LOG:
    case CLIB_OP_TARGET:
    case CLIB_OP_KINDS:
        return PAYLOAD_NONE;
    }
    return PAYLOAD_NONE;
}

/* how many strings the op needs at text[0] and text[1]: bit n set means that text[n] must be there */
static uint32_t needed_texts(uint32_t kind) {
    switch ((enum clib_op_kind)kind) {
    case CLIB_OP_COMMAND:
    case CLIB_OP_TREE:
    case CLIB_OP_LISTENER:
    case CLIB_OP_HOOK:
    case CLIB_OP_RUNTIME:
    case CLIB_OP_UNMOUNT:
    case CLIB_OP_TIME_OFFSETS:
    case CLIB_OP_CGROUP_JOIN:
    case CLIB_OP_SETNS:
    case CLIB_OP_ROOT_BIND:
    case CLIB_OP_HOSTNAME:
    case CLIB_OP_DOMAINNAME:
    case CLIB_OP_SESSION_KEYRING:
    case CLIB_OP_CHDIR:
    case CLIB_OP_HOLD:
    case CLIB_OP_EXEC:
    case CLIB_OP_OOM_RECORD:
    case CLIB_OP_CGROUP_KILL:
    case CLIB_OP_CGROUP_REMOVE:
    case CLIB_OP_BORROW:
    case CLIB_OP_REQUEST:
    case CLIB_OP_PAGES:
        return 1;
    case CLIB_OP_MKNOD:
    case CLIB_OP_SECRET:
    case CLIB_OP_MASK:
    case CLIB_OP_READONLY:
    case CLIB_OP_MEMORY:
    case CLIB_OP_LEND:
    case CLIB_OP_TARGET:
        return 2;
    case CLIB_OP_MOUNT:
    case CLIB_OP_BIND:
    case CLIB_OP_SYMLINK:
    case CLIB_OP_SYSCTL:
    case CLIB_OP_ID_MAP:
    case CLIB_OP_LINK:
    case CLIB_OP_LABEL:
    case CLIB_OP_ROOT_FUSE:
    case CLIB_OP_NAMESPACE:
    case CLIB_OP_RESOLVER:
    case CLIB_OP_RESTORE:
        return 3;
    case CLIB_OP_ROOT_OVERLAY:
        return 4;
    case CLIB_OP_NONE:
    case CLIB_OP_LINKS:
    case CLIB_OP_NETLINK:
    case CLIB_OP_REBIRTH:
    case CLIB_OP_HANDOVER:
    case CLIB_OP_PERSONALITY:
    case CLIB_OP_SCHEDULER:
    case CLIB_OP_IO_PRIORITY:
    case CLIB_OP_CPU_AFFINITY:
    case CLIB_OP_MEMORY_POLICY:
    case CLIB_OP_UNSHARE:
    case CLIB_OP_JOIN:
    case CLIB_OP_OOM_SCORE_ADJ:
    case CLIB_OP_LOOPBACK_UP:
    case CLIB_OP_PROPAGATION:
    case CLIB_OP_CONSOLE:
    case CLIB_OP_PIVOT:
    case CLIB_OP_RLIMIT:
    case CLIB_OP_UMASK:
    case CLIB_OP_NO_NEW_PRIVS:
    case CLIB_OP_DESCRIPTORS:
    case CLIB_OP_INIT:
    case CLIB_OP_SECCOMP:
    case CLIB_OP_CAP_BOUNDING:
    case CLIB_OP_USER:
    case CLIB_OP_CAPABILITIES:
    case CLIB_OP_PARENT_DEATH:
    case CLIB_OP_LOG:
    case CLIB_OP_KINDS:
        return 0;
    }
    return 0;
}

static int strings_fit(const struct plan *plan, uint32_t offset, uint32_t count) {
    const char *at = plan->blob + offset, *end = plan->blob + plan->header->blob_size;
    for (uint32_t i = 0; i < count; i++) {
        at = find_byte(at, end, 0);
        if (at == end)
            return 0;
        at++;
    }
    return 1;
}

/* options of a mount are pairs, and so are an overlay's layers behind its mount point; a list of nothing
 * needs no place */
static uint32_t string_count(const struct clib_op *op) {
    int pairs = op->kind == CLIB_OP_MOUNT || op->kind == CLIB_OP_MEMORY;
    return pairs ? op->size * 2 : op->kind == CLIB_OP_ROOT_OVERLAY ? op->size * 2 + 1 : op->size;
}

/* do the words of a program, its environment and what comes with them make up the list? */
static int words_fit(const struct clib_op *op) {
    uint64_t more = op->kind == CLIB_OP_HOOK;
    if (op->kind == CLIB_OP_LISTENER)
        return op->size == 1;
    if (op->kind != CLIB_OP_EXEC && op->kind != CLIB_OP_HOOK && op->kind != CLIB_OP_RUNTIME &&
        op->kind != CLIB_OP_ROOT_FUSE && op->kind != CLIB_OP_RESTORE && op->kind != CLIB_OP_PAGES)
        return 1;
    return op->number[0] > 0 && op->number[0] <= op->size && op->number[1] <= op->size &&
           op->number[0] + op->number[1] + more == op->size;
}

static int op_is_sound(const struct plan *plan, const struct clib_op *op) {
    if (op->kind == CLIB_OP_NONE || op->kind >= CLIB_OP_KINDS)
        return 0;
    uint32_t needed = needed_texts(op->kind), blob_size = plan->header->blob_size;
    for (int n = 0; n < 3; n++)
        if (op->text[n] >= blob_size || ((needed >> n & 1) && !op->text[n]))
            return 0;
    switch (payload_of(op->kind)) {
    case PAYLOAD_NONE:
        return 1;
    case PAYLOAD_BYTES:
        if (op->kind == CLIB_OP_SECCOMP && op->size / sizeof(struct sock_filter) > BPF_MAXINSNS)
            return 0;
        return op->size <= blob_size - op->text[2];
    case PAYLOAD_STRINGS:
        if (!words_fit(op))
            return 0;
        return op->size <= blob_size && strings_fit(plan, op->text[2], string_count(op));
    }
    return 0;
}

int plan_check(const void *memory, size_t size, struct plan *plan) {
    const struct clib_plan *header = memory;
    if (size < sizeof *header || header->magic != CLIB_PLAN_MAGIC || header->version != CLIB_PLAN_VERSION)
        return -EINVAL;
    uint64_t count = (uint64_t)header->before_count + header->started_count + header->after_count;
    if (header->blob_offset != sizeof *header + count * sizeof(struct clib_op) || header->blob_size == 0 ||
        (uint64_t)header->blob_offset + header->blob_size != size)
        return -EINVAL;
    *plan = (struct plan){
        .header = header,
        .ops = (const struct clib_op *)(header + 1),
        .blob = (const char *)memory + header->blob_offset,
        .size = size,
    };
    /* with a NUL at its end every string of the blob ends inside it */
    if (plan->blob[header->blob_size - 1] != 0)
        return -EINVAL;
    for (uint64_t i = 0; i < count; i++)
        if (!op_is_sound(plan, &plan->ops[i]))
            return -EINVAL;
    return 0;
}

int plan_map(int fd, struct plan *plan) {
    long size = sys(lseek, fd, 0, 2 /* SEEK_END */);
    if (size < (long)sizeof(struct clib_plan))
        return size < 0 ? (int)size : -EINVAL;
    long memory = sys(mmap, 0, size, PROT_READ_, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (memory < 0 && memory > -4096)
        return (int)memory;
    int result = plan_check((const void *)memory, (size_t)size, plan);
    if (result < 0) {
        sys(munmap, memory, size);
        plan->header = NULL; /* there is no plan */
    }
    return result;
}

void plan_unmap(struct plan *plan) {
    sys(munmap, plan->header, plan->size);
    plan->header = NULL;
}

int plan_index(const struct plan *plan, enum clib_op_kind kind) {
    for (uint32_t i = 0; i < plan->header->before_count; i++)
        if (plan->ops[i].kind == kind)
            return (int)i;
    return -1;
}
