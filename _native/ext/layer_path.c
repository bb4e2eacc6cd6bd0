/* The parents of the archive's names, opened inside the layer. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int layer_open_in_root(const struct clib_layer *layer, const char *path, uint64_t flags) {
    struct open_how how = {
        .flags = flags | O_DIRECTORY | O_CLOEXEC,
        .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    do /* EAGAIN: something on this machine was renamed while the kernel walked a ".." */
        fd = syscall(SYS_openat2, layer->root, *path ? path : ".", &how, sizeof how);
    while (fd < 0 && (errno == EAGAIN || errno == EINTR));
    return (int)fd;
}

void layer_forget_parent(struct clib_layer *layer) {
    close_fd(&layer->parent);
    layer->parent = -1;
    layer->parent_known = false;
}

static void remember_parent(struct clib_layer *layer, const char *path, size_t size, int *fd) {
    layer_forget_parent(layer);
    memcpy(layer->parent_path, path, size);
    layer->parent_path[size] = 0;
    layer->parent = take_fd(fd);
    layer->parent_known = true;
}

void layer_adopt_parent(struct clib_layer *layer, int *directory_fd) {
    remember_parent(layer, layer->path, strlen(layer->path), directory_fd);
}

/* The slow way: some part is missing, or is a whiteout. */
static enum clib_layer_kind make_parent(struct clib_layer *layer, const char *path, int *fd) {
    struct layer_place place;
    enum clib_layer_kind kind = layer_place_open(layer, &place);
    if (!kind)
        kind = layer_place_walk(layer, &place, path, LAYER_MAKE_ALL);
    if (!kind)
        *fd = take_fd(&place.upper);
    layer_place_close(&place);
    return kind;
}

enum clib_layer_kind layer_open_parent(struct clib_layer *layer) {
    size_t size = layer->parent_size;
    if (layer->parent_known && strncmp(layer->parent_path, layer->path, size) == 0 &&
        !layer->parent_path[size])
        return CLIB_LAYER_OK;
    char path[LAYER_PATH];
    memcpy(path, layer->path, size);
    path[size] = 0;
    cleanup_close int fd = layer_open_in_root(layer, path, O_PATH);
    if (fd < 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return layer_failed(layer);
        enum clib_layer_kind kind = make_parent(layer, path, &fd);
        if (kind)
            return kind;
    }
    remember_parent(layer, path, size, &fd);
    return CLIB_LAYER_OK;
}
