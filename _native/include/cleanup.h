/* Ownership in the declaration: `cleanup_close int fd = -1;` closes at the end of the scope, take_fd(&fd)
 * hands it over. */
#pragma once

#include "syscall.h"

static inline void close_fd(const int *fd) {
    if (*fd >= 0)
        sys(close, *fd);
}

static inline void close_fds(const int *fds, int count) {
    for (int i = 0; i < count; i++)
        close_fd(&fds[i]);
}

#define cleanup_close __attribute__((cleanup(close_fd)))

static inline int take_fd(int *fd) {
    int taken = *fd;
    *fd = -1;
    return taken;
}
