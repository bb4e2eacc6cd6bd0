/* Ops that run while the host's tree is still visible: cgroups, namespaces, and what hangs on them. */
#include "init.h"
#include "other.h"

#include <linux/if.h>
#include <linux/sched.h>
#include <linux/socket.h>
#include <linux/sockios.h>

/* A single-threaded process that moves itself is spared the lock that moving another takes: 0.03 ms, not 1
 * to 28. */
int op_cgroup_join(const char *path) {
    return write_file(path, "0", 1);
}

int op_unshare(uint64_t flags) {
    return (int)sys(unshare, flags);
}

int op_time_offsets(const char *text) {
    return write_file("/proc/self/timens_offsets", text, text_length(text));
}

int op_setns(struct init *init, const struct clib_op *op) {
    int is_others = op_text(init->plan, op, 1) && init->joined < init->opened;
    cleanup_close int fd = is_others ? take_fd(&init->spaces[init->joined++]) : other_setns(init->plan, op);
    return fd < 0 ? fd : (int)sys(setns, fd, op->number[0]);
}

int op_join(struct init *init, uint64_t flags) {
    long joined = sys(setns, INIT_TARGET_FD, flags);
    if (joined == -EINVAL && flags & CLONE_NEWUSER) /* the shim had to be in the user namespace already */
        joined = sys(setns, INIT_TARGET_FD, flags & ~(uint64_t)CLONE_NEWUSER);
    if (joined < 0)
        return (int)joined;
    if (init->root >= 0) /* a container without a mount namespace has its root opened before */
        return 0;
    init->root = (int)sys(openat, AT_FDCWD, "/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return init->root < 0 ? init->root : replace_null(init->root);
}

int op_oom_score_adj(int64_t value) {
    char text[24];
    size_t length = 0;
    if (value < 0)
        text[length++] = '-';
    length += format_decimal(text + length, (uint64_t)(value < 0 ? -value : value));
    return write_file("/proc/self/oom_score_adj", text, length);
}

int op_loopback_up(void) {
    cleanup_close int socket = (int)sys(socket, AF_INET, 2 /* SOCK_DGRAM */ | O_CLOEXEC, 0);
    if (socket < 0)
        return socket;
    struct ifreq request = {.ifr_name = "lo"};
    long result = sys(ioctl, socket, SIOCGIFFLAGS, &request);
    if (result < 0)
        return (int)result;
    request.ifr_flags |= IFF_UP;
    return (int)sys(ioctl, socket, SIOCSIFFLAGS, &request);
}
