/* Network devices that move into the container: by rtnetlink, since the host's side has the right to.
 *
 *   host's namespace                          container's namespace
 *     RTM_GETADDR: what is to be kept           is the name free?
 *     RTM_SETLINK {namespace, name} ---------> the device, down and bare
 *                                               RTM_NEWADDR for each, then up
 *
 * Spec: runtime-spec config-linux.md#network-devices; rtnetlink(7) */
#include "shim.h"

#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/mman.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sched.h>
#include <linux/sockios.h>

enum {
    SOCK_RAW_ = 3,
    PROT_RW_ = 3,
    REPLY_SIZE = 32768,        /* the kernel fills a dump's datagrams up to this */
    KEPT_SIZE = 1 << 20,       /* some thousands of addresses */
    REQUEST_SIZE = 1024,       /* an address with all its attributes has a tenth of it */
    TEMPLATE_NUMBERS = 1 << 15 /* as many as the kernel tries */
};

struct request {
    struct nlmsghdr header;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
    } about;
    char attributes[REQUEST_SIZE];
};

static int open_netlink(void) {
    return (int)sys(socket, AF_NETLINK, SOCK_RAW_ | O_CLOEXEC, NETLINK_ROUTE);
}

static int open_netlink_of(int pid) {
    int own = network_enter(pid);
    if (own < 0)
        return own;
    cleanup_close int socket = open_netlink();
    int left = network_leave(own);
    return left < 0 ? left : take_fd(&socket);
}

static int index_of(int socket, const char *name) {
    struct ifreq request = {0};
    size_t length = text_length(name);
    if (length >= sizeof request.ifr_name)
        return -ENAMETOOLONG;
    memcpy(request.ifr_name, name, length);
    long result = sys(ioctl, socket, SIOCGIFINDEX, &request);
    return result < 0 ? (int)result : request.ifr_ifindex;
}

static void add_attribute(struct request *request, unsigned short type, const void *data, size_t size) {
    struct rtattr head = {.rta_len = (unsigned short)(sizeof head + size), .rta_type = type};
    char *end = (char *)request + NLMSG_ALIGN(request->header.nlmsg_len);
    memcpy(end, &head, sizeof head);
    memcpy(end + sizeof head, data, size);
    request->header.nlmsg_len = (uint32_t)(end - (char *)request + NLMSG_ALIGN(sizeof head + size));
}

/* 0 or -errno, as the kernel acknowledges it */
static int ask(int socket, const struct request *request) {
    struct {
        struct nlmsghdr header;
        struct nlmsgerr error;
        char rest[REQUEST_SIZE];
    } answer;
    long result = sys(sendto, socket, request, request->header.nlmsg_len, 0, 0, 0);
    if (result >= 0)
        result = sys(recvfrom, socket, &answer, sizeof answer, 0, 0, 0);
    if (result < 0)
        return (int)result;
    return answer.header.nlmsg_type == NLMSG_ERROR ? answer.error.error : -EPROTO;
}

/* an address that somebody gave the device to stay and to be reached at from everywhere */
static int is_lasting(const struct nlmsghdr *message, int index) {
    const struct ifaddrmsg *address = NLMSG_DATA(message);
    uint32_t flags = address->ifa_flags;
    int left = (int)(message->nlmsg_len - NLMSG_LENGTH(sizeof *address));
    for (const struct rtattr *at = IFA_RTA(address); RTA_OK(at, left); at = RTA_NEXT(at, left))
        if (at->rta_type == IFA_FLAGS)
            memcpy(&flags, RTA_DATA(at), sizeof flags);
    return (int)address->ifa_index == index && address->ifa_scope == RT_SCOPE_UNIVERSE &&
           flags & IFA_F_PERMANENT;
}

/* adds the messages of a datagram that are to be kept to `kept`; 0, 1 at the end of the dump, or -errno */
static int sift(const char *reply, size_t size, int index, char *kept, size_t *filled) {
    for (size_t at = 0; at + sizeof(struct nlmsghdr) <= size;) {
        const struct nlmsghdr *message = (const void *)(reply + at);
        size_t length = message->nlmsg_len;
        if (message->nlmsg_type == NLMSG_DONE || message->nlmsg_type == NLMSG_ERROR) {
            int error;
            memcpy(&error, NLMSG_DATA(message), sizeof error);
            return error < 0 ? error : 1;
        }
        if (message->nlmsg_flags & NLM_F_DUMP_INTR) /* somebody changed them meanwhile */
            return -EAGAIN;
        if (message->nlmsg_type == RTM_NEWADDR && is_lasting(message, index)) {
            if (*filled + NLMSG_ALIGN(length) > KEPT_SIZE)
                return -E2BIG;
            memcpy(kept + *filled, message, length);
            *filled += NLMSG_ALIGN(length);
        }
        at += NLMSG_ALIGN(length);
    }
    return 0;
}

static int collect_addresses(int socket, int index, char *kept, size_t *filled) {
    struct request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.about.address),
                   .nlmsg_type = RTM_GETADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .about.address.ifa_family = AF_UNSPEC,
    };
    char reply[REPLY_SIZE] __attribute__((aligned(8)));
    long result = sys(sendto, socket, &request, request.header.nlmsg_len, 0, 0, 0);
    for (int end = 0; result >= 0 && !end;) {
        result = sys(recvfrom, socket, reply, sizeof reply, 0, 0, 0);
        if (result > 0 && (end = sift(reply, (size_t)result, index, kept, filled)) < 0)
            return end;
    }
    return result < 0 ? (int)result : 0;
}

/* The label names the device as it was called; all else that the address was given with goes along. */
static int add_address(int socket, int index, const struct nlmsghdr *kept) {
    const struct ifaddrmsg *address = NLMSG_DATA(kept);
    struct request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof *address),
                   .nlmsg_type = RTM_NEWADDR,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE},
        .about.address = *address,
    };
    request.about.address.ifa_index = (uint32_t)index;
    int left = (int)(kept->nlmsg_len - NLMSG_LENGTH(sizeof *address));
    for (const struct rtattr *at = IFA_RTA(address); RTA_OK(at, left); at = RTA_NEXT(at, left)) {
        if (at->rta_type == IFA_LABEL)
            continue;
        if (NLMSG_ALIGN(request.header.nlmsg_len) + RTA_ALIGN(at->rta_len) > sizeof request)
            return -E2BIG;
        add_attribute(&request, at->rta_type, RTA_DATA(at), RTA_PAYLOAD(at));
    }
    return ask(socket, &request);
}

static int set_up(int socket, const char *name) {
    struct ifreq request = {0};
    memcpy(request.ifr_name, name, text_length(name));
    long result = sys(ioctl, socket, SIOCGIFFLAGS, &request);
    if (result < 0)
        return (int)result;
    request.ifr_flags |= IFF_UP;
    return (int)sys(ioctl, socket, SIOCSIFFLAGS, &request);
}

static int move(int socket, int index, int namespace, const char *name) {
    struct request request = {
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof request.about.link),
                   .nlmsg_type = RTM_SETLINK,
                   .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
        .about.link = {.ifi_family = AF_UNSPEC, .ifi_index = index},
    };
    uint32_t fd = (uint32_t) namespace;
    add_attribute(&request, IFLA_NET_NS_FD, &fd, sizeof fd);
    add_attribute(&request, IFLA_IFNAME, name, text_length(name) + 1);
    return ask(socket, &request);
}

/* What the kernel would make of "eth%d", the first number that is free, but so that it is known here; and the
 * kernel looks at the name only when the device has moved already. */
static int choose_name(int socket, const char *wanted, char name[IFNAMSIZ]) {
    size_t length = text_length(wanted);
    const char *mark = find_byte(wanted, wanted + length, '%');
    size_t prefix = (size_t)(mark - wanted);
    if (length >= IFNAMSIZ)
        return -ENAMETOOLONG;
    memcpy(name, wanted, length + 1);
    if (prefix == length)
        return index_of(socket, name) < 0 ? 0 : -EEXIST;
    if (mark[1] != 'd')
        return -EINVAL;
    for (uint64_t number = 0; number < TEMPLATE_NUMBERS; number++) {
        char digits[24];
        size_t count = format_decimal(digits, number), rest = length - prefix - 2;
        if (prefix + count + rest >= IFNAMSIZ)
            break;
        memcpy(name + prefix, digits, count);
        memcpy(name + prefix + count, mark + 2, rest + 1);
        if (index_of(socket, name) < 0)
            return 0;
    }
    return -ENFILE;
}

static int move_with_addresses(int here, int there, int namespace, const char *name, const char *new_name,
                               char *kept) {
    char final[IFNAMSIZ] = {0};
    size_t filled = 0;
    int index = index_of(here, name);
    int result = index < 0 ? index : choose_name(there, new_name, final);
    if (result == 0)
        result = collect_addresses(here, index, kept, &filled);
    if (result == 0)
        result = move(here, index, namespace, final);
    if (result < 0)
        return result;
    if ((index = index_of(there, final)) < 0) /* its number may be another one there */
        return index;
    for (size_t at = 0; at < filled && result == 0;) {
        const struct nlmsghdr *message = (const void *)(kept + at);
        result = add_address(there, index, message);
        at += NLMSG_ALIGN(message->nlmsg_len);
    }
    return result < 0 ? result : set_up(there, final);
}

int link_move(int pid, const char *name, const char *new_name) {
    cleanup_close int namespace = open_proc(pid, "ns/net", O_RDONLY);
    if (namespace < 0)
        return namespace;
    cleanup_close int here = open_netlink();
    if (here < 0)
        return here;
    cleanup_close int there = open_netlink_of(pid);
    if (there < 0)
        return there;
    long kept = sys(mmap, 0, KEPT_SIZE, PROT_RW_, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (kept < 0 && kept > -4096)
        return (int)kept;
    int result = move_with_addresses(here, there, namespace, name, new_name, (char *)kept);
    sys(munmap, kept, KEPT_SIZE);
    return result;
}
