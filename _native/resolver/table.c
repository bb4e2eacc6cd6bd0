/* Names and resolvers, as files say them that an engine replaces. They are mapped, so that all containers of
 * a network share them in memory; a name is looked for from their beginning to their end. */
#include "resolver.h"

#include <linux/if.h>
#include <linux/mman.h>
#include <linux/sockios.h>

enum { PROT_READ_ = 1, FOUND = 256, ADDRESS = 16 };

static void forget(struct names_file *file) {
    if (file->size)
        sys(munmap, file->text, file->size);
    file->text = NULL;
    file->size = 0;
    file->inode = 0;
    file->changed = 0;
}

static int64_t changed_at(const struct statx *facts) {
    return facts->stx_mtime.tv_sec * 1000000000 + facts->stx_mtime.tv_nsec;
}

/* 1: it is another file than before */
static int refresh(struct names_file *file) {
    struct statx facts;
    long result = sys(statx, AT_FDCWD, file->name, 0, STATX_INO | STATX_MTIME, &facts);
    if (result == 0 && facts.stx_ino == file->inode && changed_at(&facts) == file->changed)
        return 0;
    int was = file->inode != 0;
    forget(file);
    cleanup_close int fd = result < 0 ? -1 : (int)sys(openat, AT_FDCWD, file->name, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || sys(statx, fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MTIME | STATX_SIZE, &facts) < 0)
        return was;
    file->inode = facts.stx_ino;
    file->changed = changed_at(&facts);
    long text = facts.stx_size ? sys(mmap, 0, facts.stx_size, PROT_READ_, MAP_SHARED, fd, 0) : 0;
    if (text > 0) {
        file->text = (const char *)text;
        file->size = facts.stx_size;
    }
    return 1;
}

static int digit(char byte) {
    return byte >= '0' && byte <= '9' ? byte - '0' : byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* the bytes of 8 or 32 hexadecimal digits; how many, or 0 */
static size_t decode(const char *text, const char *end, uint8_t address[ADDRESS]) {
    size_t digits = (size_t)(end - text);
    if (digits != 8 && digits != 32)
        return 0;
    for (size_t i = 0; i < digits; i += 2) {
        int high = digit(text[i]), low = digit(text[i + 1]);
        if (high < 0 || low < 0)
            return 0;
        address[i / 2] = (uint8_t)(high << 4 | low);
    }
    return digits / 2;
}

/* the number in a word that ends before `end`; *at is behind the word */
static uint32_t number(const char **at, const char *end) {
    uint32_t value = 0;
    while (*at < end && **at == ' ')
        ++*at;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        value = value * 10 + (uint32_t)(**at - '0');
    return value;
}

static void add_server(struct table *table, const char *text, const char *end) {
    uint8_t address[ADDRESS];
    const char *at = find_byte(text, end, ' ');
    size_t size = decode(text, at, address);
    if (!size || table->server_count == TABLE_SERVERS)
        return;
    union address *server = &table->servers[table->server_count++];
    *server = (union address){0};
    uint32_t port = number(&at, end);
    server->v4.port = (uint16_t)(port << 8 | port >> 8);
    server->v4.family = size == 4 ? INET : INET6;
    memcpy(size == 4 ? server->v4.bytes : server->v6.bytes, address, size);
    if (size == ADDRESS)
        server->v6.scope = number(&at, end);
}

static void add_network(struct table *table, const char *text, const char *end) {
    size_t length = (size_t)(end - text);
    if (!length || length >= TABLE_FILE || table->network_count == TABLE_NETWORKS)
        return;
    struct names_file *file = &table->networks[table->network_count++];
    memcpy(file->name, text, length);
    file->name[length] = 0;
}

static void read_view(struct table *table) {
    const char *at = table->view.text, *end = at + table->view.size;
    while (table->network_count)
        forget(&table->networks[--table->network_count]);
    table->server_count = 0;
    while (at < end) {
        const char *stop = find_byte(at, end, '\n'), *word = find_byte(at, stop, ' ');
        if (word - at == 7 && memcmp(at, "network", 7) == 0 && word < stop)
            add_network(table, word + 1, stop);
        else if (word - at == 6 && memcmp(at, "server", 6) == 0 && word < stop)
            add_server(table, word + 1, stop);
        at = stop + 1;
    }
}

void table_refresh(struct table *table) {
    if (refresh(&table->view))
        read_view(table);
    for (int i = 0; i < table->network_count; i++)
        refresh(&table->networks[i]);
}

/* does the host have the device? "-": what is not a matter of one */
static int is_there(const struct table *table, const char *device, size_t length) {
    struct ifreq request = {0};
    if (length == 1 && *device == '-')
        return 1;
    if (length >= sizeof request.ifr_name)
        return 0;
    memcpy(request.ifr_name, device, length);
    return sys(ioctl, table->probe, SIOCGIFINDEX, &request) >= 0;
}

struct line {
    const char *address, *address_end, *device, *device_end, *names, *end;
};

/* the line at *at, which is behind it then; 0: there is none */
static int next_line(const char **at, const char *end, struct line *line) {
    if (*at >= end)
        return 0;
    line->address = *at;
    line->end = find_byte(*at, end, '\n');
    line->address_end = find_byte(line->address, line->end, ' ');
    line->device = line->address_end < line->end ? line->address_end + 1 : line->end;
    line->device_end = find_byte(line->device, line->end, ' ');
    line->names = line->device_end < line->end ? line->device_end + 1 : line->end;
    *at = line->end + 1;
    return 1;
}

static int has_name(const struct line *line, const struct question *question) {
    for (const char *at = line->names; at < line->end;) {
        const char *stop = find_byte(at, line->end, ' ');
        if ((size_t)(stop - at) == question->length && memcmp(at, question->name, question->length) == 0)
            return 1;
        at = stop + 1;
    }
    return 0;
}

struct found {
    int known;
    size_t size, count; /* of an address, and of them */
    uint8_t addresses[FOUND][ADDRESS];
};

static void look_for_name(const struct table *table, const struct names_file *file,
                          const struct question *question, struct found *found) {
    const char *at = file->text, *end = at + file->size;
    struct line line;
    while (next_line(&at, end, &line)) {
        uint8_t address[ADDRESS];
        if (!has_name(&line, question) ||
            !is_there(table, line.device, (size_t)(line.device_end - line.device)))
            continue;
        found->known = 1;
        if (decode(line.address, line.address_end, address) == found->size && found->count < FOUND)
            memcpy(found->addresses[found->count++], address, found->size);
    }
}

static int answer_name(struct table *table, const uint8_t *query, const struct question *question,
                       struct reply *reply) {
    struct found found;
    found.known = 0;
    found.count = 0;
    found.size = question->type == DNS_A ? 4 : question->type == DNS_AAAA ? ADDRESS : 0;
    for (int i = 0; i < table->network_count; i++)
        look_for_name(table, &table->networks[i], question, &found);
    if (!found.known)
        return 0;
    reply_begin(reply, query, question, DNS_OK);
    /* each answer begins with another of them, so that those who take the first go to all */
    for (size_t i = 0; i < found.count; i++)
        reply_add(reply, (enum dns_type)question->type,
                  found.addresses[(i + query[0] + query[1]) % found.count], found.size);
    return 1;
}

static int answer_address(struct table *table, const uint8_t *query, const struct question *question,
                          struct reply *reply) {
    char digits[32];
    size_t count = message_reversed(question, digits);
    for (int i = 0; count && i < table->network_count; i++) {
        const char *at = table->networks[i].text, *end = at + table->networks[i].size;
        struct line line;
        while (next_line(&at, end, &line)) {
            if ((size_t)(line.address_end - line.address) != count ||
                memcmp(line.address, digits, count) != 0 ||
                !is_there(table, line.device, (size_t)(line.device_end - line.device)))
                continue;
            reply_begin(reply, query, question, DNS_OK);
            reply_add_name(reply, line.names, (size_t)(find_byte(line.names, line.end, ' ') - line.names));
            return 1;
        }
    }
    return 0;
}

int table_answer(struct table *table, const uint8_t *query, const struct question *question,
                 struct reply *reply) {
    if (!question->length || question->class != DNS_INTERNET)
        return 0;
    return answer_name(table, query, question, reply) ||
           (question->type == DNS_PTR && answer_address(table, query, question, reply));
}
