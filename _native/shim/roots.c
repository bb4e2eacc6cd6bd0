/* Roots that the container's first process cannot make for itself: see CLIB_OP_HANDOVER.
 *
 *   an overlay     for a process that is root in its own user namespace alone: it may mount no file system
 * that is a file, read no "trusted." attribute of a layer, and id-map nothing a FUSE one     is served by a
 * program of the host, which is no process of the container
 *
 * Nothing is mounted on the host: the first is made in a mount namespace for it alone, the second is attached
 * nowhere before the container's first process has it. */
#include "init.h"
#include "program.h"
#include "shim.h"

#include <linux/mount.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <linux/time_types.h>
#include <linux/wait.h>

enum { PATIENCE_SECONDS = 5, MNT_DETACH_ = 2, FUSE_OPTIONS = 7 };

static int make_overlay(struct shim *shim, const struct clib_op *op) {
    int mapped = !!(op->number[0] & CLIB_ROOT_MAPPED);
    cleanup_close int mapping = mapped ? open_proc(shim->pid, "ns/user", O_RDONLY) : -1;
    struct overlay overlay = {
        .plan = &shim->plan,
        .op = op,
        .mapping = mapping,
        .mounts = shim->layers,
        .mount_count = shim->layer_count,
    };
    return mapped && mapping < 0 ? mapping : overlay_mount(&overlay);
}

int roots_overlay(struct shim *shim, const struct clib_op *op, int *made) {
    return make_aside(shim, op, make_overlay, CLONE_NEWNS, made);
}

/* ---- fuse-overlayfs ---- */

/* a FUSE mount whose requests come to the descriptor `device` */
static int mount_fuse(int device) {
    static const char fixed[] = "source\0overlay\0"
                                "rootmode\0"
                                "40000\0"
                                "user_id\0"
                                "0\0"
                                "group_id\0"
                                "0\0"
                                "allow_other\0\0"
                                "default_permissions\0\0"
                                "fd";
    char options[sizeof fixed + 24];
    memcpy(options, fixed, sizeof fixed);
    options[sizeof fixed + format_decimal(options + sizeof fixed, (uint64_t)device)] = 0;
    return new_mount("fuse", options, FUSE_OPTIONS, 0);
}

/* The program has the device for its standard input. It ends when the mount is gone, which is when the last
 * process of the container is. */
int roots_fuse(struct shim *shim, const struct clib_op *op, int *made) {
    cleanup_close int device = (int)sys(openat, AT_FDCWD, "/dev/fuse", O_RDWR | O_CLOEXEC);
    cleanup_close int mount = device < 0 ? device : mount_fuse(device);
    if (mount < 0)
        return mount;
    const int stdio[] = {device, -1, -1};
    int pid = program_runtime(&shim->plan, op, stdio, -1, &shim->root_daemon);
    if (pid < 0)
        return pid;
    *made = take_fd(&mount);
    return 0;
}

/* The mount of a foreign container is in this process's own namespace. What the program has not written yet
 * it writes when the mount goes. */
void roots_end(struct shim *shim) {
    if (shim->root_daemon < 0)
        return;
    for (uint32_t i = 0; shim->flags & CLIB_LAUNCH_FOREIGN && i < shim->plan.header->before_count; i++)
        if (shim->plan.ops[i].kind == CLIB_OP_ROOT_FUSE)
            sys(umount2, op_text(&shim->plan, &shim->plan.ops[i], 1), MNT_DETACH_);
    struct pollfd slot = {shim->root_daemon, POLLIN, 0};
    struct __kernel_timespec patience = {.tv_sec = PATIENCE_SECONDS};
    if (sys(ppoll, &slot, 1, &patience, 0, 0) == 0)
        sys(pidfd_send_signal, shim->root_daemon, SIGKILL, 0, 0);
    char info[128];
    sys(waitid, P_PIDFD, shim->root_daemon, info, WEXITED, 0);
}
