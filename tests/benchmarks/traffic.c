/* What two ends of a network say to each other, and how long an answer takes.
 *
 *   traffic serve PORT                 sends back what it is sent over TCP, one client after the other
 *   traffic ping ADDRESS PORT COUNT    the median of COUNT round trips of 64 bytes
 *   traffic ask NAME COUNT             the median of COUNT questions for the IPv4 address of NAME, over one
 * socket, to the first server in /etc/resolv.conf
 *
 * Medians are nanoseconds. `ping` waits for its server to be there. What goes wrong is said, and the exit
 * code is 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHECK(call)                                                                                          \
    do {                                                                                                     \
        if ((call) < 0) {                                                                                    \
            fprintf(stderr, "traffic: line %d: %s: %s\n", __LINE__, #call, strerror(errno));                 \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

enum { BYTES = 64, WARM_UP = 100, MOST = 1000000, TRIES = 200, WAIT_MICROSECONDS = 50000, HEADER = 12 };

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void fail(const char *text) {
    fprintf(stderr, "traffic: %s\n", text);
    exit(1);
}

static struct sockaddr_in address_of(const char *text, int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        fail("not an IPv4 address");
    return address;
}

static void send_at_once(int fd) {
    int yes = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes));
}

static void serve(int port) {
    struct sockaddr_in here = address_of("0.0.0.0", port);
    char buffer[BYTES];
    int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
    CHECK(bind(fd, (struct sockaddr *)&here, sizeof here));
    CHECK(listen(fd, 16));
    for (;;) {
        int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        ssize_t size;
        CHECK(client);
        send_at_once(client);
        while ((size = read(client, buffer, sizeof buffer)) > 0)
            if (write(client, buffer, (size_t)size) != size)
                break;
        close(client);
    }
}

static int connected(const char *address, int port) {
    struct sockaddr_in there = address_of(address, port);
    for (int i = 0; i < TRIES; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fd);
        if (connect(fd, (struct sockaddr *)&there, sizeof there) == 0)
            return fd;
        close(fd);
        usleep(WAIT_MICROSECONDS);
    }
    fail("nobody listens there");
    return -1;
}

static void round_trip(int fd, char *buffer) {
    CHECK(write(fd, buffer, BYTES));
    for (ssize_t got = 0, size; got < BYTES; got += size) {
        CHECK(size = read(fd, buffer, (size_t)(BYTES - got)));
        if (size == 0)
            fail("the server has gone");
    }
}

static int compare(const void *one, const void *other) {
    long long left = *(const long long *)one, right = *(const long long *)other;
    return (left > right) - (left < right);
}

static void print_median(long long *taken, int count) {
    qsort(taken, (size_t)count, sizeof *taken, compare);
    printf("%lld\n", taken[count / 2]);
}

/* The question of an A record. Spec: RFC 1035, 4.1 */
static size_t question_of(const char *name, unsigned char *message) {
    static const unsigned char header[HEADER] = {0, 0, 1, 0, 0, 1}, type[5] = {0, 0, 1, 0, 1};
    size_t size = HEADER;
    memcpy(message, header, HEADER);
    while (*name) {
        size_t length = strcspn(name, ".");
        if (length == 0 || length > 63 || size + length + 8 > 255)
            fail("not a name");
        message[size++] = (unsigned char)length;
        memcpy(message + size, name, length);
        size += length;
        name += length + (name[length] == '.');
    }
    memcpy(message + size, type, sizeof type);
    return size + sizeof type;
}

static struct sockaddr_in resolver(void) {
    char line[256], address[64];
    FILE *file = fopen("/etc/resolv.conf", "re");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "nameserver %63[0-9.]", address) == 1) {
            fclose(file);
            return address_of(address, 53);
        }
    }
    fail("no server in /etc/resolv.conf");
    return (struct sockaddr_in){0};
}

static void ask(int fd, unsigned char *question, size_t size, int number) {
    unsigned char answer[512];
    ssize_t got;
    question[0] = (unsigned char)(number >> 8);
    question[1] = (unsigned char)number;
    CHECK(send(fd, question, size, 0));
    do
        if ((got = recv(fd, answer, sizeof answer, 0)) < 0)
            fail("no answer");
    while (got < HEADER || memcmp(answer, question, 2) != 0);
    if ((answer[3] & 15) != 0 || (answer[6] == 0 && answer[7] == 0))
        fail("the name is not known");
}

static void time_questions(const char *name, long long *taken, int count) {
    struct sockaddr_in there = resolver();
    struct timeval patience = {.tv_sec = 5};
    unsigned char question[512];
    size_t size = question_of(name, question);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    CHECK(connect(fd, (struct sockaddr *)&there, sizeof there));
    ask(fd, question, size, count);
    for (int i = 0; i < count; i++) {
        long long started = nanoseconds();
        ask(fd, question, size, i);
        taken[i] = nanoseconds() - started;
    }
}

static void time_round_trips(const char *address, int port, long long *taken, int count) {
    char buffer[BYTES] = {0};
    int fd = connected(address, port);
    send_at_once(fd);
    for (int i = 0; i < WARM_UP; i++)
        round_trip(fd, buffer);
    for (int i = 0; i < count; i++) {
        long long started = nanoseconds();
        round_trip(fd, buffer);
        taken[i] = nanoseconds() - started;
    }
}

int main(int argc, char **argv) {
    static long long taken[MOST];
    int count = argc > 3 ? atoi(argv[argc - 1]) : 0;
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        serve(atoi(argv[2]));
    if (count < 1 || count > MOST)
        fail("usage: traffic serve PORT | ping ADDRESS PORT COUNT | ask NAME COUNT");
    if (argc == 5 && strcmp(argv[1], "ping") == 0)
        time_round_trips(argv[2], atoi(argv[3]), taken, count);
    else if (argc == 4 && strcmp(argv[1], "ask") == 0)
        time_questions(argv[2], taken, count);
    else
        fail("usage: traffic serve PORT | ping ADDRESS PORT COUNT | ask NAME COUNT");
    print_median(taken, count);
    return 0;
}
