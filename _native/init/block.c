/* A file as a block device: before Linux 6.12, and of a file on tmpfs, EROFS is mounted from nothing else. */
#include "init.h"

#include <linux/loop.h>

enum { LOOP_TRIES = 64 };

/* the device is taken apart when it is neither open nor mounted any more: nothing of it is left behind */
int block_of_file(int file, char device[BLOCK_NAME]) {
    static const char directory[] = "/dev/loop";
    cleanup_close int control = (int)sys(openat, AT_FDCWD, "/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return control;
    struct loop_config config = {
        .fd = (uint32_t)file,
        .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
    };
    for (int tries = 0; tries < LOOP_TRIES; tries++) {
        long number = sys(ioctl, control, LOOP_CTL_GET_FREE);
        if (number < 0)
            return (int)number;
        memcpy(device, directory, sizeof directory);
        device[sizeof directory - 1 + format_decimal(device + sizeof directory - 1, (uint64_t)number)] = 0;
        cleanup_close int loop = (int)sys(openat, AT_FDCWD, device, O_RDONLY | O_CLOEXEC);
        long result = loop < 0 ? loop : sys(ioctl, loop, LOOP_CONFIGURE, &config);
        if (result == 0)
            return take_fd(&loop);
        if (result != -EBUSY) /* somebody else was faster */
            return (int)result;
    }
    return -EBUSY;
}
