/* The file that an EROFS file system grows in: blocks of content are appended, and what is small (inodes with
 * what is packed behind them) is gathered in a few blocks that stay open until they are full. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erofs_format.h"

#ifndef EROFS_BUFFER /* the fuzzer's is small, so that each of its files reaches the end of one */
#define EROFS_BUFFER (1 << 20)
#endif

enum { EROFS_OPEN_BLOCKS = 16 };

struct erofs_open_block {
    uint64_t at;
    uint32_t used;
    uint8_t *data;
};

struct erofs_file {
    int fd;
    uint64_t size; /* what is buffered included */
    uint8_t *buffer;
    size_t buffered;
    struct erofs_open_block blocks[EROFS_OPEN_BLOCKS];
    unsigned block_count;
    uint64_t sums[2]; /* of all but the full blocks of files: what the file system is known by */
};

/* Each answers 0, or -1 with errno. */
int erofs_file_open(struct erofs_file *file, const char *path);
void erofs_file_close(struct erofs_file *file);
int erofs_append(struct erofs_file *file, const void *data, uint64_t size);
/* What is long becomes a hole. */
int erofs_append_zeros(struct erofs_file *file, uint64_t size);
/* Zeros up to a block's end. */
int erofs_append_padding(struct erofs_file *file);
/* Puts an inode with what belongs to it where it crosses no block, or, if it is larger, starts one. The file
 * must be at a block's end. */
int erofs_put(struct erofs_file *file, const void *data, size_t size, uint64_t *at);
/* Takes bytes into the sums, in whatever order. */
void erofs_add_up(struct erofs_file *file, uint64_t at, const void *data, size_t size);
/* Writes over what was appended. */
int erofs_patch(struct erofs_file *file, uint64_t at, const void *data, size_t size);
/* Reads back what was put. */
int erofs_read(struct erofs_file *file, uint64_t at, void *data, size_t size);
/* Nothing more is put: writes the open blocks. */
int erofs_close_blocks(struct erofs_file *file);
int erofs_flush(struct erofs_file *file);
