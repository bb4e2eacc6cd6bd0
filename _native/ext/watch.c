/* inotify(7), for readers of a log that grows, and is rotated. */
#include "ext.h"

#include <errno.h>
#include <sys/inotify.h>
#include <unistd.h>

int clib_watch_growth(const char *path) {
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (inotify_add_watch(fd, path, IN_MODIFY | IN_CREATE | IN_MOVED_TO) >= 0)
        return fd;
    int result = -errno;
    close(fd);
    return result;
}
