/* Walking a path through the layer and those below it, as overlay will merge them.
 *
 * A layer's archive may name "lib/x" where a layer below has the symbolic link lib -> usr/lib, or a directory
 * lib with an owner and mode of its own. The walk goes part by part with one descriptor per layer, so that a
 * missing directory is made where, and as, the merged tree has it. No part is followed by the kernel: links
 * are read and walked here. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LINKS = 40, MAX_STEPS = 10000, OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

static void set_fd(int *fd, int value) {
    close_fd(fd);
    *fd = value;
}

void layer_place_close(struct layer_place *place) {
    set_fd(&place->upper, -1);
    lowers_close(&place->lowers);
}

static enum clib_layer_kind go_to_root(struct clib_layer *layer, struct layer_place *place) {
    bool covered = lowers_is_opaque(layer->root);
    place->path_size = 0;
    place->path[0] = 0;
    set_fd(&place->upper, openat(layer->root, ".", OPEN_DIRECTORY));
    if (place->upper < 0)
        return layer_failed(layer);
    if (lowers_to_roots(&place->lowers, &layer->lowers, covered))
        return layer_failed(layer);
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_place_open(struct clib_layer *layer, struct layer_place *place) {
    place->upper = -1;
    place->lowers = (struct lowers){0};
    place->depth_left = MAX_STEPS;
    place->links_left = MAX_LINKS;
    enum clib_layer_kind kind = layer_need_lowers(layer);
    if (kind)
        return kind;
    if (lowers_make(&place->lowers, &layer->lowers))
        return layer_failed(layer);
    return go_to_root(layer, place);
}

/* Makes `name`, with what the topmost lower directory says of it, and enters it. */
static enum clib_layer_kind make_directory(struct clib_layer *layer, struct layer_place *place,
                                           const char *name, bool opaque) {
    enum clib_layer_kind kind = intake_count_entry(&layer->intake);
    if (kind)
        return kind;
    if (mkdirat(place->upper, name, 0755))
        return layer_failed(layer);
    int made = openat(place->upper, name, OPEN_DIRECTORY);
    if (made < 0)
        return layer_failed(layer);
    set_fd(&place->upper, made);
    lowers_enter(&place->lowers, name, opaque);
    if (opaque)
        return layer_set_opaque(layer, made);
    for (size_t i = 0; i < layer->lowers.count; i++)
        if (place->lowers.fds[i] >= 0)
            return layer_copy_directory(layer, place->lowers.fds[i], made, place->path);
    struct stat plain = {.st_mode = 0755};
    if (!layer->privileged) {
        plain.st_uid = geteuid();
        plain.st_gid = getegid();
    }
    return layer_set_owner_and_mode(layer, made, &plain);
}

/* Puts the link's text before the rest of the path. */
static enum clib_layer_kind follow(struct clib_layer *layer, struct layer_place *place, int at,
                                   const char *name, char *rest, size_t rest_capacity) {
    char text[LAYER_PATH];
    ssize_t size = readlinkat(at, name, text, sizeof text);
    if (size < 0)
        return layer_failed(layer);
    if (place->links_left-- == 0)
        return CLIB_LAYER_LOOP;
    size_t rest_size = strlen(rest);
    if ((size_t)size + 1 + rest_size + 1 > rest_capacity)
        return CLIB_LAYER_NAME_LENGTH;
    memmove(rest + size + 1, rest, rest_size + 1);
    memcpy(rest, text, (size_t)size);
    rest[size] = '/';
    return rest[0] == '/' ? go_to_root(layer, place) : CLIB_LAYER_OK;
}

static enum clib_layer_kind go_missing(struct clib_layer *layer, struct layer_place *place, const char *name,
                                       enum layer_make make, char *rest, size_t rest_capacity) {
    struct stat status;
    int lower = lowers_find(&place->lowers, name, &status);
    if (lower >= 0 && S_ISLNK(status.st_mode)) {
        place->path_size -= strlen(name) + (place->path_size > strlen(name));
        place->path[place->path_size] = 0;
        return follow(layer, place, lower, name, rest, rest_capacity);
    }
    if (make == LAYER_MAKE_LOWER && (lower < 0 || !S_ISDIR(status.st_mode)))
        return CLIB_LAYER_LINK;
    return make_directory(layer, place, name, false);
}

static enum clib_layer_kind go_up(struct clib_layer *layer, struct layer_place *place) {
    char path[LAYER_PATH];
    char *slash = strrchr(place->path, '/');
    size_t size = slash ? (size_t)(slash - place->path) : 0;
    memcpy(path, place->path, size);
    path[size] = 0;
    enum clib_layer_kind kind = go_to_root(layer, place);
    return kind || !size ? kind : layer_place_walk(layer, place, path, LAYER_MAKE_LOWER);
}

/* One part of the path. `rest` is what follows it, and grows when the part is a link. */
static enum clib_layer_kind go(struct clib_layer *layer, struct layer_place *place, const char *name,
                               enum layer_make make, char *rest, size_t rest_capacity) {
    size_t name_size = strlen(name), before = place->path_size;
    if (place->depth_left-- == 0)
        return CLIB_LAYER_LOOP;
    if (strcmp(name, "..") == 0)
        return go_up(layer, place);
    if (before + 1 + name_size + 1 > sizeof place->path)
        return CLIB_LAYER_NAME_LENGTH;
    struct stat status;
    bool missing = fstatat(place->upper, name, &status, AT_SYMLINK_NOFOLLOW) != 0;
    if (missing && errno != ENOENT)
        return layer_failed(layer);
    if (!missing && S_ISLNK(status.st_mode))
        return follow(layer, place, place->upper, name, rest, rest_capacity);
    if (before)
        place->path[place->path_size++] = '/';
    memcpy(place->path + place->path_size, name, name_size + 1);
    place->path_size += name_size;
    if (missing)
        return go_missing(layer, place, name, make, rest, rest_capacity);
    if (lowers_is_whiteout(&status) && make == LAYER_MAKE_ALL)
        return unlinkat(place->upper, name, 0) ? layer_failed(layer)
                                               : make_directory(layer, place, name, true);
    if (!S_ISDIR(status.st_mode))
        return make == LAYER_MAKE_ALL ? CLIB_LAYER_PARENT : CLIB_LAYER_LINK;
    int next = openat(place->upper, name, OPEN_DIRECTORY);
    if (next < 0)
        return layer_failed(layer);
    set_fd(&place->upper, next);
    lowers_enter(&place->lowers, name, lowers_is_opaque(next));
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_place_walk(struct clib_layer *layer, struct layer_place *place, const char *path,
                                      enum layer_make make) {
    char rest[2 * LAYER_PATH], name[LAYER_PATH];
    size_t size = strlen(path);
    memcpy(rest, path, size + 1);
    while (rest[0]) {
        size_t part = strcspn(rest, "/"), gap = strspn(rest + part, "/");
        if (part >= sizeof name)
            return CLIB_LAYER_NAME_LENGTH;
        memcpy(name, rest, part);
        name[part] = 0;
        memmove(rest, rest + part + gap, strlen(rest + part + gap) + 1);
        if (part == 0 || strcmp(name, ".") == 0)
            continue;
        enum clib_layer_kind kind = go(layer, place, name, make, rest, sizeof rest);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}
