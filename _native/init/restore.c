/* The first process of a run that goes on from a checkpoint becomes CRIU, which makes the container's
 * processes beside itself: children of the shim, as this one is. What it did before is what of a start is not
 * in the checkpoint: the groups, the network namespace, the root and what is mounted from outside.
 *
 * The network it takes by a descriptor, and works in the shim's: what it asks the kernel for at first needs
 * one that packets go through, and where a dump has ended none do.
 *
 * It makes the socket itself. CRIU asks the kernel who has the other end, and looks among that process's
 * descriptors for the directories that it was told the numbers of: so these are its own. */
#include "channel.h"
#include "init.h"
#include "path.h"
#include "proc.h"
#include "program.h"

#include <linux/close_range.h>
#include <linux/sched.h>

enum { ABOVE = 32 };

int op_target(const struct init *init, const struct clib_op *op) {
    const char *source = op_text(init->plan, op, 0);
    struct file_facts facts = {.mode = S_IFDIR};
    int result = source ? path_facts(source, &facts) : 0;
    if (result < 0)
        return result;
    int target = path_ensure(init->root, op_text(init->plan, op, 1), S_ISDIR(facts.mode), PATH_FOLLOW);
    close_fd(&target);
    return target < 0 ? target : 0;
}

static int open_directory(const char *path) {
    return (int)sys(openat, AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* a copy that is in nobody's way, or -errno */
static int lift(int fd) {
    return fd < 0 ? fd : (int)sys(fcntl, fd, F_DUPFD_CLOEXEC, ABOVE);
}

/* each at its number, and /dev/null in the place of the streams, which are the container's alone */
static int place_all(const int fds[CLIB_RESTORE_FDS]) {
    cleanup_close int null = lift((int)sys(openat, AT_FDCWD, "/dev/null", O_RDWR | O_CLOEXEC));
    long result = null < 0 ? null : 0;
    for (int fd = 0; fd < CLIB_RESTORE_FDS && result >= 0; fd++) {
        int from = fd < CLIB_RESTORE_SOCKET ? null : fds[fd];
        result = from < 0 ? from : sys(dup3, from, fd, 0);
    }
    sys(close_range, CLIB_RESTORE_FDS, ~0u, CLOSE_RANGE_CLOEXEC);
    return result < 0 ? (int)result : 0;
}

/* the container's network namespace, in which this process is no longer then; or -errno */
static int leave_network(void) {
    cleanup_close int own = (int)sys(openat, AT_FDCWD, "/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    cleanup_close int shims = open_proc((int)sys(getppid), "ns/net", O_RDONLY);
    if (own < 0 || shims < 0)
        return own < 0 ? own : shims;
    long result = sys(setns, shims, CLONE_NEWNET);
    return result < 0 ? (int)result : take_fd(&own);
}

static int tell_shim(struct init *init, int socket) {
    struct clib_message message = {.kind = CLIB_MESSAGE_RESTORING, .version = CLIB_PROTOCOL_VERSION};
    int sync = lift(init->sync);
    if (sync < 0)
        return sync;
    init->sync = sync;
    return channel_send(sync, &message, socket);
}

int op_restore(struct init *init, const struct clib_op *op) {
    char program[PROGRAM_SIZE];
    int fds[CLIB_RESTORE_FDS], pair[2];
    const struct clib_op *request = op - 1;
    if (op == init->plan->ops || request->kind != CLIB_OP_REQUEST)
        return -EINVAL;
    int result = find_program(op_text(init->plan, op, 0), "", program);
    if (result == 0)
        result = (int)sys(socketpair, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0, pair);
    if (result < 0)
        return result;
    fds[CLIB_RESTORE_SOCKET] = lift(pair[1]);
    fds[CLIB_RESTORE_IMAGES] = lift(open_directory(op_text(init->plan, op, 1)));
    fds[CLIB_RESTORE_WORK] = lift(open_directory(op_text(init->plan, request, 0)));
    for (int fd = 0; fd < 3; fd++)
        fds[CLIB_RESTORE_STDIN + fd] = lift(fd);
    fds[CLIB_RESTORE_NETWORK] = lift(leave_network());
    if ((result = tell_shim(init, pair[0])) < 0 || (result = place_all(fds)) < 0)
        return result;
    struct words words = program_words(init->plan, op, op->number[0], op->number[1], 0);
    return words.argv ? (int)sys(execve, program, words.argv, words.envp) : -ENOMEM;
}
