/* Files with holes: a table of chunks, each a run of blocks or a hole, in place of one run. */
#include "erofs.h"

#include <string.h>

enum { MAX_CHUNKS = 1 << 20 }; /* four megabytes of table, enough for any size with the largest chunks */

static const uint64_t NO_CHUNK = UINT64_MAX;

static uint64_t chunks_of(uint64_t size, unsigned bits) {
    uint64_t chunk = (uint64_t)EROFS_BLOCK << bits;
    return size / chunk + (size % chunk > 0);
}

size_t erofs_sparse_table_size(uint64_t size, unsigned bits) {
    return (size_t)chunks_of(size, bits) * sizeof(uint32_t);
}

/* The bytes of all chunks that some content is in. */
static uint64_t touched(const struct tar_segment *segments, size_t count, unsigned bits) {
    unsigned shift = EROFS_BLOCK_BITS + bits;
    uint64_t chunks = 0, next = 0; /* the first chunk that is not counted yet */
    for (size_t i = 0; i < count; i++) {
        if (!segments[i].size)
            continue;
        uint64_t first = segments[i].offset >> shift;
        uint64_t last = (segments[i].offset + segments[i].size - 1) >> shift;
        if (first < next)
            first = next;
        if (last + 1 > first)
            chunks += last + 1 - first;
        next = last + 1;
    }
    return chunks << shift;
}

/* Large chunks store more zeros, small ones a larger table: takes the size that costs least in all. */
bool erofs_sparse_plan(uint64_t size, const struct tar_segment *segments, size_t count, unsigned *bits) {
    uint64_t best = size > EROFS_BLOCK ? size - EROFS_BLOCK : 0; /* it must save a block */
    bool worth = false;
    for (unsigned each = 0; each <= EROFS_CHUNK_MAX_BITS; each++) {
        if (chunks_of(size, each) > MAX_CHUNKS)
            continue;
        uint64_t blocks = touched(segments, count, each);
        uint64_t cost = blocks + erofs_sparse_table_size(size, each);
        if (cost < best) {
            best = cost;
            worth = true;
            *bits = each;
        }
        if (blocks >= best)
            break; /* it does not become less */
    }
    return worth;
}

enum clib_layer_kind erofs_sparse_begin(struct clib_erofs *writer) {
    struct erofs_item *item = &writer->item;
    size_t table = erofs_sparse_table_size(item->size, item->chunk_bits);
    if (table > writer->intake.limits.max_bytes - writer->intake.stats.bytes - writer->tables)
        return CLIB_LAYER_MAX_BYTES;
    writer->tables += table;
    writer->chunked = true;
    item->layout = EROFS_CHUNKED;
    item->chunk = NO_CHUNK;
    enum clib_layer_kind kind = erofs_item_reserve(writer, item->head + table);
    if (!kind)
        memset(item->bytes + item->head, 0xff, table); /* EROFS_NO_BLOCK */
    return kind;
}

/* Zeros from the last content of the chunk at hand up to `end`, or to the end of what the file has of it. */
static enum clib_layer_kind fill_to(struct clib_erofs *writer, uint64_t end) {
    struct erofs_item *item = &writer->item;
    unsigned shift = EROFS_BLOCK_BITS + item->chunk_bits;
    if (item->chunk == NO_CHUNK)
        return CLIB_LAYER_OK;
    uint64_t start = item->chunk << shift;
    uint64_t left = item->size - start, whole = (uint64_t)1 << shift;
    if (end - start > whole)
        end = start + whole;
    if (end - start > left)
        end = start + left;
    if (end > item->done && erofs_append_zeros(&writer->file, end - item->done))
        return erofs_failed(writer);
    item->done = end > item->done ? end : item->done;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind begin_chunk(struct clib_erofs *writer, uint64_t chunk) {
    struct erofs_item *item = &writer->item;
    enum clib_layer_kind kind = fill_to(writer, item->size);
    if (kind)
        return kind;
    if (erofs_append_padding(&writer->file))
        return erofs_failed(writer);
    uint32_t block = (uint32_t)(writer->file.size >> EROFS_BLOCK_BITS);
    memcpy(item->bytes + item->head + chunk * sizeof block, &block, sizeof block);
    item->chunk = chunk;
    item->done = chunk << (EROFS_BLOCK_BITS + item->chunk_bits);
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_sparse_data(struct clib_erofs *writer, uint64_t offset, const uint8_t *data,
                                       size_t size) {
    struct erofs_item *item = &writer->item;
    unsigned shift = EROFS_BLOCK_BITS + item->chunk_bits;
    while (size) {
        uint64_t chunk = offset >> shift, left = ((chunk + 1) << shift) - offset;
        size_t piece = left < size ? (size_t)left : size;
        enum clib_layer_kind kind = chunk == item->chunk ? CLIB_LAYER_OK : begin_chunk(writer, chunk);
        if (!kind)
            kind = fill_to(writer, offset);
        if (kind)
            return kind;
        if (erofs_append(&writer->file, data, piece))
            return erofs_failed(writer);
        item->done += piece;
        offset += piece;
        data += piece;
        size -= piece;
    }
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_sparse_end(struct clib_erofs *writer) {
    return fill_to(writer, writer->item.size);
}
