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

/* Spec: proc_pid_stat(5), field 22, counted from behind the name, which may hold anything */
int64_t process_start_time(int pid) {
    enum { STAT_SIZE = 1024, FIELDS_AFTER_NAME = 20 };
    char path[32] = "/proc/", stat[STAT_SIZE];
    size_t length = 6 + format_decimal(path + 6, (uint64_t)pid);
    memcpy(path + length, "/stat", 6);
    long size = read_file(AT_FDCWD, path, stat, sizeof stat);
    if (size <= 0)
        return 0;
    const char *at = stat + size;
    while (at > stat && *at != ')')
        at--;
    for (int field = 0; field < FIELDS_AFTER_NAME && *at; field++)
        at = find_byte(at + 1, stat + size, ' ');
    return *at ? (int64_t)parse_decimal(at + 1, &at) : 0;
}
