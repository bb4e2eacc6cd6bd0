/* The layer writer's outside: open, feed, finish, close, and how failures are told. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum clib_layer_kind layer_failed(struct clib_layer *layer) {
    layer->err = errno;
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

enum clib_layer_kind layer_count_entry(struct clib_layer *layer) {
    return ++layer->stats.entries > layer->limits.max_entries ? CLIB_LAYER_MAX_ENTRIES : CLIB_LAYER_OK;
}

static void note_path(struct clib_layer *layer, const char *path) {
    size_t size = strnlen(path, sizeof layer->failed_path - 1);
    memcpy(layer->failed_path, path, size);
    layer->failed_path[size] = 0;
}

static int report(struct clib_layer *layer, enum clib_layer_kind kind, struct clib_layer_error *error) {
    error->kind = kind;
    error->err = kind != CLIB_LAYER_SYSTEM ? 0 : layer->err ? layer->err : ENOMEM;
    return kind ? -1 : 0;
}

static int open_directory(const char *path) {
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The root of the merged tree shows the topmost layer's owner and mode, so a layer must have what is below
 * it. */
static enum clib_layer_kind begin_root(struct clib_layer *layer) {
    if (layer->lower_count)
        return layer_copy_directory(layer, layer->lowers[0], layer->root, "");
    return fchmod(layer->root, 0755) ? layer_failed(layer) : CLIB_LAYER_OK;
}

static enum clib_layer_kind open_all(struct clib_layer *layer, const char *directory,
                                     const char *const *lowers, size_t count) {
    note_path(layer, directory);
    layer->root = open_directory(directory);
    if (layer->root < 0)
        return layer_failed(layer);
    layer->lowers = calloc(count + 1, sizeof *layer->lowers);
    if (!layer->lowers)
        return layer_failed(layer);
    for (; layer->lower_count < count; layer->lower_count++) {
        note_path(layer, lowers[layer->lower_count]);
        int fd = open_directory(lowers[layer->lower_count]);
        if (fd < 0)
            return layer_failed(layer);
        layer->lowers[layer->lower_count] = fd;
    }
    note_path(layer, directory);
    return begin_root(layer);
}

struct clib_layer *clib_layer_open(const char *directory, const char *const *lowers, size_t count,
                                   const struct clib_layer_limits *limits, struct clib_layer_error *error) {
    struct clib_layer *layer = calloc(1, sizeof *layer);
    if (!layer) {
        *error = (struct clib_layer_error){CLIB_LAYER_SYSTEM, ENOMEM};
        return NULL;
    }
    layer->limits = *limits;
    if (layer->limits.max_path_bytes >= LAYER_PATH)
        layer->limits.max_path_bytes = LAYER_PATH - 1;
    layer->root = layer->parent = layer->file = -1;
    layer->privileged = geteuid() == 0;
    struct tar_sink sink = {layer_entry, layer_data, layer_end, layer};
    tar_init(&layer->tar, &sink, &layer->limits);
    enum clib_layer_kind kind = open_all(layer, directory, lowers, count);
    if (!kind)
        return layer;
    report(layer, CLIB_LAYER_SYSTEM, error);
    clib_layer_close(layer);
    return NULL;
}

int clib_layer_feed(struct clib_layer *layer, const void *data, size_t size, struct clib_layer_error *error) {
    bool failed = layer->tar.failed != CLIB_LAYER_OK;
    errno = 0;
    enum clib_layer_kind kind = tar_feed(&layer->tar, data, size);
    if (kind && !failed)
        note_path(layer, layer->tar.entry.path ? layer->tar.entry.path : "");
    return report(layer, kind, error);
}

static enum clib_layer_kind finish(struct clib_layer *layer) {
    enum clib_layer_kind kind = layer->root_opaque ? layer_hide_lower_roots(layer) : CLIB_LAYER_OK;
    return kind ? kind : layer_settle(layer);
}

int clib_layer_finish(struct clib_layer *layer, struct clib_layer_stats *stats,
                      struct clib_layer_error *error) {
    bool failed = layer->tar.failed != CLIB_LAYER_OK;
    enum clib_layer_kind kind = tar_finish(&layer->tar);
    if (kind && !failed)
        note_path(layer, layer->tar.entry.path ? layer->tar.entry.path : "");
    if (!kind) {
        kind = layer->tar.failed = finish(layer);
        if (kind)
            note_path(layer, layer->path);
    }
    *stats = layer->stats;
    return report(layer, kind, error);
}

size_t clib_layer_error_path(const struct clib_layer *layer, char *buffer, size_t size) {
    size_t length = strlen(layer->failed_path);
    if (size) {
        size_t copied = length < size ? length : size - 1;
        memcpy(buffer, layer->failed_path, copied);
        buffer[copied] = 0;
    }
    return length;
}

void clib_layer_close(struct clib_layer *layer) {
    if (!layer)
        return;
    const int *fds[] = {&layer->root, &layer->parent, &layer->file};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close_fd(fds[i]);
    for (size_t i = 0; i < layer->lower_count; i++)
        close_fd(&layer->lowers[i]);
    free(layer->lowers);
    free(layer->pendings.items);
    free(layer->pendings.names);
    tar_release(&layer->tar);
    free(layer);
}
