#include "ext.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/syscall.h>
#include <unistd.h>

int clib_filesystem_known(const char *type) {
    int context = (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
    if (context < 0)
        return -errno;
    close(context);
    return 0;
}

int clib_exchange(const char *one, const char *other) {
    long done = syscall(SYS_renameat2, AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
    return done < 0 ? -errno : 0;
}
