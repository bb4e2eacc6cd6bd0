/* EROFS on disk, as far as an uncompressed file system in one file needs it. Numbers are little-endian, as
 * are the processors that this is built for.
 * Spec: Linux Documentation/filesystems/erofs.rst */
#pragma once

#include <stdint.h>

enum {
    EROFS_BLOCK_BITS = 12,
    EROFS_BLOCK = 1 << EROFS_BLOCK_BITS,
    EROFS_SUPER_OFFSET = 1024,
    EROFS_ROOT_AT = EROFS_SUPER_OFFSET + 128, /* behind the superblock: its nid has but 16 bits there */
    EROFS_SLOT = 32,                          /* a nid is an inode's offset in these */
    EROFS_MAX_NAME = 255,                     /* also of an extended attribute behind its prefix */
    EROFS_CHUNK_MAX_BITS = 31,                /* a chunk has at most 2^31 blocks */
};

static const uint32_t EROFS_MAGIC = 0xe0f5e1e2;
static const uint32_t EROFS_NO_BLOCK = UINT32_MAX; /* a chunk that is a hole */

enum {
    EROFS_COMPAT_CHECKSUM = 1,
    EROFS_COMPAT_MTIME = 2,
    EROFS_INCOMPAT_CHUNKED = 4, /* Linux 5.15 */
};

struct erofs_super {
    uint32_t magic;
    uint32_t checksum; /* crc32c from here to the end of the block, this field being 0 */
    uint32_t feature_compat;
    uint8_t block_bits;
    uint8_t extra_slots;
    uint16_t root_nid;
    uint64_t inodes;
    uint64_t build_time;
    uint32_t build_time_ns;
    uint32_t blocks;
    uint32_t meta_block; /* nids count from this block */
    uint32_t xattr_block;
    uint8_t uuid[16];
    uint8_t name[16];
    uint32_t feature_incompat;
    uint8_t reserved[44];
};

enum erofs_layout {
    EROFS_FLAT_PLAIN = 0,
    EROFS_FLAT_INLINE = 2, /* what is behind the last full block follows the inode */
    EROFS_CHUNKED = 4,     /* a table of blocks follows it */
};

struct erofs_inode {
    uint16_t format; /* 1: has 64 bytes; the layout above it */
    uint16_t xattr_count;
    uint16_t mode;
    uint16_t reserved;
    uint64_t size;
    uint32_t data; /* the first block, a device's number, or the bits of a chunk above a block's */
    uint32_t number;
    uint32_t uid;
    uint32_t gid;
    int64_t mtime;
    uint32_t mtime_ns;
    uint32_t links;
    uint8_t reserved2[16];
};

/* An inode's attributes: this, then entries, each with name and value behind it and padded to 4 bytes. */
struct erofs_xattr_header {
    uint32_t name_filter;
    uint8_t shared_count;
    uint8_t reserved[7];
};

struct erofs_xattr_entry {
    uint8_t name_size;
    uint8_t prefix;
    uint16_t value_size;
};

enum erofs_xattr_prefix {
    EROFS_XATTR_USER = 1,
    EROFS_XATTR_ACL_ACCESS = 2,
    EROFS_XATTR_ACL_DEFAULT = 3,
    EROFS_XATTR_TRUSTED = 4,
    EROFS_XATTR_SECURITY = 6,
};

/* A directory's block: these, sorted by name, then the names. */
struct erofs_dirent {
    uint64_t nid;
    uint16_t name_offset;
    uint8_t type;
    uint8_t reserved;
} __attribute__((packed));

enum erofs_type {
    EROFS_TYPE_FILE = 1,
    EROFS_TYPE_DIRECTORY = 2,
    EROFS_TYPE_CHARACTER = 3,
    EROFS_TYPE_BLOCK = 4,
    EROFS_TYPE_FIFO = 5,
    EROFS_TYPE_SOCKET = 6,
    EROFS_TYPE_SYMLINK = 7,
};

_Static_assert(sizeof(struct erofs_super) == 128, "as on disk");
_Static_assert(sizeof(struct erofs_inode) == 64, "as on disk");
_Static_assert(sizeof(struct erofs_xattr_header) == 12, "as on disk");
_Static_assert(sizeof(struct erofs_xattr_entry) == 4, "as on disk");
_Static_assert(sizeof(struct erofs_dirent) == 12, "as on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "as on disk");
