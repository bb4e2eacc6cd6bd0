/* Removing a tree of any depth, a directory at a time: so several threads can share it, each with two
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

struct level {
    int top;
    int directory;
    const char *aside;
    int moved;
    uint64_t size;
};

static int remove_file(struct level *level, const char *name) {
    struct stat status;
    if (fstatat(level->directory, name, &status, AT_SYMLINK_NOFOLLOW) || unlinkat(level->directory, name, 0))
        return -errno;
    if (status.st_nlink == 1) /* the last of its hard links frees it */
        level->size += (uint64_t)status.st_size;
    return 0;
}

static int remove_directory(struct level *level, const char *name) {
    if (unlinkat(level->directory, name, AT_REMOVEDIR) == 0)
        return 0;
    if (errno != ENOTEMPTY && errno != EEXIST)
        return -errno;
    char aside[NAME_MAX + 1];
    if (snprintf(aside, sizeof aside, "%s%d", level->aside, level->moved) >= (int)sizeof aside)
        return -ENAMETOOLONG;
    if (renameat(level->directory, name, level->top, aside))
        return -errno;
    level->moved++;
    return 0;
}

static int remove_item(struct level *level, const struct dirent *item) {
    const char *name = item->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return 0;
    /* in the top itself, what was just moved may be listed again */
    if (strncmp(name, level->aside, strlen(level->aside)) == 0)
        return 0;
    int result = item->d_type == DT_DIR ? -EISDIR : remove_file(level, name);
    if (result == -EISDIR) /* also where the file system does not tell types */
        result = remove_directory(level, name);
    return result == -ENOENT ? 0 : result; /* another remover was faster */
}

int clib_remove_level(int top, const char *name, const char *aside, uint64_t *size) {
    int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : -errno;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        int error = errno;
        close_fd(&fd);
        return -error;
    }
    struct level level = {.top = top, .directory = fd, .aside = aside};
    int result = 0;
    const struct dirent *item;
    while (result == 0 && (errno = 0, item = readdir(stream)))
        result = remove_item(&level, item);
    if (result == 0)
        result = -errno;
    closedir(stream);
    *size = level.size;
    return result < 0 ? result : level.moved;
}
