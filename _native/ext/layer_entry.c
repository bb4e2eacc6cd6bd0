/* One entry of the archive becomes one file. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };

/* ---- regular files: made here, filled by layer_data, finished by layer_end ---- */

static enum clib_layer_kind begin_file(struct clib_layer *layer) {
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
    const struct tar_entry *entry = layer->entry;
    if (entry->stored_size > layer->intake.limits.max_bytes - layer->intake.stats.bytes)
        return CLIB_LAYER_MAX_BYTES;
    layer->file = openat(layer->parent, layer->base, flags, entry->mode & 0777);
    if (layer->file < 0 && errno == EEXIST) {
        enum clib_layer_kind kind = layer_make_room(layer);
        if (kind)
            return kind;
        layer->file = openat(layer->parent, layer->base, flags, entry->mode & 0777);
    }
    return layer->file < 0 ? layer_failed(layer) : CLIB_LAYER_OK;
}

enum clib_layer_kind layer_data(void *context, uint64_t offset, const uint8_t *data, size_t size) {
    struct clib_layer *layer = context;
    if (layer->file < 0) /* whiteouts and aufs records have no content that matters */
        return CLIB_LAYER_OK;
    layer->intake.stats.bytes += size;
    while (size) {
        ssize_t written = pwrite(layer->file, data, size, (off_t)offset);
        if (written < 0) {
            if (errno == EINTR)
                continue;
            return layer_failed(layer);
        }
        data += written;
        offset += (uint64_t)written;
        size -= (size_t)written;
    }
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_end(void *context) {
    struct clib_layer *layer = context;
    if (layer->file < 0)
        return CLIB_LAYER_OK;
    cleanup_close int file = take_fd(&layer->file);
    if (layer->entry->sparse && ftruncate(file, (off_t)layer->entry->size))
        return layer_failed(layer);
    enum clib_layer_kind kind = layer_set_file(layer, file);
    if (kind)
        return kind;
    return close(take_fd(&file)) ? layer_failed(layer)
                                 : CLIB_LAYER_OK; /* some file systems say ENOSPC only now */
}

/* ---- directories ---- */

static enum clib_layer_kind make_directory(struct clib_layer *layer, bool *opaque) {
    if (mkdirat(layer->parent, layer->base, layer->entry->mode & 0777) == 0)
        return CLIB_LAYER_OK;
    struct stat is;
    if (errno != EEXIST || fstatat(layer->parent, layer->base, &is, AT_SYMLINK_NOFOLLOW))
        return layer_failed(layer);
    if (S_ISDIR(is.st_mode))
        return CLIB_LAYER_OK;
    *opaque = lowers_is_whiteout(&is); /* what the layers below have there stays deleted */
    enum clib_layer_kind kind = layer_make_room(layer);
    if (kind)
        return kind;
    return mkdirat(layer->parent, layer->base, layer->entry->mode & 0777) ? layer_failed(layer)
                                                                          : CLIB_LAYER_OK;
}

static enum clib_layer_kind directory(struct clib_layer *layer) {
    bool opaque = false;
    enum clib_layer_kind kind = *layer->base ? make_directory(layer, &opaque) : CLIB_LAYER_OK;
    if (kind)
        return kind;
    cleanup_close int fd = openat(layer->parent, *layer->base ? layer->base : ".", OPEN_DIRECTORY);
    if (fd < 0)
        return layer_failed(layer);
    layer->root_said = layer->root_said || !*layer->base;
    kind = layer_set_directory(layer, fd, NULL, layer->path);
    if (!kind)
        kind = layer_set_xattrs(layer, fd);
    if (!kind && opaque)
        kind = layer_set_opaque(layer, fd);
    if (!kind && layer->parent_known) /* its files follow, as a rule */
        layer_adopt_parent(layer, &fd);
    return kind;
}

/* ---- what is made in one call ---- */

static int make_node(const struct clib_layer *layer) {
    const struct tar_entry *entry = layer->entry;
    mode_t mode = entry->mode & 0777;
    switch (entry->type) {
    case TAR_SYMLINK:
        return symlinkat(entry->link, layer->parent, layer->base);
    case TAR_FIFO:
        return mknodat(layer->parent, layer->base, S_IFIFO | mode, 0);
    case TAR_CHARACTER:
        return mknodat(layer->parent, layer->base, S_IFCHR | mode, makedev(entry->major, entry->minor));
    case TAR_BLOCK_DEVICE:
        return mknodat(layer->parent, layer->base, S_IFBLK | mode, makedev(entry->major, entry->minor));
    case TAR_FILE:
    case TAR_HARDLINK:
    case TAR_DIRECTORY:
        break;
    }
    errno = EINVAL;
    return -1;
}

static enum clib_layer_kind set_node(struct clib_layer *layer) {
    const struct tar_entry *entry = layer->entry;
    int parent = layer->parent;
    struct stat is;
    if (fstatat(parent, layer->base, &is, AT_SYMLINK_NOFOLLOW))
        return layer_failed(layer);
    bool owned = is.st_uid == entry->uid && is.st_gid == entry->gid;
    if (!owned && fchownat(parent, layer->base, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW))
        return layer_failed(layer);
    if (entry->type != TAR_SYMLINK || entry->xattr_count) {
        cleanup_close int fd = openat(parent, layer->base, O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 || (entry->type != TAR_SYMLINK && layer_chmod(fd, entry->mode)))
            return layer_failed(layer);
        enum clib_layer_kind kind = layer_set_xattrs(layer, fd);
        if (kind)
            return kind;
    }
    struct timespec mtime = {entry->mtime, entry->mtime_ns}, times[2] = {mtime, mtime};
    return utimensat(parent, layer->base, times, AT_SYMLINK_NOFOLLOW) ? layer_failed(layer) : CLIB_LAYER_OK;
}

/* Root of a user namespace makes none, whatever its rights there: they are left out, as docker and podman do.
 */
static bool is_refused_device(const struct clib_layer *layer, int error) {
    enum tar_type type = layer->entry->type;
    return error == EPERM && layer->privileged && (type == TAR_CHARACTER || type == TAR_BLOCK_DEVICE);
}

static enum clib_layer_kind node(struct clib_layer *layer) {
    const struct tar_entry *entry = layer->entry;
    if (entry->type == TAR_CHARACTER && entry->major == 0 && entry->minor == 0)
        return CLIB_LAYER_WHITEOUT_DEVICE;
    if (entry->type == TAR_SYMLINK && !*entry->link)
        return CLIB_LAYER_NAME;
    int made = make_node(layer);
    if (made && errno == EEXIST) {
        enum clib_layer_kind kind = layer_make_room(layer);
        if (kind)
            return kind;
        made = make_node(layer);
    }
    if (made && is_refused_device(layer, errno))
        return CLIB_LAYER_OK;
    return made ? layer_failed(layer) : set_node(layer);
}

/* ---- an entry ---- */

static enum clib_layer_kind apply(struct clib_layer *layer) {
    switch (layer->entry->type) {
    case TAR_FILE:
        return begin_file(layer);
    case TAR_DIRECTORY:
        return directory(layer);
    case TAR_HARDLINK:
        return layer_hardlink(layer);
    case TAR_SYMLINK:
    case TAR_CHARACTER:
    case TAR_BLOCK_DEVICE:
    case TAR_FIFO:
        return node(layer);
    }
    return CLIB_LAYER_TYPE;
}

enum clib_layer_kind layer_entry(void *context, const struct tar_entry *entry) {
    struct clib_layer *layer = context;
    layer->entry = entry;
    size_t size;
    enum clib_layer_kind kind = intake_count_entry(&layer->intake);
    if (!kind)
        kind = layer_normalise(entry->path, layer->path, &size);
    if (kind)
        return kind;
    layer->base = layer_base(layer->path, &layer->parent_size);
    enum layer_name name = layer_classify(layer->path);
    if (name == LAYER_NAME_BAD)
        return CLIB_LAYER_WHITEOUT_NAME;
    if (name == LAYER_NAME_SKIPPED)
        return CLIB_LAYER_OK;
    if (size == 0 && entry->type != TAR_DIRECTORY)
        return CLIB_LAYER_NAME;
    kind = layer_open_parent(layer);
    if (kind)
        return kind;
    switch (name) {
    case LAYER_NAME_WHITEOUT:
        return layer_whiteout(layer);
    case LAYER_NAME_OPAQUE:
        return layer_opaque(layer);
    case LAYER_NAME_PLAIN:
    case LAYER_NAME_SKIPPED:
    case LAYER_NAME_BAD:
        break;
    }
    return apply(layer);
}
