/* Binds and masks below the container's root, by the descriptor-based mount API: a target is resolved once,
 * inside the root, and the mount goes onto that very descriptor, whatever happens to the path meanwhile. */
#include "init.h"

#include "path.h"

#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/mount.h>

enum { LINK_SIZE = 4096 };

static int attach(int mount, int target) {
    return (int)sys(move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int mount_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int recursive) {
    struct mount_attr attributes = {.attr_set = set, .attr_clr = clear, .propagation = propagation};
    if (set & MOUNT_ATTR__ATIME)
        attributes.attr_clr |= MOUNT_ATTR__ATIME;
    if (!set && !clear && !propagation)
        return 0;
    return (int)sys(mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attributes,
                    sizeof attributes);
}

enum path_walk mount_walk(const struct clib_op *op) {
    return op->number[1] & CLIB_MOUNT_NO_SYMLINKS ? PATH_NO_SYMLINKS : PATH_FOLLOW;
}

static int lies_in_proc(int fd) {
    struct statfs facts;
    long result = sys(fstatfs, fd, &facts);
    return result < 0 ? (int)result : facts.f_type == PROC_SUPER_MAGIC;
}

/* The plan looks at a target's words; what a symlink of the image makes of them is seen here. Who mounts on a
 * file of the container's /proc has its confinement lifted (CVE-2019-16884). */
static int is_allowed(int target, const struct clib_op *op) {
    int in_proc = op->number[1] & CLIB_MOUNT_ON_PROC ? 0 : lies_in_proc(target);
    return in_proc > 0 ? -ELOOP : in_proc;
}

int mount_target(const struct init *init, const struct clib_op *op, int directory) {
    cleanup_close int target = path_ensure(init->root, op_text(init->plan, op, 1), directory, mount_walk(op));
    int result = target < 0 ? target : is_allowed(target, op);
    return result < 0 ? result : take_fd(&target);
}

int mount_there(const struct init *init, const struct clib_op *op) {
    cleanup_close int target = path_open(init->root, op_text(init->plan, op, 1), O_PATH, mount_walk(op));
    struct file_facts facts;
    int result = target < 0 ? target : file_facts(target, &facts);
    if (result == 0)
        result = facts.mount_root ? is_allowed(target, op) : -EINVAL;
    return result < 0 ? result : take_fd(&target);
}

int mount_attach(struct init *init, const struct clib_op *op, int *mount, int target) {
    int result = attach(*mount, target);
    const char *path = op_text(init->plan, op, 1);
    while (*path == '/')
        path++;
    if (result < 0 || *path)
        return result;
    close_fd(&init->root); /* it is covered by what is the root from now on */
    init->root = take_fd(mount);
    return 0;
}

/* ---- binds ---- */

/* 1 if the source is a symlink, which is then made anew in the root */
static int copy_symlink(struct init *init, const struct clib_op *op) {
    char text[LINK_SIZE], there[LINK_SIZE];
    long length = sys(readlinkat, AT_FDCWD, op_text(init->plan, op, 0), text, sizeof text - 1);
    if (length < 0)
        return length == -EINVAL ? 0 : (int)length;
    text[length] = 0;
    const char *name;
    cleanup_close int parent = path_open_parent(init->root, op_text(init->plan, op, 1), &name);
    long made = parent < 0 ? parent : sys(symlinkat, text, parent, name);
    if (made == -EEXIST && sys(readlinkat, parent, name, there, sizeof there) == length &&
        memcmp(text, there, (size_t)length) == 0)
        return 1;
    return made < 0 ? (int)made : 1;
}

static int open_source(struct init *init, const struct clib_op *op) {
    uint64_t flags = op->number[1];
    if (flags & CLIB_MOUNT_TREE && init->tree >= 0)
        return take_fd(&init->tree);
    unsigned recursive = flags & CLIB_MOUNT_RECURSIVE ? AT_RECURSIVE : 0;
    return (int)sys(open_tree, AT_FDCWD, op_text(init->plan, op, 0),
                    OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | recursive);
}

/* What is said of the mounts below is said of all; what is said of the mount itself has the last word. */
static int set_all(int tree, const struct clib_op *op) {
    uint64_t set = (uint32_t)op->number[0], clear = op->number[0] >> 32;
    uint64_t below = op->number[1] >> 32, below_clear = op->number[2] >> 32;
    int result = mount_attributes(tree, below, below_clear, 0, 1);
    if (result == 0 && (set != below || clear != below_clear))
        result = mount_attributes(tree, set, clear, 0, 0);
    if (result == 0)
        result = mount_attributes(tree, 0, 0, (uint32_t)op->number[2],
                                  op->number[1] & CLIB_MOUNT_PROPAGATION_RECURSIVE ? 1 : 0);
    return result;
}

int op_bind(struct init *init, const struct clib_op *op) {
    uint64_t flags = op->number[1];
    if (flags & CLIB_MOUNT_REMOUNT) {
        cleanup_close int mount = mount_there(init, op);
        return mount < 0 ? mount : set_all(mount, op);
    }
    cleanup_close int tree = open_source(init, op);
    int copied = flags & CLIB_MOUNT_COPY_SYMLINK ? copy_symlink(init, op) : 0;
    if (copied != 0) /* also where the link leads nowhere, so that nothing could be opened */
        return copied < 0 ? copied : 0;
    struct file_facts facts;
    int result = tree < 0 ? tree : file_facts(tree, &facts);
    if (result == 0 && flags & CLIB_MOUNT_PROC_SOURCE && (result = lies_in_proc(tree)) >= 0)
        result = result ? 0 : -ENODEV;
    if (result < 0)
        return result;
    cleanup_close int target = mount_target(init, op, S_ISDIR(facts.mode));
    if (target < 0)
        return target;
    result = set_all(tree, op);
    return result < 0 ? result : mount_attach(init, op, &tree, target);
}

/* ---- masks ---- */

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
    result = mount_attributes(tree, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0, 0, 0);
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
        return mount_attributes(target, MOUNT_ATTR_RDONLY, 0, 0, 1);
    cleanup_close int tree =
        (int)sys(open_tree, target, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | AT_RECURSIVE);
    if (tree < 0)
        return tree;
    int result = mount_attributes(tree, MOUNT_ATTR_RDONLY, 0, 0, 1);
    return result < 0 ? result : attach(tree, target);
}
