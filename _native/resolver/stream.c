/* Queries over TCP, each behind its length. A connection whose query is for others gets one to the first of
 * the host's resolvers that takes it, and from then on bytes are handed to and fro. Who does not read what it
 * is sent loses the connection. */
#include "resolver.h"

#include "channel.h"

#include <asm/socket.h>
#include <linux/poll.h>

enum { PATIENCE = 10000 /* ms without a byte */, MSG_NOSIGNAL_ = 0x4000 };

void stream_close(struct stream *stream) {
    close_fd(&stream->client);
    close_fd(&stream->upstream);
    stream->used = 0;
}

void stream_accept(struct resolver *resolver) {
    for (int i = 0; i < STREAMS; i++) {
        struct stream *stream = &resolver->streams[i];
        if (stream->used)
            continue;
        stream->client = (int)sys(accept4, resolver->listener, 0, 0, O_NONBLOCK | O_CLOEXEC);
        stream->upstream = -1;
        stream->connecting = 0;
        stream->size = 0;
        stream->deadline = resolver_clock() + PATIENCE;
        stream->used = stream->client >= 0;
        return;
    }
}

/* all of it or nothing; 0 or -errno */
static int send_all(int socket, const void *bytes, size_t size) {
    long sent = sys(sendto, socket, bytes, size, MSG_DONTWAIT_ | MSG_NOSIGNAL_, 0, 0);
    return sent < 0 ? (int)sent : (size_t)sent == size ? 0 : -EPIPE;
}

static int reach(struct resolver *resolver, struct stream *stream) {
    for (int i = 0; i < resolver->table.server_count; i++) {
        const union address *server = &resolver->table.servers[i];
        int domain = server->v4.family;
        cleanup_close int socket = (int)sys(socket, domain, SOCK_STREAM_ | O_CLOEXEC | O_NONBLOCK, 0);
        long result = sys(connect, socket, server, domain == INET ? sizeof server->v4 : sizeof server->v6);
        if (result < 0 && result != -EINPROGRESS)
            continue;
        stream->upstream = take_fd(&socket);
        stream->connecting = 1;
        return 0;
    }
    return -EHOSTUNREACH;
}

/* a query is complete */
static int answer(struct resolver *resolver, struct stream *stream) {
    struct reply reply = {resolver->answer + 2, 0, DNS_ANSWER};
    size_t size = stream->size - 2;
    stream->size = 0;
    switch (resolver_answer(resolver, stream->query + 2, size, &reply)) {
    case NOT_ANSWERED:
        return -EPROTO;
    case ANSWERED:
        resolver->answer[0] = (uint8_t)(reply.size >> 8);
        resolver->answer[1] = (uint8_t)reply.size;
        return send_all(stream->client, resolver->answer, reply.size + 2);
    case ASK_OTHERS:
        stream->size = size + 2;
        return reach(resolver, stream);
    }
    return -EPROTO;
}

/* -EAGAIN: there is nothing more now */
static int read_query(struct resolver *resolver, struct stream *stream) {
    size_t wanted = 2;
    if (stream->size >= 2)
        wanted += (size_t)(stream->query[0] << 8 | stream->query[1]);
    if (wanted > sizeof stream->query)
        return -EMSGSIZE;
    long got = sys(recvfrom, stream->client, stream->query + stream->size, wanted - stream->size,
                   MSG_DONTWAIT_, 0, 0);
    if (got <= 0)
        return got < 0 ? (int)got : -EPIPE;
    stream->size += (size_t)got;
    return stream->size == wanted && wanted > 2 ? answer(resolver, stream) : 0;
}

static int relay(struct resolver *resolver, int from, int to) {
    long got = sys(recvfrom, from, resolver->answer, sizeof resolver->answer, MSG_DONTWAIT_, 0, 0);
    if (got <= 0)
        return got == -EAGAIN ? 0 : got < 0 ? (int)got : -EPIPE;
    return send_all(to, resolver->answer, (size_t)got);
}

static int connected(struct stream *stream) {
    int error = 0, size = sizeof error;
    stream->connecting = 0;
    sys(getsockopt, stream->upstream, SOL_SOCKET, SO_ERROR, &error, &size);
    return error ? -error : send_all(stream->upstream, stream->query, stream->size);
}

void stream_run(struct resolver *resolver, struct stream *stream, int client, int upstream) {
    int result = 0;
    stream->deadline = resolver_clock() + PATIENCE;
    if (upstream)
        result = stream->connecting ? connected(stream) : relay(resolver, stream->upstream, stream->client);
    else if (client && stream->upstream >= 0)
        result = stream->connecting ? 0 : relay(resolver, stream->client, stream->upstream);
    else if (client)
        result = read_query(resolver, stream);
    if (result < 0 && result != -EAGAIN)
        stream_close(stream);
}
