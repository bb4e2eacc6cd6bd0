/* What a container has from another one at each of its starts: a namespace, and a mount that the other lends,
 * its shared memory.
 *
 *   lender's shim          before its program runs, opens what it lends, in its mount namespace
 *   borrower's shim        BORROW ->      (shim.sock in the lender's directory)
 *   lender's shim          <- DONE + a clone of that mount, made in its mount namespace
 *
 * No path is looked up once the lender's program runs: whatever that mounts, moves or links, what is lent is
 * the mount that its configuration has made. Where it has unmounted that, nothing is lent. */
#include "init.h"
#include "other.h"
#include "shim.h"

#include <asm/socket.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/socket.h>
#include <linux/time_types.h>
#include <linux/un.h>

enum { PATIENCE_SECONDS = 5, NAME_SIZE = 40 };

int lend_open(struct shim *shim, const char *path) {
    cleanup_close int root = open_proc(shim->pid, "root", O_PATH | O_DIRECTORY);
    if (root < 0)
        return root;
    close_fd(&shim->lent);
    shim->lent = path_open(root, path, O_PATH, PATH_NO_SYMLINKS);
    int result = shim->lent < 0 ? shim->lent : 0;
    return result == -ENOENT || result == -ENOTDIR || result == -ELOOP ? 0 : result;
}

void lend_end(struct shim *shim) {
    close_fd(&shim->lent);
    shim->lent = -1;
}

static int clone_lent(struct shim *shim, const struct clib_op *op) {
    (void)op;
    cleanup_close int space = open_proc(shim->pid, "ns/mnt", O_RDONLY);
    long result = space < 0 ? space : sys(setns, space, CLONE_NEWNS);
    if (result == 0)
        result = sys(open_tree, shim->lent, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    return (int)result;
}

int lend(struct shim *shim, int *made) {
    if (shim->phase != PHASE_RUNNING)
        return -ESRCH;
    return shim->lent < 0 ? -ENOENT : make_aside(shim, NULL, clone_lent, 0, made);
}

/* a connection to the shim of that container, on which nothing waits longer than PATIENCE_SECONDS for it */
static int reach(const char *directory) {
    struct sockaddr_un address = {.sun_family = AF_UNIX_, .sun_path = "/proc/self/fd/"};
    struct __kernel_old_timeval patience = {.tv_sec = PATIENCE_SECONDS};
    cleanup_close int place = (int)sys(openat, AT_FDCWD, directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (place < 0)
        return place == -ENOENT ? -ESRCH : place;
    size_t length = 14 + format_decimal(address.sun_path + 14, (uint64_t)place);
    memcpy(address.sun_path + length, "/shim.sock", sizeof "/shim.sock");
    cleanup_close int socket = (int)sys(socket, AF_UNIX_, SOCK_SEQPACKET_ | O_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    long result = sys(setsockopt, socket, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    if (result == 0)
        result = sys(setsockopt, socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (result == 0)
        result = sys(connect, socket, &address, sizeof address);
    return result < 0 ? result == -ENOENT || result == -ECONNREFUSED ? -ESRCH : (int)result
                      : take_fd(&socket);
}

int borrow(const char *directory, int *made) {
    struct clib_message request = {.kind = CLIB_MESSAGE_BORROW, .version = CLIB_PROTOCOL_VERSION};
    cleanup_close int socket = reach(directory);
    int result = socket < 0 ? socket : channel_send(socket, &request, -1);
    if (result == 0)
        result = receive_mount(socket, made);
    return result == -EAGAIN ? -ETIMEDOUT : result == -EOWNERDEAD || result == -EPIPE ? -ESRCH : result;
}

int lend_namespace(const struct plan *plan, const struct clib_op *op, int *made) {
    cleanup_close int space = other_setns(plan, op);
    if (space < 0)
        return space;
    int tree = (int)sys(open_tree, space, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    *made = tree;
    return tree < 0 ? tree : 0;
}
