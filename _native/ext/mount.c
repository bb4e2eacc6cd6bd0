/* Mounting without a place in the tree: the mount is gone with its last descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "ext.h"

enum { LOOP_TRIES = 64 };

int clib_mount_detached(const char *type, const char *source) {
    cleanup_close int context = (int)syscall(SYS_fsopen, type, FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "source", source, 0) ||
        syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "ro", NULL, 0) ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        return -errno;
    int mounted = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                               MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV);
    return mounted < 0 ? -errno : mounted;
}

int clib_mount_memory(int large) {
    cleanup_close int context = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);
    if (context < 0)
        return -errno;
    syscall(SYS_fsconfig, context, FSCONFIG_SET_FLAG, "noswap", NULL, 0);
    syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "huge", large ? "within_size" : "never", 0);
    if (syscall(SYS_fsconfig, context, FSCONFIG_SET_STRING, "mode", "0700", 0) ||
        syscall(SYS_fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
        return -errno;
    int mounted = (int)syscall(SYS_fsmount, context, FSMOUNT_CLOEXEC,
                               MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
    return mounted < 0 ? -errno : mounted;
}

int clib_loop_attach(const char *path, char device[32]) {
    cleanup_close int file = open(path, O_RDONLY | O_CLOEXEC);
    cleanup_close int control = file < 0 ? -1 : open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    if (control < 0)
        return -errno;
    struct loop_config config = {
        .fd = (uint32_t)file,
        .info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR,
    };
    strncpy((char *)config.info.lo_file_name, path, LO_NAME_SIZE - 1);
    for (int tries = 0; tries < LOOP_TRIES; tries++) {
        int number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            return -errno;
        snprintf(device, 32, "/dev/loop%d", number);
        cleanup_close int loop = open(device, O_RDONLY | O_CLOEXEC);
        if (loop < 0)
            return -errno;
        if (ioctl(loop, LOOP_CONFIGURE, &config) == 0)
            return take_fd(&loop);
        if (errno != EBUSY) /* somebody else was faster */
            return -errno;
    }
    return -EBUSY;
}
