/* Whiteouts of the archive, as overlay keeps them.
 * Spec: image-spec layer.md#whiteouts. They hide what lower layers have, never what this layer brings, in
 * either order. */
#include "layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MARK = 4 };

enum layer_name layer_classify(const char *path) {
    for (;;) {
        size_t part = strcspn(path, "/");
        bool last = !path[part];
        if (strncmp(path, ".wh.", MARK) == 0) {
            if (strncmp(path + MARK, ".wh.", MARK) == 0)
                return last && strcmp(path + MARK + MARK, ".opq") == 0 ? LAYER_NAME_OPAQUE
                                                                       : LAYER_NAME_SKIPPED;
            const char *name = path + MARK;
            bool usable = *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
            return last && usable ? LAYER_NAME_WHITEOUT : LAYER_NAME_BAD;
        }
        if (last)
            return LAYER_NAME_PLAIN;
        path += part + 1;
    }
}

enum clib_layer_kind layer_set_opaque(struct clib_layer *layer, int directory_fd) {
    static const struct tar_xattr opaque = {"trusted.overlay.opaque", (const uint8_t *)"y", 1};
    return layer_set_xattr(layer, directory_fd, &opaque);
}

static enum clib_layer_kind hide(struct clib_layer *layer, int parent, const char *name) {
    if (mknodat(parent, name, S_IFCHR, makedev(0, 0)) == 0)
        return CLIB_LAYER_OK;
    struct stat is;
    if (errno != EEXIST || fstatat(parent, name, &is, AT_SYMLINK_NOFOLLOW))
        return layer_failed(layer);
    if (!S_ISDIR(is.st_mode))
        return CLIB_LAYER_OK; /* this layer's own file hides as much */
    cleanup_close int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return fd < 0 ? layer_failed(layer) : layer_set_opaque(layer, fd);
}

enum clib_layer_kind layer_whiteout(struct clib_layer *layer) {
    return hide(layer, layer->parent, layer->base + MARK);
}

enum clib_layer_kind layer_opaque(struct clib_layer *layer) {
    layer->root_opaque = layer->root_opaque || layer->parent_size == 0;
    return layer_set_opaque(layer, layer->parent);
}

static enum clib_layer_kind hide_names(struct clib_layer *layer, DIR *stream) {
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(stream);
        if (!item)
            return errno ? layer_failed(layer) : CLIB_LAYER_OK;
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        enum clib_layer_kind kind = hide(layer, layer->root, item->d_name);
        if (kind)
            return kind;
    }
}

enum clib_layer_kind layer_hide_lower_roots(struct clib_layer *layer) {
    for (size_t i = 0; i < layer->lower_count; i++) {
        int fd = openat(layer->lowers[i], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        if (!stream) {
            close_fd(&fd);
            return layer_failed(layer);
        }
        enum clib_layer_kind kind = hide_names(layer, stream);
        closedir(stream);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}
