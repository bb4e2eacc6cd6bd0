/* The maps of sparse files, in GNU's old format and its pax formats. */
#include "tar.h"

#include <stdlib.h>

enum clib_layer_kind tar_segment_add(struct tar *tar, uint64_t offset, uint64_t size) {
    if (tar->segment_count == TAR_MAX_SEGMENTS)
        return CLIB_LAYER_MAX_SEGMENTS;
    if (tar->segment_count == tar->segment_capacity) {
        size_t capacity = tar->segment_capacity ? 2 * tar->segment_capacity : 32;
        struct tar_segment *grown = realloc(tar->segments, capacity * sizeof *grown);
        if (!grown)
            return CLIB_LAYER_SYSTEM;
        tar->segments = grown;
        tar->segment_capacity = capacity;
    }
    tar->segments[tar->segment_count++] = (struct tar_segment){offset, size};
    return CLIB_LAYER_OK;
}

/* The map of an 'S' header or of its extension block: pairs of 12-byte numbers, up to the first that is
 * empty. */
enum clib_layer_kind tar_sparse_old(struct tar *tar, const uint8_t *block, size_t at, unsigned count) {
    for (unsigned i = 0; i < count && block[at]; i++, at += 24) {
        int64_t offset, size;
        if (!tar_number(block + at, 12, &offset) || !tar_number(block + at + 12, 12, &size) || offset < 0 ||
            size < 0)
            return CLIB_LAYER_NUMBER;
        enum clib_layer_kind kind = tar_segment_add(tar, (uint64_t)offset, (uint64_t)size);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind map_number(struct tar *tar, bool *done) {
    uint64_t number = tar->map_number;
    tar->map_number = 0;
    tar->map_digits = false;
    if (tar->map_expected == UINT64_MAX) {
        if (number > TAR_MAX_SEGMENTS)
            return CLIB_LAYER_MAX_SEGMENTS;
        tar->map_expected = 2 * number;
    } else {
        tar->map_expected--;
        tar->map_has_offset = !tar->map_has_offset;
        if (tar->map_has_offset) {
            tar->map_offset = number;
        } else {
            enum clib_layer_kind kind = tar_segment_add(tar, tar->map_offset, number);
            if (kind)
                return kind;
        }
    }
    *done = tar->map_expected == 0;
    return CLIB_LAYER_OK;
}

/* Decimal numbers, one a line: how many segments, then offset and size of each; the last block is padded. */
enum clib_layer_kind tar_sparse_map_block(struct tar *tar, const uint8_t *block, bool *done) {
    for (size_t i = 0; i < TAR_BLOCK && !*done; i++) {
        unsigned digit = (unsigned)block[i] - '0';
        if (block[i] == '\n' && tar->map_digits) {
            enum clib_layer_kind kind = map_number(tar, done);
            if (kind)
                return kind;
            continue;
        }
        if (digit > 9 || tar->map_number > ((uint64_t)INT64_MAX - digit) / 10)
            return CLIB_LAYER_SPARSE;
        tar->map_number = tar->map_number * 10 + digit;
        tar->map_digits = true;
    }
    return CLIB_LAYER_OK;
}

/* In order, not overlapping, inside the file, and holding exactly what the archive stores. */
enum clib_layer_kind tar_sparse_check(const struct tar *tar) {
    uint64_t end = 0, stored = 0, limit = tar->entry.size;
    if (limit > INT64_MAX)
        return CLIB_LAYER_SPARSE;
    for (size_t i = 0; i < tar->segment_count; i++) {
        const struct tar_segment *segment = &tar->segments[i];
        if (segment->offset < end || segment->offset > limit || segment->size > limit - segment->offset)
            return CLIB_LAYER_SPARSE;
        end = segment->offset + segment->size;
        stored += segment->size;
    }
    return stored == tar->entry.stored_size ? CLIB_LAYER_OK : CLIB_LAYER_SPARSE;
}
