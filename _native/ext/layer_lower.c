/* Taking files and directories from the layers below: what a hard link or a missing parent needs of them. */
#include "layer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum { COPY_BYTES = 16384 };

enum clib_layer_kind layer_need_lowers(struct clib_layer *layer) {
    if (layer->lowers_open)
        return CLIB_LAYER_OK;
    struct pollfd ready = {.fd = layer->ready, .events = POLLIN};
    while (layer->ready >= 0 && poll(&ready, 1, -1) != 1)
        if (errno != EINTR)
            return layer_failed(layer);
    const char *failed;
    if (lowers_open(&layer->lowers, layer->lower_paths, layer->lower_count, &failed)) {
        enum clib_layer_kind kind = layer_failed(layer);
        lowers_close(&layer->lowers);
        return kind;
    }
    layer->lowers_open = true;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind layer_copy_directory(struct clib_layer *layer, int from, int to, const char *path) {
    struct stat status;
    if (fstat(from, &status))
        return layer_failed(layer);
    enum clib_layer_kind kind = layer_set_directory(layer, to, &status, path);
    return kind ? kind : layer_copy_xattrs(layer, from, to);
}

static enum clib_layer_kind copy_range(struct clib_layer *layer, int from, int to, off_t start, off_t end) {
    char buffer[COPY_BYTES];
    while (start < end) {
        size_t wanted = end - start < COPY_BYTES ? (size_t)(end - start) : COPY_BYTES;
        ssize_t size = pread(from, buffer, wanted, start);
        if (size == 0)
            break;
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return layer_failed(layer);
        if ((uint64_t)size > layer->intake.limits.max_bytes - layer->intake.stats.bytes)
            return CLIB_LAYER_MAX_BYTES;
        layer->intake.stats.bytes += (uint64_t)size;
        for (ssize_t done = 0; done < size;) {
            ssize_t written = pwrite(to, buffer + done, (size_t)(size - done), start + done);
            if (written < 0 && errno != EINTR)
                return layer_failed(layer);
            done += written > 0 ? written : 0;
        }
        start += size;
    }
    return CLIB_LAYER_OK;
}

struct copy {
    struct clib_layer *layer;
    int from;
    int to;
};

static enum clib_layer_kind copy_extent(void *context, uint64_t start, uint64_t end) {
    const struct copy *copy = context;
    return copy_range(copy->layer, copy->from, copy->to, (off_t)start, (off_t)end);
}

/* Holes stay holes. */
static enum clib_layer_kind copy_content(struct clib_layer *layer, int from, int to, off_t size) {
    struct copy copy = {layer, from, to};
    enum clib_layer_kind kind = lowers_extents(from, (uint64_t)size, &layer->intake, copy_extent, &copy);
    return kind ? kind : ftruncate(to, size) ? layer_failed(layer) : CLIB_LAYER_OK;
}

static enum clib_layer_kind copy_file(struct clib_layer *layer, int lower, int upper, const char *name,
                                      off_t size) {
    cleanup_close int from = openat(lower, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (from < 0)
        return layer_failed(layer);
    cleanup_close int to = openat(upper, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return to < 0 ? layer_failed(layer) : copy_content(layer, from, to, size);
}

static enum clib_layer_kind copy_link(struct clib_layer *layer, int lower, int upper, const char *name) {
    char text[LAYER_PATH];
    ssize_t size = readlinkat(lower, name, text, sizeof text - 1);
    if (size < 0)
        return layer_failed(layer);
    text[size] = 0;
    return symlinkat(text, upper, name) ? layer_failed(layer) : CLIB_LAYER_OK;
}

static enum clib_layer_kind copy_status(struct clib_layer *layer, int lower, int upper, const char *name,
                                        const struct stat *status) {
    cleanup_close int from = openat(lower, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    cleanup_close int to = openat(upper, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0 || to < 0)
        return layer_failed(layer);
    if (fchownat(upper, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW))
        return layer_failed(layer);
    if (!S_ISLNK(status->st_mode) && layer_chmod(to, status->st_mode & 07777))
        return layer_failed(layer);
    enum clib_layer_kind kind = layer_copy_xattrs(layer, from, to);
    if (kind)
        return kind;
    struct timespec times[2] = {status->st_mtim, status->st_mtim};
    return utimensat(upper, name, times, AT_SYMLINK_NOFOLLOW) ? layer_failed(layer) : CLIB_LAYER_OK;
}

enum clib_layer_kind layer_copy_up(struct clib_layer *layer, struct layer_place *place, const char *name) {
    struct stat status;
    int lower = lowers_find(&place->lowers, name, &status);
    if (lower < 0 || S_ISDIR(status.st_mode))
        return CLIB_LAYER_LINK;
    enum clib_layer_kind kind = intake_count_entry(&layer->intake);
    if (kind)
        return kind;
    if (S_ISREG(status.st_mode))
        kind = copy_file(layer, lower, place->upper, name, status.st_size);
    else if (S_ISLNK(status.st_mode))
        kind = copy_link(layer, lower, place->upper, name);
    else if (mknodat(place->upper, name, status.st_mode & (S_IFMT | 0777), status.st_rdev))
        kind = layer_failed(layer);
    return kind ? kind : copy_status(layer, lower, place->upper, name, &status);
}
