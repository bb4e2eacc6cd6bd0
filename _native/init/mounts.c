/* Mounts below the container's root, by the descriptor-based mount API: a target is resolved once, inside the
 * root, and the mount goes onto that very descriptor, whatever happens to the path meanwhile. */
#include "init.h"

#include "path.h"

#include <linux/mount.h>

static int attach(int mount, int target) {
    return (int)sys(move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int set_attributes(int mount, uint64_t set, uint64_t propagation, int recursive) {
    struct mount_attr attributes = {.attr_set = set, .propagation = propagation};
    if (set & MOUNT_ATTR__ATIME)
        attributes.attr_clr = MOUNT_ATTR__ATIME;
    if (!set && !propagation)
        return 0;
    return (int)sys(mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
                    sizeof attributes);
}

int new_mount(const char *fstype, const char *pairs, uint32_t count, uint64_t attributes) {
    cleanup_close int context = (int)sys(fsopen, fstype, FSOPEN_CLOEXEC);
    if (context < 0)
        return context;
    const char *key = pairs;
    for (uint32_t i = 0; i < count; i++) {
        const char *value = next_text(key);
        long result = *value ? sys(fsconfig, context, FSCONFIG_SET_STRING, key, value, 0)
                             : sys(fsconfig, context, FSCONFIG_SET_FLAG, key, 0, 0);
        if (result < 0)
            return (int)result;
        key = next_text(value);
    }
    long result = sys(fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0);
    return result < 0 ? (int)result : (int)sys(fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

int op_mount(struct init *init, const struct clib_op *op) {
    const char *fstype = op_text(init->plan, op, 0), *path = op_text(init->plan, op, 1);
    enum path_walk walk = op->number[1] & CLIB_MOUNT_NO_SYMLINKS ? PATH_NO_SYMLINKS : PATH_FOLLOW;
    cleanup_close int mount = new_mount(fstype, init->plan->blob + op->text[2], op->size, op->number[0]);
    if (mount < 0)
        return mount;
    cleanup_close int target = path_ensure(init->root, path, 1, walk);
    if (target < 0)
        return target;
    int result = set_attributes(mount, 0, op->number[2], 0);
    return result < 0 ? result : attach(mount, target);
}

int op_bind(struct init *init, const struct clib_op *op) {
    uint64_t flags = op->number[1];
    unsigned recursive = flags & CLIB_MOUNT_RECURSIVE ? AT_RECURSIVE : 0;
    cleanup_close int tree = flags & CLIB_MOUNT_TREE
                                 ? take_fd(&init->tree)
                                 : (int)sys(open_tree, AT_FDCWD, op_text(init->plan, op, 0),
                                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
    if (tree < 0)
        return tree;
    struct file_facts facts;
    int result = file_facts(tree, &facts);
    if (result < 0)
        return result;
    enum path_walk walk = flags & CLIB_MOUNT_NO_SYMLINKS ? PATH_NO_SYMLINKS : PATH_FOLLOW;
    cleanup_close int target = path_ensure(init->root, op_text(init->plan, op, 1), S_ISDIR(facts.mode), walk);
    if (target < 0)
        return target;
    result = set_attributes(tree, op->number[0], op->number[2], flags & CLIB_MOUNT_ATTR_RECURSIVE ? 1 : 0);
    return result < 0 ? result : attach(tree, target);
}

/* The host's /dev/null, and really that: a mask must not become a door (CVE-2025-31133). */
static int null_device(void) {
    cleanup_close int tree = (int)sys(open_tree, AT_FDCWD, "/dev/null", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    struct file_facts facts;
    int result = tree < 0 ? tree : file_facts(tree, &facts);
    if (result < 0)
        return result;
    if (!is_null_device(&facts))
        return -ENODEV;
    /* read-only: what is written still goes nowhere, and mode and owner, which are the host's, stay as they
     * are */
    result = set_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0);
    return result < 0 ? result : take_fd(&tree);
}

static int empty_directory(void) {
    static const char options[] = "size\0"
                                  "0k\0"
                                  "mode\0"
                                  "0555";
    return new_mount("tmpfs", options, 2,
                     MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

enum { NOTHING_THERE = -4096 }; /* no errno */

/* opens what a mask or a read-only path covers; NOTHING_THERE is fine */
static int open_covered(const struct init *init, const char *path, struct file_facts *facts) {
    cleanup_close int target = path_open(init->root, path, O_PATH, PATH_NO_SYMLINKS);
    if (target == -ENOENT || target == -ENOTDIR)
        return NOTHING_THERE;
    int result = target < 0 ? target : file_facts(target, facts);
    return result < 0 ? result : take_fd(&target);
}

/* The first cover of a kind is made, the others are clones of it: before Linux 6.15 only of one that is
 * attached. */
int op_mask(struct init *init, const char *path) {
    struct file_facts facts;
    cleanup_close int target = open_covered(init, path, &facts);
    if (target < 0)
        return target == NOTHING_THERE ? 0 : target;
    int *cover = S_ISDIR(facts.mode) ? &init->empty : &init->null;
    if (*cover < 0) {
        *cover = S_ISDIR(facts.mode) ? empty_directory() : null_device();
        return *cover < 0 ? *cover : attach(*cover, target);
    }
    cleanup_close int tree =
        (int)sys(open_tree, *cover, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    return tree < 0 ? tree : attach(tree, target);
}

int op_readonly(struct init *init, const char *path) {
    struct file_facts facts;
    cleanup_close int target = open_covered(init, path, &facts);
    if (target < 0)
        return target == NOTHING_THERE ? 0 : target;
    if (facts.mount_root)
        return set_attributes(target, MOUNT_ATTR_RDONLY, 0, 1);
    cleanup_close int tree =
        (int)sys(open_tree, target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int result = set_attributes(tree, MOUNT_ATTR_RDONLY, 0, 1);
    return result < 0 ? result : attach(tree, target);
}
