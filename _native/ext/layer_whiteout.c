/* Whiteouts of the archive, as overlay keeps them.
 * Spec: image-spec layer.md#whiteouts. They hide what lower layers have, never what this layer brings, in
 * either order. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* The root of a user namespace may set no trusted attribute; an overlay that it mounts reads the other one.
 */
enum clib_layer_kind layer_set_opaque(struct clib_layer *layer, int directory_fd) {
    static const struct tar_xattr opaque = {"trusted.overlay.opaque", (const uint8_t *)"y", 1},
                                  of_user = {"user.overlay.opaque", (const uint8_t *)"y", 1};
    enum clib_layer_kind kind = layer_set_xattr(layer, directory_fd, &opaque);
    return kind == CLIB_LAYER_SYSTEM && layer->intake.err == EPERM
               ? layer_set_xattr(layer, directory_fd, &of_user)
               : kind;
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
    return hide(layer, layer->parent, layer->base + LAYER_MARK);
}

enum clib_layer_kind layer_opaque(struct clib_layer *layer) {
    layer->root_opaque = layer->root_opaque || layer->parent_size == 0;
    return layer_set_opaque(layer, layer->parent);
}

static enum clib_layer_kind hide_in_root(void *context, const char *name) {
    struct clib_layer *layer = context;
    return hide(layer, layer->root, name);
}

enum clib_layer_kind layer_hide_lower_roots(struct clib_layer *layer) {
    enum clib_layer_kind kind = layer_need_lowers(layer);
    return kind ? kind : lowers_root_names(&layer->lowers, &layer->intake, hide_in_root, layer);
}
