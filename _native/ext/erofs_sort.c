/* The names of each directory in the order that EROFS searches them in: that of their bytes. */
#include "erofs.h"

#include <stdlib.h>
#include <string.h>

/* A name with its first bytes at hand: most comparisons end there. */
struct sorted {
    uint64_t key;
    const char *name;
    uint32_t node;
    uint32_t size;
};

static uint64_t key_of(const char *name, size_t size) {
    uint64_t key = 0;
    memcpy(&key, name, size < sizeof key ? size : sizeof key);
    return __builtin_bswap64(key);
}

int erofs_compare_names(const char *a, size_t a_size, const char *b, size_t b_size) {
    int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
    return order ? order : a_size < b_size ? -1 : a_size > b_size;
}

static int compare(const void *left, const void *right) {
    const struct sorted *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return erofs_compare_names(a->name, a->size, b->name, b->size);
}

static bool is_sorted(const struct sorted *items, size_t count) {
    for (size_t i = 1; i < count; i++)
        if (compare(&items[i - 1], &items[i]) > 0)
            return false;
    return true;
}

static enum clib_layer_kind note_linked(struct clib_erofs *writer, const struct erofs_node *node) {
    if (node->kind == EROFS_KIND_WHITEOUT) {
        writer->whiteouts++;
        return CLIB_LAYER_OK;
    }
    if (!(node->flags & EROFS_NODE_LINKED)) {
        writer->live++;
        return CLIB_LAYER_OK;
    }
    if (!intake_grow((void **)&writer->linked, &writer->linked_capacity, writer->linked_count + 1,
                     sizeof *writer->linked))
        return erofs_failed(writer);
    writer->linked[writer->linked_count++] = node->at;
    return CLIB_LAYER_OK;
}

/* Puts what was not replaced in order, and counts it. */
enum clib_layer_kind erofs_sort_directory(struct clib_erofs *writer, uint32_t node,
                                          struct erofs_bytes *scratch) {
    struct erofs_tree *tree = &writer->tree;
    struct erofs_directory *directory = erofs_directory_of(tree, node);
    size_t count = 0;
    for (uint32_t child = directory->first; child; child = tree->nodes[child].next)
        count += !(tree->nodes[child].flags & EROFS_NODE_REPLACED);
    if (!intake_grow((void **)&scratch->data, &scratch->capacity, count * sizeof(struct sorted), 1))
        return erofs_failed(writer);
    struct sorted *items = (struct sorted *)scratch->data;
    size_t at = count; /* the list has the latest first */
    for (uint32_t child = directory->first; child; child = tree->nodes[child].next) {
        const struct erofs_node *is = &tree->nodes[child];
        if (is->flags & EROFS_NODE_REPLACED)
            continue;
        const char *name = erofs_name_of(tree, child);
        items[--at] = (struct sorted){key_of(name, is->name_size), name, child, is->name_size};
        directory->directories += is->kind == EROFS_KIND_DIRECTORY;
        enum clib_layer_kind kind =
            is->kind == EROFS_KIND_DIRECTORY ? CLIB_LAYER_OK : note_linked(writer, is);
        if (kind)
            return kind;
    }
    if (!is_sorted(items, count))
        qsort(items, count, sizeof *items, compare);
    directory->first = 0;
    while (count-- > 0) {
        tree->nodes[items[count].node].next = directory->first;
        directory->first = items[count].node;
    }
    return CLIB_LAYER_OK;
}

static int compare_nids(const void *left, const void *right) {
    const uint64_t *a = left, *b = right;
    return *a < *b ? -1 : *a > *b;
}

static enum clib_layer_kind set_links(struct clib_erofs *writer, uint64_t nid, uint64_t count) {
    uint32_t links = (uint32_t)count;
    uint64_t at = nid * EROFS_SLOT + offsetof(struct erofs_inode, links);
    writer->live++;
    erofs_add_up(&writer->file, at, &links, sizeof links);
    return erofs_patch(&writer->file, at, &links, sizeof links) ? erofs_failed(writer) : CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_count_links(struct clib_erofs *writer) {
    enum clib_layer_kind kind = CLIB_LAYER_OK;
    if (writer->linked_count)
        qsort(writer->linked, writer->linked_count, sizeof *writer->linked, compare_nids);
    for (size_t start = 0, end; !kind && start < writer->linked_count; start = end) {
        for (end = start; end < writer->linked_count && writer->linked[end] == writer->linked[start];)
            end++;
        kind = set_links(writer, writer->linked[start], end - start);
    }
    if (!kind && writer->whiteouts)
        kind = set_links(writer, writer->whiteout, writer->whiteouts);
    return kind;
}
