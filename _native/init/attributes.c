/* How the kernel treats the process: scheduling, memory placement, labels. All of it outlives the exec. */
#include "init.h"

#include "path.h"

#include <asm/statfs.h>
#include <linux/ioprio.h>
#include <linux/magic.h>
#include <linux/openat2.h>

enum { LABEL_PATH = 64 };

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

/* of its process group, which it leads and is alone in */
int op_io_priority(uint64_t priority) {
    return (int)sys(ioprio_set, IOPRIO_WHO_PGRP, 0, priority);
}

int op_cpu_affinity(const struct init *init, const struct clib_op *op) {
    return (int)sys(sched_setaffinity, 0, op->size, op_bytes(init, op));
}

int op_memory_policy(const struct init *init, const struct clib_op *op) {
    return (int)sys(set_mempolicy, op->number[0], op->size ? op_bytes(init, op) : 0, op->number[1]);
}

static int check_proc(int fd) {
    struct statfs facts;
    long result = sys(fstatfs, fd, &facts);
    return result < 0 ? (int)result : facts.f_type == PROC_SUPER_MAGIC ? 0 : -ELOOP;
}

/* What a container calls /proc may be anything, and what is mounted on a file of it may be another file of
 * it: a label that is written there is a label that is not there, or a write to the host's settings
 * (CVE-2019-16884, CVE-2025-52881). So labels go through the host's /proc, which is opened while it is in
 * sight. */
int labels_open(void) {
    return (int)sys(openat, AT_FDCWD, "/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int op_label(const struct init *init, const char *file, const char *text) {
    static const char folder[] = "self/attr/";
    char path[LABEL_PATH];
    size_t length = text_length(file);
    if (sizeof folder + length > sizeof path)
        return -ENAMETOOLONG;
    memcpy(path, folder, sizeof folder - 1);
    memcpy(path + sizeof folder - 1, file, length + 1);
    struct open_how how = {
        .flags = O_WRONLY | O_CLOEXEC,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
    };
    int result = init->proc < 0 ? init->proc : check_proc(init->proc);
    if (result < 0)
        return result;
    cleanup_close int fd = (int)sys(openat2, init->proc, path, &how, sizeof how);
    if (fd < 0)
        return fd;
    long written = sys(write, fd, text, text_length(text));
    return written < 0 ? (int)written : 0;
}
