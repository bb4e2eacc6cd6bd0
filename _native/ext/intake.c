/* The receiving end of a layer's archive. */
#include "intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void intake_open(struct intake *intake, const struct tar_sink *sink, const struct clib_layer_limits *limits) {
    intake->limits = *limits;
    if (intake->limits.max_path_bytes >= LAYER_PATH)
        intake->limits.max_path_bytes = LAYER_PATH - 1;
    tar_init(&intake->tar, sink, &intake->limits);
}

bool intake_grow(void **data, size_t *capacity, size_t needed, size_t item_size) {
    if (needed <= *capacity)
        return true;
    size_t wanted = *capacity ? 2 * *capacity : 256;
    if (wanted < needed)
        wanted = needed;
    void *grown = realloc(*data, wanted * item_size);
    if (!grown)
        return false;
    *data = grown;
    *capacity = wanted;
    return true;
}

void intake_close(struct intake *intake) {
    tar_release(&intake->tar);
}

enum clib_layer_kind intake_failed(struct intake *intake) {
    intake->err = errno;
    switch (errno) {
    case ENAMETOOLONG:
        return CLIB_LAYER_NAME_LENGTH;
    case ELOOP:
        return CLIB_LAYER_LOOP;
    case ENOTDIR:
        return CLIB_LAYER_PARENT;
    default:
        return CLIB_LAYER_SYSTEM;
    }
}

enum clib_layer_kind intake_count_entry(struct intake *intake) {
    return ++intake->stats.entries > intake->limits.max_entries ? CLIB_LAYER_MAX_ENTRIES : CLIB_LAYER_OK;
}

void intake_note_path(struct intake *intake, const char *path) {
    size_t size = strnlen(path, sizeof intake->failed_path - 1);
    memcpy(intake->failed_path, path, size);
    intake->failed_path[size] = 0;
}

int intake_report(const struct intake *intake, enum clib_layer_kind kind, struct clib_layer_error *error) {
    error->kind = kind;
    error->err = kind != CLIB_LAYER_SYSTEM ? 0 : intake->err ? intake->err : ENOMEM;
    return kind ? -1 : 0;
}

static void note_entry(struct intake *intake) {
    intake_note_path(intake, intake->tar.entry.path ? intake->tar.entry.path : "");
}

int intake_feed(struct intake *intake, const void *data, size_t size, struct clib_layer_error *error) {
    bool failed = intake->tar.failed != CLIB_LAYER_OK;
    errno = 0;
    enum clib_layer_kind kind = tar_feed(&intake->tar, data, size);
    if (kind && !failed)
        note_entry(intake);
    return intake_report(intake, kind, error);
}

enum clib_layer_kind intake_end(struct intake *intake) {
    bool failed = intake->tar.failed != CLIB_LAYER_OK;
    enum clib_layer_kind kind = tar_finish(&intake->tar);
    if (kind && !failed)
        note_entry(intake);
    return kind;
}

size_t intake_error_path(const struct intake *intake, char *buffer, size_t size) {
    size_t length = strlen(intake->failed_path);
    if (size) {
        size_t copied = length < size ? length : size - 1;
        memcpy(buffer, intake->failed_path, copied);
        buffer[copied] = 0;
    }
    return length;
}
