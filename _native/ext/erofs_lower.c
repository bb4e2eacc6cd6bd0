/* What the layers below say, once the archive is at its end: owners and modes of directories that no entry is
 * for, where links lead, and the files that hard links name. */
#include "erofs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"

enum { MAX_DEPTH = EROFS_MAX_PATH / 2 };

static const uint32_t NOWHERE = UINT32_MAX;

/* ---- looking ---- */

static enum clib_layer_kind go_to(struct clib_erofs *writer, uint32_t directory) {
    const struct erofs_node *nodes = writer->tree.nodes;
    uint32_t chain[MAX_DEPTH];
    size_t depth = 0;
    for (uint32_t at = directory; at != writer->at_node && at; at = nodes[at].parent) {
        if (depth == MAX_DEPTH)
            return CLIB_LAYER_NAME_LENGTH;
        chain[depth++] = at;
    }
    uint32_t start = depth ? nodes[chain[depth - 1]].parent : directory;
    if (start != writer->at_node && lowers_to_roots(&writer->at, &writer->lowers, false))
        return erofs_failed(writer);
    while (depth)
        lowers_enter(&writer->at, erofs_name_of(&writer->tree, chain[--depth]), false);
    writer->at_node = directory;
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind read_link(struct clib_erofs *writer, int at, const char *name,
                                      char text[LAYER_PATH], size_t *size) {
    ssize_t taken = readlinkat(at, name, text, LAYER_PATH);
    if (taken < 0)
        return erofs_failed(writer);
    *size = (size_t)taken;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_lower_link(struct clib_erofs *writer, uint32_t directory, const char *name,
                                      char text[LAYER_PATH], size_t *size, bool *is_link) {
    struct stat status;
    *is_link = false;
    if (erofs_tree_is_covered(&writer->tree, directory))
        return CLIB_LAYER_OK;
    enum clib_layer_kind kind = go_to(writer, directory);
    int lower = kind ? -1 : lowers_find(&writer->at, name, &status);
    if (lower < 0 || !S_ISLNK(status.st_mode))
        return kind;
    *is_link = true;
    return read_link(writer, lower, name, text, size);
}

static void facts_of(const struct stat *status, struct erofs_facts *facts) {
    uint32_t major = (uint32_t)major(status->st_rdev), minor = (uint32_t)minor(status->st_rdev);
    *facts = (struct erofs_facts){
        .mode = status->st_mode,
        .uid = status->st_uid,
        .gid = status->st_gid,
        .device = erofs_device_number(major, minor),
        .mtime = status->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)status->st_mtim.tv_nsec,
    };
}

/* Adds the attributes of what an O_PATH descriptor is open on. */
static enum clib_layer_kind add_xattrs(struct clib_erofs *writer, int fd, struct lower_xattrs *xattrs,
                                       struct erofs_facts *facts) {
    if (lowers_xattrs(fd, xattrs))
        return erofs_failed(writer);
    enum clib_layer_kind kind = CLIB_LAYER_OK;
    for (size_t i = 0; !kind && i < xattrs->count; i++)
        kind = erofs_xattr_add(writer, &xattrs->items[i], facts);
    return kind;
}

/* ---- directories ---- */

static enum clib_layer_kind take_directory(struct clib_erofs *writer, struct erofs_directory *directory,
                                           int at, const char *name) {
    struct stat status;
    struct lower_xattrs xattrs = {0};
    cleanup_close int fd = openat(at, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status))
        return erofs_failed(writer);
    facts_of(&status, &directory->facts);
    erofs_xattr_begin(writer);
    enum clib_layer_kind kind = add_xattrs(writer, fd, &xattrs, &directory->facts);
    if (!kind)
        kind = erofs_store_xattrs(writer, directory);
    lower_xattrs_free(&xattrs);
    return kind;
}

/* A directory, in the layers below a link: what is in it goes where the link leads. */
static enum clib_layer_kind move_along(struct clib_erofs *writer, uint32_t directory, const char *text) {
    struct erofs_tree *tree = &writer->tree;
    uint32_t to;
    enum clib_layer_kind kind = erofs_walk(writer, tree->nodes[directory].parent, text, EROFS_MAKE_ALL, &to);
    if (kind)
        return kind;
    erofs_directory_of(tree, to)->flags |=
        erofs_directory_of(tree, directory)->flags & EROFS_DIRECTORY_OPAQUE;
    tree->nodes[directory].flags |= EROFS_NODE_REPLACED;
    writer->intake.stats.entries--;
    writer->at_node = NOWHERE; /* it may be of what is moved */
    return erofs_merge(writer, directory, to);
}

static enum clib_layer_kind settle_directory(struct clib_erofs *writer, size_t index) {
    struct erofs_directory *directory = &writer->tree.directories[index];
    uint32_t node = directory->node;
    uint8_t flags = directory->flags;
    bool asked = flags & EROFS_DIRECTORY_IMPLIED && !(flags & EROFS_DIRECTORY_COVERED);
    if (!asked || !erofs_tree_is_reachable(&writer->tree, node))
        return CLIB_LAYER_OK;
    const char *name = erofs_name_of(&writer->tree, node);
    struct stat status;
    enum clib_layer_kind kind = go_to(writer, writer->tree.nodes[node].parent);
    int lower = kind ? -1 : lowers_find(&writer->at, name, &status);
    if (lower >= 0 && S_ISLNK(status.st_mode)) {
        char text[LAYER_PATH + 1];
        size_t size = 0;
        kind = read_link(writer, lower, name, text, &size);
        if (kind)
            return kind;
        text[size] = 0;
        return move_along(writer, node, text);
    }
    directory->flags &= (uint8_t)~EROFS_DIRECTORY_IMPLIED;
    return lower >= 0 && S_ISDIR(status.st_mode) ? take_directory(writer, directory, lower, name) : kind;
}

/* The root of the merged tree shows the topmost layer's owner and mode. */
static enum clib_layer_kind settle_root(struct clib_erofs *writer) {
    struct erofs_directory *root = &writer->tree.directories[0];
    bool implied = root->flags & EROFS_DIRECTORY_IMPLIED;
    root->flags &= (uint8_t)~EROFS_DIRECTORY_IMPLIED;
    return implied ? take_directory(writer, root, writer->lowers.fds[0], ".") : CLIB_LAYER_OK;
}

/* ---- files ---- */

static enum clib_layer_kind copy_range(struct clib_erofs *writer, int from, uint64_t start, uint64_t end) {
    uint8_t buffer[16384];
    while (start < end) {
        size_t wanted = end - start < sizeof buffer ? (size_t)(end - start) : sizeof buffer;
        ssize_t size = pread(from, buffer, wanted, (off_t)start);
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return erofs_failed(writer);
        if (size == 0)
            break;
        writer->intake.stats.bytes += (uint64_t)size;
        enum clib_layer_kind kind = erofs_item_data(writer, start, buffer, (size_t)size);
        if (kind)
            return kind;
        start += (uint64_t)size;
    }
    return CLIB_LAYER_OK;
}

/* Where the file has content, as a sparse entry of the archive says it. */
static enum clib_layer_kind add_segment(void *tar, uint64_t start, uint64_t end) {
    return tar_segment_add(tar, start, end - start);
}

static enum clib_layer_kind copy_file(struct clib_erofs *writer, int lower, const char *name,
                                      const struct erofs_facts *facts, uint64_t size) {
    const struct intake *intake = &writer->intake;
    cleanup_close int from = openat(lower, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return erofs_failed(writer);
    struct tar *tar = &writer->intake.tar;
    tar->segment_count = 0;
    enum clib_layer_kind kind = lowers_extents(from, size, &writer->intake, add_segment, tar);
    if (kind)
        return kind;
    uint64_t stored = 0;
    for (size_t i = 0; i < tar->segment_count; i++)
        stored += tar->segments[i].size;
    if (stored > intake->limits.max_bytes - intake->stats.bytes - writer->tables)
        return CLIB_LAYER_MAX_BYTES;
    static const struct tar_segment none;
    const struct tar_segment *segments = tar->segment_count ? tar->segments : &none;
    kind = erofs_item_begin(writer, facts, size, stored < size ? segments : NULL, tar->segment_count);
    for (size_t i = 0; !kind && i < tar->segment_count; i++)
        kind = copy_range(writer, from, tar->segments[i].offset,
                          tar->segments[i].offset + tar->segments[i].size);
    return kind;
}

static enum clib_layer_kind copy_content(struct clib_erofs *writer, int lower, const char *name,
                                         const struct erofs_facts *facts, const struct stat *status) {
    if (S_ISREG(facts->mode))
        return copy_file(writer, lower, name, facts, (uint64_t)status->st_size);
    if (!S_ISLNK(facts->mode))
        return erofs_item_begin(writer, facts, 0, NULL, 0);
    char text[LAYER_PATH];
    size_t size = 0;
    enum clib_layer_kind kind = read_link(writer, lower, name, text, &size);
    if (!kind)
        kind = erofs_item_begin(writer, facts, size, NULL, 0);
    return kind ? kind : erofs_item_data(writer, 0, (const uint8_t *)text, size);
}

static enum erofs_kind kind_of(uint32_t mode) {
    if (S_ISLNK(mode))
        return EROFS_KIND_SYMLINK;
    if (S_ISCHR(mode))
        return EROFS_KIND_CHARACTER;
    if (S_ISBLK(mode))
        return EROFS_KIND_BLOCK;
    if (S_ISFIFO(mode))
        return EROFS_KIND_FIFO;
    return S_ISSOCK(mode) ? EROFS_KIND_SOCKET : EROFS_KIND_FILE;
}

static enum clib_layer_kind copy_up(struct clib_erofs *writer, struct erofs_pending *pending) {
    const char *name = erofs_name_of(&writer->tree, pending->target);
    struct stat status;
    enum clib_layer_kind kind = go_to(writer, writer->tree.nodes[pending->target].parent);
    int lower = kind ? -1 : lowers_find(&writer->at, name, &status);
    if (kind || lower < 0 || S_ISDIR(status.st_mode))
        return kind ? kind : CLIB_LAYER_LINK;
    cleanup_close int fd = openat(lower, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return erofs_failed(writer);
    struct erofs_facts facts;
    struct lower_xattrs xattrs = {0};
    facts_of(&status, &facts);
    erofs_xattr_begin(writer);
    kind = add_xattrs(writer, fd, &xattrs, &facts);
    if (!kind)
        kind = erofs_xattr_end(writer);
    lower_xattrs_free(&xattrs);
    if (!kind)
        kind = copy_content(writer, lower, name, &facts, &status);
    if (!kind)
        kind = erofs_item_end(writer, &pending->at);
    pending->kind = kind_of(facts.mode);
    return kind;
}

/* ---- all of it ---- */

static void note(struct clib_erofs *writer, uint32_t node) {
    char path[EROFS_MAX_PATH];
    erofs_tree_path(&writer->tree, node, path);
    intake_note_path(&writer->intake, path);
}

static enum clib_layer_kind settle_links(struct clib_erofs *writer) {
    for (size_t i = 0; i < writer->pending_count; i++) {
        struct erofs_pending *pending = &writer->pendings[i];
        enum clib_layer_kind kind = pending->found ? CLIB_LAYER_OK : copy_up(writer, pending);
        if (kind) {
            note(writer, pending->link);
            return kind;
        }
    }
    for (size_t i = 0; writer->pending_count && i < writer->tree.count; i++) {
        struct erofs_node *node = &writer->tree.nodes[i];
        if (node->kind != EROFS_KIND_PENDING)
            continue;
        const struct erofs_pending *pending = &writer->pendings[node->at];
        node->kind = pending->kind;
        node->at = pending->at;
    }
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind hide(void *context, const char *name) {
    return erofs_hide(context, 0, name);
}

enum clib_layer_kind erofs_settle(struct clib_erofs *writer) {
    if (!writer->lowers.count)
        return settle_links(writer);
    if (lowers_make(&writer->at, &writer->lowers))
        return erofs_failed(writer);
    writer->at_node = NOWHERE;
    writer->finishing = true;
    enum clib_layer_kind kind = settle_root(writer);
    for (size_t i = 1; !kind && i < writer->tree.directory_count; i++) {
        kind = settle_directory(writer, i);
        if (kind)
            note(writer, writer->tree.directories[i].node);
    }
    if (!kind)
        kind = settle_links(writer);
    if (!kind && writer->tree.directories[0].flags & EROFS_DIRECTORY_OPAQUE)
        kind = lowers_root_names(&writer->lowers, &writer->intake, hide, writer);
    return kind;
}
