/* A push parser for tar archives: bytes go in at any split, entries and pieces of content come out.
 *
 * It reads v7, ustar, star, GNU (long names, sparse, base-256 numbers) and pax (with GNU's three sparse
 * formats). It makes no system call but for memory, and holds no more than the limits allow; content is never
 * copied. Where readers differ, it reads as Go's archive/tar does, so that what docker sees in a layer is
 * what we see. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ext.h"

enum { TAR_BLOCK = 512, TAR_NAME_FIELD = 100, TAR_PREFIX_FIELD = 155, TAR_MAX_SEGMENTS = 1 << 18 };

enum tar_type {
    TAR_FILE,
    TAR_HARDLINK,
    TAR_SYMLINK,
    TAR_CHARACTER,
    TAR_BLOCK_DEVICE,
    TAR_DIRECTORY,
    TAR_FIFO,
};

struct tar_xattr {
    const char *name;
    const uint8_t *value;
    size_t size;
};

struct tar_segment {
    uint64_t offset;
    uint64_t size;
};

/* Valid until the entry's end has been reported. */
struct tar_entry {
    enum tar_type type;
    bool sparse;
    const char *path;
    const char *link;
    uint32_t mode; /* permission bits only */
    uint32_t uid;
    uint32_t gid;
    uint32_t major;
    uint32_t minor;
    int64_t mtime;
    uint32_t mtime_ns;
    uint64_t size;        /* of the file, holes included */
    uint64_t stored_size; /* bytes of content that follow */
    const struct tar_xattr *xattrs;
    size_t xattr_count;
};

/* Each answers an enum clib_layer_kind; anything but OK ends the parse. `end` follows each `entry`. */
struct tar_sink {
    enum clib_layer_kind (*entry)(void *context, const struct tar_entry *entry);
    enum clib_layer_kind (*data)(void *context, uint64_t offset, const uint8_t *data, size_t size);
    enum clib_layer_kind (*end)(void *context);
    void *context;
};

struct tar_buffer {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

/* What a pax header or GNU long names say about the next entry. Strings point into the buffers of struct tar.
 */
struct tar_extra {
    const char *path;
    const char *link;
    const char *sparse_name;
    bool has_size, has_uid, has_gid, has_mtime, has_sparse_size;
    uint64_t size;
    uint64_t uid;
    uint64_t gid;
    int64_t mtime;
    uint32_t mtime_ns;
    uint64_t sparse_size;
    int sparse_major; /* -1: none given */
    int sparse_minor;
    bool sparse_map; /* 0.0 or 0.1: the segments are known */
};

enum tar_state {
    TAR_STATE_HEADER,
    TAR_STATE_META,       /* content of a pax header or a GNU long name */
    TAR_STATE_SKIP,       /* padding, or a global header */
    TAR_STATE_SPARSE_OLD, /* GNU 'S': extension blocks */
    TAR_STATE_SPARSE_MAP, /* pax 1.0: the map leads the content */
    TAR_STATE_DATA,
    TAR_STATE_LONE_ZERO, /* one zero block was read */
    TAR_STATE_END,
};

struct tar {
    struct tar_sink sink;
    const struct clib_layer_limits *limits;
    enum tar_state state;
    enum clib_layer_kind failed;
    uint64_t headers;

    uint8_t block[TAR_BLOCK];
    size_t block_size;
    char meta_type;
    uint64_t left;    /* bytes of the current state */
    uint64_t padding; /* to skip after it */

    struct tar_entry entry;
    struct tar_extra extra;
    char name[TAR_PREFIX_FIELD + 1 + TAR_NAME_FIELD + 1];
    char link[TAR_NAME_FIELD + 1];
    struct tar_buffer pax;
    struct tar_buffer long_name;
    struct tar_buffer long_link;

    struct tar_xattr *xattrs;
    size_t xattr_count;
    size_t xattr_capacity;
    size_t xattr_bytes;

    struct tar_segment *segments;
    size_t segment_count;
    size_t segment_capacity;
    size_t segment_index;
    uint64_t segment_done; /* bytes of the current segment that have come */
    uint64_t file_offset;  /* of content that is not sparse */

    /* pax 1.0 map */
    uint64_t map_expected; /* numbers still to come; UINT64_MAX before the first */
    uint64_t map_number;
    uint64_t map_offset;
    bool map_digits;
    bool map_has_offset;
};

void tar_init(struct tar *tar, const struct tar_sink *sink, const struct clib_layer_limits *limits);
enum clib_layer_kind tar_feed(struct tar *tar, const uint8_t *data, size_t size);
enum clib_layer_kind tar_finish(struct tar *tar);
void tar_release(struct tar *tar);

/* tar_header.c: the fields of one header block */
bool tar_is_zero(const uint8_t *block);
bool tar_checksum_is_right(const uint8_t *block);
/* An octal or base-256 field. False where it has neither. */
bool tar_number(const uint8_t *field, size_t size, int64_t *number);
enum clib_layer_kind tar_read_header(struct tar *tar, char *type, uint64_t *size);

/* tar_pax.c: extended headers */
bool tar_decimal(const char *text, size_t size, uint64_t *number);
enum clib_layer_kind tar_read_pax(struct tar *tar);
enum clib_layer_kind tar_extra_apply(struct tar *tar, uint64_t *size);

/* tar_sparse.c: the maps of sparse files */
enum clib_layer_kind tar_segment_add(struct tar *tar, uint64_t offset, uint64_t size);
enum clib_layer_kind tar_sparse_old(struct tar *tar, const uint8_t *block, size_t at, unsigned count);
/* Takes one block of a pax 1.0 map; *done when it was the last. */
enum clib_layer_kind tar_sparse_map_block(struct tar *tar, const uint8_t *block, bool *done);
enum clib_layer_kind tar_sparse_check(const struct tar *tar);
