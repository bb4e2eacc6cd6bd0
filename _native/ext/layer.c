/* The layer writer's outside: open, feed, finish, close, and how failures are told. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* The root of the merged tree shows the topmost layer's owner and mode, so a layer must have what is below
 * it, unless it says them itself. */
static enum clib_layer_kind finish_root(struct clib_layer *layer) {
    if (layer->root_said || !layer->lower_count)
        return CLIB_LAYER_OK;
    enum clib_layer_kind kind = layer_need_lowers(layer);
    return kind ? kind : layer_copy_directory(layer, layer->lowers.fds[0], layer->root, "");
}

static enum clib_layer_kind open_all(struct clib_layer *layer, const char *directory) {
    layer->root = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (layer->root < 0 || fchmod(layer->root, 0755))
        return layer_failed(layer);
    return layer->ready < 0 ? layer_need_lowers(layer) : CLIB_LAYER_OK;
}

struct clib_layer *clib_layer_open(const char *directory, const char *const *lowers, size_t count, int ready,
                                   const struct clib_layer_limits *limits, struct clib_layer_error *error) {
    struct clib_layer *layer = calloc(1, sizeof *layer);
    if (!layer) {
        *error = (struct clib_layer_error){CLIB_LAYER_SYSTEM, ENOMEM};
        return NULL;
    }
    layer->root = layer->parent = layer->file = -1;
    layer->lower_paths = lowers;
    layer->lower_count = count;
    layer->ready = ready;
    layer->privileged = geteuid() == 0;
    struct tar_sink sink = {layer_entry, layer_data, layer_end, layer};
    intake_open(&layer->intake, &sink, limits);
    enum clib_layer_kind kind = open_all(layer, directory);
    if (!kind)
        return layer;
    intake_report(&layer->intake, CLIB_LAYER_SYSTEM, error);
    clib_layer_close(layer);
    return NULL;
}

int clib_layer_feed(struct clib_layer *layer, const void *data, size_t size, struct clib_layer_error *error) {
    return intake_feed(&layer->intake, data, size, error);
}

static enum clib_layer_kind finish(struct clib_layer *layer) {
    enum clib_layer_kind kind = layer->root_opaque ? layer_hide_lower_roots(layer) : CLIB_LAYER_OK;
    if (!kind)
        kind = finish_root(layer);
    return kind ? kind : layer_settle(layer);
}

int clib_layer_finish(struct clib_layer *layer, struct clib_layer_stats *stats,
                      struct clib_layer_error *error) {
    struct intake *intake = &layer->intake;
    enum clib_layer_kind kind = intake_end(intake);
    if (!kind) {
        kind = intake->tar.failed = finish(layer);
        if (kind)
            intake_note_path(intake, layer->path);
    }
    *stats = intake->stats;
    return intake_report(intake, kind, error);
}

size_t clib_layer_error_path(const struct clib_layer *layer, char *buffer, size_t size) {
    return intake_error_path(&layer->intake, buffer, size);
}

void clib_layer_close(struct clib_layer *layer) {
    if (!layer)
        return;
    const int *fds[] = {&layer->root, &layer->parent, &layer->file};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        close_fd(fds[i]);
    lowers_close(&layer->lowers);
    free(layer->pendings.items);
    free(layer->pendings.names);
    intake_close(&layer->intake);
    free(layer);
}
