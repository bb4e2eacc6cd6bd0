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

/* the number behind the `count`th space after *at, which is set behind the number */
static uint64_t skip_fields(const char **at, const char *end, int count) {
    while (count-- && *at < end)
        *at = find_byte(*at + 1, end, ' ');
    return *at < end ? parse_decimal(*at + 1, at) : 0;
}

/* Spec: proc_pid_stat(5): fields 9 (flags) and 22 (start time), counted from behind the name, which may hold
 * anything. A zombie has them still. */
void process_facts(int pid, struct process_facts *facts) {
    enum { STAT_SIZE = 1024, TO_FLAGS = 7, TO_START_TIME = 12, PF_FORKNOEXEC = 0x40 };
    char path[32] = "/proc/", stat[STAT_SIZE];
    size_t length = 6 + format_decimal(path + 6, (uint64_t)pid);
    memcpy(path + length, "/stat", 6);
    long size = read_file(AT_FDCWD, path, stat, sizeof stat);
    const char *end = stat + (size > 0 ? size : 0), *at = end;
    while (at > stat && *at != ')')
        at--;
    facts->is_init = end - at > 1 && at - stat >= 5 && memcmp(at - 5, "(init", 5) == 0;
    facts->has_execed = !(skip_fields(&at, end, TO_FLAGS) & PF_FORKNOEXEC);
    facts->start_time = (int64_t)skip_fields(&at, end, TO_START_TIME);
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
