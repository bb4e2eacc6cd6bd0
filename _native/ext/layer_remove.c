/* Removing a tree of any depth with two descriptors, never through a symbolic link. */
#include "layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/* Removes all of `directory` up to the first child that is a directory with something in it.
 * Returns that child opened, -1 when the directory is empty, -2 with errno. */
static int remove_up_to_child(int directory) {
    int fd = openat(directory, ".", OPEN_DIRECTORY);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        close_fd(&fd);
        return -2;
    }
    int result = -1;
    const struct dirent *item;
    while (result == -1 && (errno = 0, item = readdir(stream))) {
        const char *name = item->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        if (unlinkat(directory, name, 0) == 0 || unlinkat(directory, name, AT_REMOVEDIR) == 0)
            continue;
        if (errno != ENOTEMPTY && errno != EEXIST)
            result = -2;
        else if ((result = openat(directory, name, OPEN_DIRECTORY)) < 0)
            result = -2;
    }
    if (result == -1 && errno)
        result = -2;
    int error = errno;
    closedir(stream);
    errno = error;
    return result;
}

static int empty(int parent, const char *name) {
    cleanup_close int at = openat(parent, name, OPEN_DIRECTORY);
    size_t depth = 0;
    while (at >= 0) {
        int child = remove_up_to_child(at);
        if (child == -2)
            return -1;
        if (child == -1 && depth == 0)
            return 0;
        int next = child >= 0 ? child : openat(at, "..", OPEN_DIRECTORY);
        depth = child >= 0 ? depth + 1 : depth - 1;
        close_fd(&at);
        at = next;
    }
    return -1;
}

int layer_remove(int parent, const char *name) {
    if (unlinkat(parent, name, 0) == 0)
        return 0;
    if (errno != EISDIR || empty(parent, name))
        return -1;
    return unlinkat(parent, name, AT_REMOVEDIR);
}
