/* Messages of the DNS, as far as a resolver for a handful of names reads and writes them. Every byte of a
 * query is the container's to choose, and every byte of an answer the network's. */
#include "resolver.h"

enum {
    LABEL = 63,
    WIRE_NAME = 255,
    IS_ANSWER = 0x80,
    OPCODE = 0x78,
    TRUNCATED = 0x02,
    RECURSION_WANTED = 0x01,
    RECURSION_OFFERED = 0x80,
    CODE = 0x0f,
    POINTER_TO_QUESTION = 0xc00c,
    RECORD = 12, /* name, type, class, time to live, length */
};

static uint16_t get16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint8_t *put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static char lower(uint8_t byte) {
    return (char)(byte >= 'A' && byte <= 'Z' ? byte + 32 : byte);
}

int message_read(const uint8_t *query, size_t size, struct question *question) {
    question->length = 0;
    question->name[0] = 0;
    question->end = DNS_HEADER;
    if (size < DNS_HEADER || query[2] & IS_ANSWER)
        return -1;
    if (query[2] & OPCODE)
        return DNS_NOT_IMPLEMENTED;
    if (get16(query + 4) != 1)
        return DNS_FORMAT_ERROR;
    size_t at = DNS_HEADER, length = 0;
    int plain = 1;
    while (at < size && query[at]) {
        size_t end = at + 1 + query[at];
        if (query[at] > LABEL || end >= size || end - DNS_HEADER >= WIRE_NAME)
            return DNS_FORMAT_ERROR;
        if (length)
            question->name[length++] = '.';
        for (at++; at < end; at++) {
            plain &= query[at] > ' ' && query[at] < 0x7f && query[at] != '.';
            question->name[length++] = lower(query[at]);
        }
    }
    if (at + 5 > size)
        return DNS_FORMAT_ERROR;
    question->length = plain ? length : 0;
    question->name[question->length] = 0;
    question->type = get16(query + at + 1);
    question->class = get16(query + at + 3);
    question->end = at + 5;
    return DNS_OK;
}

int message_answers(const uint8_t *answer, size_t size, const uint8_t *query, size_t query_size) {
    struct question question;
    if (message_read(query, query_size, &question) != DNS_OK)
        return 0;
    return size >= question.end && answer[2] & IS_ANSWER && get16(answer + 4) == 1 &&
           memcmp(answer, query, 2) == 0 &&
           memcmp(answer + DNS_HEADER, query + DNS_HEADER, question.end - DNS_HEADER) == 0;
}

enum dns_code message_code(const uint8_t *answer) {
    return (enum dns_code)(answer[3] & CODE);
}

void reply_begin(struct reply *reply, const uint8_t *query, const struct question *question,
                 enum dns_code code) {
    memcpy(reply->bytes, query, question->end);
    reply->bytes[2] = (uint8_t)(IS_ANSWER | (query[2] & (OPCODE | RECURSION_WANTED)));
    reply->bytes[3] = (uint8_t)(RECURSION_OFFERED | code);
    put16(reply->bytes + 4, question->end > DNS_HEADER);
    memset(reply->bytes + 6, 0, DNS_HEADER - 6);
    reply->size = question->end;
}

void reply_add(struct reply *reply, enum dns_type type, const void *data, size_t size) {
    if (reply->limit - reply->size < RECORD + size) {
        reply->bytes[2] |= TRUNCATED;
        return;
    }
    uint8_t *at = reply->bytes + reply->size;
    at = put16(at, POINTER_TO_QUESTION);
    at = put16(at, type);
    at = put16(at, DNS_INTERNET);
    at = put16(put16(at, 0), 0); /* not to be kept: containers come and go */
    at = put16(at, (unsigned)size);
    memcpy(at, data, size);
    reply->size += RECORD + size;
    put16(reply->bytes + 6, get16(reply->bytes + 6) + 1u);
}

void reply_add_name(struct reply *reply, const char *name, size_t length) {
    uint8_t wire[WIRE_NAME + 1];
    size_t filled = 0;
    if (length + 2 > WIRE_NAME)
        return;
    for (const char *at = name, *end = name + length; at < end;) {
        const char *dot = find_byte(at, end, '.');
        size_t label = (size_t)(dot - at);
        if (label == 0 || label > LABEL)
            return;
        wire[filled++] = (uint8_t)label;
        memcpy(wire + filled, at, label);
        filled += label;
        at = dot + 1;
    }
    wire[filled++] = 0;
    reply_add(reply, DNS_PTR, wire, filled);
}

static int ends_in(const struct question *question, const char *suffix, size_t *rest) {
    size_t length = text_length(suffix);
    if (question->length <= length)
        return 0;
    *rest = question->length - length;
    return memcmp(question->name + *rest, suffix, length) == 0;
}

static size_t reversed4(const char *name, size_t length, char digits[32]) {
    static const char hex[] = "0123456789abcdef";
    const char *at = name, *end = name + length;
    for (int part = 3; part >= 0; part--) {
        const char *stop;
        uint64_t value = parse_decimal(at, &stop);
        if (stop == at || stop - at > 3 || value > 255 || (part ? stop >= end || *stop != '.' : stop != end))
            return 0;
        digits[part * 2] = hex[value >> 4];
        digits[part * 2 + 1] = hex[value & 15];
        at = stop + 1;
    }
    return 8;
}

static size_t reversed6(const char *name, size_t length, char digits[32]) {
    if (length != 63)
        return 0;
    for (size_t i = 0; i < 32; i++) {
        char digit = name[i * 2];
        if (!((digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f')) ||
            (i < 31 && name[i * 2 + 1] != '.'))
            return 0;
        digits[31 - i] = digit;
    }
    return 32;
}

size_t message_reversed(const struct question *question, char digits[32]) {
    size_t rest;
    if (ends_in(question, ".in-addr.arpa", &rest))
        return reversed4(question->name, rest, digits);
    if (ends_in(question, ".ip6.arpa", &rest))
        return reversed6(question->name, rest, digits);
    return 0;
}
