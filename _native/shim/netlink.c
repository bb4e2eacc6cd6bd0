/* Messages for rtnetlink(7) or nf_tables as the plan brings them: sent together, in the network namespace of
 * whoever runs the op, and each is answered. What they say is the plan's; here they are bytes. */
#include "shim.h"

#include <linux/netlink.h>

enum { MESSAGES_SIZE = 16384, ANSWERS_SIZE = 16384, AF_NETLINK_ = 16, SOCK_RAW_ = 3 };

/* counts the answers of one datagram down, and keeps the first errno that is not tolerated */
static int take_answers(const char *answers, size_t size, int tolerated, uint64_t *left, int *failed) {
    for (size_t at = 0; at + sizeof(struct nlmsghdr) + sizeof(int) <= size;) {
        struct nlmsghdr header;
        int error;
        memcpy(&header, answers + at, sizeof header);
        memcpy(&error, answers + at + sizeof header, sizeof error);
        if (header.nlmsg_len < sizeof header || header.nlmsg_len > size - at)
            return -EPROTO;
        if (header.nlmsg_type == NLMSG_ERROR && *left) {
            --*left;
            if (error && error != -tolerated && !*failed)
                *failed = error;
        }
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
    return 0;
}

static int exchange(int socket, const struct plan *plan, const struct clib_op *op, int pid) {
    char messages[MESSAGES_SIZE], answers[ANSWERS_SIZE];
    uint64_t at = op->number[1], left = op->number[2];
    int failed = 0, tolerated = (int)(op->number[0] >> 32);
    if (op->size > sizeof messages || at > op->size || (at && op->size - at < sizeof pid))
        return -EINVAL;
    memcpy(messages, plan->blob + op->text[2], op->size);
    if (at)
        memcpy(messages + at, &pid, sizeof pid);
    long size = sys(sendto, socket, messages, op->size, 0, 0, 0);
    while (size >= 0 && left) {
        size = sys(recvfrom, socket, answers, sizeof answers, 0, 0, 0);
        if (size > 0)
            size = take_answers(answers, (size_t)size, tolerated, &left, &failed);
    }
    return size < 0 ? (int)size : failed;
}

int netlink_run(const struct plan *plan, const struct clib_op *op, int pid, int *filter) {
    uint32_t protocol = (uint32_t)op->number[0];
    int keeps = filter && protocol == NETLINK_NETFILTER;
    cleanup_close int socket = keeps && *filter >= 0
                                   ? take_fd(filter)
                                   : (int)sys(socket, AF_NETLINK_, SOCK_RAW_ | O_CLOEXEC, protocol);
    int result = socket < 0 ? socket : exchange(socket, plan, op, pid);
    if (keeps && result == 0) /* else answers may still be on their way */
        *filter = take_fd(&socket);
    return result;
}
