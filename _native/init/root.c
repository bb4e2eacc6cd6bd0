/* The container's root: where it comes from, and how it becomes "/". */
#include "init.h"

#include <linux/mount.h>
#include <linux/openat2.h>

enum { MNT_DETACH_ = 2 };

int op_propagation(uint64_t flags) {
    return (int)sys(mount, 0, "/", 0, flags | MS_REC, 0);
}

int op_unmount(const char *path) {
    return (int)sys(umount2, path, MNT_DETACH_);
}

int op_root_bind(struct init *init, const struct clib_op *op) {
    const char *path = op_text(init->plan, op, 0);
    if (op->number[1] & CLIB_BIND_UNMOUNTED) {
        init->root = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return init->root < 0 ? init->root : 0;
    }
    unsigned recursive = op->number[1] & CLIB_BIND_RECURSIVE ? AT_RECURSIVE : 0;
    int tree = op->number[1] & CLIB_BIND_TREE
                   ? take_fd(&init->tree)
                   : (int)sys(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
    if (tree < 0)
        return tree;
    init->root = tree;
    struct mount_attr attributes = {.attr_set = op->number[0]};
    long result =
        op->number[0] ? sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) : 0;
    return result < 0 ? (int)result : mount_onto(tree, path);
}

/* pivot_root(".", "."): the old root ends up mounted on the new one's "/" and is taken away from there, so
 * that neither tree needs a directory for the other. */
static int pivot(const struct init *init, int old) {
    long result = sys(fchdir, init->root);
    if (result == 0)
        result = sys(pivot_root, ".", ".");
    if (result == 0)
        result = sys(fchdir, old);
    if (result == 0) /* nothing that is unmounted here may travel back to the host */
        result = sys(mount, 0, ".", 0, MS_SLAVE | MS_REC, 0);
    if (result == 0)
        result = sys(umount2, ".", MNT_DETACH_);
    return (int)result;
}

int change_root(const struct init *init) {
    long result = sys(fchdir, init->root);
    return result < 0 ? (int)result : (int)sys(chroot, ".");
}

static int change(const struct init *init, int old, uint64_t manner) {
    switch ((enum clib_pivot_kind)manner) {
    case CLIB_PIVOT_EXCHANGED:
        return pivot(init, old);
    case CLIB_PIVOT_MOVED:
        return root_move(init, old);
    case CLIB_PIVOT_UNMOUNTED:
        return change_root(init);
    }
    return -EINVAL;
}

int op_pivot(struct init *init, const struct clib_op *op) {
    cleanup_close int old = (int)sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (old < 0)
        return old;
    long result = change(init, old, op->number[2]);
    if (result == 0)
        result = sys(chdir, "/");
    if (result != 0)
        return result < 0 ? (int)result : -EPROTO;
    close_fds(init->layers,
              init->layer_count); /* without what lies above them, they show more than the root does */
    init->layer_count = 0;
    sys(close, init->root);
    init->root = (int)sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (init->root < 0 || (result = replace_null(init->root)) < 0)
        return init->root < 0 ? init->root : (int)result;
    return mount_attributes(init->root, op->number[0] ? MOUNT_ATTR_RDONLY : 0, 0, op->number[1], 0);
}
