/* Names, and finding them. */
#include "erofs_tree.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { FIRST_SLOTS = 1 << 10 };

int erofs_bytes_add(struct erofs_bytes *bytes, const void *data, size_t size) {
    if (!size)
        return 0;
    if (bytes->size + size > UINT32_MAX) {
        errno = ENOMEM;
        return -1;
    }
    if (!intake_grow((void **)&bytes->data, &bytes->capacity, bytes->size + size, 1))
        return -1;
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    return 0;
}

void erofs_tree_close(struct erofs_tree *tree) {
    free(tree->nodes);
    free(tree->directories);
    free(tree->names.data);
    free(tree->xattrs.data);
    free(tree->slots);
}

/* ---- the hash table ---- */

static inline uint64_t turn(uint64_t value, unsigned bits) {
    return value << bits | value >> (64 - bits);
}

static inline void sip_round(uint64_t state[4]) {
    state[0] += state[1];
    state[2] += state[3];
    state[1] = turn(state[1], 13) ^ state[0];
    state[3] = turn(state[3], 16) ^ state[2];
    state[0] = turn(state[0], 32);
    state[2] += state[1];
    state[0] += state[3];
    state[1] = turn(state[1], 17) ^ state[2];
    state[3] = turn(state[3], 21) ^ state[0];
    state[2] = turn(state[2], 32);
}

static inline void sip_take(uint64_t state[4], uint64_t word) {
    state[3] ^= word;
    sip_round(state);
    state[0] ^= word;
}

/* SipHash-1-3 of the directory, the size and the name. */
static uint32_t hash_of(const struct erofs_tree *tree, uint32_t parent, const char *name, size_t size) {
    uint64_t state[4] = {
        tree->key[0] ^ 0x736f6d6570736575,
        tree->key[1] ^ 0x646f72616e646f6d,
        tree->key[0] ^ 0x6c7967656e657261,
        tree->key[1] ^ 0x7465646279746573,
    };
    sip_take(state, (uint64_t)size << 32 | parent);
    for (; size >= 8; name += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, name, 8);
        sip_take(state, word);
    }
    uint64_t last = 0;
    memcpy(&last, name, size);
    sip_take(state, last);
    state[2] ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(state);
    return (uint32_t)(state[0] ^ state[1] ^ state[2] ^ state[3]);
}

static bool is_named(const struct erofs_tree *tree, uint32_t node, uint32_t parent, const char *name,
                     size_t size) {
    const struct erofs_node *it = &tree->nodes[node];
    return it->parent == parent && it->name_size == size &&
           memcmp(erofs_name_of(tree, node), name, size) == 0;
}

/* The slot that has the name, or the free one where it would be. */
static struct erofs_slot *slot_of(const struct erofs_tree *tree, uint32_t hash, uint32_t parent,
                                  const char *name, size_t size) {
    size_t mask = tree->slot_count - 1;
    for (size_t at = hash & mask;; at = (at + 1) & mask) {
        struct erofs_slot *slot = &tree->slots[at];
        if (!slot->node || (slot->hash == hash && is_named(tree, slot->node, parent, name, size)))
            return slot;
    }
}

static int grow_slots(struct erofs_tree *tree) {
    if (tree->slots_used < tree->slot_count / 4 * 3)
        return 0;
    size_t count = tree->slot_count ? 2 * tree->slot_count : FIRST_SLOTS;
    struct erofs_slot *slots = calloc(count, sizeof *slots);
    if (!slots)
        return -1;
    for (size_t i = 0; i < tree->slot_count; i++) {
        if (!tree->slots[i].node)
            continue;
        size_t at = tree->slots[i].hash & (count - 1);
        while (slots[at].node)
            at = (at + 1) & (count - 1);
        slots[at] = tree->slots[i];
    }
    free(tree->slots);
    tree->slots = slots;
    tree->slot_count = count;
    return 0;
}

uint32_t erofs_tree_find(const struct erofs_tree *tree, uint32_t parent, const char *name, size_t size) {
    if (size > EROFS_MAX_NAME)
        return 0;
    uint32_t node = slot_of(tree, hash_of(tree, parent, name, size), parent, name, size)->node;
    return tree->nodes[node].flags & EROFS_NODE_REPLACED ? 0 : node;
}

/* Makes the name that of `node`, which has it and the directory already. */
static int enter(struct erofs_tree *tree, uint32_t node) {
    struct erofs_node *it = &tree->nodes[node];
    const char *name = erofs_name_of(tree, node);
    if (grow_slots(tree))
        return -1;
    uint32_t hash = hash_of(tree, it->parent, name, it->name_size);
    struct erofs_slot *slot = slot_of(tree, hash, it->parent, name, it->name_size);
    if (slot->node)
        tree->nodes[slot->node].flags |= EROFS_NODE_REPLACED;
    else
        tree->slots_used++;
    *slot = (struct erofs_slot){node, hash};
    struct erofs_directory *directory = erofs_directory_of(tree, it->parent);
    it->next = directory->first;
    directory->first = node;
    return 0;
}

/* ---- nodes ---- */

static uint16_t path_size(const struct erofs_tree *tree, uint32_t parent, size_t name_size) {
    size_t size = tree->directories[tree->count ? tree->nodes[parent].at : 0].path_size;
    return (uint16_t)(size + (size > 0) + name_size);
}

int erofs_tree_add(struct erofs_tree *tree, uint32_t parent, const char *name, size_t size,
                   enum erofs_kind kind, uint64_t at, uint32_t *node) {
    if (size > EROFS_MAX_NAME || (tree->count && path_size(tree, parent, size) >= EROFS_MAX_PATH)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (tree->count == UINT32_MAX) {
        errno = ENOMEM;
        return -1;
    }
    if (!intake_grow((void **)&tree->nodes, &tree->capacity, tree->count + 1, sizeof *tree->nodes))
        return -1;
    struct erofs_node made = {
        .parent = parent,
        .name = (uint32_t)tree->names.size,
        .name_size = (uint8_t)size,
        .kind = (uint8_t)kind,
        .at = at,
    };
    if (erofs_bytes_add(&tree->names, name, size) || erofs_bytes_add(&tree->names, "", 1))
        return -1;
    *node = (uint32_t)tree->count++;
    tree->nodes[*node] = made;
    return *node ? enter(tree, *node) : 0;
}

int erofs_tree_add_directory(struct erofs_tree *tree, uint32_t parent, const char *name, size_t size,
                             uint8_t flags, uint32_t *node) {
    size_t index = tree->directory_count;
    if (!intake_grow((void **)&tree->directories, &tree->directory_capacity, index + 1,
                     sizeof *tree->directories))
        return -1;
    if (index && erofs_tree_is_covered(tree, parent))
        flags |= EROFS_DIRECTORY_COVERED;
    tree->directories[index] = (struct erofs_directory){.flags = flags};
    if (erofs_tree_add(tree, parent, name, size, EROFS_KIND_DIRECTORY, index, node))
        return -1;
    tree->directories[index].node = *node;
    tree->directories[index].path_size = path_size(tree, parent, size);
    tree->directory_count++;
    return 0;
}

int erofs_tree_open(struct erofs_tree *tree) {
    uint32_t root;
    if (getrandom(tree->key, sizeof tree->key, 0) != sizeof tree->key || grow_slots(tree))
        return -1;
    return erofs_tree_add_directory(tree, 0, "", 0, EROFS_DIRECTORY_IMPLIED, &root);
}

int erofs_tree_move(struct erofs_tree *tree, uint32_t node, uint32_t parent) {
    tree->nodes[node].parent = parent;
    return enter(tree, node);
}

bool erofs_tree_is_reachable(const struct erofs_tree *tree, uint32_t node) {
    for (; node; node = tree->nodes[node].parent)
        if (tree->nodes[node].flags & EROFS_NODE_REPLACED)
            return false;
    return true;
}

bool erofs_tree_is_covered(const struct erofs_tree *tree, uint32_t directory) {
    for (;; directory = tree->nodes[directory].parent) {
        if (erofs_directory_of(tree, directory)->flags & EROFS_DIRECTORY_OPAQUE)
            return true;
        if (!directory)
            return false;
    }
}

void erofs_tree_path(const struct erofs_tree *tree, uint32_t node, char path[EROFS_MAX_PATH]) {
    size_t at = EROFS_MAX_PATH - 1;
    path[at] = 0;
    for (; node; node = tree->nodes[node].parent) {
        size_t size = tree->nodes[node].name_size;
        if (at < size + 1)
            break;
        if (path[at])
            path[--at] = '/';
        at -= size;
        memcpy(path + at, erofs_name_of(tree, node), size);
    }
    memmove(path, path + at, EROFS_MAX_PATH - at);
}
