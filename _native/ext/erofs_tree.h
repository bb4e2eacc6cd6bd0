/* The names of a layer, and nothing of their content: 24 bytes and the name for each, so that a layer of
 * hundreds of thousands of files fits in some tens of megabytes.
 *
 * A name is found by its directory and its bytes in one hash table. What a later entry replaces stays where
 * it is, marked; what is below a replaced directory is out of reach with it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "erofs_format.h"
#include "intake.h"

enum { EROFS_MAX_PATH = 4096 }; /* with the NUL; directories nest half as deep */

enum erofs_kind {
    EROFS_KIND_FILE = EROFS_TYPE_FILE,
    EROFS_KIND_DIRECTORY = EROFS_TYPE_DIRECTORY,
    EROFS_KIND_CHARACTER = EROFS_TYPE_CHARACTER,
    EROFS_KIND_BLOCK = EROFS_TYPE_BLOCK,
    EROFS_KIND_FIFO = EROFS_TYPE_FIFO,
    EROFS_KIND_SOCKET = EROFS_TYPE_SOCKET, /* no archive has one, a layer below may */
    EROFS_KIND_SYMLINK = EROFS_TYPE_SYMLINK,
    EROFS_KIND_WHITEOUT, /* they all share one inode */
    EROFS_KIND_PENDING,  /* a hard link to what only a layer below can have */
};

enum {
    EROFS_NODE_REPLACED = 1,
    EROFS_NODE_LINKED = 2, /* others have the same inode: they are counted at the end */
};

struct erofs_node {
    uint32_t parent;
    uint32_t next; /* of the same directory; 0 ends the list, as the root is nobody's child */
    uint32_t name;
    uint8_t name_size;
    uint8_t kind;
    uint8_t flags;
    uint64_t at; /* a directory's or pending link's index; of others, the inode's number */
};

enum {
    EROFS_DIRECTORY_IMPLIED = 1, /* no entry is for it: what it is, a layer below may yet say */
    EROFS_DIRECTORY_COVERED = 2, /* of those, one of which no layer below is asked */
    EROFS_DIRECTORY_OPAQUE = 4,
};

struct erofs_facts {
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t device;
    int64_t mtime;
    uint32_t mtime_ns;
};

struct erofs_directory {
    struct erofs_facts facts;
    uint32_t node;
    uint32_t first;
    uint32_t xattrs; /* where in the tree's */
    uint32_t xattrs_size;
    uint16_t path_size;
    uint8_t flags;
    /* filled when the archive is at its end */
    uint32_t directories; /* in it */
    uint32_t block;       /* the first, counted from those of all directories */
    uint32_t blocks;
    uint64_t size;
    uint64_t place; /* of the inode, counted likewise */
};

struct erofs_bytes {
    uint8_t *data;
    size_t size;
    size_t capacity;
};

struct erofs_slot {
    uint32_t node; /* 0: free */
    uint32_t hash;
};

struct erofs_tree {
    struct erofs_node *nodes; /* the first is the root */
    size_t count;
    size_t capacity;
    struct erofs_directory *directories;
    size_t directory_count;
    size_t directory_capacity;
    struct erofs_bytes names;
    struct erofs_bytes xattrs; /* of directories */
    struct erofs_slot *slots;
    size_t slot_count;
    size_t slots_used;
    uint64_t key[2]; /* nobody can choose names that collide */
};

/* Each answers 0, or -1 with errno. */
int erofs_tree_open(struct erofs_tree *tree);
void erofs_tree_close(struct erofs_tree *tree);
/* Adds to the end of what bytes there are. */
int erofs_bytes_add(struct erofs_bytes *bytes, const void *data, size_t size);

/* 0 where the directory has no such name. */
uint32_t erofs_tree_find(const struct erofs_tree *tree, uint32_t parent, const char *name, size_t size);
/* Gives the directory that name, in place of what had it. */
int erofs_tree_add(struct erofs_tree *tree, uint32_t parent, const char *name, size_t size,
                   enum erofs_kind kind, uint64_t at, uint32_t *node);
/* The same for a directory, which is empty. */
int erofs_tree_add_directory(struct erofs_tree *tree, uint32_t parent, const char *name, size_t size,
                             uint8_t flags, uint32_t *node);
/* Puts a node into another directory, in place of what has its name there. */
int erofs_tree_move(struct erofs_tree *tree, uint32_t node, uint32_t parent);
bool erofs_tree_is_reachable(const struct erofs_tree *tree, uint32_t node);
/* Whether the directory or one above it shows nothing of the layers below. */
bool erofs_tree_is_covered(const struct erofs_tree *tree, uint32_t directory);
/* The path of a node, or what fits of its end. */
void erofs_tree_path(const struct erofs_tree *tree, uint32_t node, char path[EROFS_MAX_PATH]);

static inline struct erofs_directory *erofs_directory_of(const struct erofs_tree *tree, uint32_t node) {
    return &tree->directories[tree->nodes[node].at];
}

static inline const char *erofs_name_of(const struct erofs_tree *tree, uint32_t node) {
    return (const char *)tree->names.data + tree->nodes[node].name; /* terminated */
}
