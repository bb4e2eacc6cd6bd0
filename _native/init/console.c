/* A pseudo-terminal out of the container's own devpts, so that its name makes sense inside. */
#include "channel.h"
#include "init.h"
#include "path.h"

#include <asm/ioctls.h>
#include <asm/termios.h>
#include <linux/mount.h>

/* the ptmx of the container's devpts: a device that an image put there instead is refused */
static int open_master(int root) {
    cleanup_close int master = path_open(root, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, PATH_NO_SYMLINKS);
    struct file_facts facts;
    int result = master < 0 ? master : file_facts(master, &facts);
    if (result < 0)
        return result;
    if (!S_ISCHR(facts.mode) || facts.major != 5 || facts.minor != 2)
        return -ENODEV;
    return take_fd(&master);
}

/* /dev/console is the terminal, in a container that is being made; an exec leaves it alone */
static int bind_console(int root, int terminal) {
    cleanup_close int target = path_ensure(root, "/dev/console", 0, PATH_NO_SYMLINKS);
    if (target < 0)
        return target;
    cleanup_close int tree =
        (int)sys(open_tree, terminal, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree < 0)
        return tree;
    return (int)sys(move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int become_controlling(int terminal) {
    for (int fd = 0; fd < 3; fd++) {
        long result = sys(dup3, terminal, fd, 0);
        if (result < 0)
            return (int)result;
    }
    return (int)sys(ioctl, 0, TIOCSCTTY, 0);
}

int op_console(struct init *init, const struct clib_op *op) {
    cleanup_close int master = open_master(init->root);
    if (master < 0)
        return master;
    int unlocked = 0;
    long result = sys(ioctl, master, TIOCSPTLCK, &unlocked);
    if (result < 0)
        return (int)result;
    cleanup_close int terminal = (int)sys(ioctl, master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (terminal < 0)
        return terminal;
    struct winsize size = {.ws_row = (unsigned short)init->rows, .ws_col = (unsigned short)init->columns};
    if (size.ws_row && (result = sys(ioctl, master, TIOCSWINSZ, &size)) < 0)
        return (int)result;
    if (op->number[2] && (result = sys(fchown, terminal, op->number[2] >> 32, -1)) < 0)
        return (int)result;
    if (op->number[0] && (result = bind_console(init->root, terminal)) < 0)
        return (int)result;
    struct clib_message message = {.kind = CLIB_MESSAGE_TERMINAL, .version = CLIB_PROTOCOL_VERSION};
    if ((result = channel_send(INIT_SYNC_FD, &message, master)) < 0)
        return (int)result;
    return become_controlling(terminal);
}
