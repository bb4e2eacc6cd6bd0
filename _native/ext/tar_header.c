/* One header block: its checksum, its numbers, its names. */
#include "tar.h"

#include <string.h>

bool tar_is_zero(const uint8_t *block) {
    return block[0] == 0 && memcmp(block, block + 1, TAR_BLOCK - 1) == 0;
}

static bool base256(const uint8_t *field, size_t size, int64_t *number) {
    bool negative = field[0] & 0x40;
    uint8_t fill = negative ? 0xff : 0;
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = i ? field[i] : (negative ? field[i] | 0x80 : field[i] & 0x7f);
        if (i + 8 < size && byte != fill)
            return false;
        value = value << 8 | byte;
    }
    *number = (int64_t)value;
    return (*number < 0) == negative;
}

bool tar_number(const uint8_t *field, size_t size, int64_t *number) {
    if (field[0] & 0x80)
        return base256(field, size, number);
    size_t i = 0;
    while (i < size && (field[i] == ' ' || field[i] == 0))
        i++;
    uint64_t value = 0;
    for (; i < size && field[i] >= '0' && field[i] <= '7'; i++) /* 12 digits at most: 36 bits */
        value = value << 3 | (uint64_t)(field[i] - '0');
    for (; i < size; i++)
        if (field[i] != ' ' && field[i] != 0)
            return false;
    *number = (int64_t)value;
    return true;
}

/* Adds up bytes, and counts those that are negative as signed ones: without a branch, so that a compiler
 * takes many at once. This is read for each entry. */
static void add_bytes(const uint8_t *bytes, size_t size, uint32_t *sum, uint32_t *negative) {
    uint32_t total = 0, high = 0;
    for (size_t i = 0; i < size; i++) {
        total += bytes[i];
        high += bytes[i] >> 7;
    }
    *sum += total;
    *negative += high;
}

/* The sum is of unsigned bytes, its own field taken as spaces; some old programs added signed ones. */
bool tar_checksum_is_right(const uint8_t *block) {
    uint32_t sum = 8 * ' ', negative = 0;
    int64_t expected;
    add_bytes(block, 148, &sum, &negative);
    add_bytes(block + 156, TAR_BLOCK - 156, &sum, &negative);
    return tar_number(block + 148, 8, &expected) &&
           (expected == sum || expected == (int64_t)sum - 256 * (int64_t)negative);
}

/* name, or prefix/name where the format has a prefix: ustar and star do, GNU keeps other things there. */
static void read_names(struct tar *tar) {
    const uint8_t *block = tar->block;
    size_t prefix_size = 0, name_size = strnlen((const char *)block, TAR_NAME_FIELD);
    if (memcmp(block + 257, "ustar\0", 6) == 0) {
        bool star = memcmp(block + 508, "tar", 4) == 0;
        prefix_size = strnlen((const char *)block + 345, star ? 131 : TAR_PREFIX_FIELD);
        memcpy(tar->name, block + 345, prefix_size);
        if (prefix_size)
            tar->name[prefix_size++] = '/';
    }
    memcpy(tar->name + prefix_size, block, name_size);
    tar->name[prefix_size + name_size] = 0;
    size_t link_size = strnlen((const char *)block + 157, TAR_NAME_FIELD);
    memcpy(tar->link, block + 157, link_size);
    tar->link[link_size] = 0;
    tar->entry.path = tar->name;
    tar->entry.link = tar->link;
}

static enum clib_layer_kind read_device(struct tar *tar) {
    int64_t major, minor;
    if (!tar_number(tar->block + 329, 8, &major) || !tar_number(tar->block + 337, 8, &minor))
        return CLIB_LAYER_NUMBER;
    if (major < 0 || major >= 1 << 12 || minor < 0 || minor >= 1 << 20) /* the kernel's dev_t */
        return CLIB_LAYER_NUMBER;
    tar->entry.major = (uint32_t)major;
    tar->entry.minor = (uint32_t)minor;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind read_type(struct tar *tar, char type) {
    switch (type) {
    case 0:
    case '0':
    case '7':
    case 'S':
        tar->entry.type = TAR_FILE;
        return CLIB_LAYER_OK;
    case '1':
        tar->entry.type = TAR_HARDLINK;
        return CLIB_LAYER_OK;
    case '2':
        tar->entry.type = TAR_SYMLINK;
        return CLIB_LAYER_OK;
    case '3':
        tar->entry.type = TAR_CHARACTER;
        return read_device(tar);
    case '4':
        tar->entry.type = TAR_BLOCK_DEVICE;
        return read_device(tar);
    case '5':
        tar->entry.type = TAR_DIRECTORY;
        return CLIB_LAYER_OK;
    case '6':
        tar->entry.type = TAR_FIFO;
        return CLIB_LAYER_OK;
    case 'x':
    case 'X':
    case 'g':
    case 'L':
    case 'K':
        return CLIB_LAYER_OK;
    default:
        return CLIB_LAYER_TYPE;
    }
}

enum clib_layer_kind tar_read_header(struct tar *tar, char *type, uint64_t *size) {
    struct tar_entry *entry = &tar->entry;
    const uint8_t *block = tar->block;
    memset(entry, 0, sizeof *entry);
    read_names(tar);
    int64_t mode, uid, gid, length, mtime;
    if (!tar_number(block + 100, 8, &mode) || !tar_number(block + 108, 8, &uid) ||
        !tar_number(block + 116, 8, &gid) || !tar_number(block + 124, 12, &length) ||
        !tar_number(block + 136, 12, &mtime))
        return CLIB_LAYER_NUMBER;
    *type = (char)block[156];
    if (length < 0)
        return CLIB_LAYER_NUMBER;
    *size = (uint64_t)length;
    entry->mode = (uint32_t)mode & 07777;
    entry->mtime = mtime;
    bool meta = *type && strchr("xXgLK", *type);
    /* a pax header may yet say the right owner: what is out of range here is judged by tar_extra_apply */
    entry->uid = meta || uid < 0 || uid >= UINT32_MAX ? UINT32_MAX : (uint32_t)uid;
    entry->gid = meta || gid < 0 || gid >= UINT32_MAX ? UINT32_MAX : (uint32_t)gid;
    return read_type(tar, *type);
}
