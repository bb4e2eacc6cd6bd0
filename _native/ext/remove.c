/* Removing a tree of any depth, some levels at a time: with one, several threads can share it, each with two
 * descriptors. */
#include "ext.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

struct removal {
    int top;
    const char *aside;
    int moved;
    uint64_t size;
};

static int empty(struct removal *removal, int parent, const char *name, int deep);

static int remove_file(struct removal *removal, int directory, const char *name) {
    struct stat status;
    if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) || unlinkat(directory, name, 0))
        return -errno;
    if (status.st_nlink == 1) /* the last of its hard links frees it */
        removal->size += (uint64_t)status.st_size;
    return 0;
}

static int move_aside(struct removal *removal, int directory, const char *name) {
    char aside[NAME_MAX + 1];
    if (snprintf(aside, sizeof aside, "%s%d", removal->aside, removal->moved) >= (int)sizeof aside)
        return -ENAMETOOLONG;
    if (renameat(directory, name, removal->top, aside))
        return -errno;
    removal->moved++;
    return 0;
}

static int remove_directory(struct removal *removal, int directory, const char *name, int deep) {
    if (unlinkat(directory, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    if (deep == 0)
        return move_aside(removal, directory, name);
    int result = empty(removal, directory, name, deep - 1);
    /* where somebody adds files it stays, and so does the top: that is who says so */
    if (result == 0 && unlinkat(directory, name, AT_REMOVEDIR) && errno != ENOTEMPTY && errno != EEXIST)
        result = -errno;
    return result;
}

static int remove_item(struct removal *removal, int directory, const struct dirent *item, int deep) {
    const char *name = item->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    /* in the top itself, what was just moved may be listed again */
    if (strncmp(name, removal->aside, strlen(removal->aside)) == 0)
        return 0;
    int result = item->d_type == DT_DIR ? -EISDIR : remove_file(removal, directory, name);
    if (result == -EISDIR) /* also where the file system does not tell types */
        result = remove_directory(removal, directory, name, deep);
    return result == -ENOENT ? 0 : result; /* another remover was faster */
}

static int empty(struct removal *removal, int parent, const char *name, int deep) {
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int error = errno;
        close_fd(&fd);
        return -error;
    }
    int result = 0;
    const struct dirent *item;
    while (result == 0 && (errno = 0, item = readdir(stream)))
        result = remove_item(removal, fd, item, deep);
    if (result == 0)
        result = -errno;
    closedir(stream);
    return result;
}

int clib_remove_level(int top, const char *name, const char *aside, int deep, uint64_t *size) {
    struct removal removal = {.top = top, .aside = aside};
    int result = empty(&removal, top, name, deep);
    *size = removal.size;
    return result < 0 ? result : removal.moved;
}
