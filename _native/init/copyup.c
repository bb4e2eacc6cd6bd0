/* tmpcopyup: what the root has where a tmpfs goes, copied into it before it covers that.
 *
 * The source is a mount of its own, made for the copy: without the mounts below it, without devices, and with
 * no symlink that can be followed, so that it stays inside whatever a neighbour does to it meanwhile. Devices
 * and sockets stay behind: the first are for config.json to give, the others lead nowhere. */
#include "init.h"

#include <linux/mount.h>
#include <linux/limits.h>

enum { MAX_DEPTH = 200, ENTRIES = 4096, LINK_SIZE = 4096 };

struct copier {
    char names[XATTR_LIST_MAX];
    char value[XATTR_SIZE_MAX];
};

struct entry {
    uint64_t inode;
    int64_t offset;
    uint16_t size;
    uint8_t type;
    char name[];
};

struct time {
    int64_t seconds, nanoseconds;
};

static int look(int fd, const char *name, int flags, struct statx *facts) {
    return (int)sys(statx, fd, name, flags, STATX_BASIC_STATS, facts);
}

/* an owner that the user namespace does not have cannot be kept */
static int own(int fd, const char *name, int flags, const struct statx *facts) {
    long result = sys(fchownat, fd, name, facts->stx_uid, facts->stx_gid, flags);
    return result == -EINVAL ? 0 : (int)result;
}

/* those that a tmpfs can have */
static int copy_xattrs(struct copier *copier, int from, int to) {
    long length = sys(flistxattr, from, copier->names, sizeof copier->names);
    if (length <= 0)
        return length == -EOPNOTSUPP ? 0 : (int)length;
    const char *name = copier->names, *end = name + length;
    for (; name < end; name = next_text(name)) {
        long size = sys(fgetxattr, from, name, copier->value, sizeof copier->value);
        long result = size < 0 ? size : sys(fsetxattr, to, name, copier->value, size, 0);
        if (result < 0 && result != -EOPNOTSUPP && result != -EPERM && result != -ENODATA)
            return (int)result;
    }
    return 0;
}

static int set_times(int fd, const char *name, const struct statx *facts) {
    struct time times[2] = {{facts->stx_atime.tv_sec, facts->stx_atime.tv_nsec},
                            {facts->stx_mtime.tv_sec, facts->stx_mtime.tv_nsec}};
    return (int)sys(utimensat, fd, name, times, name ? AT_SYMLINK_NOFOLLOW : 0);
}

/* Owner, mode, attributes, times, in this order: each takes away something of the later ones. */
static int copy_facts(struct copier *copier, int from, int to, const struct statx *facts) {
    int result = own(to, "", AT_EMPTY_PATH, facts);
    if (result == 0)
        result = (int)sys(fchmod, to, facts->stx_mode & 07777);
    if (result == 0)
        result = copy_xattrs(copier, from, to);
    return result < 0 ? result : set_times(to, 0, facts);
}

static int copy_bytes(int from, int to, uint64_t size) {
    while (size) {
        long sent = sys(sendfile, to, from, 0, size < (1u << 30) ? size : (1u << 30));
        if (sent <= 0)
            return (int)sent;
        size -= (uint64_t)sent;
    }
    return 0;
}

static int copy_file(struct copier *copier, int from, int to, const char *name) {
    cleanup_close int source = (int)sys(openat, from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    struct statx facts;
    int result = source < 0 ? source : look(source, "", AT_EMPTY_PATH, &facts);
    if (result == 0 && !S_ISREG(facts.stx_mode)) /* it was, a moment ago */
        result = -ESTALE;
    if (result < 0)
        return result;
    cleanup_close int copy =
        (int)sys(openat, to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    result = copy < 0 ? copy : copy_bytes(source, copy, facts.stx_size);
    return result < 0 ? result : copy_facts(copier, source, copy, &facts);
}

static int copy_link(int from, int to, const char *name, const struct statx *facts) {
    char text[LINK_SIZE];
    long length = sys(readlinkat, from, name, text, sizeof text - 1);
    if (length < 0)
        return (int)length;
    text[length] = 0;
    long result = sys(symlinkat, text, to, name);
    if (result == 0)
        result = own(to, name, AT_SYMLINK_NOFOLLOW, facts);
    return result < 0 ? (int)result : set_times(to, name, facts);
}

static int copy_fifo(int to, const char *name, const struct statx *facts) {
    long result = sys(mknodat, to, name, S_IFIFO | (facts->stx_mode & 07777), 0);
    if (result == 0)
        result = own(to, name, AT_SYMLINK_NOFOLLOW, facts);
    return result < 0 ? (int)result : set_times(to, name, facts);
}

static int copy_entries(struct copier *copier, int from, int to, int depth);

static int copy_directory(struct copier *copier, int from, int to, const char *name, int depth) {
    if (depth == MAX_DEPTH)
        return -ENAMETOOLONG;
    cleanup_close int source = (int)sys(openat, from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct statx facts;
    int result = source < 0 ? source : look(source, "", AT_EMPTY_PATH, &facts);
    if (result == 0)
        result = (int)sys(mkdirat, to, name, 0700);
    if (result < 0)
        return result;
    cleanup_close int copy = (int)sys(openat, to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    result = copy < 0 ? copy : copy_entries(copier, source, copy, depth + 1);
    return result < 0 ? result : copy_facts(copier, source, copy, &facts);
}

static int copy_entry(struct copier *copier, int from, int to, const char *name, int depth) {
    struct statx facts;
    int result = look(from, name, AT_SYMLINK_NOFOLLOW, &facts);
    if (result < 0)
        return result;
    switch (facts.stx_mode & S_IFMT) {
    case S_IFREG:
        return copy_file(copier, from, to, name);
    case S_IFDIR:
        return copy_directory(copier, from, to, name, depth);
    case S_IFLNK:
        return copy_link(from, to, name, &facts);
    case S_IFIFO:
        return copy_fifo(to, name, &facts);
    }
    return 0;
}

static int is_dot(const char *name) {
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int copy_entries(struct copier *copier, int from, int to, int depth) {
    _Alignas(struct entry) char entries[ENTRIES];
    for (;;) {
        long length = sys(getdents64, from, entries, sizeof entries);
        if (length <= 0)
            return (int)length;
        for (long at = 0; at < length;) {
            const struct entry *entry = (const struct entry *)(entries + at);
            int result = is_dot(entry->name) ? 0 : copy_entry(copier, from, to, entry->name, depth);
            if (result < 0)
                return result;
            at += entry->size;
        }
    }
}

/* `directory` by itself, read through a mount that has nothing else */
static int open_shielded(int directory) {
    cleanup_close int tree =
        (int)sys(open_tree, directory, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return tree;
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NOSYMFOLLOW,
                                    .propagation = MS_PRIVATE};
    long result = sys(mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    return result < 0 ? (int)result : (int)sys(openat, tree, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

int copy_up(int directory, int mount) {
    struct copier copier;
    cleanup_close int from = open_shielded(directory);
    cleanup_close int to = from < 0 ? from : (int)sys(openat, mount, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int result = to < 0 ? to : copy_entries(&copier, from, to, 0);
    return result < 0 ? result : copy_xattrs(&copier, from, to);
}
