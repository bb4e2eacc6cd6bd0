/* The little that a program without a libc needs, and the kernel's types that user-space headers would
 * declare. */
#pragma once

#include <linux/errno.h>
#include <linux/fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <stdint.h>

#include "cleanup.h"
#include "syscall.h"
#include "wire.h"

#ifndef AT_EMPTY_PATH
#define AT_EMPTY_PATH 0x1000
#endif

/* gcc may call these four by itself */
void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

size_t text_length(const char *text);
const char *find_byte(const char *from, const char *end, char byte);
/* the decimal digits of value at `to` (up to 20 bytes, no NUL); returns their number */
size_t format_decimal(char *to, uint64_t value);
/* the number at the start of text; *end is set behind it */
uint64_t parse_decimal(const char *text, const char **end);

struct file_facts {
    uint32_t mode;
    uint32_t major, minor;
    int mount_root; /* it is where a mount begins */
};
/* fstat and stat, as far as they are needed here */
int file_facts(int fd, struct file_facts *facts);
int path_facts(const char *path, struct file_facts *facts);

/* reads a small file whole, NUL-terminated; returns its size or -errno */
long read_file(int dir_fd, const char *path, char *to, size_t size);

/* one write to a file that is there; 0 or -errno */
int write_file(const char *path, const char *text, size_t length);

/* a millisecond */
void pause_briefly(void);

_Noreturn void leave(int status);
