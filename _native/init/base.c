#include "base.h"

#include <linux/stat.h>
#include <linux/time_types.h>

#if !__STDC_HOSTED__
void *memcpy(void *restrict to, const void *restrict from, size_t size) {
    char *t = to;
    const char *f = from;
    while (size--)
        *t++ = *f++;
    return to;
}

void *memmove(void *to, const void *from, size_t size) {
    char *t = to;
    const char *f = from;
    if (t <= f || t >= f + size)
        return memcpy(to, from, size);
    while (size--)
        t[size] = f[size];
    return to;
}

void *memset(void *to, int byte, size_t size) {
    char *t = to;
    while (size--)
        *t++ = (char)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size) {
    const unsigned char *x = a, *y = b;
    for (size_t i = 0; i < size; i++)
        if (x[i] != y[i])
            return x[i] - y[i];
    return 0;
}

#endif

size_t text_length(const char *text) {
    size_t length = 0;
    while (text[length])
        length++;
    return length;
}

const char *find_byte(const char *from, const char *end, char byte) {
    while (from < end && *from != byte)
        from++;
    return from;
}

size_t format_decimal(char *to, uint64_t value) {
    char digits[20];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    for (size_t i = 0; i < count; i++)
        to[i] = digits[count - 1 - i];
    return count;
}

uint64_t parse_decimal(const char *text, const char **end) {
    uint64_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = value * 10 + (uint64_t)(*text++ - '0');
    *end = text;
    return value;
}

static int facts_of(int fd, const char *path, struct file_facts *facts) {
    struct statx stat;
    long result = sys(statx, fd, path, AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &stat);
    if (result < 0)
        return (int)result;
    facts->mode = stat.stx_mode;
    facts->major = stat.stx_rdev_major;
    facts->minor = stat.stx_rdev_minor;
    facts->mount_root = !!(stat.stx_attributes & STATX_ATTR_MOUNT_ROOT);
    return 0;
}

int file_facts(int fd, struct file_facts *facts) {
    return facts_of(fd, "", facts);
}

int path_facts(const char *path, struct file_facts *facts) {
    return *path ? facts_of(AT_FDCWD, path, facts) : -ENOENT;
}

long read_file(int dir_fd, const char *path, char *to, size_t size) {
    cleanup_close int fd = (int)sys(openat, dir_fd, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    size_t filled = 0;
    while (filled + 1 < size) {
        long got = sys(read, fd, to + filled, size - 1 - filled);
        if (got < 0)
            return got;
        if (got == 0)
            break;
        filled += (size_t)got;
    }
    to[filled] = 0;
    return (long)filled;
}

int write_file(const char *path, const char *text, size_t length) {
    cleanup_close int fd = (int)sys(openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return fd;
    long written = sys(write, fd, text, length);
    return written < 0 ? (int)written : 0;
}

void pause_briefly(void) {
    struct __kernel_timespec duration = {.tv_nsec = 1000000};
    sys(nanosleep, &duration, 0);
}

_Noreturn void leave(int status) {
    sys(exit_group, status);
    for (;;) /* a seccomp filter refuses even that */
        __builtin_trap();
}
