/* Owner, mode, extended attributes and times. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

static const uint32_t NO_MODE = UINT32_MAX;

/* ---- extended attributes ---- */

/* A descriptor's own name, for calls that O_PATH descriptors do not take; it leads to exactly that file. */
static void proc_path(int fd, char path[32]) {
    snprintf(path, 32, "/proc/self/fd/%d", fd);
}

int layer_chmod(int fd, uint32_t mode) {
    char path[32];
    proc_path(fd, path);
    return chmod(path, mode);
}

static enum clib_layer_kind xattr_failed(struct clib_layer *layer, const char *name) {
    bool capability = strcmp(name, "security.capability") == 0;
    bool user = strncmp(name, "user.", 5) == 0;
    bool trusted = strncmp(name, "trusted.", 8) == 0 && strncmp(name, "trusted.overlay.", 16) != 0;
    bool is_denied = user || (trusted && layer->privileged); /* to root of a user namespace */
    if ((errno == EOPNOTSUPP && !capability) || (errno == EPERM && is_denied)) { /* as docker does */
        layer->intake.stats.skipped_xattrs++;
        return CLIB_LAYER_OK;
    }
    if (errno == EINVAL || errno == ERANGE || errno == E2BIG || errno == ENOENT)
        return CLIB_LAYER_XATTR;
    return layer_failed(layer);
}

enum clib_layer_kind layer_set_xattr(struct clib_layer *layer, int fd, const struct tar_xattr *xattr) {
    int result = fsetxattr(fd, xattr->name, xattr->value, xattr->size, 0);
    if (result && errno == EBADF) {
        char path[32];
        proc_path(fd, path);
        result = setxattr(path, xattr->name, xattr->value, xattr->size, 0);
    }
    return result ? xattr_failed(layer, xattr->name) : CLIB_LAYER_OK;
}

enum clib_layer_kind layer_set_xattrs(struct clib_layer *layer, int fd) {
    for (size_t i = 0; i < layer->entry->xattr_count; i++) {
        const struct tar_xattr *xattr = &layer->entry->xattrs[i];
        enum clib_layer_kind kind =
            layer_is_overlay_xattr(xattr->name) ? CLIB_LAYER_OK : layer_set_xattr(layer, fd, xattr);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_copy_xattrs(struct clib_layer *layer, int from, int to) {
    struct lower_xattrs xattrs;
    enum clib_layer_kind kind = lowers_xattrs(from, &xattrs) ? layer_failed(layer) : CLIB_LAYER_OK;
    for (size_t i = 0; !kind && i < xattrs.count; i++)
        if (!layer_is_overlay_xattr(xattrs.items[i].name))
            kind = layer_set_xattr(layer, to, &xattrs.items[i]);
    lower_xattrs_free(&xattrs);
    return kind;
}

/* ---- owner, mode ---- */

enum clib_layer_kind layer_set_owner_and_mode(struct clib_layer *layer, int fd, const struct stat *wanted) {
    struct stat is;
    if (fstat(fd, &is))
        return layer_failed(layer);
    bool chowned = is.st_uid != wanted->st_uid || is.st_gid != wanted->st_gid;
    if (chowned && fchown(fd, wanted->st_uid, wanted->st_gid))
        return layer_failed(layer);
    /* chown(2) takes setuid and setgid away, so the mode is second */
    bool special = chowned && (wanted->st_mode & (S_ISUID | S_ISGID));
    if ((special || (is.st_mode ^ wanted->st_mode) & 07777) && fchmod(fd, wanted->st_mode & 07777))
        return layer_failed(layer);
    return CLIB_LAYER_OK;
}

static void entry_status(const struct tar_entry *entry, struct stat *status) {
    memset(status, 0, sizeof *status);
    status->st_mode = entry->mode;
    status->st_uid = entry->uid;
    status->st_gid = entry->gid;
    status->st_mtim = (struct timespec){entry->mtime, entry->mtime_ns};
}

/* A write takes security.capability away, a change of anything the times: hence the order, and its place at
 * the end. */
enum clib_layer_kind layer_set_file(struct clib_layer *layer, int fd) {
    struct stat wanted;
    entry_status(layer->entry, &wanted);
    enum clib_layer_kind kind = layer_set_owner_and_mode(layer, fd, &wanted);
    if (!kind)
        kind = layer_set_xattrs(layer, fd);
    struct timespec times[2] = {wanted.st_mtim, wanted.st_mtim};
    return kind ? kind : futimens(fd, times) ? layer_failed(layer) : CLIB_LAYER_OK;
}

/* ---- directories: their times are set when nothing is made in them any more ---- */

static enum clib_layer_kind pend(struct clib_layer *layer, int fd, const struct stat *wanted,
                                 const char *path) {
    struct layer_pendings *pendings = &layer->pendings;
    size_t size = strlen(path) + 1;
    struct stat is;
    if (fstat(fd, &is))
        return layer_failed(layer);
    if (pendings->names_size + size > LAYER_SETTLE_BYTES) {
        enum clib_layer_kind kind = layer_settle(layer);
        if (kind)
            return kind;
    }
    if (!intake_grow((void **)&pendings->items, &pendings->capacity, pendings->count + 1,
                     sizeof *pendings->items) ||
        !intake_grow((void **)&pendings->names, &pendings->names_capacity, pendings->names_size + size, 1))
        return layer_failed(layer);
    bool narrow = !layer->privileged && (wanted->st_mode & 0700) != 0700;
    pendings->items[pendings->count++] = (struct layer_pending){
        .device = is.st_dev,
        .inode = is.st_ino,
        .times = {wanted->st_mtim, wanted->st_mtim},
        .path = pendings->names_size,
        .mode = narrow ? wanted->st_mode & 07777 : NO_MODE,
    };
    memcpy(pendings->names + pendings->names_size, path, size);
    pendings->names_size += size;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_set_directory(struct clib_layer *layer, int fd, const struct stat *wanted,
                                         const char *path) {
    struct stat status, *now = &status;
    if (wanted)
        status = *wanted;
    else
        entry_status(layer->entry, now);
    enum clib_layer_kind kind = pend(layer, fd, now, path);
    if (kind)
        return kind;
    if (!layer->privileged)
        status.st_mode |= 0700; /* until the end: what is below it is still to be made */
    return layer_set_owner_and_mode(layer, fd, now);
}

/* Opens what a pending names, if it is still that directory; -1 where a later entry put something else there.
 */
static enum clib_layer_kind open_pending(struct clib_layer *layer, const struct layer_pending *item,
                                         int *fd) {
    struct stat is;
    *fd = layer_open_in_root(layer, layer->pendings.names + item->path, O_RDONLY | O_NOFOLLOW);
    if (*fd < 0)
        return errno == ENOENT || errno == ENOTDIR || errno == ELOOP ? CLIB_LAYER_OK : layer_failed(layer);
    if (fstat(*fd, &is))
        return layer_failed(layer);
    if (is.st_ino != item->inode || is.st_dev != item->device) {
        close_fd(fd);
        *fd = -1;
    }
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_settle(struct clib_layer *layer) {
    struct layer_pendings *pendings = &layer->pendings;
    for (size_t i = 0; i < pendings->count; i++) { /* of two entries for one directory the later wins */
        cleanup_close int fd = -1;
        enum clib_layer_kind kind = open_pending(layer, &pendings->items[i], &fd);
        if (kind || (fd >= 0 && futimens(fd, pendings->items[i].times)))
            return kind ? kind : layer_failed(layer);
    }
    for (size_t i = pendings->count; i-- > 0;) { /* a directory that shuts us out after what is below it */
        if (pendings->items[i].mode == NO_MODE)
            continue;
        cleanup_close int fd = -1;
        enum clib_layer_kind kind = open_pending(layer, &pendings->items[i], &fd);
        if (kind || (fd >= 0 && fchmod(fd, pendings->items[i].mode)))
            return kind ? kind : layer_failed(layer);
    }
    pendings->count = pendings->names_size = 0;
    return CLIB_LAYER_OK;
}
