/* Paths inside a container's root are the container's: every one is resolved below a descriptor of the root,
 * by openat2, and never by the process's own "/". */
#pragma once

#include "base.h"

enum path_walk {
    PATH_FOLLOW,      /* symlinks are followed inside the root */
    PATH_NO_SYMLINKS, /* any symlink on the way is -ELOOP */
};

/* opens `path` below root; the descriptor or -errno */
int path_open(int root, const char *path, uint64_t flags, enum path_walk walk);

/* opens the parent directory of `path` below root, making missing ones with mode 0755; *name is the last
 * component */
int path_open_parent(int root, const char *path, const char **name);

/* opens (O_PATH) the directory or file at `path` below root; makes it, and missing parents, where it is not
 * there, also behind a symlink that points to nothing yet (/etc/resolv.conf of many an image) */
int path_ensure(int root, const char *path, int directory, enum path_walk walk);
