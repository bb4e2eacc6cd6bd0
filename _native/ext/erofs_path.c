/* Walking the archive's paths through the names that have come. */
#include "erofs.h"

#include <string.h>

enum { MAX_LINKS = 40, MAX_STEPS = 10000 };

/* A walk, with what is left of the path: the texts of links are put before it. */
struct walk {
    uint32_t at;
    enum erofs_make make;
    unsigned links_left;
    unsigned steps_left;
    char rest[2 * LAYER_PATH];
};

static enum clib_layer_kind follow(struct walk *walk, const char *text, size_t size) {
    if (walk->links_left-- == 0)
        return CLIB_LAYER_LOOP;
    size_t rest_size = strlen(walk->rest);
    if (size + 1 + rest_size + 1 > sizeof walk->rest)
        return CLIB_LAYER_NAME_LENGTH;
    memmove(walk->rest + size + 1, walk->rest, rest_size + 1);
    memcpy(walk->rest, text, size);
    walk->rest[size] = '/';
    if (walk->rest[0] == '/')
        walk->at = 0;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind make_directory(struct clib_erofs *writer, struct walk *walk, const char *name,
                                           uint8_t flags) {
    enum clib_layer_kind kind = intake_count_entry(&writer->intake);
    if (kind)
        return kind;
    if (erofs_tree_add_directory(&writer->tree, walk->at, name, strlen(name), EROFS_DIRECTORY_IMPLIED | flags,
                                 &walk->at))
        return erofs_failed(writer);
    struct erofs_facts *facts = &erofs_directory_of(&writer->tree, walk->at)->facts;
    erofs_entry_facts(writer->entry, S_IFDIR, facts);
    facts->mode = S_IFDIR | 0755;
    facts->uid = facts->gid = 0;
    return CLIB_LAYER_OK;
}

/* Where the layer has no such name, or a directory that no entry is for. */
static enum clib_layer_kind go_unknown(struct clib_erofs *writer, struct walk *walk, const char *name,
                                       uint32_t node) {
    if (writer->finishing) {
        char text[LAYER_PATH];
        size_t size;
        bool is_link;
        enum clib_layer_kind kind = erofs_lower_link(writer, walk->at, name, text, &size, &is_link);
        if (kind || is_link)
            return kind ? kind : follow(walk, text, size);
    }
    if (!node)
        return make_directory(writer, walk, name, 0);
    walk->at = node;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind go(struct clib_erofs *writer, struct walk *walk, const char *name, size_t size) {
    struct erofs_tree *tree = &writer->tree;
    if (walk->steps_left-- == 0)
        return CLIB_LAYER_LOOP;
    if (size == 2 && name[0] == '.' && name[1] == '.') {
        walk->at = tree->nodes[walk->at].parent;
        return CLIB_LAYER_OK;
    }
    if (size > EROFS_MAX_NAME)
        return CLIB_LAYER_NAME_LENGTH;
    uint32_t node = erofs_tree_find(tree, walk->at, name, size);
    enum erofs_kind kind = node ? tree->nodes[node].kind : EROFS_KIND_DIRECTORY;
    if (kind == EROFS_KIND_DIRECTORY) {
        if (!node || erofs_directory_of(tree, node)->flags & EROFS_DIRECTORY_IMPLIED)
            return go_unknown(writer, walk, name, node);
        walk->at = node;
        return CLIB_LAYER_OK;
    }
    if (kind == EROFS_KIND_SYMLINK) {
        char text[LAYER_PATH];
        size_t text_size;
        enum clib_layer_kind result = erofs_read_link(writer, tree->nodes[node].at, text, &text_size);
        return result ? result : follow(walk, text, text_size);
    }
    if (walk->make == EROFS_MAKE_LOWER)
        return CLIB_LAYER_LINK;
    if (kind == EROFS_KIND_WHITEOUT) /* what the layers below have there stays deleted */
        return make_directory(writer, walk, name, EROFS_DIRECTORY_OPAQUE | EROFS_DIRECTORY_COVERED);
    return CLIB_LAYER_PARENT;
}

enum clib_layer_kind erofs_walk(struct clib_erofs *writer, uint32_t from, const char *path,
                                enum erofs_make make, uint32_t *directory) {
    struct walk walk = {
        .at = path[0] == '/' ? 0 : from, .make = make, .links_left = MAX_LINKS, .steps_left = MAX_STEPS};
    char name[LAYER_PATH];
    size_t size = strlen(path), at = 0;
    memcpy(walk.rest, path, size + 1);
    while (walk.rest[at]) {
        size_t part = strcspn(walk.rest + at, "/");
        if (part >= sizeof name)
            return CLIB_LAYER_NAME_LENGTH;
        memcpy(name, walk.rest + at, part);
        name[part] = 0;
        at += part + (walk.rest[at + part] == '/');
        if (part == 0 || strcmp(name, ".") == 0)
            continue;
        memmove(walk.rest, walk.rest + at, strlen(walk.rest + at) + 1);
        at = 0;
        enum clib_layer_kind kind = go(writer, &walk, name, part);
        if (kind)
            return kind;
    }
    *directory = walk.at;
    return CLIB_LAYER_OK;
}

void erofs_know(struct clib_erofs *writer, const char *path, size_t size, uint32_t directory) {
    memcpy(writer->known_path, path, size);
    writer->known_path[size] = 0;
    writer->known = directory;
    writer->is_known = true;
}

enum clib_layer_kind erofs_find_parent(struct clib_erofs *writer) {
    size_t size = writer->parent_size;
    if (!writer->is_known || strncmp(writer->known_path, writer->path, size) != 0 ||
        writer->known_path[size]) {
        char path[LAYER_PATH];
        memcpy(path, writer->path, size);
        path[size] = 0;
        enum clib_layer_kind kind = erofs_walk(writer, 0, path, EROFS_MAKE_ALL, &writer->parent);
        if (kind)
            return kind;
        erofs_know(writer, path, size, writer->parent);
    }
    writer->parent = writer->known;
    return CLIB_LAYER_OK;
}
