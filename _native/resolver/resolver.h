/* A container's own resolver: it answers for the names of the container's networks, and asks the host's
 * resolvers for all others. Nobody's engine needs to be alive.
 *
 *   program in the container        resolver                                        host's resolver
 *     | 127.0.0.11, port 53 -------->| the names of its networks: files
 *     |<----------------- answer ----|
 *     |                              | any other name: from a socket, under an id of
 *     |                              | its own ------------------------------------->|
 *     |<----------------- answer ----|<------------------------------------- answer --|
 *
 * Its two sockets are in the container's network namespace, where nftables brings to them what goes to port
 * 53: a server of the container's own may have that port. What it asks with is in the host's. It is a copy of
 * the shim that has given up everything else before it reads its first byte: it is nobody, sees the directory
 * with the files alone, and a filter refuses the system calls that it does not need.
 *
 *   view:     "network FILE\n" and "server ADDRESS PORT SCOPE\n" lines; of one container
 *   network:  "ADDRESS DEVICE NAME NAME...\n" lines; the names are there while the host has the device
 *
 * Addresses are hexadecimal, of 8 or 32 digits. A file changes by another one that takes its name.
 *
 * Spec: RFC 1035; RFC 3596 (AAAA); RFC 7766 (TCP) */
#pragma once

#include "base.h"
#include "plan.h"

enum {
    DNS_HEADER = 12,
    DNS_NAME = 256,      /* of a name as text, with its NUL */
    DNS_QUERY = 512,     /* the largest that is taken */
    DNS_UDP = 512,       /* the largest answer of its own in one datagram */
    DNS_ANSWER = 16384,  /* and over TCP */
    DNS_RELAYED = 65535, /* the largest of others */
};

enum dns_type { DNS_A = 1, DNS_PTR = 12, DNS_AAAA = 28 };
enum { DNS_INTERNET = 1 };

enum dns_code {
    DNS_OK,
    DNS_FORMAT_ERROR,
    DNS_SERVER_FAILURE,
    DNS_NO_SUCH_NAME,
    DNS_NOT_IMPLEMENTED,
    DNS_REFUSED,
};

enum { INET = 2, INET6 = 10 }; /* AF_INET and AF_INET6 */

union address {
    struct {
        uint16_t family, port;
        uint8_t bytes[4], zero[8];
    } v4;
    struct {
        uint16_t family, port;
        uint32_t flow;
        uint8_t bytes[16];
        uint32_t scope;
    } v6;
};

/* message.c: pure, and what hostile bytes come to first */
struct question {
    char name[DNS_NAME]; /* in lower case; empty where it cannot be one of ours */
    size_t length;
    uint16_t type, class;
    size_t end; /* of it in the message */
};

struct reply {
    uint8_t *bytes;
    size_t size, limit;
};

/* DNS_OK; what is wrong with it; or -1: it is no query, and is not answered */
int message_read(const uint8_t *query, size_t size, struct question *question);
/* is `answer` what that query was sent for? */
int message_answers(const uint8_t *answer, size_t size, const uint8_t *query, size_t query_size);
enum dns_code message_code(const uint8_t *answer);
void reply_begin(struct reply *reply, const uint8_t *query, const struct question *question,
                 enum dns_code code);
/* one more answer; what there is no room for makes it a truncated one */
void reply_add(struct reply *reply, enum dns_type type, const void *data, size_t size);
/* the name, as of a PTR */
void reply_add_name(struct reply *reply, const char *name, size_t length);
/* the address that a name below in-addr.arpa or ip6.arpa stands for, in hexadecimal: its digits, or 0 */
size_t message_reversed(const struct question *question, char digits[32]);

/* table.c: what the files say */
enum { TABLE_NETWORKS = 32, TABLE_SERVERS = 4, TABLE_FILE = 80 };

struct names_file {
    char name[TABLE_FILE];
    uint64_t inode;
    int64_t changed;
    const char *text; /* mapped */
    size_t size;
};

struct table {
    int probe; /* a socket of the host's namespace, which is asked for devices */
    struct names_file view;
    int network_count, server_count;
    struct names_file networks[TABLE_NETWORKS];
    union address servers[TABLE_SERVERS];
};

/* as the files are now */
void table_refresh(struct table *table);
/* puts what there is of the question into the reply; 0: the name is not one of ours */
int table_answer(struct table *table, const uint8_t *query, const struct question *question,
                 struct reply *reply);

struct resolver;

/* forward.c: what others are asked, in datagrams */
enum { FORWARDS = 128 };

struct forward {
    int used, socket, server;
    uint8_t id[2], own_id[2];
    union address client;
    int64_t deadline;
    size_t size;
    uint8_t query[DNS_QUERY];
};

void forward_begin(struct resolver *resolver, const union address *client, const uint8_t *query, size_t size);
/* its answer, or an error, is there */
void forward_run(struct resolver *resolver, struct forward *forward);
/* nobody has answered in time */
void forward_late(struct resolver *resolver, struct forward *forward);

/* stream.c: one connection to the container, and where others are asked one to them */
enum { STREAMS = 16 };

struct stream {
    int used, client, upstream; /* upstream: -1, nobody is asked */
    int connecting;
    int64_t deadline;
    size_t size;
    uint8_t query[2 + DNS_QUERY];
};

void stream_accept(struct resolver *resolver);
void stream_run(struct resolver *resolver, struct stream *stream, int client, int upstream);
void stream_close(struct stream *stream);

/* serve.c */
struct resolver {
    int datagrams, listener;
    struct table table;
    struct forward forwards[FORWARDS];
    struct stream streams[STREAMS];
    uint8_t answer[2 + DNS_RELAYED];
};

enum answered { ANSWERED, NOT_ANSWERED /* nothing is to be said */, ASK_OTHERS };
enum answered resolver_answer(struct resolver *resolver, const uint8_t *query, size_t size,
                              struct reply *reply);
int64_t resolver_clock(void); /* ms */
/* with two sockets that are bound; NULL: there is no memory, or no such view */
struct resolver *resolver_make(int datagrams, int listener, const char *view);
_Noreturn void resolver_serve(struct resolver *resolver);

/* fence.c: gives up all rights but those of `resolver_serve`, and the processor's time with `parent`;
 * `directory` becomes the root. 0 or -errno */
int fence(int directory, int parent);
