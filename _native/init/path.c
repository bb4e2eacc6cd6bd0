#include "path.h"

#include <linux/openat2.h>

enum { PATH_SIZE = 4096, PATH_ATTEMPTS = 1000, MAX_LINKS = 8 };

int path_open(int root, const char *path, uint64_t flags, enum path_walk walk) {
    struct open_how how = {
        .flags = flags | O_CLOEXEC,
        .resolve =
            RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | (walk == PATH_NO_SYMLINKS ? RESOLVE_NO_SYMLINKS : 0),
    };
    /* a mount or rename anywhere on the host while ".." is resolved makes the kernel ask for another try */
    long fd = -EAGAIN;
    for (int attempt = 0; fd == -EAGAIN && attempt < PATH_ATTEMPTS; attempt++)
        fd = sys(openat2, root, path, &how, sizeof how);
    return (int)fd;
}

/* makes the directory `path` (a copy that may be cut at its slashes) and its parents below root */
static int make_directories(int root, char *path, size_t length) {
    for (size_t i = 1; i <= length; i++) {
        if (i < length && path[i] != '/')
            continue;
        char cut = path[i];
        path[i] = 0;
        cleanup_close int there = path_open(root, path, O_PATH | O_DIRECTORY, PATH_FOLLOW);
        if (there == -ENOENT) {
            const char *name;
            cleanup_close int parent = path_open_parent(root, path, &name);
            if (parent < 0)
                return parent;
            long made = sys(mkdirat, parent, name, 0755);
            if (made < 0)
                return (int)made; /* also -EEXIST: a dangling symlink is in the way */
        } else if (there < 0) {
            return there;
        }
        path[i] = cut;
    }
    return 0;
}

int path_open_parent(int root, const char *path, const char **name) {
    size_t length = text_length(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    size_t slash = length;
    while (slash > 0 && path[slash - 1] != '/')
        slash--;
    *name = path + slash;
    if (slash <= 1)
        return path_open(root, "/", O_PATH | O_DIRECTORY, PATH_FOLLOW);
    char parent[PATH_SIZE];
    if (slash >= sizeof parent)
        return -ENAMETOOLONG;
    memcpy(parent, path, slash - 1);
    parent[slash - 1] = 0;
    int fd = path_open(root, parent, O_PATH | O_DIRECTORY, PATH_FOLLOW);
    if (fd != -ENOENT)
        return fd;
    int made = make_directories(root, parent, slash - 1);
    return made < 0 ? made : path_open(root, parent, O_PATH | O_DIRECTORY, PATH_FOLLOW);
}

/* where the dangling symlink `name` in parent points, as a path from the root: absolute, or beside `path` */
static int read_dangling(int parent, const char *path, const char *name, char *target) {
    size_t prefix = (size_t)(name - path);
    if (prefix >= PATH_SIZE)
        return -ENAMETOOLONG;
    memcpy(target, path, prefix);
    long length = sys(readlinkat, parent, name, target + prefix, PATH_SIZE - 1 - prefix);
    if (length < 0)
        return (int)length;
    if (target[prefix] == '/') {
        memmove(target, target + prefix, (size_t)length);
        prefix = 0;
    }
    target[prefix + (size_t)length] = 0;
    return 0;
}

static int ensure(int root, const char *path, int directory, enum path_walk walk, int links_left) {
    int fd = path_open(root, path, O_PATH, walk);
    if (fd != -ENOENT)
        return fd;
    const char *name;
    cleanup_close int parent = path_open_parent(root, path, &name);
    if (parent < 0)
        return parent;
    long made = directory ? sys(mkdirat, parent, name, 0755) : sys(mknodat, parent, name, S_IFREG | 0644, 0);
    if (made == -EEXIST && walk == PATH_FOLLOW && links_left) {
        char target[PATH_SIZE];
        int result = read_dangling(parent, path, name, target);
        if (result == 0)
            return ensure(root, target, directory, walk, links_left - 1);
    }
    return made < 0 && made != -EEXIST ? (int)made : path_open(root, path, O_PATH, walk);
}

int path_ensure(int root, const char *path, int directory, enum path_walk walk) {
    return ensure(root, path, directory, walk, MAX_LINKS);
}
