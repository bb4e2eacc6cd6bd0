/* Queries for other names, on their way to the host's resolvers, one after the other until one answers. Each
 * has a socket of its own, whose port the kernel chooses, and an id of its own: an answer that is made up has
 * both to guess. */
#include "resolver.h"

#include "channel.h"

enum { PATIENCE = 1500 /* ms for each resolver */, SOCK_DGRAM_ = 2 };

static void end(struct forward *forward) {
    close_fd(&forward->socket);
    forward->used = 0;
}

/* whoever asked hears that nobody knows */
static void fail(struct resolver *resolver, struct forward *forward) {
    struct question question;
    struct reply reply = {resolver->answer, 0, DNS_UDP};
    memcpy(forward->query, forward->id, sizeof forward->id);
    if (message_read(forward->query, forward->size, &question) == DNS_OK) {
        reply_begin(&reply, forward->query, &question, DNS_SERVER_FAILURE);
        sys(sendto, resolver->datagrams, reply.bytes, reply.size, MSG_DONTWAIT_, &forward->client,
            sizeof forward->client.v4);
    }
    end(forward);
}

static int ask(const union address *server, const uint8_t *query, size_t size) {
    int domain = server->v4.family;
    size_t length = domain == INET ? sizeof server->v4 : sizeof server->v6;
    cleanup_close int socket = (int)sys(socket, domain, SOCK_DGRAM_ | O_CLOEXEC | O_NONBLOCK, 0);
    long result = socket < 0 ? socket : sys(connect, socket, server, length);
    if (result == 0)
        result = sys(sendto, socket, query, size, 0, 0, 0);
    return result < 0 ? (int)result : take_fd(&socket);
}

/* asks the next of them that can be asked */
static void ask_next(struct resolver *resolver, struct forward *forward) {
    close_fd(&forward->socket);
    forward->socket = -1;
    while (++forward->server < resolver->table.server_count) {
        sys(getrandom, forward->own_id, sizeof forward->own_id, 0);
        memcpy(forward->query, forward->own_id, sizeof forward->own_id);
        forward->socket = ask(&resolver->table.servers[forward->server], forward->query, forward->size);
        forward->deadline = resolver_clock() + PATIENCE;
        if (forward->socket >= 0)
            return;
    }
    fail(resolver, forward);
}

/* a free place; where there is none, that of who has waited longest */
static struct forward *place(struct resolver *resolver) {
    struct forward *oldest = &resolver->forwards[0];
    for (int i = 0; i < FORWARDS; i++) {
        struct forward *forward = &resolver->forwards[i];
        if (!forward->used)
            return forward;
        if (forward->deadline < oldest->deadline)
            oldest = forward;
    }
    fail(resolver, oldest);
    return oldest;
}

void forward_begin(struct resolver *resolver, const union address *client, const uint8_t *query,
                   size_t size) {
    struct forward *forward = place(resolver);
    forward->used = 1;
    forward->socket = -1;
    forward->server = -1;
    forward->client = *client;
    forward->size = size;
    memcpy(forward->id, query, sizeof forward->id);
    memcpy(forward->query, query, size);
    ask_next(resolver, forward);
}

void forward_run(struct resolver *resolver, struct forward *forward) {
    long size = sys(recvfrom, forward->socket, resolver->answer, DNS_RELAYED, MSG_DONTWAIT_, 0, 0);
    if (size == -EAGAIN)
        return;
    if (size < 0) { /* nobody is there */
        ask_next(resolver, forward);
        return;
    }
    if (!message_answers(resolver->answer, (size_t)size, forward->query, forward->size))
        return; /* of somebody who guesses */
    enum dns_code code = message_code(resolver->answer);
    int last = forward->server + 1 >= resolver->table.server_count;
    if (!last && code != DNS_OK && code != DNS_NO_SUCH_NAME) {
        ask_next(resolver, forward);
        return;
    }
    memcpy(resolver->answer, forward->id, sizeof forward->id);
    sys(sendto, resolver->datagrams, resolver->answer, size, MSG_DONTWAIT_, &forward->client,
        sizeof forward->client.v4);
    end(forward);
}

void forward_late(struct resolver *resolver, struct forward *forward) {
    ask_next(resolver, forward);
}
