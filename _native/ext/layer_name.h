/* What the names in a layer's archive mean, whatever it is written to. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "ext.h"

enum {
    LAYER_PATH = 4096,
    LAYER_MARK = 4, /* the size of ".wh." */
};

/* Writes `from` to `to` without ".", doubled and trailing slashes. Refuses "..". */
enum clib_layer_kind layer_normalise(const char *from, char to[LAYER_PATH], size_t *size);
/* The last part of a normalised path; *parent_size is the length before it. */
const char *layer_base(const char *path, size_t *parent_size);

enum layer_name {
    LAYER_NAME_PLAIN,
    LAYER_NAME_WHITEOUT, /* .wh.NAME */
    LAYER_NAME_OPAQUE,   /* .wh..wh..opq */
    LAYER_NAME_SKIPPED,  /* .wh..wh.*: aufs kept its own records under these */
    LAYER_NAME_BAD,
};
enum layer_name layer_classify(const char *path);

/* An archive does not speak to overlay: these are how it marks what is deleted, covered or moved. */
bool layer_is_overlay_xattr(const char *name);
