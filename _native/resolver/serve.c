/* The resolver's loop: one poll over its two sockets, and over all that is on its way. */
#include "resolver.h"

#include "channel.h"

#include <linux/mman.h>
#include <linux/poll.h>
#include <linux/time.h>
#include <linux/time_types.h>

enum {
    SLOT_DATAGRAMS,
    SLOT_LISTENER,
    SLOT_FORWARDS,
    SLOT_STREAMS = SLOT_FORWARDS + FORWARDS, /* two for each: its client, and who is asked */
    SLOTS = SLOT_STREAMS + 2 * STREAMS,
    PROT_RW_ = 3,
    SOCK_DGRAM_ = 2,
    BATCH = 64 /* datagrams before all else is looked at again */
};

int64_t resolver_clock(void) {
    struct __kernel_timespec now = {0};
    sys(clock_gettime, CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

enum answered resolver_answer(struct resolver *resolver, const uint8_t *query, size_t size,
                              struct reply *reply) {
    struct question question;
    int code = message_read(query, size, &question);
    if (code < 0)
        return NOT_ANSWERED;
    if (code != DNS_OK) {
        reply_begin(reply, query, &question, (enum dns_code)code);
        return ANSWERED;
    }
    table_refresh(&resolver->table);
    if (table_answer(&resolver->table, query, &question, reply))
        return ANSWERED;
    if (resolver->table.server_count)
        return ASK_OTHERS;
    reply_begin(reply, query, &question, DNS_NO_SUCH_NAME);
    return ANSWERED;
}

static int take_datagram(struct resolver *resolver) {
    uint8_t query[DNS_QUERY];
    union address client = {0};
    int length = sizeof client.v4;
    long size = sys(recvfrom, resolver->datagrams, query, sizeof query, MSG_DONTWAIT_, &client, &length);
    if (size < 0)
        return 0;
    struct reply reply = {resolver->answer, 0, DNS_UDP};
    switch (resolver_answer(resolver, query, (size_t)size, &reply)) {
    case NOT_ANSWERED:
        break;
    case ANSWERED:
        sys(sendto, resolver->datagrams, reply.bytes, reply.size, MSG_DONTWAIT_, &client, sizeof client.v4);
        break;
    case ASK_OTHERS:
        forward_begin(resolver, &client, query, (size_t)size);
        break;
    }
    return 1;
}

static void fill(const struct resolver *resolver, struct pollfd *slots, int64_t *due) {
    int room = 0;
    for (int i = 0; i < FORWARDS; i++) {
        const struct forward *forward = &resolver->forwards[i];
        slots[SLOT_FORWARDS + i] = (struct pollfd){forward->used ? forward->socket : -1, POLLIN, 0};
        if (forward->used && (!*due || forward->deadline < *due))
            *due = forward->deadline;
    }
    for (int i = 0; i < STREAMS; i++) {
        const struct stream *stream = &resolver->streams[i];
        struct pollfd *slot = &slots[SLOT_STREAMS + 2 * i];
        room |= !stream->used;
        slot[0] = (struct pollfd){stream->used && !stream->connecting ? stream->client : -1, POLLIN, 0};
        slot[1] =
            (struct pollfd){stream->used ? stream->upstream : -1, stream->connecting ? POLLOUT : POLLIN, 0};
        if (stream->used && (!*due || stream->deadline < *due))
            *due = stream->deadline;
    }
    slots[SLOT_DATAGRAMS] = (struct pollfd){resolver->datagrams, POLLIN, 0};
    slots[SLOT_LISTENER] = (struct pollfd){room ? resolver->listener : -1, POLLIN, 0};
}

static void run(struct resolver *resolver, const struct pollfd *slots) {
    int64_t now = resolver_clock();
    for (int i = 0; i < FORWARDS; i++) {
        struct forward *forward = &resolver->forwards[i];
        if (slots[SLOT_FORWARDS + i].revents)
            forward_run(resolver, forward);
        else if (forward->used && forward->deadline <= now)
            forward_late(resolver, forward);
    }
    for (int i = 0; i < STREAMS; i++) {
        struct stream *stream = &resolver->streams[i];
        const struct pollfd *slot = &slots[SLOT_STREAMS + 2 * i];
        if (slot[0].revents || slot[1].revents)
            stream_run(resolver, stream, slot[0].revents, slot[1].revents);
        else if (stream->used && stream->deadline <= now)
            stream_close(stream);
    }
    if (slots[SLOT_LISTENER].revents)
        stream_accept(resolver);
    for (int i = 0; slots[SLOT_DATAGRAMS].revents && i < BATCH && take_datagram(resolver); i++)
        ;
}

struct resolver *resolver_make(int datagrams, int listener, const char *view) {
    /* pages that nobody needs are never touched */
    long memory = sys(mmap, 0, sizeof(struct resolver), PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t length = text_length(view);
    if ((memory < 0 && memory > -4096) || length >= TABLE_FILE)
        return NULL;
    struct resolver *resolver = (struct resolver *)memory;
    resolver->datagrams = datagrams;
    resolver->listener = listener;
    memcpy(resolver->table.view.name, view, length);
    return resolver;
}

_Noreturn void resolver_serve(struct resolver *resolver) {
    struct pollfd slots[SLOTS];
    resolver->table.probe = (int)sys(socket, INET, SOCK_DGRAM_ | O_CLOEXEC, 0);
    for (;;) {
        int64_t due = 0;
        fill(resolver, slots, &due);
        int64_t left = due ? due - resolver_clock() : 0;
        left = left < 0 ? 0 : left;
        struct __kernel_timespec limit = {left / 1000, left % 1000 * 1000000};
        if (sys(ppoll, slots, SLOTS, due ? &limit : 0, 0, 0) >= 0)
            run(resolver, slots);
    }
}
