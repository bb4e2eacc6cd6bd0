/* Hard links, and making room for an entry whose name is taken. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum clib_layer_kind layer_make_room(struct clib_layer *layer) {
    if (layer_remove(layer->parent, layer->base))
        return layer_failed(layer);
    /* the path that led here may go through what was removed: the next entry finds its parent anew */
    layer->parent_known = false;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind link_failed(struct clib_layer *layer) {
    return errno == ENOENT || errno == EPERM ? CLIB_LAYER_LINK : layer_failed(layer);
}

static enum clib_layer_kind link_to(struct clib_layer *layer, int at, const char *name) {
    struct stat target, taken;
    if (fstatat(at, name, &target, AT_SYMLINK_NOFOLLOW))
        return link_failed(layer);
    if (S_ISDIR(target.st_mode) || lowers_is_whiteout(&target))
        return CLIB_LAYER_LINK;
    if (linkat(at, name, layer->parent, layer->base, 0) == 0)
        return CLIB_LAYER_OK;
    if (errno != EEXIST || fstatat(layer->parent, layer->base, &taken, AT_SYMLINK_NOFOLLOW))
        return link_failed(layer);
    if (taken.st_ino == target.st_ino && taken.st_dev == target.st_dev)
        return CLIB_LAYER_OK;
    enum clib_layer_kind kind = layer_make_room(layer);
    if (kind)
        return kind;
    return linkat(at, name, layer->parent, layer->base, 0) ? link_failed(layer) : CLIB_LAYER_OK;
}

/* The target is in a layer below: it is copied to the same place in this one, as overlay would, and linked;
 * or a link of a layer below leads to where this layer has it. */
static enum clib_layer_kind link_to_lower(struct clib_layer *layer, const char *parent, const char *name) {
    struct layer_place place;
    struct stat is;
    enum clib_layer_kind kind = layer_place_open(layer, &place);
    if (!kind)
        kind = layer_place_walk(layer, &place, parent, LAYER_MAKE_LOWER);
    if (!kind && fstatat(place.upper, name, &is, AT_SYMLINK_NOFOLLOW))
        kind = layer_copy_up(layer, &place, name);
    if (!kind)
        kind = link_to(layer, place.upper, name);
    layer_place_close(&place);
    return kind;
}

enum clib_layer_kind layer_hardlink(struct clib_layer *layer) {
    char target[LAYER_PATH];
    size_t size, parent_size;
    enum clib_layer_kind kind = layer_normalise(layer->entry->link, target, &size);
    if (kind == CLIB_LAYER_NAME || (!kind && size == 0))
        return CLIB_LAYER_LINK;
    if (kind)
        return kind;
    const char *name = layer_base(target, &parent_size);
    if (parent_size)
        target[parent_size] = 0;
    const char *parent = parent_size ? target : "";
    cleanup_close int at = layer_open_in_root(layer, parent, O_PATH);
    struct stat status;
    if (at >= 0 && fstatat(at, name, &status, AT_SYMLINK_NOFOLLOW) == 0)
        return link_to(layer, at, name);
    if (errno != ENOENT && errno != ENOTDIR)
        return layer_failed(layer);
    return link_to_lower(layer, parent, name);
}
