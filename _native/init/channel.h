/* Messages with descriptors over the two sockets that the shim has: to its clients, and to the container's
 * first process. See wire.h for who says what. */
#pragma once

#include "base.h"

/* the C library's headers have these, the kernel's have not */
enum { AF_UNIX_ = 1, SOCK_STREAM_ = 1, SOCK_SEQPACKET_ = 5, MSG_PEEK_ = 2, MSG_DONTWAIT_ = 0x40 };

/* sends *message, with fd unless it is -1; 0 or -errno (-EAGAIN: the peer does not read) */
int channel_send(int socket, const struct clib_message *message, int fd);
int channel_send_bytes(int socket, const void *bytes, size_t size, int fd);

/* receives one message; fds (CLIB_MAX_FDS of them) and *count are filled. 1: a message, 0: end of file, or
 * -errno (-EPROTO: it is none, and its descriptors are closed) */
int channel_receive(int socket, struct clib_message *message, int *fds, int *count, int flags);
/* up to `size` bytes of a message of another protocol, with its descriptors; does not wait. How many, 0: end
 * of file, or -errno */
long channel_receive_bytes(int socket, void *bytes, size_t size, int *fds, int *count);
/* the descriptor that a stream of another protocol has brought first, or -errno; does not wait */
int channel_receive_fd(int socket);
