#include "proc.h"

enum { PATH_SIZE = 128 };

int open_proc(int pid, const char *name, int flags) {
    char path[PATH_SIZE] = "/proc/";
    size_t length = 6 + format_decimal(path + 6, (uint64_t)pid), more = text_length(name);
    if (length + 1 + more >= sizeof path)
        return -ENAMETOOLONG;
    path[length++] = '/';
    memcpy(path + length, name, more + 1);
    return (int)sys(openat, AT_FDCWD, path, flags | O_CLOEXEC);
}

/* the number behind the `count`th space after *at, which is set behind the number */
static uint64_t skip_fields(const char **at, const char *end, int count) {
    while (count-- && *at < end)
        *at = find_byte(*at + 1, end, ' ');
    return *at < end ? parse_decimal(*at + 1, at) : 0;
}

/* Spec: proc_pid_stat(5): fields 9 (flags), 22 (start time) and 23 (bytes of memory), counted from behind the
 * name, which may hold anything. A zombie has them still. */
static void facts_of(int directory, const char *path, struct process_facts *facts) {
    enum { STAT_SIZE = 1024, TO_FLAGS = 7, TO_START_TIME = 12, PF_EXITING = 0x4, PF_FORKNOEXEC = 0x40 };
    char stat[STAT_SIZE];
    long size = read_file(directory, path, stat, sizeof stat);
    const char *end = stat + (size > 0 ? size : 0), *at = end;
    while (at > stat && *at != ')')
        at--;
    facts->is_init = end - at > 1 && at - stat >= 5 && memcmp(at - 5, "(init", 5) == 0;
    uint64_t flags = skip_fields(&at, end, TO_FLAGS);
    facts->has_execed = !(flags & PF_FORKNOEXEC);
    facts->start_time = (int64_t)skip_fields(&at, end, TO_START_TIME);
    facts->is_ending = flags & PF_EXITING && skip_fields(&at, end, 1) == 0;
}

void process_facts(int pid, struct process_facts *facts) {
    char path[PATH_SIZE] = "/proc/";
    size_t length = 6 + format_decimal(path + 6, (uint64_t)pid);
    memcpy(path + length, "/stat", 6);
    facts_of(AT_FDCWD, path, facts);
}

void process_facts_in(int process, struct process_facts *facts) {
    facts_of(process, "stat", facts);
}
