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
    return sent < 0 ? (int)sent : 0;
}

int channel_receive(int socket, struct clib_message *message, int *fds, int *count, int flags) {
    struct iovec vector = {message, sizeof *message};
    struct control control = {0};
    struct message_header header = {
        .vectors = &vector, .vector_count = 1, .control = &control, .control_length = sizeof control};
    long got = sys(recvmsg, socket, &header, flags | MSG_CMSG_CLOEXEC_);
    *count = 0;
    if (got <= 0)
        return (int)got;
    if (header.control_length >= sizeof control.header && control.header.type == SCM_RIGHTS_)
        *count = (int)((control.header.length - sizeof control.header) / sizeof(int));
    for (int i = 0; i < *count; i++)
        fds[i] = control.fds[i];
    if (got == sizeof *message && message->version == CLIB_PROTOCOL_VERSION && !(header.flags & MSG_CTRUNC_))
        return 1;
    for (int i = 0; i < *count; i++)
        sys(close, fds[i]);
    *count = 0;
    return -EPROTO;
}

int channel_receive_fd(int socket) {
    char name[256]; /* what is sent with it has no meaning here */
    struct iovec vector = {name, sizeof name};
    struct control control = {0};
    struct message_header header = {
        .vectors = &vector, .vector_count = 1, .control = &control, .control_length = sizeof control};
    long got = sys(recvmsg, socket, &header, MSG_CMSG_CLOEXEC_);
    if (got < 0)
        return (int)got;
    int count = 0;
    if (header.control_length >= sizeof control.header && control.header.type == SCM_RIGHTS_)
        count = (int)((control.header.length - sizeof control.header) / sizeof(int));
    for (int i = 1; i < count; i++)
        sys(close, control.fds[i]);
    return count ? control.fds[0] : -ENOMSG;
}
