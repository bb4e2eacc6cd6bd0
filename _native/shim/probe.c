/* A check of a port, as a process in the container would make it: on the loopback of its network namespace,
 * IPv4's and then IPv6's. It waits as long as it takes: whoever has started it kills it in time. */
#include "shim.h"

#include <asm/byteorder.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/sched.h>

enum { AF_INET_ = 2, AF_INET6_ = 10, ANSWER_SIZE = 4096, MSG_NOSIGNAL_ = 0x4000 };

static int connect_to(int family, const void *address, size_t size) {
    cleanup_close int socket = (int)sys(socket, family, SOCK_STREAM_ | O_CLOEXEC, 0);
    long result = socket < 0 ? socket : sys(connect, socket, address, size);
    return result < 0 ? (int)result : take_fd(&socket);
}

static int reach(uint16_t port) {
    struct sockaddr_in four = {
        .sin_family = AF_INET_, .sin_port = __cpu_to_be16(port), .sin_addr = {__cpu_to_be32(0x7f000001)}};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6_, .sin6_port = four.sin_port};
    six.sin6_addr.in6_u.u6_addr8[15] = 1;
    int result = connect_to(AF_INET_, &four, sizeof four);
    if (result >= 0)
        return result;
    int other = connect_to(AF_INET6_, &six, sizeof six);
    return other < 0 ? result : other;
}

static int enter(int target) {
    long result = sys(setns, target, CLONE_NEWNET);
    if (result == -EPERM) /* an ordinary user's right to it comes with their user namespace */
        result = sys(setns, target, CLONE_NEWUSER | CLONE_NEWNET);
    return (int)result;
}

/* the status of an answer that begins "HTTP/1.1 200 ", or -1 */
static int status_of(const char *answer, const char *end) {
    static const char name[] = "HTTP/";
    const char *space = find_byte(answer, end, ' ');
    if (end - answer < (long)sizeof name || memcmp(answer, name, sizeof name - 1) != 0 || end - space < 4)
        return -1;
    int status = (int)parse_decimal(space + 1, &end);
    return end == space + 4 ? status : -1;
}

/* sends the request, and reads until the status is known; that, -1 where there is none, or -errno */
static int ask(int socket, const char *request, size_t size, int output) {
    char answer[ANSWER_SIZE + 1];
    size_t filled = 0;
    answer[0] = 0;
    for (size_t sent = 0; sent < size;) {
        long result = sys(sendto, socket, request + sent, size - sent, MSG_NOSIGNAL_, 0, 0);
        if (result < 0)
            return (int)result;
        sent += (size_t)result;
    }
    while (filled < ANSWER_SIZE && find_byte(answer, answer + filled, '\n') == answer + filled) {
        long got = sys(recvfrom, socket, answer + filled, ANSWER_SIZE - filled, 0, 0, 0);
        if (got < 0)
            return (int)got;
        if (got == 0)
            break;
        filled += (size_t)got;
        answer[filled] = 0;
    }
    sys(write, output, answer, filled);
    return status_of(answer, answer + filled);
}

struct clib_message probe(int target, const struct clib_policy *policy, const char *request, size_t size,
                          int output) {
    struct clib_message report = {
        .kind = CLIB_MESSAGE_EXITED, .version = CLIB_PROTOCOL_VERSION, .value = {1}};
    int result = enter(target);
    cleanup_close int socket = result < 0 ? result : reach((uint16_t)policy->port);
    if (socket < 0) {
        report.value[3] = -socket;
        return report;
    }
    if (policy->check == CLIB_CHECK_TCP) {
        report.value[0] = 0;
        return report;
    }
    int status = ask(socket, request, size, output);
    if (status < -1)
        report.value[3] = -status;
    report.value[0] = !(status >= (int)policy->lowest && status <= (int)policy->highest);
    return report;
}
