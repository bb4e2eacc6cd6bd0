/* Removal of a container's directory by its shim: of a tree that strangers filled, at any depth, with two
 * descriptors. Nothing is followed: a directory is entered by its name alone, and left by "..", which nobody
 * can turn elsewhere, as the container is gone. What is mounted is neither entered nor removed. */
#include "shim.h"

#include <linux/openat2.h>

enum { LISTING = 8192 };

/* the kernel's struct linux_dirent64 */
struct entry {
    uint64_t inode;
    int64_t offset;
    unsigned short size;
    unsigned char type;
    char name[];
};

static int is_dots(const char *name) {
    return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static int open_below(int directory, const char *name) {
    struct open_how how = {
        .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    return (int)sys(openat2, directory, name, &how, sizeof how);
}

/* 0, or a descriptor of the directory of that name, which is not empty, or -errno */
static int remove_entry(int directory, const char *name) {
    long result = sys(unlinkat, directory, name, 0);
    if (result == -EISDIR)
        result = sys(unlinkat, directory, name, AT_REMOVEDIR);
    if (result == -ENOTEMPTY)
        return open_below(directory, name);
    return result == -ENOENT ? 0 : (int)result;
}

/* Removes what is in `directory` up to the first directory that is not empty, whose descriptor is *full; else
 * that is -1. 0 or -errno */
static int empty(int directory, int *full) {
    _Alignas(struct entry) char listing[LISTING];
    *full = -1;
    for (;;) {
        sys(lseek, directory, 0, 0);
        long size = sys(getdents64, directory, listing, sizeof listing);
        int removed = 0;
        for (long at = 0; at < size;) {
            const struct entry *entry = (const struct entry *)(listing + at);
            at += entry->size;
            if (is_dots(entry->name))
                continue;
            int result = remove_entry(directory, entry->name);
            if (result < 0)
                return result;
            if (result > 0) {
                *full = result;
                return 0;
            }
            removed++;
        }
        if (size < 0 || !removed)
            return (int)size < 0 ? (int)size : 0;
    }
}

/* the name under which the directory lies in the one above it; NULL: it has none any more */
static const char *own_name(int directory, char *path, size_t size) {
    char link[40] = "/proc/self/fd/";
    link[14 + format_decimal(link + 14, (uint64_t)directory)] = 0;
    long length = sys(readlinkat, AT_FDCWD, link, path, size - 1);
    if (length <= 0)
        return NULL;
    path[length] = 0;
    const char *name = path + length;
    while (name > path && name[-1] != '/')
        name--;
    return name;
}

int remove_tree(int top) {
    char path[4096];
    const char *name = own_name(top, path, sizeof path);
    cleanup_close int above = (int)sys(openat, top, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int at = (int)sys(fcntl, top, F_DUPFD_CLOEXEC, 0), depth = 0, result = at;
    while (result >= 0) {
        int next;
        result = empty(at, &next);
        if (result == 0 && next < 0) {
            if (depth-- == 0)
                break;
            next = (int)sys(openat, at, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
            result = next;
        } else {
            depth++;
        }
        close_fd(&at);
        at = next;
    }
    close_fd(&at);
    if (result < 0 || above < 0 || !name)
        return result < 0 ? result : -ENOENT;
    return (int)sys(unlinkat, above, name, AT_REMOVEDIR);
}
