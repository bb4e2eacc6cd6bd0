/* Walking the layers below, one descriptor each. No link is followed by the kernel. */
#include "lowers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cleanup.h"

enum {
    OPEN_DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    LIST_BYTES = 65536,
    VALUE_BYTES = 65536,
};

bool lowers_is_opaque(int directory_fd) {
    char value;
    return (fgetxattr(directory_fd, "trusted.overlay.opaque", &value, 1) == 1 ||
            fgetxattr(directory_fd, "user.overlay.opaque", &value, 1) == 1) &&
           value == 'y';
}

bool lowers_is_whiteout(const struct stat *status) {
    return S_ISCHR(status->st_mode) && status->st_rdev == makedev(0, 0);
}

int lowers_make(struct lowers *lowers, const struct lowers *roots) {
    lowers->count = 0;
    lowers->fds = malloc((roots->count + 1) * sizeof *lowers->fds);
    if (!lowers->fds)
        return -1;
    for (; lowers->count < roots->count; lowers->count++)
        lowers->fds[lowers->count] = -1;
    return 0;
}

int lowers_open(struct lowers *lowers, const char *const *paths, size_t count, const char **failed) {
    lowers->count = 0;
    lowers->fds = calloc(count + 1, sizeof *lowers->fds);
    if (!lowers->fds)
        return -1;
    for (; lowers->count < count; lowers->count++) {
        int fd = open(paths[lowers->count], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0) {
            *failed = paths[lowers->count];
            return -1;
        }
        lowers->fds[lowers->count] = fd;
    }
    return 0;
}

static void set_fd(int *fd, int value) {
    close_fd(fd);
    *fd = value;
}

void lowers_leave(struct lowers *lowers) {
    for (size_t i = 0; i < lowers->count; i++)
        set_fd(&lowers->fds[i], -1);
}

void lowers_close(struct lowers *lowers) {
    lowers_leave(lowers);
    free(lowers->fds);
    *lowers = (struct lowers){0};
}

int lowers_to_roots(struct lowers *lowers, const struct lowers *roots, bool covered) {
    lowers_leave(lowers);
    for (size_t i = 0; i < roots->count && !covered; i++) {
        lowers->fds[i] = openat(roots->fds[i], ".", OPEN_DIRECTORY);
        if (lowers->fds[i] < 0)
            return -1;
        covered = lowers_is_opaque(lowers->fds[i]);
    }
    return 0;
}

void lowers_enter(struct lowers *lowers, const char *name, bool covered) {
    for (size_t i = 0; i < lowers->count; i++) {
        int at = lowers->fds[i];
        if (at < 0)
            continue;
        int next = covered ? -1 : openat(at, name, OPEN_DIRECTORY);
        if (next < 0)
            covered = covered || errno != ENOENT; /* a file, a link or a whiteout hides what is below it */
        else
            covered = lowers_is_opaque(next);
        set_fd(&lowers->fds[i], next);
    }
}

/* The topmost that has it says. */
int lowers_find(const struct lowers *lowers, const char *name, struct stat *status) {
    for (size_t i = 0; i < lowers->count; i++) {
        if (lowers->fds[i] < 0)
            continue;
        if (fstatat(lowers->fds[i], name, status, AT_SYMLINK_NOFOLLOW) == 0)
            return lowers_is_whiteout(status) ? -1 : lowers->fds[i];
    }
    return -1;
}

/* ---- attributes ---- */

void lower_xattrs_free(struct lower_xattrs *xattrs) {
    free(xattrs->items);
    free(xattrs->names);
    free(xattrs->values);
    *xattrs = (struct lower_xattrs){0};
}

static int read_values(const char *path, size_t size, struct lower_xattrs *xattrs) {
    size_t used = 0;
    for (const char *name = xattrs->names; name < xattrs->names + size; name += strlen(name) + 1) {
        uint8_t *values = realloc(xattrs->values, used + VALUE_BYTES);
        struct tar_xattr *items = realloc(xattrs->items, (xattrs->count + 1) * sizeof *items);
        xattrs->values = values ? values : xattrs->values;
        xattrs->items = items ? items : xattrs->items;
        if (!values || !items)
            return -1;
        ssize_t length = getxattr(path, name, values + used, VALUE_BYTES);
        if (length < 0)
            return -1;
        items[xattrs->count++] = (struct tar_xattr){name, NULL, (size_t)length};
        used += (size_t)length;
    }
    const uint8_t *value = xattrs->values; /* which moves no more */
    for (size_t i = 0; i < xattrs->count; value += xattrs->items[i++].size)
        xattrs->items[i].value = value;
    return 0;
}

int lowers_xattrs(int fd, struct lower_xattrs *xattrs) {
    char path[32];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd); /* O_PATH descriptors do not take f*xattr(2) */
    *xattrs = (struct lower_xattrs){0};
    ssize_t size = listxattr(path, NULL, 0);
    if (size <= 0)
        return size < 0 && errno != EOPNOTSUPP ? -1 : 0;
    xattrs->names = malloc(LIST_BYTES);
    if (!xattrs->names || (size = listxattr(path, xattrs->names, LIST_BYTES)) < 0)
        return -1;
    return read_values(path, (size_t)size, xattrs);
}

/* ---- content ---- */

enum clib_layer_kind lowers_extents(int fd, uint64_t size, struct intake *intake,
                                    enum clib_layer_kind (*each)(void *, uint64_t, uint64_t), void *context) {
    for (off_t start, end = 0; (uint64_t)end < size;) {
        start = lseek(fd, end, SEEK_DATA);
        if (start < 0 && errno == ENXIO)
            break;                          /* the rest is a hole */
        if (start < 0 && errno == EINVAL) { /* a file system that does not tell */
            start = end;
            end = (off_t)size;
        } else if (start < 0 || (end = lseek(fd, start, SEEK_HOLE)) < 0) {
            return intake_failed(intake);
        }
        if ((uint64_t)end > size)
            end = (off_t)size; /* it grows meanwhile */
        if (start >= end)
            break;
        enum clib_layer_kind kind = each(context, (uint64_t)start, (uint64_t)end);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}

/* ---- names ---- */

static enum clib_layer_kind each_name(DIR *stream, struct intake *intake,
                                      enum clib_layer_kind (*each)(void *, const char *), void *context) {
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(stream);
        if (!item)
            return errno ? intake_failed(intake) : CLIB_LAYER_OK;
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        enum clib_layer_kind kind = each(context, item->d_name);
        if (kind)
            return kind;
    }
}

enum clib_layer_kind lowers_root_names(const struct lowers *roots, struct intake *intake,
                                       enum clib_layer_kind (*each)(void *, const char *), void *context) {
    for (size_t i = 0; i < roots->count; i++) {
        int fd = openat(roots->fds[i], ".", OPEN_DIRECTORY);
        DIR *stream = fd < 0 ? NULL : fdopendir(fd);
        if (!stream) {
            close_fd(&fd);
            return intake_failed(intake);
        }
        enum clib_layer_kind kind = each_name(stream, intake, each, context);
        closedir(stream);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}
