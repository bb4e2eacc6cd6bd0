/* Extended headers: pax records, and what they and GNU's long names change in the entry that follows. */
#include "tar.h"

#include <stdlib.h>
#include <string.h>

static const char XATTR_PREFIX[] = "SCHILY.xattr.";

bool tar_decimal(const char *text, size_t size, uint64_t *number) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        unsigned digit = (unsigned char)text[i] - '0';
        if (digit > 9 || value > ((uint64_t)INT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *number = value;
    return size > 0;
}

/* "-1.5" is half a second before -1: seconds are floored, nanoseconds count up. Digits beyond the ninth are
 * cut. */
static bool read_time(const char *text, size_t size, int64_t *seconds, uint32_t *nanoseconds) {
    bool negative = size && text[0] == '-';
    text += negative;
    size -= negative;
    const char *dot = memchr(text, '.', size);
    size_t whole = dot ? (size_t)(dot - text) : size;
    uint64_t value;
    if (!tar_decimal(text, whole, &value))
        return false;
    uint32_t fraction = 0, unit = 100000000;
    for (size_t i = whole + 1; i < size; i++, unit /= 10) {
        unsigned digit = (unsigned char)text[i] - '0';
        if (digit > 9)
            return false;
        fraction += digit * unit;
    }
    *seconds = negative ? -(int64_t)value : (int64_t)value;
    *nanoseconds = fraction;
    if (negative && fraction) {
        *seconds -= 1;
        *nanoseconds = 1000000000 - fraction;
    }
    return true;
}

static enum clib_layer_kind add_xattr(struct tar *tar, const char *name, const char *value, size_t size) {
    tar->xattr_bytes += strlen(name) + size;
    if (tar->xattr_bytes > tar->limits->max_xattr_bytes)
        return CLIB_LAYER_MAX_XATTR;
    if (tar->xattr_count == tar->xattr_capacity) {
        size_t capacity = tar->xattr_capacity ? 2 * tar->xattr_capacity : 8;
        struct tar_xattr *grown = realloc(tar->xattrs, capacity * sizeof *grown);
        if (!grown)
            return CLIB_LAYER_SYSTEM;
        tar->xattrs = grown;
        tar->xattr_capacity = capacity;
    }
    tar->xattrs[tar->xattr_count++] = (struct tar_xattr){name, (const uint8_t *)value, size};
    return CLIB_LAYER_OK;
}

/* "offset,size,offset,size,...": GNU.sparse.map of format 0.1 */
static enum clib_layer_kind read_sparse_map(struct tar *tar, const char *text) {
    tar->segment_count = 0;
    while (*text) {
        size_t first = strcspn(text, ",");
        if (text[first] != ',')
            return CLIB_LAYER_SPARSE;
        const char *second = text + first + 1;
        size_t length = strcspn(second, ",");
        uint64_t offset, size;
        if (!tar_decimal(text, first, &offset) || !tar_decimal(second, length, &size))
            return CLIB_LAYER_SPARSE;
        enum clib_layer_kind kind = tar_segment_add(tar, offset, size);
        if (kind)
            return kind;
        text = second + length;
        if (*text == ',' && !*++text)
            return CLIB_LAYER_SPARSE;
    }
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind sparse_record(struct tar *tar, const char *key, const char *value, size_t size) {
    struct tar_extra *extra = &tar->extra;
    uint64_t number = 0;
    if (strcmp(key, "name") == 0) {
        extra->sparse_name = value;
        return CLIB_LAYER_OK;
    }
    if (strcmp(key, "map") == 0) {
        extra->sparse_map = true;
        return read_sparse_map(tar, value);
    }
    if (!tar_decimal(value, size, &number))
        return CLIB_LAYER_SPARSE;
    if (strcmp(key, "major") == 0) {
        extra->sparse_major = number > 9 ? 9 : (int)number;
    } else if (strcmp(key, "minor") == 0) {
        extra->sparse_minor = number > 9 ? 9 : (int)number;
    } else if (strcmp(key, "size") == 0 || strcmp(key, "realsize") == 0) {
        extra->sparse_size = number;
        extra->has_sparse_size = true;
    } else if (strcmp(key, "numblocks") == 0) {
        extra->sparse_map = true;
    } else if (strcmp(key, "offset") == 0) { /* 0.0: pairs of records */
        tar->map_offset = number;
        tar->map_has_offset = true;
    } else if (strcmp(key, "numbytes") == 0) {
        if (!tar->map_has_offset)
            return CLIB_LAYER_SPARSE;
        tar->map_has_offset = false;
        return tar_segment_add(tar, tar->map_offset, number);
    }
    return CLIB_LAYER_OK;
}

/* An empty value takes the key back (POSIX: pax Extended Header). */
static enum clib_layer_kind record(struct tar *tar, const char *key, const char *value, size_t size) {
    struct tar_extra *extra = &tar->extra;
    bool set = size > 0;
    if (strncmp(key, XATTR_PREFIX, sizeof XATTR_PREFIX - 1) == 0) /* the only binary values */
        return add_xattr(tar, key + sizeof XATTR_PREFIX - 1, value, size);
    if (strcmp(key, "path") == 0 || strcmp(key, "linkpath") == 0) {
        if (strlen(value) != size)
            return CLIB_LAYER_NAME;
        *(key[0] == 'p' ? &extra->path : &extra->link) = set ? value : NULL;
        return CLIB_LAYER_OK;
    }
    if (strncmp(key, "GNU.sparse.", 11) == 0)
        return strlen(value) == size ? sparse_record(tar, key + 11, value, size) : CLIB_LAYER_SPARSE;
    bool fine = true;
    if (strcmp(key, "size") == 0)
        fine = !(extra->has_size = set) || tar_decimal(value, size, &extra->size);
    else if (strcmp(key, "uid") == 0)
        fine = !(extra->has_uid = set) || tar_decimal(value, size, &extra->uid);
    else if (strcmp(key, "gid") == 0)
        fine = !(extra->has_gid = set) || tar_decimal(value, size, &extra->gid);
    else if (strcmp(key, "mtime") == 0)
        fine = !(extra->has_mtime = set) || read_time(value, size, &extra->mtime, &extra->mtime_ns);
    return fine ? CLIB_LAYER_OK : CLIB_LAYER_NUMBER;
}

/* Records are "LENGTH KEY=VALUE\n", LENGTH counting all of it. Keys and values are terminated where they lie.
 */
enum clib_layer_kind tar_read_pax(struct tar *tar) {
    char *at = (char *)tar->pax.data;
    size_t left = tar->pax.size;
    memset(&tar->extra, 0, sizeof tar->extra); /* a second header replaces the first */
    tar->extra.sparse_major = -1;
    tar->xattr_count = tar->xattr_bytes = tar->segment_count = 0;
    tar->map_has_offset = false;
    while (left) {
        const char *space = memchr(at, ' ', left < 20 ? left : 20);
        uint64_t length;
        if (!space || !tar_decimal(at, (size_t)(space - at), &length) || length > left)
            return CLIB_LAYER_PAX;
        size_t head = (size_t)(space - at) + 1;
        char *equals = length > head + 1 ? memchr(at + head, '=', length - head - 1) : NULL;
        if (!equals || equals == at + head || at[length - 1] != '\n')
            return CLIB_LAYER_PAX;
        *equals = 0;
        at[length - 1] = 0;
        if (strlen(at + head) != (size_t)(equals - at) - head)
            return CLIB_LAYER_PAX;
        size_t size = (size_t)(at + length - 1 - (equals + 1));
        enum clib_layer_kind kind = record(tar, at + head, equals + 1, size);
        if (kind)
            return kind;
        at += length;
        left -= length;
    }
    return CLIB_LAYER_OK;
}

static enum clib_layer_kind apply_sparse(struct tar *tar) {
    const struct tar_extra *extra = &tar->extra;
    bool first_format = extra->sparse_major == 1 && extra->sparse_minor == 0;
    bool older_format = extra->sparse_map && extra->sparse_major <= 0;
    if (tar->entry.type != TAR_FILE || (!first_format && !older_format))
        return extra->sparse_major > 0 && !first_format ? CLIB_LAYER_SPARSE : CLIB_LAYER_OK;
    if (!extra->has_sparse_size)
        return CLIB_LAYER_SPARSE;
    tar->entry.sparse = true;
    tar->entry.size = extra->sparse_size;
    if (first_format)
        tar->segment_count = 0;
    if (extra->sparse_name)
        tar->entry.path = extra->sparse_name;
    return CLIB_LAYER_OK;
}

/* Overlays pax over GNU long names over the header, then judges the result. */
enum clib_layer_kind tar_extra_apply(struct tar *tar, uint64_t *size) {
    struct tar_entry *entry = &tar->entry;
    const struct tar_extra *extra = &tar->extra;
    if (tar->long_name.size)
        entry->path = (const char *)tar->long_name.data;
    if (tar->long_link.size)
        entry->link = (const char *)tar->long_link.data;
    if (extra->path)
        entry->path = extra->path;
    if (extra->link)
        entry->link = extra->link;
    if (extra->has_size)
        *size = extra->size;
    if (extra->has_uid)
        entry->uid = extra->uid < UINT32_MAX ? (uint32_t)extra->uid : UINT32_MAX;
    if (extra->has_gid)
        entry->gid = extra->gid < UINT32_MAX ? (uint32_t)extra->gid : UINT32_MAX;
    if (extra->has_mtime) {
        entry->mtime = extra->mtime;
        entry->mtime_ns = extra->mtime_ns;
    }
    enum clib_layer_kind kind = apply_sparse(tar);
    if (kind)
        return kind;
    entry->xattrs = tar->xattrs;
    entry->xattr_count = tar->xattr_count;
    size_t path_size = strlen(entry->path);
    if (path_size == 0)
        return CLIB_LAYER_NAME;
    if (path_size > tar->limits->max_path_bytes || strlen(entry->link) > tar->limits->max_path_bytes)
        return CLIB_LAYER_NAME_LENGTH;
    if (entry->type == TAR_FILE && entry->path[path_size - 1] == '/')
        entry->type = TAR_DIRECTORY; /* v7 had no type for them */
    /* 2^32-1 means "leave it" to chown(2) */
    return entry->uid == UINT32_MAX || entry->gid == UINT32_MAX ? CLIB_LAYER_NUMBER : CLIB_LAYER_OK;
}
