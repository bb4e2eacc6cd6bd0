/* A file that is nowhere but in memory: its content comes with the plan, and goes to a tmpfs. */
#include "init.h"
#include "path.h"

#include <asm/statfs.h>
#include <linux/magic.h>

/* A path that an image leads to a disk is refused. */
static int is_in_memory(int directory) {
    struct statfs facts;
    return sys(fstatfs, directory, &facts) == 0 && facts.f_type == TMPFS_MAGIC;
}

int op_secret(const struct init *init, const struct clib_op *op) {
    const char *name, *at = init->plan->blob + op->text[2], *end = at + op->size;
    cleanup_close int parent = path_open_parent(init->root, op_text(init->plan, op, 1), &name);
    if (parent < 0)
        return parent;
    if (!is_in_memory(parent))
        return -EXDEV;
    cleanup_close int file =
        (int)sys(openat, parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return file;
    while (at < end) {
        long written = sys(write, file, at, end - at);
        if (written < 0)
            return (int)written;
        at += written;
    }
    long result = sys(fchown, file, op->number[2] >> 32, op->number[2] & 0xffffffff);
    return (int)(result < 0 ? result : sys(fchmod, file, op->number[0]));
}
