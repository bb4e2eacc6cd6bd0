#include "other.h"

#include "proc.h"

/* what the record says of its first process; -errno */
static int read_started(const char *directory, struct clib_message *started) {
    cleanup_close int place = (int)sys(openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return place == -ENOENT ? -ESRCH : place;
    cleanup_close int file = (int)sys(openat, place, "started", O_RDONLY | O_CLOEXEC);
    long size = file < 0 ? file : sys(read, file, started, sizeof *started);
    int runs = size == sizeof *started && started->version == CLIB_PROTOCOL_VERSION &&
               started->kind == CLIB_MESSAGE_STARTED;
    return size < 0 && size != -ENOENT ? (int)size : runs ? 0 : -ESRCH;
}

/* By the process's directory in /proc, which never is another's who has its number: the caller may be in
 * another pid namespace than that of /proc. One that has ended has no namespaces. */
int other_namespace(const char *directory, const char *name) {
    struct clib_message started;
    struct process_facts facts;
    int result = read_started(directory, &started);
    if (result < 0)
        return result;
    cleanup_close int process = open_proc(started.value[0], ".", O_PATH | O_DIRECTORY);
    cleanup_close int spaces =
        process < 0 ? process : (int)sys(openat, process, "ns", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (spaces < 0)
        return spaces == -ENOENT ? -ESRCH : spaces;
    process_facts_in(process, &facts);
    int space = (int)sys(openat, spaces, name, O_RDONLY | O_CLOEXEC);
    if (space >= 0 && facts.start_time == started.number[0])
        return space;
    close_fd(&space);
    return space < 0 && space != -ENOENT ? space : -ESRCH;
}

int other_setns(const struct plan *plan, const struct clib_op *op) {
    const char *path = op_text(plan, op, 0), *directory = op_text(plan, op, 1);
    return directory ? other_namespace(directory, path)
                     : (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
}
