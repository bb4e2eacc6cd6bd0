/* A record of the log, in CRI's format: "2006-01-02T15:04:05.000000000Z stdout F text\n". F is a whole line;
 * P is a part of one, to which the stream's next record belongs. So the bytes that were written can be had
 * back exactly, newlines included. */
#include "shim.h"

#include <linux/time.h>
#include <linux/time_types.h>

enum { SECONDS_PER_DAY = 86400, WORD = sizeof(uint64_t) };

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

void record_prefix(char *to, enum log_stream stream) {
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
    memcpy(to, stream == LOG_STDOUT ? "Z stdout F " : "Z stderr F ", 11);
}

/* the bytes of a word, the first one lowest, that are newlines: the lowest bit that is set tells the first */
static uint64_t newlines(uint64_t word) {
    const uint64_t ones = ~0ull / 255;
    uint64_t others = word ^ ones * '\n';
    return (others - ones) & ~others & ones << 7;
}

const char *record_copy(char **to, const char *from, const char *end) {
    char *at = *to;
    while (from < end) {
        uint64_t word;
        __builtin_memcpy(&word, from, WORD);
        __builtin_memcpy(at, &word, WORD);
        uint64_t found = newlines(word);
        long length = found ? __builtin_ctzll(found) / 8 + 1 : WORD;
        long left = end - from;
        int is_last = found || length >= left;
        length = length < left ? length : left;
        at += length;
        from += length;
        if (is_last)
            break;
    }
    *to = at;
    return from;
}
