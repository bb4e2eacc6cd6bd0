/* One entry of the archive becomes an inode, a name, or both. */
#include "erofs.h"

#include <string.h>
#include <sys/stat.h>

enum { MAX_XATTRS = 64 << 20 }; /* of all directories: they wait for the end */

/* ---- what an entry says ---- */

void erofs_entry_facts(const struct tar_entry *entry, uint32_t type, struct erofs_facts *facts) {
    *facts = (struct erofs_facts){
        .mode = type | entry->mode,
        .uid = entry->uid,
        .gid = entry->gid,
        .mtime = entry->mtime,
        .mtime_ns = entry->mtime_ns,
    };
}

static enum clib_layer_kind add_xattrs(struct clib_erofs *writer, struct erofs_facts *facts) {
    enum clib_layer_kind kind = CLIB_LAYER_OK;
    for (size_t i = 0; !kind && i < writer->entry->xattr_count; i++)
        kind = erofs_xattr_add(writer, &writer->entry->xattrs[i], facts);
    return kind;
}

/* ---- names ---- */

static enum clib_layer_kind add_name(struct clib_erofs *writer, enum erofs_kind kind, uint64_t at) {
    uint32_t node;
    size_t before = writer->tree.slots_used;
    if (erofs_tree_add(&writer->tree, writer->parent, writer->base, strlen(writer->base), kind, at, &node))
        return erofs_failed(writer);
    /* the path to the last parent may go through what this replaced */
    writer->is_known = writer->is_known && writer->tree.slots_used != before;
    return CLIB_LAYER_OK;
}

/* ---- whiteouts ---- */

static enum clib_layer_kind shared_whiteout(struct clib_erofs *writer) {
    if (writer->whiteout)
        return CLIB_LAYER_OK;
    struct erofs_facts facts = {.mode = S_IFCHR};
    erofs_xattr_begin(writer);
    enum clib_layer_kind kind = erofs_xattr_end(writer);
    if (!kind)
        kind = erofs_item_begin(writer, &facts, 0, NULL, 0);
    return kind ? kind : erofs_item_end(writer, &writer->whiteout);
}

enum clib_layer_kind erofs_hide(struct clib_erofs *writer, uint32_t parent, const char *name) {
    size_t size = strlen(name);
    uint32_t node = erofs_tree_find(&writer->tree, parent, name, size);
    if (node) {
        if (writer->tree.nodes[node].kind == EROFS_KIND_DIRECTORY)
            erofs_directory_of(&writer->tree, node)->flags |= EROFS_DIRECTORY_OPAQUE;
        return CLIB_LAYER_OK;
    }
    enum clib_layer_kind kind = shared_whiteout(writer);
    if (kind)
        return kind;
    return erofs_tree_add(&writer->tree, parent, name, size, EROFS_KIND_WHITEOUT, writer->whiteout, &node)
               ? erofs_failed(writer)
               : CLIB_LAYER_OK;
}

/* ---- directories ---- */

enum clib_layer_kind erofs_store_xattrs(struct clib_erofs *writer, struct erofs_directory *directory) {
    struct erofs_bytes *stored = &writer->tree.xattrs;
    size_t start = sizeof(struct erofs_inode) + sizeof(struct erofs_xattr_header);
    enum clib_layer_kind kind = erofs_xattr_end(writer);
    if (kind || writer->item.head < start)
        return kind;
    size_t size = writer->item.head - start;
    if (stored->size + size > MAX_XATTRS)
        return CLIB_LAYER_MAX_XATTR;
    directory->xattrs = (uint32_t)stored->size;
    directory->xattrs_size = (uint32_t)size;
    return erofs_bytes_add(stored, writer->item.bytes + start, size) ? erofs_failed(writer) : CLIB_LAYER_OK;
}

/* Attributes add to those that an earlier entry gave. */
static enum clib_layer_kind set_xattrs(struct clib_erofs *writer, struct erofs_directory *directory,
                                       struct erofs_facts *facts) {
    if (!writer->entry->xattr_count)
        return CLIB_LAYER_OK;
    erofs_xattr_begin(writer);
    enum clib_layer_kind kind = erofs_xattr_add_stored(writer, directory);
    if (!kind)
        kind = add_xattrs(writer, facts);
    return kind ? kind : erofs_store_xattrs(writer, directory);
}

static enum clib_layer_kind make_directory(struct clib_erofs *writer, uint32_t *node) {
    struct erofs_tree *tree = &writer->tree;
    size_t size = strlen(writer->base);
    *node = erofs_tree_find(tree, writer->parent, writer->base, size);
    if (*node && tree->nodes[*node].kind == EROFS_KIND_DIRECTORY)
        return CLIB_LAYER_OK;
    bool deleted = *node && tree->nodes[*node].kind == EROFS_KIND_WHITEOUT;
    writer->is_known = writer->is_known && !*node;
    return erofs_tree_add_directory(tree, writer->parent, writer->base, size,
                                    deleted ? EROFS_DIRECTORY_OPAQUE : 0, node)
               ? erofs_failed(writer)
               : CLIB_LAYER_OK;
}

static enum clib_layer_kind directory(struct clib_erofs *writer) {
    uint32_t node = 0;
    enum clib_layer_kind kind = *writer->base ? make_directory(writer, &node) : CLIB_LAYER_OK;
    if (kind)
        return kind;
    struct erofs_directory *made = erofs_directory_of(&writer->tree, node);
    struct erofs_facts facts;
    erofs_entry_facts(writer->entry, S_IFDIR, &facts);
    kind = set_xattrs(writer, made, &facts);
    made->facts = facts;
    made->flags &= (uint8_t)~EROFS_DIRECTORY_IMPLIED;
    if (!kind && writer->is_known)
        erofs_know(writer, writer->path, strlen(writer->path), node);
    return kind;
}

/* ---- files and nodes ---- */

static enum clib_layer_kind begin(struct clib_erofs *writer, struct erofs_facts *facts, uint64_t size) {
    const struct tar *tar = &writer->intake.tar;
    bool sparse = writer->entry->type == TAR_FILE && writer->entry->sparse;
    erofs_xattr_begin(writer);
    enum clib_layer_kind kind = add_xattrs(writer, facts);
    if (!kind)
        kind = erofs_xattr_end(writer);
    if (kind)
        return kind;
    /* a file that is all hole has no segments, and is sparse none the less */
    static const struct tar_segment none;
    const struct tar_segment *segments = tar->segment_count ? tar->segments : &none;
    return erofs_item_begin(writer, facts, size, sparse ? segments : NULL, sparse ? tar->segment_count : 0);
}

static enum clib_layer_kind begin_file(struct clib_erofs *writer) {
    const struct tar_entry *entry = writer->entry;
    const struct intake *intake = &writer->intake;
    if (entry->stored_size > intake->limits.max_bytes - intake->stats.bytes - writer->tables)
        return CLIB_LAYER_MAX_BYTES;
    struct erofs_facts facts;
    erofs_entry_facts(entry, S_IFREG, &facts);
    writer->item_open = true;
    return begin(writer, &facts, entry->size);
}

uint32_t erofs_device_number(uint32_t major, uint32_t minor) {
    return (minor & 0xff) | major << 8 | (minor & ~0xffu) << 12;
}

static enum clib_layer_kind node(struct clib_erofs *writer, enum erofs_kind kind, uint32_t type) {
    const struct tar_entry *entry = writer->entry;
    size_t size = kind == EROFS_KIND_SYMLINK ? strlen(entry->link) : 0;
    struct erofs_facts facts;
    uint64_t nid;
    if (kind == EROFS_KIND_CHARACTER && entry->major == 0 && entry->minor == 0)
        return CLIB_LAYER_WHITEOUT_DEVICE;
    if (kind == EROFS_KIND_SYMLINK && !size)
        return CLIB_LAYER_NAME;
    erofs_entry_facts(entry, type, &facts);
    if (kind == EROFS_KIND_SYMLINK)
        facts.mode = S_IFLNK | 0777;
    if (kind == EROFS_KIND_CHARACTER || kind == EROFS_KIND_BLOCK)
        facts.device = erofs_device_number(entry->major, entry->minor);
    enum clib_layer_kind result = begin(writer, &facts, size);
    if (!result && size)
        result = erofs_item_data(writer, 0, (const uint8_t *)entry->link, size);
    if (!result)
        result = erofs_item_end(writer, &nid);
    return result ? result : add_name(writer, kind, nid);
}

/* ---- an entry ---- */

static enum clib_layer_kind apply(struct clib_erofs *writer) {
    switch (writer->entry->type) {
    case TAR_FILE:
        return begin_file(writer);
    case TAR_DIRECTORY:
        return directory(writer);
    case TAR_HARDLINK:
        return erofs_hardlink(writer);
    case TAR_SYMLINK:
        return node(writer, EROFS_KIND_SYMLINK, S_IFLNK);
    case TAR_CHARACTER:
        return node(writer, EROFS_KIND_CHARACTER, S_IFCHR);
    case TAR_BLOCK_DEVICE:
        return node(writer, EROFS_KIND_BLOCK, S_IFBLK);
    case TAR_FIFO:
        return node(writer, EROFS_KIND_FIFO, S_IFIFO);
    }
    return CLIB_LAYER_TYPE;
}

enum clib_layer_kind erofs_entry(void *context, const struct tar_entry *entry) {
    struct clib_erofs *writer = context;
    writer->entry = entry;
    size_t size;
    enum clib_layer_kind kind = intake_count_entry(&writer->intake);
    if (!kind)
        kind = layer_normalise(entry->path, writer->path, &size);
    if (kind)
        return kind;
    if (writer->intake.stats.entries == 1) { /* the root is as old as it, if nothing says otherwise */
        writer->tree.directories[0].facts.mtime = entry->mtime;
        writer->tree.directories[0].facts.mtime_ns = entry->mtime_ns;
    }
    writer->base = layer_base(writer->path, &writer->parent_size);
    enum layer_name name = layer_classify(writer->path);
    if (name == LAYER_NAME_BAD)
        return CLIB_LAYER_WHITEOUT_NAME;
    if (name == LAYER_NAME_SKIPPED)
        return CLIB_LAYER_OK;
    if (size == 0 && entry->type != TAR_DIRECTORY)
        return CLIB_LAYER_NAME;
    if (strlen(writer->base) > EROFS_MAX_NAME + (name == LAYER_NAME_WHITEOUT ? LAYER_MARK : 0))
        return CLIB_LAYER_NAME_LENGTH;
    kind = erofs_find_parent(writer);
    if (kind)
        return kind;
    switch (name) {
    case LAYER_NAME_WHITEOUT:
        return erofs_hide(writer, writer->parent, writer->base + LAYER_MARK);
    case LAYER_NAME_OPAQUE:
        erofs_directory_of(&writer->tree, writer->parent)->flags |= EROFS_DIRECTORY_OPAQUE;
        return CLIB_LAYER_OK;
    case LAYER_NAME_PLAIN:
    case LAYER_NAME_SKIPPED:
    case LAYER_NAME_BAD:
        break;
    }
    return apply(writer);
}

enum clib_layer_kind erofs_data(void *context, uint64_t offset, const uint8_t *data, size_t size) {
    struct clib_erofs *writer = context;
    if (!writer->item_open) /* whiteouts and aufs records have no content that matters */
        return CLIB_LAYER_OK;
    writer->intake.stats.bytes += size;
    return erofs_item_data(writer, offset, data, size);
}

enum clib_layer_kind erofs_end(void *context) {
    struct clib_erofs *writer = context;
    uint64_t nid;
    if (!writer->item_open)
        return CLIB_LAYER_OK;
    writer->item_open = false;
    enum clib_layer_kind kind = erofs_item_end(writer, &nid);
    return kind ? kind : add_name(writer, EROFS_KIND_FILE, nid);
}
