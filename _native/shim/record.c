/* Records: a message in a file of the container's directory. Each is one write of its whole, so a reader sees
 * it complete or not at all. They describe processes, which no power failure outlives: nothing is synced. */
#include "shim.h"

int record_write(const struct shim *shim, const char *name, const struct clib_message *message) {
    if (shim->directory < 0)
        return 0;
    cleanup_close int fd = (int)sys(openat, shim->directory, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return fd;
    long written = sys(pwrite64, fd, message, sizeof *message, 0);
    if (written < 0)
        return (int)written;
    return written == sizeof *message ? 0 : -ENOSPC;
}

void record_exit(const struct shim *shim) {
    if (record_write(shim, "exit", &shim->end) == 0)
        return;
    /* the disk is full: the start's record has its place there, and is no longer needed */
    if (record_write(shim, "started", &shim->end) == 0)
        sys(renameat, shim->directory, "started", shim->directory, "exit");
}

void record_init(struct shim *shim) {
    struct process_facts facts;
    if (!(shim->flags & CLIB_LAUNCH_UNSUPERVISED))
        return;
    process_facts(shim->pid, &facts);
    shim->start_time = facts.start_time;
    struct clib_message state = control_state(shim);
    record_write(shim, "init", &state);
}
