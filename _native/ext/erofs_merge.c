/* One directory's names moved into another. */
#include "erofs.h"

enum { MAX_DEPTH = EROFS_MAX_PATH / 2 };

static enum clib_layer_kind merge(struct clib_erofs *writer, uint32_t from, uint32_t to, unsigned depth);

/* Of two entries for one directory the later says what it is. */
static enum clib_layer_kind merge_directories(struct clib_erofs *writer, uint32_t node, uint32_t taken,
                                              unsigned depth) {
    struct erofs_directory *from = erofs_directory_of(&writer->tree, node);
    struct erofs_directory *to = erofs_directory_of(&writer->tree, taken);
    bool implied = to->flags & EROFS_DIRECTORY_IMPLIED, was_implied = from->flags & EROFS_DIRECTORY_IMPLIED;
    if (!was_implied && (implied || node > taken)) {
        to->facts = from->facts;
        to->xattrs = from->xattrs;
        to->xattrs_size = from->xattrs_size;
        to->flags &= (uint8_t)~EROFS_DIRECTORY_IMPLIED;
    }
    to->flags |= from->flags & EROFS_DIRECTORY_OPAQUE;
    writer->tree.nodes[node].flags |= EROFS_NODE_REPLACED;
    writer->intake.stats.entries -= node > taken ? was_implied : implied; /* it was there already */
    return merge(writer, node, taken, depth + 1);
}

/* What went through a name that is no directory: as if it had been named there at first. */
static enum clib_layer_kind merge_through(struct clib_erofs *writer, uint32_t node, uint32_t taken,
                                          uint32_t to, unsigned depth) {
    struct erofs_tree *tree = &writer->tree;
    char text[LAYER_PATH];
    size_t size;
    uint32_t target;
    if (tree->nodes[taken].kind != EROFS_KIND_SYMLINK)
        return CLIB_LAYER_PARENT;
    enum clib_layer_kind kind = erofs_read_link(writer, tree->nodes[taken].at, text, &size);
    if (!kind)
        kind = erofs_walk(writer, to, text, EROFS_MAKE_ALL, &target);
    if (kind)
        return kind;
    erofs_directory_of(tree, target)->flags |= erofs_directory_of(tree, node)->flags & EROFS_DIRECTORY_OPAQUE;
    tree->nodes[node].flags |= EROFS_NODE_REPLACED;
    writer->intake.stats.entries--;
    return merge(writer, node, target, depth + 1);
}

/* `node` comes where `taken` is. */
static enum clib_layer_kind merge_node(struct clib_erofs *writer, uint32_t node, uint32_t taken, uint32_t to,
                                       unsigned depth) {
    struct erofs_tree *tree = &writer->tree;
    struct erofs_node *is = &tree->nodes[node], *was = &tree->nodes[taken];
    bool directory = is->kind == EROFS_KIND_DIRECTORY, onto_directory = was->kind == EROFS_KIND_DIRECTORY;
    if (directory && onto_directory)
        return merge_directories(writer, node, taken, depth);
    if (is->kind == EROFS_KIND_PENDING && writer->pendings[is->at].target == node) {
        if (onto_directory || was->kind == EROFS_KIND_WHITEOUT || was->kind == EROFS_KIND_PENDING)
            return CLIB_LAYER_LINK;
        struct erofs_pending *pending = &writer->pendings[is->at];
        pending->found = true;
        pending->kind = was->kind;
        pending->at = was->at;
        was->flags |= EROFS_NODE_LINKED;
        is->flags |= EROFS_NODE_REPLACED;
        writer->intake.stats.entries--;
        return CLIB_LAYER_OK;
    }
    if (is->kind == EROFS_KIND_WHITEOUT) { /* what this layer has hides as much */
        if (onto_directory)
            erofs_directory_of(tree, taken)->flags |= EROFS_DIRECTORY_OPAQUE;
        is->flags |= EROFS_NODE_REPLACED;
        return CLIB_LAYER_OK;
    }
    if (directory && was->kind == EROFS_KIND_WHITEOUT) {
        erofs_directory_of(tree, node)->flags |= EROFS_DIRECTORY_OPAQUE;
    } else if (taken > node) {
        is->flags |= EROFS_NODE_REPLACED;
        return CLIB_LAYER_OK;
    } else if (directory && erofs_directory_of(tree, node)->flags & EROFS_DIRECTORY_IMPLIED) {
        return merge_through(writer, node, taken, to, depth);
    }
    return erofs_tree_move(tree, node, to) ? erofs_failed(writer) : CLIB_LAYER_OK;
}

static enum clib_layer_kind merge(struct clib_erofs *writer, uint32_t from, uint32_t to, unsigned depth) {
    struct erofs_tree *tree = &writer->tree;
    if (depth > MAX_DEPTH)
        return CLIB_LAYER_NAME_LENGTH;
    uint32_t next;
    for (uint32_t node = erofs_directory_of(tree, from)->first; node; node = next) {
        next = tree->nodes[node].next;
        if (tree->nodes[node].flags & EROFS_NODE_REPLACED)
            continue;
        uint32_t taken = erofs_tree_find(tree, to, erofs_name_of(tree, node), tree->nodes[node].name_size);
        enum clib_layer_kind kind = CLIB_LAYER_OK;
        if (taken)
            kind = merge_node(writer, node, taken, to, depth);
        else if (erofs_tree_move(tree, node, to))
            kind = erofs_failed(writer);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_merge(struct clib_erofs *writer, uint32_t from, uint32_t to) {
    return merge(writer, from, to, 0);
}
