/* Files that are nowhere but in memory: their content comes with the plan, and goes to a tmpfs. */
#include "init.h"
#include "shim.h"

#include <linux/mount.h>
#include <linux/sched.h>

enum { PATH_SIZE = 4096, PIECE = 65536 };

static int write_all(int file, const char *at, size_t size) {
    while (size) {
        long written = sys(write, file, at, size);
        if (written < 0)
            return (int)written;
        at += written;
        size -= (size_t)written;
    }
    return 0;
}

/* the helper, which is executed from memory itself */
static int write_helper(int file) {
    cleanup_close int self = (int)sys(openat, AT_FDCWD, "/proc/self/exe", O_RDONLY | O_CLOEXEC);
    long result = self < 0 ? self : 1;
    while (result > 0)
        result = sys(sendfile, file, self, 0, PIECE);
    return (int)result;
}

/* the directories above the file are the container's root's */
static int own_directories(int top, const char *path, uint64_t owner) {
    char above[PATH_SIZE];
    if (text_length(path) >= sizeof above)
        return -ENAMETOOLONG;
    for (size_t i = 0; path[i]; i++) {
        above[i] = 0;
        if (i && path[i] == '/') {
            cleanup_close int directory = path_open(top, above, O_PATH | O_DIRECTORY, PATH_NO_SYMLINKS);
            long result = directory < 0
                              ? directory
                              : sys(fchownat, directory, "", owner >> 32, (uint32_t)owner, AT_EMPTY_PATH);
            if (result < 0)
                return (int)result;
        }
        above[i] = path[i];
    }
    return 0;
}

static int make_file(const struct plan *plan, int top, uint64_t owner, const struct clib_op *op) {
    const char *name, *path = op_text(plan, op, 1);
    cleanup_close int parent = path_open_parent(top, path, &name);
    int result = parent < 0 ? parent : own_directories(top, path, owner);
    if (result < 0)
        return result;
    cleanup_close int file =
        (int)sys(openat, parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (file < 0)
        return file;
    result = op->number[1] ? write_helper(file) : write_all(file, op_list(plan, op), op->size);
    if (result == 0)
        result = (int)sys(fchown, file, op->number[2] >> 32, (uint32_t)op->number[2]);
    return result < 0 ? result : (int)sys(fchmod, file, op->number[0]);
}

/* Only of what is attached a part can be cloned (before Linux 6.15): so it is, in this process's namespace.
 */
static int make_memory(struct shim *shim, const struct clib_op *op) {
    const struct plan *plan = &shim->plan;
    cleanup_close int top = new_mount("tmpfs", op_list(plan, op), op->size, 0);
    int result = top < 0 ? top : mount_onto(top, "/");
    for (uint64_t i = 1; i <= op->number[0] && result == 0; i++)
        result = make_file(plan, top, op->number[2], op + i);
    if (result < 0)
        return result;
    cleanup_close int part = path_open(top, op_text(plan, op, 1), O_PATH, PATH_NO_SYMLINKS);
    return part < 0 ? part
                    : (int)sys(open_tree, part, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

int memory_mount(struct shim *shim, const struct clib_op *op, int *made) {
    const struct clib_op *end = shim->plan.ops + shim->plan.header->before_count;
    for (uint64_t i = 1; i <= op->number[0]; i++)
        if (i >= (uint64_t)(end - op) || op[i].kind != CLIB_OP_SECRET)
            return -EINVAL;
    return make_aside(shim, op, make_memory, CLONE_NEWNS, made);
}
