/* The directories, when all names are known. First each gets its size and its place, since they hold the
 * numbers of each other; then their full blocks are written, one after the other; then their inodes, each
 * with the rest of its names behind it. */
#include "erofs.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DIRENTS = EROFS_BLOCK / (sizeof(struct erofs_dirent) + 1) };

/* ---- what a directory holds, in order ---- */

static const char DOTS[] = ".."; /* and the first of them */

struct name {
    const char *text;
    uint64_t nid;
    uint32_t size;
    uint8_t type;
};

struct listing {
    uint32_t self;
    uint32_t child; /* the next; 0 at the end */
    unsigned dots;  /* of "." and "..", how many have come */
};

static uint64_t nid_of(const struct clib_erofs *writer, uint32_t node) {
    const struct erofs_node *is = &writer->tree.nodes[node];
    if (!node)
        return EROFS_ROOT_AT / EROFS_SLOT;
    if (is->kind != EROFS_KIND_DIRECTORY)
        return is->at;
    return (writer->directories_at + erofs_directory_of(&writer->tree, node)->place) / EROFS_SLOT;
}

static struct listing list(const struct clib_erofs *writer, uint32_t node) {
    return (struct listing){.self = node, .child = erofs_directory_of(&writer->tree, node)->first};
}

/* The name at hand; false at the end. */
static bool peek(const struct clib_erofs *writer, const struct listing *listing, struct name *name) {
    const struct erofs_node *nodes = writer->tree.nodes;
    const struct erofs_node *child = listing->child ? &nodes[listing->child] : NULL;
    const char *text = child ? erofs_name_of(&writer->tree, listing->child) : NULL;
    size_t size = listing->dots + 1;
    if (listing->dots < 2 && (!child || erofs_compare_names(DOTS, size, text, child->name_size) < 0)) {
        uint32_t node = listing->dots ? nodes[listing->self].parent : listing->self;
        *name = (struct name){DOTS, nid_of(writer, node), (uint32_t)size, EROFS_TYPE_DIRECTORY};
        return true;
    }
    if (!child)
        return false;
    uint8_t type = child->kind == EROFS_KIND_WHITEOUT ? EROFS_TYPE_CHARACTER : child->kind;
    *name = (struct name){text, nid_of(writer, listing->child), child->name_size, type};
    return true;
}

static void advance(const struct clib_erofs *writer, struct listing *listing, const struct name *name) {
    if (name->text == DOTS)
        listing->dots++;
    else
        listing->child = writer->tree.nodes[listing->child].next;
}

/* Takes as many names as fit one block; the bytes that they take. */
static size_t take_block(const struct clib_erofs *writer, struct listing *listing, struct name *names,
                         size_t *count) {
    size_t size = 0;
    struct name name;
    for (*count = 0; peek(writer, listing, &name); advance(writer, listing, &name)) {
        size_t needed = sizeof(struct erofs_dirent) + name.size;
        if (size + needed > EROFS_BLOCK)
            break;
        names[(*count)++] = name;
        size += needed;
    }
    return size;
}

static void write_names(const struct name *names, size_t count, uint8_t *to) {
    size_t offset = count * sizeof(struct erofs_dirent);
    for (size_t i = 0; i < count; i++) {
        struct erofs_dirent dirent = {names[i].nid, (uint16_t)offset, names[i].type, 0};
        memcpy(to + i * sizeof dirent, &dirent, sizeof dirent);
        memcpy(to + offset, names[i].text, names[i].size);
        offset += names[i].size;
    }
}

/* ---- all directories, each before those in it ---- */

static uint32_t directory_from(const struct erofs_tree *tree, uint32_t node) {
    while (node && tree->nodes[node].kind != EROFS_KIND_DIRECTORY)
        node = tree->nodes[node].next;
    return node;
}

/* 0 after the last. */
static uint32_t next_directory(const struct erofs_tree *tree, uint32_t node) {
    uint32_t next = directory_from(tree, erofs_directory_of(tree, node)->first);
    for (; !next && node; node = tree->nodes[node].parent)
        next = directory_from(tree, tree->nodes[node].next);
    return next;
}

static enum clib_layer_kind each_directory(struct clib_erofs *writer,
                                           enum clib_layer_kind (*visit)(struct clib_erofs *, uint32_t)) {
    uint32_t node = 0;
    do {
        enum clib_layer_kind kind = visit(writer, node);
        if (kind)
            return kind;
        node = next_directory(&writer->tree, node);
    } while (node);
    return CLIB_LAYER_OK;
}

/* ---- sizes and places ---- */

static enum clib_layer_kind begin_item(struct clib_erofs *writer, const struct erofs_directory *directory) {
    erofs_xattr_begin(writer);
    enum clib_layer_kind kind = erofs_xattr_add_stored(writer, directory);
    if (!kind && directory->flags & EROFS_DIRECTORY_OPAQUE)
        kind = erofs_xattr_add_opaque(writer);
    if (!kind)
        kind = erofs_xattr_end(writer);
    if (!kind)
        kind = erofs_item_reserve(writer, writer->item.head + EROFS_BLOCK);
    return kind;
}

static enum clib_layer_kind measure(struct clib_erofs *writer, uint32_t node) {
    struct name names[MAX_DIRENTS];
    enum clib_layer_kind kind = erofs_sort_directory(writer, node, &writer->scratch);
    if (kind)
        return kind;
    struct erofs_directory *directory = erofs_directory_of(&writer->tree, node);
    struct listing listing = list(writer, node);
    size_t count, size = 0, blocks = 0;
    for (struct name next; peek(writer, &listing, &next); blocks++)
        size = take_block(writer, &listing, names, &count);
    kind = begin_item(writer, directory);
    if (kind)
        return kind;
    size_t room = node ? EROFS_BLOCK : EROFS_BLOCK - EROFS_ROOT_AT;
    size_t rest = size % EROFS_BLOCK, head = writer->item.head;
    bool in_line = rest && head + rest <= room;
    if (!node && head > room)
        return CLIB_LAYER_MAX_XATTR;
    directory->size = (blocks - 1) * EROFS_BLOCK + size;
    directory->blocks = (uint32_t)(blocks - in_line);
    directory->block = writer->directory_blocks;
    writer->directory_blocks += directory->blocks;
    writer->live++;
    if (!node)
        return CLIB_LAYER_OK;
    size_t whole = (head + (in_line ? rest : 0) + EROFS_SLOT - 1) & ~(size_t)(EROFS_SLOT - 1);
    size_t left = -writer->directories_size & (EROFS_BLOCK - 1);
    if (whole > left)
        writer->directories_size += left;
    directory->place = writer->directories_size;
    writer->directories_size += whole;
    return CLIB_LAYER_OK;
}

/* ---- writing ---- */

static enum clib_layer_kind write_blocks(struct clib_erofs *writer, uint32_t node) {
    struct name names[MAX_DIRENTS];
    struct listing listing = list(writer, node);
    const struct erofs_directory *directory = erofs_directory_of(&writer->tree, node);
    for (uint32_t i = 0; i < directory->blocks; i++) {
        uint8_t block[EROFS_BLOCK] = {0};
        size_t count;
        take_block(writer, &listing, names, &count);
        write_names(names, count, block);
        erofs_add_up(&writer->file, writer->file.size, block, sizeof block);
        if (erofs_append(&writer->file, block, sizeof block))
            return erofs_failed(writer);
    }
    return CLIB_LAYER_OK;
}

/* The inode, with what of the names has no block. */
static enum clib_layer_kind make_item(struct clib_erofs *writer, uint32_t node, size_t *size) {
    struct name names[MAX_DIRENTS];
    struct listing listing = list(writer, node);
    const struct erofs_directory *directory = erofs_directory_of(&writer->tree, node);
    struct erofs_item *item = &writer->item;
    enum clib_layer_kind kind = begin_item(writer, directory);
    if (kind)
        return kind;
    size_t count;
    for (uint32_t i = 0; i < directory->blocks; i++)
        take_block(writer, &listing, names, &count);
    size_t rest = take_block(writer, &listing, names, &count);
    write_names(names, count, item->bytes + item->head);
    item->facts = directory->facts;
    item->size = directory->size;
    item->layout = rest ? EROFS_FLAT_INLINE : EROFS_FLAT_PLAIN;
    uint64_t block =
        (writer->directories_at >> EROFS_BLOCK_BITS) - writer->directory_blocks + directory->block;
    erofs_item_inode(writer, directory->blocks ? (uint32_t)block : 0, 2 + directory->directories);
    *size = item->head + rest;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind write_inode(struct clib_erofs *writer, uint32_t node) {
    struct erofs_file *file = &writer->file;
    size_t size;
    enum clib_layer_kind kind = make_item(writer, node, &size);
    if (kind)
        return kind;
    uint64_t at = EROFS_ROOT_AT;
    if (node)
        at = writer->directories_at + erofs_directory_of(&writer->tree, node)->place;
    erofs_add_up(file, at, writer->item.bytes, size);
    if (!node)
        return erofs_patch(file, at, writer->item.bytes, size) ? erofs_failed(writer) : CLIB_LAYER_OK;
    if (erofs_append_zeros(file, at - file->size) || erofs_append(file, writer->item.bytes, size))
        return erofs_failed(writer);
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_write_directories(struct clib_erofs *writer) {
    struct erofs_file *file = &writer->file;
    if (erofs_close_blocks(file))
        return erofs_failed(writer);
    enum clib_layer_kind kind = each_directory(writer, measure);
    writer->directories_at = file->size + ((uint64_t)writer->directory_blocks << EROFS_BLOCK_BITS);
    if (!kind)
        kind = each_directory(writer, write_blocks);
    if (!kind)
        kind = each_directory(writer, write_inode);
    if (!kind && erofs_append_padding(file))
        kind = erofs_failed(writer);
    return kind ? kind : erofs_count_links(writer);
}
