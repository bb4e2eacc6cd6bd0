#include "ext.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int clib_filesystem_known(const char *type) {
    int context = (int)syscall(SYS_fsopen, type, 1 /* FSOPEN_CLOEXEC */);
    if (context < 0)
        return -errno;
    close(context);
    return 0;
}
