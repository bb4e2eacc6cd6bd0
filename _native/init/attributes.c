/* How the kernel treats the process: scheduling, memory placement, labels. All of it outlives the exec. */
#include "init.h"

#include "path.h"

#include <asm/statfs.h>
#include <linux/ioprio.h>
#include <linux/magic.h>

enum { LABEL_PATH = 64, IOPRIO_WHO_PROCESS_ = 1, MAX_MASK = 1024 };

/* the bytes of an op behind its numbers; they are aligned, and the kernel only reads them */
static const void *op_bytes(const struct init *init, const struct clib_op *op) {
    return init->plan->blob + op->text[2];
}

int op_personality(uint64_t persona) {
    return (int)sys(personality, persona) < 0 ? -EINVAL : 0;
}

int op_scheduler(const struct init *init, const struct clib_op *op) {
    return (int)sys(sched_setattr, 0, op_bytes(init, op), 0);
}

int op_io_priority(uint64_t priority) {
    return (int)sys(ioprio_set, IOPRIO_WHO_PROCESS_, 0, priority);
}

int op_cpu_affinity(const struct init *init, const struct clib_op *op) {
    return (int)sys(sched_setaffinity, 0, op->size, op_bytes(init, op));
}

int op_memory_policy(const struct init *init, const struct clib_op *op) {
    return (int)sys(set_mempolicy, op->number[0], op->size ? op_bytes(init, op) : 0, op->number[1]);
}

/* A label that is written to a file which is not proc's is a label that is not there (CVE-2019-16884,
 * CVE-2025-52881). Its path names this process by number: "self" is a symlink. */
int op_label(const struct init *init, const char *file, const char *text) {
    char path[LABEL_PATH] = "/proc/";
    size_t length = 6, more = text_length(file);
    length += format_decimal(path + length, (uint64_t)sys(getpid));
    memcpy(path + length, "/attr/", 6);
    length += 6;
    if (length + more >= sizeof path)
        return -ENAMETOOLONG;
    memcpy(path + length, file, more + 1);
    cleanup_close int fd = path_open(init->root, path, O_WRONLY, PATH_NO_SYMLINKS);
    if (fd < 0)
        return fd;
    struct statfs facts;
    long result = sys(fstatfs, fd, &facts);
    if (result < 0)
        return (int)result;
    if (facts.f_type != PROC_SUPER_MAGIC)
        return -ELOOP;
    result = sys(write, fd, text, text_length(text));
    return result < 0 ? (int)result : 0;
}
