/* The state machine of the tar parser: blocks and content. What is in them is tar_header.c, tar_pax.c and
 * tar_sparse.c. */
#include "tar.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_HEADERS_PER_ENTRY = 4 };

void tar_init(struct tar *tar, const struct tar_sink *sink, const struct clib_layer_limits *limits) {
    memset(tar, 0, sizeof *tar);
    tar->sink = *sink;
    tar->limits = limits;
    tar->extra.sparse_major = -1;
}

void tar_release(struct tar *tar) {
    free(tar->pax.data);
    free(tar->long_name.data);
    free(tar->long_link.data);
    free(tar->xattrs);
    free(tar->segments);
}

static uint64_t padding_of(uint64_t size) {
    return -size & (TAR_BLOCK - 1);
}

/* ---- ends of things ---- */

static void forget_extra(struct tar *tar) {
    memset(&tar->extra, 0, sizeof tar->extra);
    tar->extra.sparse_major = -1;
    tar->pax.size = tar->long_name.size = tar->long_link.size = 0;
    tar->xattr_count = tar->xattr_bytes = 0;
    tar->segment_count = tar->segment_index = 0;
    tar->segment_done = tar->file_offset = 0;
}

static void skip(struct tar *tar, uint64_t size) {
    tar->state = size ? TAR_STATE_SKIP : TAR_STATE_HEADER;
    tar->left = size;
}

static enum clib_layer_kind end_entry(struct tar *tar) {
    skip(tar, tar->padding);
    enum clib_layer_kind kind = tar->sink.end(tar->sink.context);
    forget_extra(tar);
    return kind;
}

/* The header (and a pax 1.0 or old GNU map) is complete: content follows. */
static enum clib_layer_kind begin_content(struct tar *tar) {
    struct tar_entry *entry = &tar->entry;
    if (entry->sparse) {
        enum clib_layer_kind kind = tar_sparse_check(tar);
        if (kind)
            return kind;
    }
    enum clib_layer_kind kind = tar->sink.entry(tar->sink.context, entry);
    if (kind)
        return kind;
    tar->state = TAR_STATE_DATA;
    tar->left = entry->stored_size;
    return tar->left ? CLIB_LAYER_OK : end_entry(tar);
}

/* ---- headers ---- */

static enum clib_layer_kind begin_meta(struct tar *tar, char type, uint64_t size) {
    if (size > tar->limits->max_pax_bytes)
        return CLIB_LAYER_MAX_PAX;
    if (type == 'g') { /* as docker does: a global header of an image layer says nothing */
        skip(tar, size + padding_of(size));
        return CLIB_LAYER_OK;
    }
    struct tar_buffer *buffer = type == 'L' ? &tar->long_name : type == 'K' ? &tar->long_link : &tar->pax;
    buffer->size = 0;
    if (buffer->capacity < size + 1) {
        uint8_t *data = realloc(buffer->data, size + 1);
        if (!data)
            return CLIB_LAYER_SYSTEM;
        buffer->data = data;
        buffer->capacity = size + 1;
    }
    buffer->data[0] = 0;
    tar->meta_type = type;
    tar->state = TAR_STATE_META;
    tar->left = size;
    tar->padding = padding_of(size);
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind begin_entry(struct tar *tar, char type, uint64_t size) {
    enum clib_layer_kind kind = tar_extra_apply(tar, &size);
    if (kind)
        return kind;
    if (tar->entry.type != TAR_FILE)
        size = 0; /* Go's archive/tar: these have no content, whatever the header says */
    tar->entry.stored_size = size;
    tar->padding = padding_of(size);
    if (tar->entry.type == TAR_FILE && type == 'S') {
        int64_t real;
        if (!tar_number(tar->block + 483, 12, &real) || real < 0)
            return CLIB_LAYER_NUMBER;
        tar->segment_count = 0; /* the header's own map, whatever a pax header said before */
        tar->entry.sparse = true;
        tar->entry.size = (uint64_t)real;
        kind = tar_sparse_old(tar, tar->block, 386, 4);
        if (kind)
            return kind;
        if (tar->block[482]) {
            tar->state = TAR_STATE_SPARSE_OLD;
            tar->block_size = 0;
            return CLIB_LAYER_OK;
        }
    } else if (tar->entry.sparse && tar->extra.sparse_major == 1) {
        tar->state = TAR_STATE_SPARSE_MAP;
        tar->block_size = 0;
        tar->map_expected = UINT64_MAX;
        tar->map_digits = tar->map_has_offset = false;
        tar->map_number = 0;
        return CLIB_LAYER_OK;
    }
    if (!tar->entry.sparse)
        tar->entry.size = size;
    return begin_content(tar);
}

static enum clib_layer_kind header(struct tar *tar) {
    if (tar_is_zero(tar->block)) {
        tar->state = tar->state == TAR_STATE_LONE_ZERO ? TAR_STATE_END : TAR_STATE_LONE_ZERO;
        return CLIB_LAYER_OK;
    }
    if (tar->state == TAR_STATE_LONE_ZERO || !tar_checksum_is_right(tar->block))
        return CLIB_LAYER_CHECKSUM;
    if (++tar->headers > tar->limits->max_entries * MAX_HEADERS_PER_ENTRY)
        return CLIB_LAYER_MAX_ENTRIES;
    char type;
    uint64_t size;
    enum clib_layer_kind kind = tar_read_header(tar, &type, &size);
    if (kind)
        return kind;
    if (type == 'x' || type == 'X' || type == 'g' || type == 'L' || type == 'K')
        return begin_meta(tar, type, size);
    return begin_entry(tar, type, size);
}

static enum clib_layer_kind end_meta(struct tar *tar) {
    skip(tar, tar->padding);
    if (tar->meta_type == 'x' || tar->meta_type == 'X')
        return tar_read_pax(tar);
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind sparse_old_block(struct tar *tar) {
    enum clib_layer_kind kind = tar_sparse_old(tar, tar->block, 0, 21);
    if (kind)
        return kind;
    return tar->block[504] ? CLIB_LAYER_OK : begin_content(tar);
}

static enum clib_layer_kind sparse_map_block(struct tar *tar) {
    if (tar->entry.stored_size < TAR_BLOCK)
        return CLIB_LAYER_SPARSE;
    tar->entry.stored_size -= TAR_BLOCK;
    bool done = false;
    enum clib_layer_kind kind = tar_sparse_map_block(tar, tar->block, &done);
    if (kind)
        return kind;
    return done ? begin_content(tar) : CLIB_LAYER_OK;
}

/* ---- content ---- */

static enum clib_layer_kind give_data(struct tar *tar, const uint8_t *data, size_t size) {
    if (!tar->entry.sparse) {
        uint64_t offset = tar->file_offset;
        tar->file_offset += size;
        return tar->sink.data(tar->sink.context, offset, data, size);
    }
    while (size) { /* tar_sparse_check: the segments hold exactly what is stored */
        const struct tar_segment *segment = &tar->segments[tar->segment_index];
        uint64_t rest = segment->size - tar->segment_done;
        if (rest == 0) {
            tar->segment_index++;
            tar->segment_done = 0;
            continue;
        }
        size_t piece = rest < size ? (size_t)rest : size;
        enum clib_layer_kind kind =
            tar->sink.data(tar->sink.context, segment->offset + tar->segment_done, data, piece);
        if (kind)
            return kind;
        tar->segment_done += piece;
        data += piece;
        size -= piece;
    }
    return CLIB_LAYER_OK;
}

/* Fills tar->block from the input; true when it is complete. */
static bool fill_block(struct tar *tar, const uint8_t **data, size_t *size) {
    size_t piece = TAR_BLOCK - tar->block_size;
    if (piece > *size)
        piece = *size;
    memcpy(tar->block + tar->block_size, *data, piece);
    tar->block_size += piece;
    *data += piece;
    *size -= piece;
    if (tar->block_size < TAR_BLOCK)
        return false;
    tar->block_size = 0;
    return true;
}

/* Takes what the current state needs from a non-empty input, and moves on to the next. */
static enum clib_layer_kind step(struct tar *tar, const uint8_t **data, size_t *size) {
    size_t piece = tar->left < *size ? (size_t)tar->left : *size;
    const uint8_t *from = *data;
    switch (tar->state) {
    case TAR_STATE_HEADER:
    case TAR_STATE_LONE_ZERO:
        return fill_block(tar, data, size) ? header(tar) : CLIB_LAYER_OK;
    case TAR_STATE_SPARSE_OLD:
        return fill_block(tar, data, size) ? sparse_old_block(tar) : CLIB_LAYER_OK;
    case TAR_STATE_SPARSE_MAP:
        return fill_block(tar, data, size) ? sparse_map_block(tar) : CLIB_LAYER_OK;
    case TAR_STATE_END:
        *size = 0; /* what follows the end mark is no part of the archive */
        return CLIB_LAYER_OK;
    case TAR_STATE_META:
    case TAR_STATE_SKIP:
    case TAR_STATE_DATA:
        break;
    }
    *data += piece;
    *size -= piece;
    tar->left -= piece;
    if (tar->state == TAR_STATE_DATA) {
        enum clib_layer_kind kind = give_data(tar, from, piece);
        return kind || tar->left ? kind : end_entry(tar);
    }
    if (tar->state == TAR_STATE_META) {
        struct tar_buffer *buffer = tar->meta_type == 'L'   ? &tar->long_name
                                    : tar->meta_type == 'K' ? &tar->long_link
                                                            : &tar->pax;
        memcpy(buffer->data + buffer->size, from, piece);
        buffer->size += piece;
        buffer->data[buffer->size] = 0;
        return tar->left ? CLIB_LAYER_OK : end_meta(tar);
    }
    if (tar->left == 0)
        tar->state = TAR_STATE_HEADER;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind tar_feed(struct tar *tar, const uint8_t *data, size_t size) {
    while (size && !tar->failed)
        tar->failed = step(tar, &data, &size);
    return tar->failed;
}

/* As Go's reader: an archive may end after any entry, with or without its mark. */
enum clib_layer_kind tar_finish(struct tar *tar) {
    if (tar->failed)
        return tar->failed;
    bool between =
        (tar->state == TAR_STATE_HEADER || tar->state == TAR_STATE_LONE_ZERO) && tar->block_size == 0;
    bool pending = tar->pax.size || tar->long_name.size || tar->long_link.size;
    if (tar->state == TAR_STATE_END || (between && !pending))
        return CLIB_LAYER_OK;
    return tar->failed = CLIB_LAYER_TRUNCATED;
}
