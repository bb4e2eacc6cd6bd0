/* What CRIU says, as much of it as a restore needs: messages in protobuf's wire format.
 * Spec: criu images/rpc.proto, protobuf.dev/programming-guides/encoding */
#include "shim.h"

enum wire { WIRE_NUMBER = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };
enum { ANSWER_TYPE = 1, ANSWER_SUCCESS = 2, ANSWER_NOTIFY = 5, ANSWER_ERRNO = 7 };
enum { NOTIFY_SCRIPT = 1, NOTIFY_PID = 2 };

struct field {
    uint64_t number;
    uint64_t value;    /* or the size of what is at */
    const char *bytes; /* where it is a message or a string, else NULL */
};

static int read_number(const char **at, const char *end, uint64_t *value) {
    *value = 0;
    for (unsigned shift = 0; *at < end && shift < 64; shift += 7) {
        unsigned char byte = (unsigned char)*(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return 1;
    }
    return 0;
}

/* 0: there is none, or what is there is no field */
static int next_field(const char **at, const char *end, struct field *field) {
    uint64_t key, size;
    if (!read_number(at, end, &key))
        return 0;
    *field = (struct field){.number = key >> 3};
    if ((key & 7) == WIRE_NUMBER)
        return read_number(at, end, &field->value);
    if ((key & 7) == WIRE_BYTES) {
        if (!read_number(at, end, &size))
            return 0;
        field->bytes = *at;
        field->value = size;
    } else if ((key & 7) == WIRE_64 || (key & 7) == WIRE_32) {
        size = (key & 7) == WIRE_64 ? 8 : 4;
    } else {
        return 0;
    }
    if (size > (uint64_t)(end - *at))
        return 0;
    *at += size;
    return 1;
}

static void read_notify(const char *at, const char *end, struct answer *answer) {
    struct field field;
    while (next_field(&at, end, &field)) {
        if (field.number == NOTIFY_SCRIPT && field.bytes) {
            answer->point = field.bytes;
            answer->point_size = field.value;
        }
        if (field.number == NOTIFY_PID && !field.bytes)
            answer->pid = (int)field.value;
    }
}

void answer_read(const char *bytes, size_t size, struct answer *answer) {
    const char *at = bytes, *end = bytes + size;
    struct field field;
    *answer = (struct answer){.type = 0};
    while (next_field(&at, end, &field)) {
        if (field.number == ANSWER_TYPE)
            answer->type = (int)field.value;
        if (field.number == ANSWER_SUCCESS)
            answer->success = field.value != 0;
        if (field.number == ANSWER_ERRNO)
            answer->error = (int)field.value;
        if (field.number == ANSWER_NOTIFY && field.bytes)
            read_notify(field.bytes, field.bytes + field.value, answer);
    }
}

int answer_is_at(const struct answer *answer, const char *point) {
    size_t size = text_length(point);
    return answer->point_size == size && memcmp(answer->point, point, size) == 0;
}
