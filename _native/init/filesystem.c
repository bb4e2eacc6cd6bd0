/* New file systems below the container's root, and new options for one that is mounted there. */
#include "init.h"

#include "path.h"

#include <linux/mount.h>

enum { LOW_FLAGS = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC };

static int configure(int context, const char *pairs, uint32_t count) {
    const char *key = pairs;
    for (uint32_t i = 0; i < count; i++) {
        const char *value = next_text(key);
        long result = *value ? sys(fsconfig, context, FSCONFIG_SET_STRING, key, value, 0)
                             : sys(fsconfig, context, FSCONFIG_SET_FLAG, key, 0, 0);
        if (result < 0)
            return (int)result;
        key = next_text(value);
    }
    return 0;
}

int new_mount(const char *fstype, const char *pairs, uint32_t count, uint64_t attributes) {
    cleanup_close int context = (int)sys(fsopen, fstype, FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    long result = configure(context, pairs, count);
    if (result == 0)
        result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    return result < 0 ? (int)result : (int)sys(fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

/* how open the directory is that a tmpfs covers, so that the tmpfs is as open */
static int take_place(int mount, const struct clib_op *op, const struct statx *place) {
    if (op->number[1] & CLIB_MOUNT_TARGET_OWNER) {
        long result = sys(fchownat, mount, "", place->stx_uid, place->stx_gid, AT_EMPTY_PATH);
        if (result < 0 && result != -EINVAL) /* an owner that this user namespace does not have */
            return (int)result;
    }
    if (op->number[1] & CLIB_MOUNT_TARGET_MODE)
        return (int)sys(fchmodat, mount, ".", place->stx_mode & 07777);
    return 0;
}

/* 1 if the op's target is there already */
static int look_at_target(const struct init *init, const struct clib_op *op, struct statx *place) {
    cleanup_close int target =
        path_open(init->root, op_text(init->plan, op, 1), O_PATH | O_DIRECTORY, mount_walk(op));
    return target >= 0 && sys(statx, target, "", AT_EMPTY_PATH, STATX_BASIC_STATS, place) == 0;
}

/* the op's mount, in no place yet; its descriptor or -errno */
static int make(const struct init *init, const struct clib_op *op) {
    return new_mount(op_text(init->plan, op, 0), init->plan->blob + op->text[2], op->size,
                     (uint32_t)op->number[0]);
}

static int make_ahead(struct init *init, const struct clib_op *op) {
    if (init->made == INIT_AHEAD)
        return -E2BIG;
    int mount = make(init, op);
    if (mount < 0)
        return mount;
    init->ahead[init->made++] = mount;
    return 0;
}

static int take_ahead(struct init *init) {
    return init->taken < init->made ? take_fd(&init->ahead[init->taken++]) : -EINVAL;
}

static int mount_new(struct init *init, const struct clib_op *op) {
    uint64_t flags = op->number[1];
    cleanup_close int mount = flags & CLIB_MOUNT_MADE ? take_ahead(init) : make(init, op);
    if (mount < 0)
        return mount;
    struct statx place;
    int covers = flags & (CLIB_MOUNT_TARGET_MODE | CLIB_MOUNT_TARGET_OWNER | CLIB_MOUNT_COPY_UP)
                     ? look_at_target(init, op, &place)
                     : 0;
    cleanup_close int target = mount_target(init, op, 1);
    int result = target < 0 ? target : 0;
    if (result == 0 && covers && flags & CLIB_MOUNT_COPY_UP)
        result = copy_up(target, mount);
    if (result == 0 && covers)
        result = take_place(mount, op, &place);
    if (result == 0)
        result = mount_attributes(mount, 0, 0, op->number[2], 0);
    return result < 0 ? result : mount_attach(init, op, &mount, target);
}

/* ---- by mount(2) ---- */

static uint64_t classic_flags(uint64_t attributes) {
    uint64_t flags = attributes & LOW_FLAGS; /* they are the same in both */
    if (attributes & MOUNT_ATTR_NOATIME)
        flags |= MS_NOATIME;
    if (attributes & MOUNT_ATTR_STRICTATIME)
        flags |= MS_STRICTATIME;
    if (attributes & MOUNT_ATTR_NODIRATIME)
        flags |= MS_NODIRATIME;
    if (attributes & MOUNT_ATTR_NOSYMFOLLOW)
        flags |= MS_NOSYMFOLLOW;
    return flags;
}

/* the pairs as "key=value,key"; the source is not among them */
static int classic_options(const struct init *init, const struct clib_op *op, struct option_text *options,
                           const char **source) {
    const char *key = init->plan->blob + op->text[2];
    int result = 0;
    for (uint32_t i = 0; i < op->size && result == 0; i++) {
        const char *value = next_text(key);
        if (text_length(key) == 6 && memcmp(key, "source", 6) == 0) {
            *source = value;
        } else {
            if (options->length)
                result = add_text(options, ",");
            if (result == 0)
                result = add_text(options, key);
            if (result == 0 && *value)
                result = add_text(options, "=");
            if (result == 0)
                result = add_text(options, value);
        }
        key = next_text(value);
    }
    return result;
}

/* The target is "." by its descriptor: no path is walked twice until the mount is there. */
static int mount_classic(struct init *init, const struct clib_op *op) {
    enum { PROPAGATION = MS_UNBINDABLE | MS_PRIVATE | MS_SLAVE | MS_SHARED };
    struct option_text options = {.length = 0};
    const char *fstype = op_text(init->plan, op, 0), *source = fstype;
    cleanup_close int target = mount_target(init, op, 1);
    long result = target < 0 ? target : classic_options(init, op, &options, &source);
    if (result == 0)
        result = sys(fchdir, target);
    if (result == 0)
        result = sys(mount, source, ".", fstype,
                     classic_flags(op->number[0]) | (op->number[2] & ~(uint64_t)PROPAGATION), options.text);
    if (result < 0)
        return (int)result;
    cleanup_close int mount = mount_there(init, op);
    return mount < 0 ? mount : mount_attributes(mount, 0, 0, op->number[2] & PROPAGATION, 0);
}

/* ---- what is mounted already ---- */

static int reconfigure(struct init *init, const struct clib_op *op) {
    cleanup_close int mount = mount_there(init, op);
    if (mount < 0)
        return mount;
    if (op->size) {
        cleanup_close int context = (int)sys(fspick, mount, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
        long result = context < 0 ? context : configure(context, init->plan->blob + op->text[2], op->size);
        if (result == 0)
            result = sys(fsconfig, context, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0);
        if (result < 0)
            return (int)result;
    }
    return mount_attributes(mount, (uint32_t)op->number[0], op->number[0] >> 32, op->number[2], 0);
}

int op_mount(struct init *init, const struct clib_op *op) {
    if (op->number[1] & CLIB_MOUNT_REMOUNT)
        return reconfigure(init, op);
    if (op->number[1] & CLIB_MOUNT_AHEAD)
        return make_ahead(init, op);
    return op->number[1] & CLIB_MOUNT_CLASSIC ? mount_classic(init, op) : mount_new(init, op);
}
