/* Hard links: names for an inode that is there, or that a layer below must have. */
#include "erofs.h"

#include <string.h>

enum clib_layer_kind erofs_link(struct clib_erofs *writer, uint32_t target, uint32_t parent,
                                const char *name) {
    struct erofs_tree *tree = &writer->tree;
    size_t size = strlen(name);
    struct erofs_node is = tree->nodes[target];
    uint32_t taken = erofs_tree_find(tree, parent, name, size);
    if (taken && tree->nodes[taken].kind == is.kind && tree->nodes[taken].at == is.at)
        return CLIB_LAYER_OK;
    uint32_t node;
    if (erofs_tree_add(tree, parent, name, size, is.kind, is.at, &node))
        return erofs_failed(writer);
    tree->nodes[node].flags |= EROFS_NODE_LINKED;
    tree->nodes[target].flags |= EROFS_NODE_LINKED;
    writer->is_known = writer->is_known && !taken;
    /* the directory that it takes the place of may have had the target in it */
    return taken && !erofs_tree_is_reachable(tree, target) ? CLIB_LAYER_LINK : CLIB_LAYER_OK;
}

/* The file itself is looked for at the end. It takes its place in this layer, as overlay would copy it up. */
static enum clib_layer_kind link_to_lower(struct clib_erofs *writer, uint32_t parent, const char *name) {
    if (erofs_tree_is_covered(&writer->tree, parent))
        return CLIB_LAYER_LINK;
    enum clib_layer_kind kind = intake_count_entry(&writer->intake);
    if (kind)
        return kind;
    size_t index = writer->pending_count;
    uint32_t target;
    if (!intake_grow((void **)&writer->pendings, &writer->pending_capacity, index + 1,
                     sizeof *writer->pendings) ||
        erofs_tree_add(&writer->tree, parent, name, strlen(name), EROFS_KIND_PENDING, index, &target))
        return erofs_failed(writer);
    kind = erofs_link(writer, target, writer->parent, writer->base);
    uint32_t link = erofs_tree_find(&writer->tree, writer->parent, writer->base, strlen(writer->base));
    writer->pendings[index] = (struct erofs_pending){.target = target, .link = link};
    writer->pending_count++;
    return kind;
}

enum clib_layer_kind erofs_hardlink(struct clib_erofs *writer) {
    char path[LAYER_PATH];
    size_t size, parent_size;
    enum clib_layer_kind kind = layer_normalise(writer->entry->link, path, &size);
    if (kind == CLIB_LAYER_NAME || (!kind && size == 0))
        return CLIB_LAYER_LINK;
    if (kind)
        return kind;
    const char *name = layer_base(path, &parent_size);
    uint32_t parent = 0;
    if (parent_size) {
        path[parent_size] = 0;
        kind = erofs_walk(writer, 0, path, EROFS_MAKE_LOWER, &parent);
        if (kind)
            return kind;
    }
    if (strlen(name) > EROFS_MAX_NAME)
        return CLIB_LAYER_NAME_LENGTH;
    uint32_t target = erofs_tree_find(&writer->tree, parent, name, strlen(name));
    if (!target)
        return link_to_lower(writer, parent, name);
    enum erofs_kind is = writer->tree.nodes[target].kind;
    if (is == EROFS_KIND_DIRECTORY || is == EROFS_KIND_WHITEOUT)
        return CLIB_LAYER_LINK;
    return erofs_link(writer, target, writer->parent, writer->base);
}
