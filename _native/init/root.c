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

static int attach(int mount, const char *path) {
    return (int)sys(move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

int op_root_bind(struct init *init, const struct clib_op *op) {
    const char *path = op_text(init->plan, op, 0);
    if (op->number[1] == CLIB_ROOT_UNMOUNTED) {
        init->root = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return init->root < 0 ? init->root : 0;
    }
    unsigned recursive = op->number[1] == CLIB_ROOT_RECURSIVE ? AT_RECURSIVE : 0;
    int tree = (int)sys(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
    if (tree < 0)
        return tree;
    init->root = tree;
    struct mount_attr attributes = {.attr_set = op->number[0]};
    long result =
        op->number[0] ? sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes) : 0;
    return result < 0 ? (int)result : attach(tree, path);
}

static int set_string(int context, const char *key, const char *value) {
    return (int)sys(fsconfig, context, FSCONFIG_SET_STRING, key, value, 0);
}

/* Layers are named "." from inside each: a value is limited to 255 bytes, and a container must not read host
 * paths in its /proc/mounts. */
static int set_layer(int context, const char *key, const char *path) {
    long result = sys(chdir, path);
    return result < 0 ? (int)result : set_string(context, key, ".");
}

/* An upper layer that lives and dies with this mount namespace. It is mounted where the root will be, below
 * it. */
static int private_upper(const char *target) {
    static const char options[] = "mode\0"
                                  "0700";
    cleanup_close int mount = new_mount("tmpfs", options, 1, 0);
    if (mount < 0)
        return mount;
    int result;
    if ((result = attach(mount, target)) < 0 || (result = (int)sys(mkdirat, mount, "upper", 0755)) < 0 ||
        (result = (int)sys(mkdirat, mount, "work", 0700)) < 0)
        return result;
    return (int)sys(fchdir, mount);
}

static int set_upper(const struct init *init, const struct clib_op *op, int context, const char *target) {
    const char *upper = op_text(init->plan, op, 0), *work = op_text(init->plan, op, 1);
    int result;
    if (op->number[0]) {
        if ((result = private_upper(target)) < 0 || (result = set_string(context, "upperdir", "upper")) < 0)
            return result;
        return set_string(context, "workdir", "work");
    }
    if (!upper || !work)
        return 0;
    result = set_layer(context, "upperdir", upper);
    return result < 0 ? result : set_layer(context, "workdir", work);
}

static int overlay_by_layers(struct init *init, const struct clib_op *op, const char *target) {
    cleanup_close int context = (int)sys(fsopen, "overlay", FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    const char *lower = target;
    int result;
    for (uint32_t i = 1; i < op->size; i++) {
        lower = next_text(lower);
        if ((result = set_layer(context, "lowerdir+", lower)) < 0)
            return result;
    }
    if ((result = set_upper(init, op, context, target)) < 0)
        return result;
    if ((result = (int)sys(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0)) < 0)
        return result;
    init->root = (int)sys(fsmount, context, FSMOUNT_CLOEXEC, 0);
    return init->root < 0 ? init->root : attach(init->root, target);
}

/* mount(2)'s options are a page long: layers are named by descriptors, since a hundred paths do not fit */
int add_text(struct option_text *options, const char *text) {
    size_t length = text_length(text);
    if (options->length + length >= sizeof options->text)
        return -E2BIG;
    memcpy(options->text + options->length, text, length + 1);
    options->length += length;
    return 0;
}

/* the descriptor stays open: it is what the name means until the mount, and no exec inherits it */
static int add_layer(struct option_text *options, const char *separator, const char *path) {
    int fd = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    char number[24];
    number[format_decimal(number, (uint64_t)fd)] = 0;
    int result = add_text(options, separator);
    if (result == 0)
        result = add_text(options, "/proc/self/fd/");
    return result < 0 ? result : add_text(options, number);
}

static int overlay_by_options(struct init *init, const struct clib_op *op, const char *target) {
    struct option_text options = {.length = 0};
    const char *upper = op_text(init->plan, op, 0), *work = op_text(init->plan, op, 1), *lower = target;
    int result = 0;
    for (uint32_t i = 1; i < op->size && result == 0; i++) {
        lower = next_text(lower);
        result = add_layer(&options, i == 1 ? "lowerdir=" : ":", lower);
    }
    if (result == 0 && op->number[0]) {
        result = private_upper(target);
        upper = "upper";
        work = "work";
    }
    if (result == 0 && upper && work)
        result = add_layer(&options, ",upperdir=", upper);
    if (result == 0 && upper && work)
        result = add_layer(&options, ",workdir=", work);
    if (result == 0)
        result = (int)sys(mount, "overlay", target, "overlay", 0, options.text);
    if (result < 0)
        return result;
    init->root = (int)sys(openat, AT_FDCWD, target, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return init->root < 0 ? init->root : 0;
}

int op_root_overlay(struct init *init, const struct clib_op *op) {
    const char *target = init->plan->blob + op->text[2];
    return op->number[1] ? overlay_by_options(init, op, target) : overlay_by_layers(init, op, target);
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
    sys(close, init->root);
    init->root = (int)sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (init->root < 0 || (result = replace_null(init->root)) < 0)
        return init->root < 0 ? init->root : (int)result;
    return mount_attributes(init->root, op->number[0] ? MOUNT_ATTR_RDONLY : 0, 0, op->number[1], 0);
}
