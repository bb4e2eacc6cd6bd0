/* openat2(2): a path inside a root that somebody else fills. */
#include "ext.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ATTEMPTS = 1000 };

int clib_open_in_root(int dir_fd, const char *path, int flags, int mode, uint64_t extra_resolve) {
    struct open_how how = {
        .flags = (uint64_t)(unsigned)flags | O_CLOEXEC,
        .mode = flags & O_CREAT ? (uint64_t)mode : 0,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | extra_resolve,
    };
    /* a mount or rename anywhere on the host while ".." is resolved makes the kernel ask for another try */
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        long fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            return fd < 0 ? -errno : (int)fd;
    }
    return -EAGAIN;
}
