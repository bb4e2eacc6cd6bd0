/* The many small steps by which a control group is made, several at a time: from Python each of them alone
 * gives the GIL away, and waits to get it back where other threads make containers too. */
#include "ext.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *next_text(const char *text) {
    return text + strlen(text) + 1;
}

int clib_make_directories(const char *paths, int count, int mode) {
    int made = 0;
    while (made < count && mkdir(paths, (mode_t)mode) == 0) {
        paths = next_text(paths);
        made++;
    }
    return made;
}

int clib_write_files(const char *pairs, int count) {
    const char *path = pairs, *open_path = "";
    int written = 0, fd = -1;
    for (; written < count; written++) {
        const char *value = next_text(path);
        size_t length = strlen(value);
        if (strcmp(path, open_path) != 0) {
            if (fd >= 0)
                close(fd);
            fd = open(open_path = path, O_WRONLY | O_CLOEXEC);
        }
        if (fd < 0 || write(fd, value, length) != (ssize_t)length)
            break;
        path = next_text(value);
    }
    if (fd >= 0)
        close(fd);
    return written;
}
