/* The log, in CRI's format: "2006-01-02T15:04:05.000000000Z stdout F text\n". F is a whole line; P is a part
 * of one, to which the stream's next record belongs. So the bytes that were written can be had back exactly,
 * newlines included. */
#include "shim.h"

#include <linux/time.h>
#include <linux/time_types.h>
#include <linux/uio.h>

enum { PREFIX_SIZE = 64, VECTORS = 510, SECONDS_PER_DAY = 86400 };

static char *put_number(char *to, uint64_t value, int width) {
    for (int i = width - 1; i >= 0; i--, value /= 10)
        to[i] = (char)('0' + value % 10);
    return to + width;
}

/* days since 1970 to a civil date, by counting eras of 400 years that start in March */
static char *put_date(char *to, uint64_t days) {
    days += 719468;
    uint64_t era = days / 146097, day = days % 146097;
    uint64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
    uint64_t yearday = day - (365 * year + year / 4 - year / 100);
    uint64_t month = (5 * yearday + 2) / 153;
    uint64_t civil_month = month < 10 ? month + 3 : month - 9;
    to = put_number(to, year + era * 400 + (civil_month <= 2), 4);
    *to++ = '-';
    to = put_number(to, civil_month, 2);
    *to++ = '-';
    return put_number(to, yearday - (153 * month + 2) / 5 + 1, 2);
}

/* writes "TIME STREAM ? " and returns the place of the "?" */
static char *put_prefix(char *to, const char *stream) {
    struct __kernel_timespec now;
    sys(clock_gettime, CLOCK_REALTIME, &now);
    uint64_t second = (uint64_t)now.tv_sec % SECONDS_PER_DAY;
    to = put_date(to, (uint64_t)now.tv_sec / SECONDS_PER_DAY);
    *to++ = 'T';
    to = put_number(to, second / 3600, 2);
    *to++ = ':';
    to = put_number(to, second / 60 % 60, 2);
    *to++ = ':';
    to = put_number(to, second % 60, 2);
    *to++ = '.';
    to = put_number(to, (uint64_t)now.tv_nsec, 9);
    *to++ = 'Z';
    *to++ = ' ';
    size_t length = text_length(stream);
    memcpy(to, stream, length);
    to += length;
    *to++ = ' ';
    return to;
}

/* A disk that is full costs whole records, never a torn one: what was written of a batch is taken back. */
static void write_batch(int log, struct iovec *vectors, size_t count) {
    long size = 0;
    for (size_t i = 0; i < count; i++)
        size += (long)vectors[i].iov_len;
    long written = sys(writev, log, vectors, count);
    if (written > 0 && written < size) {
        long end = sys(lseek, log, 0, 2 /* SEEK_END */);
        if (end >= written)
            sys(ftruncate, log, end - written);
    }
}

void log_write(int log, const char *stream, const char *bytes, size_t size) {
    char whole[PREFIX_SIZE], part[PREFIX_SIZE];
    char *tag = put_prefix(whole, stream);
    size_t length = (size_t)(tag - whole) + 2;
    tag[0] = 'F';
    tag[1] = ' ';
    memcpy(part, whole, length);
    part[length - 2] = 'P';
    struct iovec vectors[VECTORS];
    size_t count = 0;
    for (const char *at = bytes, *end = bytes + size; at < end;) {
        const char *newline = find_byte(at, end, '\n');
        if (newline == end) {
            vectors[count++] = (struct iovec){part, length};
            vectors[count++] = (struct iovec){(char *)(uintptr_t)at, (size_t)(end - at)};
            vectors[count++] = (struct iovec){"\n", 1};
            break;
        }
        vectors[count++] = (struct iovec){whole, length};
        vectors[count++] = (struct iovec){(char *)(uintptr_t)at, (size_t)(newline + 1 - at)};
        at = newline + 1;
        if (count + 3 > VECTORS) {
            write_batch(log, vectors, count);
            count = 0;
        }
    }
    if (count)
        write_batch(log, vectors, count);
}
