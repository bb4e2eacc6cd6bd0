/* The writer's outside, and the first block. */
#include "erofs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static enum clib_layer_kind begin(struct clib_erofs *writer, const char *path) {
    if (erofs_file_open(&writer->file, path) || erofs_tree_open(&writer->tree) ||
        erofs_append_zeros(&writer->file, EROFS_BLOCK))
        return erofs_failed(writer);
    writer->tree.directories[0].facts.mode = S_IFDIR | 0755;
    return CLIB_LAYER_OK;
}

struct clib_erofs *clib_erofs_open(const char *path, const struct clib_layer_limits *limits,
                                   struct clib_layer_error *error) {
    struct clib_erofs *writer = calloc(1, sizeof *writer);
    if (!writer) {
        *error = (struct clib_layer_error){CLIB_LAYER_SYSTEM, ENOMEM};
        return NULL;
    }
    writer->file.fd = -1;
    struct tar_sink sink = {erofs_entry, erofs_data, erofs_end, writer};
    intake_open(&writer->intake, &sink, limits);
    if (!begin(writer, path))
        return writer;
    intake_report(&writer->intake, CLIB_LAYER_SYSTEM, error);
    clib_erofs_close(writer);
    return NULL;
}

int clib_erofs_feed(struct clib_erofs *writer, const void *data, size_t size,
                    struct clib_layer_error *error) {
    return intake_feed(&writer->intake, data, size, error);
}

/* crc32c without the last inversion, as the kernel takes it. */
static uint32_t checksum(const uint8_t *data, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return crc;
}

/* The same file system has the same; the kernel tells the layers of an overlay apart by it. RFC 9562,
 * version 8. */
static void name_it(const struct erofs_file *file, uint8_t uuid[16]) {
    for (size_t i = 0; i < 2; i++) {
        uint64_t sum = file->sums[i];
        for (int round = 0; round < 2; round++)
            sum = (sum ^ sum >> 32) * 0xd6e8feb86659fd93;
        sum ^= sum >> 32;
        memcpy(uuid + 8 * i, &sum, sizeof sum);
    }
    uuid[6] = (uuid[6] & 0x0f) | 0x80;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

static enum clib_layer_kind write_super(struct clib_erofs *writer) {
    struct erofs_file *file = &writer->file;
    struct erofs_super super = {
        .magic = EROFS_MAGIC,
        .feature_compat = EROFS_COMPAT_CHECKSUM | EROFS_COMPAT_MTIME,
        .block_bits = EROFS_BLOCK_BITS,
        .root_nid = EROFS_ROOT_AT / EROFS_SLOT,
        .inodes = writer->live,
        .blocks = (uint32_t)(file->size >> EROFS_BLOCK_BITS),
        .feature_incompat = writer->chunked ? EROFS_INCOMPAT_CHUNKED : 0,
    };
    name_it(file, super.uuid);
    uint8_t block[EROFS_BLOCK];
    if (erofs_flush(file) || erofs_read(file, 0, block, sizeof block))
        return erofs_failed(writer);
    memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof super);
    super.checksum = checksum(block + EROFS_SUPER_OFFSET, EROFS_BLOCK - EROFS_SUPER_OFFSET);
    memcpy(block + EROFS_SUPER_OFFSET, &super, sizeof super);
    if (erofs_patch(file, 0, block, sizeof block) || ftruncate(file->fd, (off_t)file->size))
        return erofs_failed(writer);
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind finish(struct clib_erofs *writer, const char *const *lowers, size_t count) {
    struct intake *intake = &writer->intake;
    const char *failed = "";
    if (lowers_open(&writer->lowers, lowers, count, &failed)) {
        intake_failed(intake);
        intake_note_path(intake, failed);
        return CLIB_LAYER_SYSTEM;
    }
    enum clib_layer_kind kind = erofs_settle(writer);
    if (!kind)
        kind = erofs_write_directories(writer);
    return kind ? kind : write_super(writer);
}

int clib_erofs_finish(struct clib_erofs *writer, const char *const *lowers, size_t count,
                      struct clib_layer_stats *stats, struct clib_layer_error *error) {
    struct intake *intake = &writer->intake;
    enum clib_layer_kind kind = intake_end(intake);
    if (!kind) {
        errno = 0;
        kind = finish(writer, lowers, count);
        lowers_close(&writer->lowers);
        lowers_close(&writer->at);
        intake->tar.failed = kind ? kind : CLIB_LAYER_SYSTEM; /* nothing may follow */
        intake->err = kind ? intake->err : EINVAL;
    }
    *stats = intake->stats;
    return intake_report(intake, kind, error);
}

size_t clib_erofs_error_path(const struct clib_erofs *writer, char *buffer, size_t size) {
    return intake_error_path(&writer->intake, buffer, size);
}

void clib_erofs_close(struct clib_erofs *writer) {
    if (!writer)
        return;
    erofs_file_close(&writer->file);
    erofs_tree_close(&writer->tree);
    lowers_close(&writer->lowers);
    lowers_close(&writer->at);
    intake_close(&writer->intake);
    free(writer->item.bytes);
    free(writer->xattrs);
    free(writer->pendings);
    free(writer->linked);
    free(writer->scratch.data);
    free(writer);
}
