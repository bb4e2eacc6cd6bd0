/* What is left to do when the container has ended: its other processes, its OOM count, its cgroups. */
#include "init.h"
#include "shim.h"

#include <linux/signal.h>
#include <linux/time_types.h>

enum { ROUNDS = 200, BATCH = 16 /* pidfds at a time: there may be few left */ };

static uint32_t first_after(const struct shim *shim) {
    return shim->plan.header->before_count + shim->plan.header->started_count;
}

#define for_each_after(shim, op)                                                                             \
    for (const struct clib_op *op = (shim)->plan.ops + first_after(shim),                                    \
                              *op##_end = op + (shim)->plan.header->after_count;                             \
         op < op##_end; op++)

/* The pids of a group, as cgroup.procs lists them; more than fits is for the next round. A walk over them:
 * for (at = list.text; next_pid(&at, &pid);) */
struct pid_list {
    char text[4096];
};

static void read_pids(int group, struct pid_list *list) {
    if (read_file(group, "cgroup.procs", list->text, sizeof list->text) < 0)
        list->text[0] = 0;
}

static int next_pid(const char **at, uint64_t *pid) {
    const char *end;
    *pid = parse_decimal(*at, &end);
    if (end == *at || *end != '\n')
        return 0;
    *at = end + 1;
    return 1;
}

static int has_pid(const struct pid_list *list, uint64_t wanted) {
    uint64_t pid;
    for (const char *at = list->text; next_pid(&at, &pid);)
        if (pid == wanted)
            return 1;
    return 0;
}

/* kills the next few of the list, and returns how many they were */
static int kill_some(int group, const char **at) {
    struct {
        uint64_t pid;
        int fd;
    } some[BATCH];
    int count = 0;
    while (count < BATCH && next_pid(at, &some[count].pid)) {
        some[count].fd = some[count].pid ? (int)sys(pidfd_open, some[count].pid, 0) : -1;
        count++;
    }
    if (!count)
        return 0;
    /* who has got the number of one that ended meanwhile is not in the list, or is one of the group's own */
    struct pid_list still;
    read_pids(group, &still);
    for (int i = 0; i < count; i++) {
        if (some[i].fd >= 0 && has_pid(&still, some[i].pid))
            sys(pidfd_send_signal, some[i].fd, SIGKILL, 0, 0);
        close_fd(&some[i].fd);
    }
    return count;
}

/* kills what is in the group; returns how many there were */
static int kill_group(const char *path) {
    cleanup_close int group = (int)sys(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (group < 0)
        return 0;
    struct pid_list list;
    uint64_t pid;
    int count = 0, some;
    cleanup_close int killer = (int)sys(openat, group, "cgroup.kill", O_WRONLY | O_CLOEXEC);
    int at_once = killer >= 0 && sys(write, killer, "1", 1) == 1;
    read_pids(group, &list);
    const char *at = list.text;
    if (at_once)
        while (next_pid(&at, &pid))
            count++;
    else
        while ((some = kill_some(group, &at)))
            count += some;
    /* what is frozen in a v1 group does not even die */
    cleanup_close int freezer = (int)sys(openat, group, "freezer.state", O_WRONLY | O_CLOEXEC);
    if (freezer >= 0)
        sys(write, freezer, "THAWED", 6);
    return count;
}

void after_kill(const struct shim *shim) {
    for_each_after(shim, op) if (op->kind == CLIB_OP_CGROUP_KILL) kill_group(op_text(&shim->plan, op, 0));
}

void after_empty(const struct shim *shim) {
    for (int round = 0; round < ROUNDS; round++) {
        int left = 0;
        for_each_after(shim, op) if (op->kind == CLIB_OP_CGROUP_KILL) left +=
            kill_group(op_text(&shim->plan, op, 0));
        if (!left)
            return;
        pause_briefly();
    }
}

/* v1 says FROZEN or FREEZING, v2 says 1 */
int after_is_frozen(const struct shim *shim) {
    char text[24];
    for_each_after(shim, op) {
        if (op->kind != CLIB_OP_CGROUP_KILL)
            continue;
        cleanup_close int group =
            (int)sys(openat, AT_FDCWD, op_text(&shim->plan, op, 0), O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (read_file(group, "freezer.state", text, sizeof text) > 0)
            return text[0] == 'F';
        if (read_file(group, "cgroup.freeze", text, sizeof text) > 0)
            return text[0] == '1';
    }
    return 0;
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
