/* The container's root as an overlay of layers: directories, and files that are file systems themselves.
 *
 * A file is mounted in the mount namespace that the overlay is mounted in, where the root will be, below it:
 * the overlay keeps a mount of its own of each layer, and what is below the root goes with the host's tree.
 */
#include "init.h"

#include <linux/mount.h>

enum { PATH_DIGITS = 40 };

int mount_onto(int mount, const char *path) {
    return (int)sys(move_mount, mount, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH);
}

static int set_string(int context, const char *key, const char *value) {
    return (int)sys(fsconfig, context, FSCONFIG_SET_STRING, key, value, 0);
}

/* "/proc/self/fd/N": a name for what may have a longer one than fsconfig(2) takes, or mount(2) for all */
static const char *name_of(int fd, char name[PATH_DIGITS]) {
    static const char directory[] = "/proc/self/fd/";
    memcpy(name, directory, sizeof directory);
    name[sizeof directory - 1 + format_decimal(name + sizeof directory - 1, (uint64_t)fd)] = 0;
    return name;
}

/* ---- layers ---- */

static int mount_source(const char *fstype, const char *source) {
    cleanup_close int context = (int)sys(fsopen, fstype, FSOPEN_CLOEXEC);
    long result = context < 0 ? context : set_string(context, "source", source);
    if (result == 0)
        result = sys(fsconfig, context, FSCONFIG_SET_FLAG, "ro", 0, 0);
    if (result == 0)
        result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    return result < 0 ? (int)result : (int)sys(fsmount, context, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY);
}

static int mount_file(const char *fstype, const char *path) {
    cleanup_close int file = (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    char name[PATH_DIGITS], device[BLOCK_NAME];
    int mount = file < 0 ? file : mount_source(fstype, name_of(file, name));
    if (mount != -ENOTBLK)
        return mount;
    cleanup_close int loop = block_of_file(file, device);
    return loop < 0 ? loop : mount_source(fstype, device);
}

/* before Linux 6.15 only what is attached may become a layer; id-mapped it may only be before that */
static int attach_layer(int mount, const char *target, int mapping) {
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)mapping};
    long result = 0;
    if (mapping >= 0)
        result = sys(mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    return result < 0 ? (int)result : mount_onto(mount, target);
}

/* A layer that is a file, as the caller has mounted it: its containers read the same pages. Since Linux 6.15
 * what is attached nowhere may become a layer too. Or -1: this one is to be mounted. */
static int shared_layer(struct overlay *overlay, const char *fstype) {
    int given = *fstype && overlay->op->number[0] & CLIB_ROOT_SHARED && overlay->taken < overlay->mount_count;
    return given ? overlay->mounts[overlay->taken++] : -1;
}

/* a clone goes with its last descriptor, unless it has a place */
static int open_shared(int shared, const char *target, int mapping) {
    if (mapping < 0)
        return (int)sys(fcntl, shared, F_DUPFD_CLOEXEC, 0);
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
    cleanup_close int mount = (int)sys(open_tree, shared, "", flags);
    int result = mount < 0 ? mount : attach_layer(mount, target, mapping);
    return result < 0 ? result : take_fd(&mount);
}

static int open_layer(struct overlay *overlay, const char *fstype, const char *path, const char *target) {
    int mapping = overlay->mapping, shared = shared_layer(overlay, fstype);
    if (shared >= 0)
        return open_shared(shared, target, mapping);
    if (!*fstype && mapping < 0)
        return (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cleanup_close int mount = *fstype
                                  ? mount_file(fstype, path)
                                  : (int)sys(open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    int result = mount < 0 ? mount : attach_layer(mount, target, mapping);
    return result < 0 ? result : take_fd(&mount);
}

static int enter_layer(struct overlay *overlay, const char *fstype, const char *path, const char *target) {
    if (!*fstype && overlay->mapping < 0)
        return (int)sys(chdir, path);
    cleanup_close int layer = open_layer(overlay, fstype, path, target);
    return layer < 0 ? layer : (int)sys(fchdir, layer);
}

/* An upper layer that lives and dies with this mount namespace. It is mounted where the root will be, below
 * it. */
static int private_upper(const struct clib_op *op, const char *target) {
    static const char options[] = "mode\0"
                                  "0700";
    cleanup_close int mount = new_mount("tmpfs", options, 1, 0);
    if (mount < 0)
        return mount;
    uint64_t uid = op->number[1] >> 32, gid = (uint32_t)op->number[1];
    long result = mount_onto(mount, target);
    if (result == 0)
        result = sys(mkdirat, mount, "upper", 0755);
    if (result == 0 && (uid || gid))
        result = sys(fchownat, mount, "upper", uid, gid, 0);
    if (result == 0)
        result = sys(mkdirat, mount, "work", 0700);
    return result < 0 ? (int)result : (int)sys(fchdir, mount);
}

/* ---- since Linux 6.7: layer by layer ---- */

/* Layers are named "." from inside each: a value is limited to 255 bytes, and a container must not read host
 * paths in its /proc/mounts. */
static int set_layer(int context, const char *key, const char *path) {
    long result = sys(chdir, path);
    return result < 0 ? (int)result : set_string(context, key, ".");
}

static int set_upper(const struct plan *plan, const struct clib_op *op, int context, const char *target) {
    const char *upper = op_text(plan, op, 0), *work = op_text(plan, op, 1);
    int result;
    if (op->number[0] & CLIB_ROOT_PRIVATE) {
        if ((result = private_upper(op, target)) < 0 ||
            (result = set_string(context, "upperdir", "upper")) < 0)
            return result;
        return set_string(context, "workdir", "work");
    }
    if (!upper || !work)
        return 0;
    result = set_layer(context, "upperdir", upper);
    return result < 0 ? result : set_layer(context, "workdir", work);
}

static int mount_by_layers(struct overlay *overlay) {
    const struct plan *plan = overlay->plan;
    const struct clib_op *op = overlay->op;
    cleanup_close int context = (int)sys(fsopen, "overlay", FSOPEN_CLOEXEC);
    const char *target = op_list(plan, op), *layer = next_text(target);
    long result = context < 0 ? context : 0;
    for (uint32_t i = 0; i < op->size && result == 0; i++) {
        const char *path = next_text(layer);
        result = enter_layer(overlay, layer, path, target);
        if (result == 0)
            result = set_string(context, "lowerdir+", ".");
        layer = next_text(path);
    }
    if (result == 0)
        result = set_upper(plan, op, context, target);
    if (result == 0 && op->number[0] & CLIB_ROOT_USERXATTR)
        result = sys(fsconfig, context, FSCONFIG_SET_FLAG, "userxattr", 0, 0);
    if (result == 0 && op->number[0] & CLIB_ROOT_VOLATILE)
        result = sys(fsconfig, context, FSCONFIG_SET_FLAG, "volatile", 0, 0);
    if (result == 0)
        result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    return result < 0 ? (int)result : (int)sys(fsmount, context, FSMOUNT_CLOEXEC, op->number[2]);
}

/* ---- before: mount(2), whose options are a page long ---- */

int add_text(struct option_text *options, const char *text) {
    size_t length = text_length(text);
    if (options->length + length >= sizeof options->text)
        return -E2BIG;
    memcpy(options->text + options->length, text, length + 1);
    options->length += length;
    return 0;
}

/* layers are named by descriptors, since a hundred paths do not fit; each stays open: it is what the name
 * means until the mount, and no exec inherits it */
static int add_layer(struct option_text *options, const char *separator, int fd) {
    char name[PATH_DIGITS];
    int result = fd < 0 ? fd : add_text(options, separator);
    return result < 0 ? result : add_text(options, name_of(fd, name));
}

static int add_directory(struct option_text *options, const char *separator, const char *path) {
    return add_layer(options, separator, (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int add_upper(const struct plan *plan, const struct clib_op *op, struct option_text *options,
                     const char *target) {
    const char *upper = op_text(plan, op, 0), *work = op_text(plan, op, 1);
    int result = 0;
    if (op->number[0] & CLIB_ROOT_PRIVATE) {
        result = private_upper(op, target);
        upper = "upper";
        work = "work";
    }
    if (result == 0 && upper && work)
        result = add_directory(options, ",upperdir=", upper);
    if (result == 0 && upper && work)
        result = add_directory(options, ",workdir=", work);
    return result;
}

static int mount_by_options(struct overlay *overlay) {
    const struct plan *plan = overlay->plan;
    const struct clib_op *op = overlay->op;
    struct option_text options = {.length = 0};
    const char *target = op_list(plan, op), *layer = next_text(target);
    long result = 0;
    for (uint32_t i = 0; i < op->size && result == 0; i++) {
        const char *path = next_text(layer);
        result = add_layer(&options, i ? ":" : "lowerdir=", open_layer(overlay, layer, path, target));
        layer = next_text(path);
    }
    if (result == 0)
        result = add_upper(plan, op, &options, target);
    if (result == 0 && op->number[0] & CLIB_ROOT_USERXATTR)
        result = add_text(&options, ",userxattr");
    if (result == 0 && op->number[0] & CLIB_ROOT_VOLATILE)
        result = add_text(&options, ",volatile");
    if (result == 0)
        result = sys(mount, "overlay", target, "overlay", op->number[2], options.text);
    return (int)result;
}

/* ---- the op ---- */

int overlay_mount(struct overlay *overlay) {
    if (!(overlay->op->number[0] & CLIB_ROOT_CLASSIC))
        return mount_by_layers(overlay);
    int result = mount_by_options(overlay);
    if (result < 0)
        return result;
    const char *target = op_list(overlay->plan, overlay->op);
    return (int)sys(open_tree, AT_FDCWD, target, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static int mount_root(struct init *init, struct overlay *overlay, const char *target) {
    if (overlay->op->number[0] & CLIB_ROOT_CLASSIC) {
        int result = mount_by_options(overlay);
        if (result < 0)
            return result;
        init->root = (int)sys(openat, AT_FDCWD, target, O_PATH | O_DIRECTORY | O_CLOEXEC);
        return init->root < 0 ? init->root : 0;
    }
    init->root = mount_by_layers(overlay);
    return init->root < 0 ? init->root : mount_onto(init->root, target);
}

int op_root_overlay(struct init *init, const struct clib_op *op) {
    struct overlay overlay = {
        .plan = init->plan,
        .op = op,
        .mapping = -1,
        .mounts = init->layers,
        .mount_count = init->layer_count,
    };
    return mount_root(init, &overlay, op_list(init->plan, op));
}
