/* One inode with its content: blocks go ahead, the rest is packed behind it. */
#include "erofs.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

enum clib_layer_kind erofs_item_reserve(struct clib_erofs *writer, size_t size) {
    struct erofs_item *item = &writer->item;
    return intake_grow((void **)&item->bytes, &item->capacity, size, 1) ? CLIB_LAYER_OK
                                                                        : erofs_failed(writer);
}

enum clib_layer_kind erofs_item_begin(struct clib_erofs *writer, const struct erofs_facts *facts,
                                      uint64_t size, const struct tar_segment *segments, size_t count) {
    struct erofs_item *item = &writer->item;
    size_t rest = size % EROFS_BLOCK;
    bool in_line = rest && item->head + rest <= EROFS_BLOCK;
    item->facts = *facts;
    item->size = size;
    item->done = 0;
    item->start = writer->file.size;
    item->in_blocks = in_line ? size - rest : size;
    item->layout = in_line ? EROFS_FLAT_INLINE : EROFS_FLAT_PLAIN;
    if (segments && erofs_sparse_plan(size, segments, count, &item->chunk_bits))
        return erofs_sparse_begin(writer);
    return erofs_item_reserve(writer, item->head + rest);
}

/* How much of `size` bytes goes into blocks. */
static uint64_t for_blocks(const struct erofs_item *item, uint64_t size) {
    uint64_t left = item->done < item->in_blocks ? item->in_blocks - item->done : 0;
    return size < left ? size : left;
}

static enum clib_layer_kind add_zeros(struct clib_erofs *writer, uint64_t size) {
    struct erofs_item *item = &writer->item;
    uint64_t first = for_blocks(item, size);
    if (first && erofs_append_zeros(&writer->file, first))
        return erofs_failed(writer);
    if (first < size)
        memset(item->bytes + item->head + (item->done + first - item->in_blocks), 0, size - first);
    item->done += size;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_item_data(struct clib_erofs *writer, uint64_t offset, const uint8_t *data,
                                     size_t size) {
    struct erofs_item *item = &writer->item;
    if (item->layout == EROFS_CHUNKED)
        return erofs_sparse_data(writer, offset, data, size);
    if (offset > item->done) {
        enum clib_layer_kind kind = add_zeros(writer, offset - item->done);
        if (kind)
            return kind;
    }
    size_t first = (size_t)for_blocks(item, size);
    if (first && erofs_append(&writer->file, data, first))
        return erofs_failed(writer);
    if (first < size)
        memcpy(item->bytes + item->head + (item->done + first - item->in_blocks), data + first, size - first);
    item->done += size;
    return CLIB_LAYER_OK;
}

void erofs_item_inode(struct clib_erofs *writer, uint32_t data, uint32_t links) {
    const struct erofs_item *item = &writer->item;
    size_t xattrs = item->head - sizeof(struct erofs_inode);
    struct erofs_inode inode = {
        .format = (uint16_t)(1 | item->layout << 1),
        .xattr_count = (uint16_t)(xattrs ? 1 + (xattrs - sizeof(struct erofs_xattr_header)) / 4 : 0),
        .mode = (uint16_t)item->facts.mode,
        .size = item->size,
        .data = data,
        .number = (uint32_t)++writer->inodes,
        .uid = item->facts.uid,
        .gid = item->facts.gid,
        .mtime = item->facts.mtime,
        .mtime_ns = item->facts.mtime_ns,
        .links = links,
    };
    memcpy(item->bytes, &inode, sizeof inode);
}

/* The bytes that follow the inode and its attributes. */
static size_t trailing(const struct erofs_item *item) {
    if (item->layout == EROFS_CHUNKED)
        return erofs_sparse_table_size(item->size, item->chunk_bits);
    return (size_t)(item->size - item->in_blocks);
}

enum clib_layer_kind erofs_item_end(struct clib_erofs *writer, uint64_t *nid) {
    struct erofs_item *item = &writer->item;
    bool flat = item->layout != EROFS_CHUNKED;
    enum clib_layer_kind kind = flat ? add_zeros(writer, item->size - item->done) : erofs_sparse_end(writer);
    if (kind)
        return kind;
    if (erofs_append_padding(&writer->file))
        return erofs_failed(writer);
    uint32_t data = item->facts.device;
    if (!flat)
        data = item->chunk_bits;
    else if (item->in_blocks)
        data = (uint32_t)(item->start >> EROFS_BLOCK_BITS);
    erofs_item_inode(writer, data, 1);
    uint64_t at;
    if (erofs_put(&writer->file, item->bytes, item->head + trailing(item), &at))
        return erofs_failed(writer);
    *nid = at / EROFS_SLOT;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_read_link(struct clib_erofs *writer, uint64_t nid, char text[LAYER_PATH],
                                     size_t *size) {
    struct erofs_inode inode;
    uint64_t at = nid * EROFS_SLOT;
    if (erofs_read(&writer->file, at, &inode, sizeof inode))
        return erofs_failed(writer);
    at += sizeof inode;
    if (inode.xattr_count)
        at += sizeof(struct erofs_xattr_header) + 4 * (inode.xattr_count - (size_t)1);
    if (inode.format >> 1 == EROFS_FLAT_PLAIN)
        at = (uint64_t)inode.data << EROFS_BLOCK_BITS;
    if (inode.size >= LAYER_PATH) {
        errno = ENAMETOOLONG;
        return erofs_failed(writer);
    }
    *size = (size_t)inode.size;
    text[*size] = 0;
    return erofs_read(&writer->file, at, text, *size) ? erofs_failed(writer) : CLIB_LAYER_OK;
}
