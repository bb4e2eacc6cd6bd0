/* The receiving end of a layer's archive, whatever it is written to: the parser, the bounds, what was
 * counted, and how a failure is told. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layer_name.h"
#include "tar.h"

struct intake {
    struct tar tar;
    struct clib_layer_limits limits;
    struct clib_layer_stats stats;
    int err; /* errno behind CLIB_LAYER_SYSTEM */
    char failed_path[LAYER_PATH];
};

void intake_open(struct intake *intake, const struct tar_sink *sink, const struct clib_layer_limits *limits);
void intake_close(struct intake *intake);
int intake_feed(struct intake *intake, const void *data, size_t size, struct clib_layer_error *error);
/* The archive is at its end: whether it is whole. */
enum clib_layer_kind intake_end(struct intake *intake);

/* CLIB_LAYER_SYSTEM with errno kept, or the kind that errno stands for when a path is the archive's. */
enum clib_layer_kind intake_failed(struct intake *intake);
enum clib_layer_kind intake_count_entry(struct intake *intake);
/* What clib_layer_error_path will say. */
void intake_note_path(struct intake *intake, const char *path);
size_t intake_error_path(const struct intake *intake, char *buffer, size_t size);
int intake_report(const struct intake *intake, enum clib_layer_kind kind, struct clib_layer_error *error);

/* Makes room for `needed` items; false where there is no memory. */
bool intake_grow(void **data, size_t *capacity, size_t needed, size_t item_size);
