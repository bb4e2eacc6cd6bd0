#include "channel.h"

#include <linux/socket.h>
#include <linux/uio.h>

/* the kernel's view of struct msghdr and the control message header (see recvmsg(2), cmsg(3)) */
struct message_header {
    void *name;
    int name_length;
    struct iovec *vectors;
    size_t vector_count;
    void *control;
    size_t control_length;
    unsigned flags;
};

struct control_header {
    size_t length;
    int level;
    int type;
};

enum {
    SOL_SOCKET_ = 1,
    SCM_RIGHTS_ = 1,
    MSG_CTRUNC_ = 8,
    MSG_TRUNC_ = 0x20,
    MSG_NOSIGNAL_ = 0x4000,
    MSG_CMSG_CLOEXEC_ = 0x40000000
};

struct control {
    struct control_header header;
    int fds[CLIB_MAX_FDS];
};

int channel_send(int socket, const struct clib_message *message, int fd) {
    return channel_send_bytes(socket, message, sizeof *message, fd);
}

int channel_send_bytes(int socket, const void *bytes, size_t size, int fd) {
    struct iovec vector = {(void *)(uintptr_t)bytes, size};
    struct control control = {
        .header = {sizeof control.header + sizeof fd, SOL_SOCKET_, SCM_RIGHTS_},
        .fds = {fd},
    };
    struct message_header header = {.vectors = &vector, .vector_count = 1};
    if (fd >= 0) {
        header.control = &control;
        header.control_length = control.header.length;
    }
    long sent = sys(sendmsg, socket, &header, MSG_NOSIGNAL_);
    if (sent < 0)
        return (int)sent;
    return (size_t)sent == size ? 0 : -EAGAIN;
}

/* receives up to `size` bytes; *count descriptors have come with them, whether there were bytes or not. What
 * there was no room for the kernel has closed, and *flags says so. */
static long receive(int socket, void *bytes, size_t size, int *fds, int *count, unsigned *flags) {
    struct iovec vector = {bytes, size};
    struct control control = {0};
    struct message_header header = {
        .vectors = &vector, .vector_count = 1, .control = &control, .control_length = sizeof control};
    long got = sys(recvmsg, socket, &header, *flags | MSG_CMSG_CLOEXEC_);
    *flags = header.flags;
    *count = 0;
    if (got >= 0 && header.control_length >= sizeof control.header && control.header.level == SOL_SOCKET_ &&
        control.header.type == SCM_RIGHTS_)
        *count = (int)((control.header.length - sizeof control.header) / sizeof(int));
    memcpy(fds, control.fds, (size_t)*count * sizeof *fds);
    return got;
}

int channel_receive(int socket, struct clib_message *message, int *fds, int *count, int flags) {
    unsigned told = (unsigned)flags;
    long got = receive(socket, message, sizeof *message, fds, count, &told);
    if (got < 0)
        return (int)got;
    int whole = got == sizeof *message && !(told & (MSG_TRUNC_ | MSG_CTRUNC_));
    if (whole && message->version == CLIB_PROTOCOL_VERSION)
        return 1;
    int nothing = got == 0 && *count == 0;
    close_fds(fds, *count);
    *count = 0;
    return nothing ? 0 : whole ? -EPROTONOSUPPORT : -EPROTO;
}

long channel_receive_bytes(int socket, void *bytes, size_t size, int *fds, int *count) {
    unsigned flags = MSG_DONTWAIT_;
    return receive(socket, bytes, size, fds, count, &flags);
}

int channel_receive_fd(int socket) {
    char name[256]; /* what is sent with it has no meaning here */
    int fds[CLIB_MAX_FDS], count;
    unsigned flags = MSG_DONTWAIT_;
    long got = receive(socket, name, sizeof name, fds, &count, &flags);
    if (got < 0)
        return (int)got;
    close_fds(fds + 1, count - 1);
    return count ? fds[0] : -ENOMSG;
}
