/* What is left to do when the container has ended: its other processes, its OOM count, its cgroups. */
#include "shim.h"

#include <linux/signal.h>
#include <linux/time_types.h>

enum { ROUNDS = 200 };

static uint32_t first_after(const struct shim *shim) {
    return shim->plan.header->before_count + shim->plan.header->started_count;
}

#define for_each_after(shim, op)                                                                             \
    for (const struct clib_op *op = (shim)->plan.ops + first_after(shim),                                    \
                              *op##_end = op + (shim)->plan.header->after_count;                             \
         op < op##_end; op++)

/* kills what is in the group; returns how many there were */
static int kill_group(const char *path) {
    cleanup_close int group = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return 0;
    cleanup_close int killer = (int)sys(openat, group, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    if (killer >= 0)
        sys(write, killer, "1", 1);
    char list[4096]; /* more than fits is for the next round */
    long size = read_file(group, "cgroup.procs", list, sizeof list);
    int count = 0;
    for (const char *at = list; size > 0 && at < list + size;) {
        const char *end;
        uint64_t pid = parse_decimal(at, &end);
        if (end == at || *end != '\n')
            break;
        if (pid)
            sys(kill, pid, SIGKILL);
        count++;
        at = end + 1;
    }
    /* what is frozen in a v1 group does not even die */
    cleanup_close int freezer = (int)sys(openat, group, "freezer.state", O_WRONLY | O_CLOEXEC);
    if (freezer >= 0)
        sys(write, freezer, "THAWED", 6);
    return count;
}

void after_kill(const struct shim *shim) {
    for_each_after(shim, op) if (op->kind == CLIB_OP_CGROUP_KILL) kill_group(op_text(&shim->plan, op, 0));
}

int after_oom_kills(const struct shim *shim) {
    static const char key[] = "oom_kill ";
    char text[1024];
    for_each_after(shim, op) {
        if (op->kind != CLIB_OP_OOM_RECORD)
            continue;
        long size = read_file(AT_FDCWD, op_text(&shim->plan, op, 0), text, sizeof text);
        for (const char *at = text; size > 0 && at < text + size; at = find_byte(at, text + size, '\n') + 1)
            if ((size_t)(text + size - at) > sizeof key && memcmp(at, key, sizeof key - 1) == 0)
                return (int)parse_decimal(at + sizeof key - 1, &at);
    }
    return 0;
}

void after_remove(const struct shim *shim) {
    for (int round = 0; round < ROUNDS; round++) {
        int left = 0;
        for_each_after(shim, op) {
            if (op->kind == CLIB_OP_CGROUP_KILL)
                left += kill_group(op_text(&shim->plan, op, 0));
            else if (op->kind == CLIB_OP_CGROUP_REMOVE)
                left += sys(unlinkat, AT_FDCWD, op_text(&shim->plan, op, 0), AT_REMOVEDIR) == -EBUSY;
        }
        if (!left)
            return;
        pause_briefly();
    }
}
