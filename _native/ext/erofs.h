/* Writing a layer as one EROFS file system: what the files of that writer share.
 *
 * The file grows while the archive comes. The full blocks of a file are appended as they are; when it ends,
 * its inode is put with the rest of it behind, so that a small file takes no block of its own. Only names are
 * kept (erofs_tree.h). Directories, the counts of hard links, and the first block with the superblock are
 * written at the end, and the same archive gives the same bytes, however it is cut.
 *
 * Paths mean what they mean to the directory writer (layer.h), with one difference, since the layers below
 * are not looked at before the end: a directory that no entry is for becomes what they say it is - a
 * directory with their owner and mode, or a link, and then what is in it moves to where that leads - at the
 * end, and not when it was first named. */
#pragma once

#include "erofs_file.h"
#include "erofs_tree.h"
#include "intake.h"
#include "lowers.h"

/* An attribute on its way into an inode. */
struct erofs_xattr {
    const char *name; /* behind the prefix */
    const uint8_t *value;
    uint8_t prefix;
    uint8_t name_size;
    uint16_t value_size;
    uint32_t order; /* of two with one name, the later counts */
};

/* The inode at hand: bytes are the inode, its attributes, then the rest of its content or its table of
 * chunks. */
struct erofs_item {
    struct erofs_facts facts;
    enum erofs_layout layout;
    uint8_t *bytes;
    size_t capacity;
    size_t head; /* inode and attributes */
    uint64_t size;
    uint64_t in_blocks; /* how much of it goes into blocks */
    uint64_t done;
    uint64_t start;      /* where in the file its blocks are */
    unsigned chunk_bits; /* a chunk's size, in bits above a block's */
    uint64_t chunk;      /* the one at hand; UINT64_MAX before the first */
};

/* A hard link to what the layer itself has not: `target` stands for the file that the layers below have. */
struct erofs_pending {
    uint32_t target;
    uint32_t link; /* the first */
    uint8_t kind;
    bool found;
    uint64_t at;
};

struct clib_erofs {
    struct intake intake;
    struct erofs_file file;
    struct erofs_tree tree;
    struct erofs_item item;
    bool item_open;  /* the entry at hand is a file whose content comes */
    bool chunked;    /* some file has holes */
    uint64_t tables; /* bytes of the tables of chunks: they count as content */
    uint64_t inodes;

    struct erofs_xattr *xattrs;
    size_t xattr_count;
    size_t xattr_capacity;

    const struct tar_entry *entry;
    char path[LAYER_PATH]; /* normalised */
    size_t parent_size;
    const char *base;
    uint32_t parent; /* of the entry */

    /* the directory of the last entry: most entries have the same */
    uint32_t known;
    char known_path[LAYER_PATH];
    bool is_known;

    struct erofs_pending *pendings;
    size_t pending_count;
    size_t pending_capacity;
    uint64_t whiteout; /* the inode that all share; 0: none yet */
    uint64_t whiteouts;
    uint64_t *linked; /* the inodes of names that share one */
    size_t linked_count;
    size_t linked_capacity;

    /* the end */
    uint64_t live; /* inodes that have a name */
    struct erofs_bytes scratch;
    uint64_t directories_at; /* where their inodes are; their full blocks end there */
    uint64_t directories_size;
    uint32_t directory_blocks;

    struct lowers lowers;
    bool finishing; /* the layers below may be asked */
    struct lowers at;
    uint32_t at_node; /* the directory that `at` is in; UINT32_MAX: none */
};

static inline enum clib_layer_kind erofs_failed(struct clib_erofs *writer) {
    return intake_failed(&writer->intake);
}

/* erofs_entry.c */
enum clib_layer_kind erofs_entry(void *writer, const struct tar_entry *entry);
enum clib_layer_kind erofs_data(void *writer, uint64_t offset, const uint8_t *data, size_t size);
enum clib_layer_kind erofs_end(void *writer);
/* Hides what the layers below have of that name; what this layer has itself hides as much. */
enum clib_layer_kind erofs_hide(struct clib_erofs *writer, uint32_t parent, const char *name);
/* Ends the attributes and keeps them with a directory. */
enum clib_layer_kind erofs_store_xattrs(struct clib_erofs *writer, struct erofs_directory *directory);
uint32_t erofs_device_number(uint32_t major, uint32_t minor);
void erofs_entry_facts(const struct tar_entry *entry, uint32_t type, struct erofs_facts *facts);

/* erofs_path.c */
enum erofs_make {
    EROFS_MAKE_ALL,
    EROFS_MAKE_LOWER, /* CLIB_LAYER_LINK where a part cannot be a directory of a layer below */
};
/* Goes from a directory along a path, links in it followed inside the layer, making what is missing. */
enum clib_layer_kind erofs_walk(struct clib_erofs *writer, uint32_t from, const char *path,
                                enum erofs_make make, uint32_t *directory);
/* Finds the parent of writer->path. */
enum clib_layer_kind erofs_find_parent(struct clib_erofs *writer);
/* A directory at writer->path is the parent of what follows, as a rule. */
void erofs_know(struct clib_erofs *writer, const char *path, size_t size, uint32_t directory);

/* erofs_link.c */
enum clib_layer_kind erofs_hardlink(struct clib_erofs *writer);
/* Adds a name for what another node is. */
enum clib_layer_kind erofs_link(struct clib_erofs *writer, uint32_t target, uint32_t parent,
                                const char *name);

/* erofs_xattr.c: the attributes of one inode are begun, added, and written behind it */
void erofs_xattr_begin(struct clib_erofs *writer);
/* Adds what may be there; an access list changes the mode as it does in the kernel. */
enum clib_layer_kind erofs_xattr_add(struct clib_erofs *writer, const struct tar_xattr *xattr,
                                     struct erofs_facts *facts);
enum clib_layer_kind erofs_xattr_add_opaque(struct clib_erofs *writer);
/* Those that a directory was given before. */
enum clib_layer_kind erofs_xattr_add_stored(struct clib_erofs *writer,
                                            const struct erofs_directory *directory);
/* Writes them into the item, behind room for the inode. */
enum clib_layer_kind erofs_xattr_end(struct clib_erofs *writer);

/* erofs_acl.c */
enum erofs_acl { EROFS_ACL_BAD, EROFS_ACL_UNKNOWN, EROFS_ACL_IN_MODE, EROFS_ACL_STORED };
enum erofs_acl erofs_acl(const uint8_t *value, size_t size, uint32_t *mode);

/* erofs_inode.c: begin, content in order, end; the attributes come first */
enum clib_layer_kind erofs_item_begin(struct clib_erofs *writer, const struct erofs_facts *facts,
                                      uint64_t size, const struct tar_segment *segments, size_t count);
enum clib_layer_kind erofs_item_data(struct clib_erofs *writer, uint64_t offset, const uint8_t *data,
                                     size_t size);
enum clib_layer_kind erofs_item_end(struct clib_erofs *writer, uint64_t *nid);
enum clib_layer_kind erofs_item_reserve(struct clib_erofs *writer, size_t size);
/* Fills the inode at the start of the item's bytes. */
void erofs_item_inode(struct clib_erofs *writer, uint32_t data, uint32_t links);
/* The text of a symbolic link, terminated. */
enum clib_layer_kind erofs_read_link(struct clib_erofs *writer, uint64_t nid, char text[LAYER_PATH],
                                     size_t *size);

/* erofs_sparse.c */
/* Whether holes are worth a table of chunks, and how large a chunk is then. */
bool erofs_sparse_plan(uint64_t size, const struct tar_segment *segments, size_t count, unsigned *bits);
size_t erofs_sparse_table_size(uint64_t size, unsigned bits);
enum clib_layer_kind erofs_sparse_begin(struct clib_erofs *writer);
enum clib_layer_kind erofs_sparse_data(struct clib_erofs *writer, uint64_t offset, const uint8_t *data,
                                       size_t size);
enum clib_layer_kind erofs_sparse_end(struct clib_erofs *writer);

/* erofs_lower.c: at the end, what the layers below say */
enum clib_layer_kind erofs_settle(struct clib_erofs *writer);
/* Whether `name` in a directory is, in the layers below, a link; its text. */
enum clib_layer_kind erofs_lower_link(struct clib_erofs *writer, uint32_t directory, const char *name,
                                      char text[LAYER_PATH], size_t *size, bool *is_link);

/* erofs_merge.c */
/* Moves the names of one directory into another; of two for one file, the later stays. */
enum clib_layer_kind erofs_merge(struct clib_erofs *writer, uint32_t from, uint32_t to);

/* erofs_sort.c */
int erofs_compare_names(const char *a, size_t a_size, const char *b, size_t b_size);
enum clib_layer_kind erofs_sort_directory(struct clib_erofs *writer, uint32_t node,
                                          struct erofs_bytes *scratch);
/* Tells each inode how many names it has. */
enum clib_layer_kind erofs_count_links(struct clib_erofs *writer);

/* erofs_directory.c */
enum clib_layer_kind erofs_write_directories(struct clib_erofs *writer);
