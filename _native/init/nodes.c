/* Files that the container's root needs: devices, links, directories; and sysctls, which are files too. */
#include "init.h"

#include "path.h"

#include <asm/statfs.h>
#include <linux/magic.h>
#include <linux/memfd.h>

static int own(int parent, const char *name, uint64_t owner) {
    if (!owner)
        return 0;
    return (int)sys(fchownat, parent, name, owner >> 32, owner & 0xffffffff, AT_SYMLINK_NOFOLLOW);
}

/* is there already what the op makes? Spec: runtime-spec config-linux.md#devices */
static int is_node(int parent, const char *name, const struct clib_op *op) {
    cleanup_close int fd = path_open(parent, name, O_PATH | O_NOFOLLOW, PATH_NO_SYMLINKS);
    struct file_facts facts;
    if (fd < 0 || file_facts(fd, &facts) < 0)
        return 0;
    uint64_t device =
        (facts.minor & 0xff) | (uint64_t)facts.major << 8 | (uint64_t)(facts.minor & ~0xffu) << 12;
    return (facts.mode & S_IFMT) == (op->number[0] & S_IFMT) && device == op->number[1];
}

int op_mknod(struct init *init, const struct clib_op *op) {
    const char *name;
    cleanup_close int parent = path_open_parent(init->root, op_text(init->plan, op, 1), &name);
    if (parent < 0)
        return parent;
    long made = sys(mknodat, parent, name, op->number[0], op->number[1]);
    if (made == -EEXIST && is_node(parent, name, op))
        made = 0;
    return made < 0 ? (int)made : own(parent, name, op->number[2]);
}

int op_symlink(struct init *init, const char *text, const char *path) {
    const char *name;
    cleanup_close int parent = path_open_parent(init->root, path, &name);
    if (parent < 0)
        return parent;
    long made = sys(symlinkat, text, parent, name);
    return made == -EEXIST ? 0 : (int)made;
}

/* A write that an image could lead elsewhere is a write to the host: the path has no symlink, and the file is
 * proc's (CVE-2019-16884, CVE-2025-52881). */
int op_sysctl(struct init *init, const char *path, const char *value) {
    cleanup_close int proc = path_open(init->root, "/proc/sys", O_PATH | O_DIRECTORY, PATH_NO_SYMLINKS);
    if (proc < 0)
        return proc;
    cleanup_close int fd = path_open(proc, path, O_WRONLY, PATH_NO_SYMLINKS);
    if (fd < 0)
        return fd;
    struct statfs facts;
    long result = sys(fstatfs, fd, &facts);
    if (result < 0)
        return (int)result;
    if (facts.f_type != PROC_SUPER_MAGIC)
        return -ELOOP;
    result = sys(write, fd, value, text_length(value));
    return result < 0 ? (int)result : 0;
}

int is_null_device(const struct file_facts *facts) {
    return S_ISCHR(facts->mode) && facts->major == 1 && facts->minor == 3;
}

/* the container's own null device; where it has none, an empty file of its own */
static int open_null(int root) {
    cleanup_close int null = path_open(root, "/dev/null", O_RDWR | O_NOCTTY, PATH_NO_SYMLINKS);
    struct file_facts facts;
    if (null >= 0 && file_facts(null, &facts) == 0 && is_null_device(&facts))
        return take_fd(&null);
    return (int)sys(memfd_create, "null", MFD_CLOEXEC);
}

/* Through /proc/self/fd the container's root could change the mode and owner of whatever its streams are: not
 * of a device of the host. */
int replace_null(int root) {
    cleanup_close int null = -1;
    for (int fd = 0; fd < 3; fd++) {
        struct file_facts facts;
        if (file_facts(fd, &facts) < 0 || !is_null_device(&facts))
            continue;
        if (null < 0 && (null = open_null(root)) < 0)
            return null;
        long result = sys(dup3, null, fd, 0);
        if (result < 0)
            return (int)result;
    }
    return 0;
}
