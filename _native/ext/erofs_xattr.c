/* Extended attributes, as the kernel would have taken or refused them. */
#include "erofs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    MAX_COUNT = UINT16_MAX, /* of an inode's four-byte words */
    CAPABILITY_V2 = 0x02000000,
    CAPABILITY_V3 = 0x03000000,
    CAPABILITY_V2_SIZE = 20,
    CAPABILITY_V3_SIZE = 24,
};

static size_t padded(size_t size) {
    return (size + 3) & ~(size_t)3;
}

void erofs_xattr_begin(struct clib_erofs *writer) {
    writer->xattr_count = 0;
}

static enum clib_layer_kind add(struct clib_erofs *writer, const struct erofs_xattr *xattr) {
    if (!intake_grow((void **)&writer->xattrs, &writer->xattr_capacity, writer->xattr_count + 1,
                     sizeof *writer->xattrs))
        return erofs_failed(writer);
    struct erofs_xattr *added = &writer->xattrs[writer->xattr_count];
    *added = *xattr;
    added->order = (uint32_t)writer->xattr_count++;
    return CLIB_LAYER_OK;
}

/* The prefix's number, and the name's rest; 0 for a name that no file system takes. */
static uint8_t split_name(const char *name, const char **rest) {
    static const struct {
        const char *prefix;
        uint8_t number;
        bool whole;
    } prefixes[] = {
        {"user.", EROFS_XATTR_USER, false},
        {"trusted.", EROFS_XATTR_TRUSTED, false},
        {"security.", EROFS_XATTR_SECURITY, false},
        {"system.posix_acl_access", EROFS_XATTR_ACL_ACCESS, true},
        {"system.posix_acl_default", EROFS_XATTR_ACL_DEFAULT, true},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        size_t size = strlen(prefixes[i].prefix);
        if (strncmp(name, prefixes[i].prefix, size) != 0 || (prefixes[i].whole && name[size]))
            continue;
        *rest = name + size;
        return prefixes[i].number;
    }
    return 0;
}

/* setxattr(2) of file capabilities: versions 2 and 3 are taken, and nothing of another size. */
static bool is_capability(const struct tar_xattr *xattr) {
    uint32_t magic;
    if (xattr->size < sizeof magic)
        return false;
    memcpy(&magic, xattr->value, sizeof magic);
    magic &= 0xff000000;
    return (xattr->size == CAPABILITY_V2_SIZE && magic == CAPABILITY_V2) ||
           (xattr->size == CAPABILITY_V3_SIZE && magic == CAPABILITY_V3);
}

static enum clib_layer_kind skip(struct clib_erofs *writer) {
    writer->intake.stats.skipped_xattrs++;
    return CLIB_LAYER_OK;
}

enum clib_layer_kind erofs_xattr_add(struct clib_erofs *writer, const struct tar_xattr *xattr,
                                     struct erofs_facts *facts) {
    const char *rest = "";
    uint8_t prefix = split_name(xattr->name, &rest);
    bool acl = prefix == EROFS_XATTR_ACL_ACCESS || prefix == EROFS_XATTR_ACL_DEFAULT;
    if (layer_is_overlay_xattr(xattr->name))
        return CLIB_LAYER_OK;
    if (!*xattr->name || strlen(xattr->name) > EROFS_MAX_NAME || xattr->size > UINT16_MAX)
        return CLIB_LAYER_XATTR;
    if (!prefix || (prefix == EROFS_XATTR_USER && !S_ISREG(facts->mode) && !S_ISDIR(facts->mode)) ||
        (acl && S_ISLNK(facts->mode)))
        return skip(writer);
    if (!acl && !*rest)
        return CLIB_LAYER_XATTR;
    if (prefix == EROFS_XATTR_SECURITY && strcmp(rest, "capability") == 0 && !is_capability(xattr))
        return CLIB_LAYER_XATTR;
    if (acl) {
        uint32_t ignored = 0;
        bool access = prefix == EROFS_XATTR_ACL_ACCESS;
        if (!access && !S_ISDIR(facts->mode))
            return CLIB_LAYER_XATTR;
        enum erofs_acl answer = erofs_acl(xattr->value, xattr->size, access ? &facts->mode : &ignored);
        if (answer == EROFS_ACL_BAD)
            return CLIB_LAYER_XATTR;
        if (answer == EROFS_ACL_UNKNOWN)
            return skip(writer);
        if (access && answer == EROFS_ACL_IN_MODE)
            return CLIB_LAYER_OK;
    }
    struct erofs_xattr added = {
        .name = rest,
        .value = xattr->value,
        .prefix = prefix,
        .name_size = (uint8_t)strlen(rest),
        .value_size = (uint16_t)xattr->size,
    };
    return add(writer, &added);
}

/* For an overlay that root mounts, as the directory writer does: "user.overlay.opaque" besides it would show
 * in the container. */
enum clib_layer_kind erofs_xattr_add_opaque(struct clib_erofs *writer) {
    struct erofs_xattr opaque = {
        .name = "overlay.opaque",
        .value = (const uint8_t *)"y",
        .prefix = EROFS_XATTR_TRUSTED,
        .name_size = 14,
        .value_size = 1,
    };
    return add(writer, &opaque);
}

enum clib_layer_kind erofs_xattr_add_stored(struct clib_erofs *writer,
                                            const struct erofs_directory *directory) {
    const uint8_t *entries = writer->tree.xattrs.data;
    for (size_t at = directory->xattrs; at < directory->xattrs + (size_t)directory->xattrs_size;) {
        struct erofs_xattr_entry entry;
        memcpy(&entry, entries + at, sizeof entry);
        at += sizeof entry;
        struct erofs_xattr xattr = {
            .name = (const char *)entries + at,
            .value = entries + at + entry.name_size,
            .prefix = entry.prefix,
            .name_size = entry.name_size,
            .value_size = entry.value_size,
        };
        at = padded(at + entry.name_size + entry.value_size);
        enum clib_layer_kind kind = add(writer, &xattr);
        if (kind)
            return kind;
    }
    return CLIB_LAYER_OK;
}

static int compare_names(const struct erofs_xattr *a, const struct erofs_xattr *b) {
    if (a->prefix != b->prefix)
        return a->prefix < b->prefix ? -1 : 1;
    if (a->name_size != b->name_size)
        return a->name_size < b->name_size ? -1 : 1;
    return memcmp(a->name, b->name, a->name_size);
}

static int compare(const void *left, const void *right) {
    const struct erofs_xattr *a = left, *b = right;
    int order = compare_names(a, b);
    return order ? order : a->order < b->order ? -1 : 1;
}

static void write_entry(struct erofs_item *item, const struct erofs_xattr *xattr, size_t size) {
    struct erofs_xattr_entry entry = {xattr->name_size, xattr->prefix, xattr->value_size};
    uint8_t *to = item->bytes + item->head;
    memset(to, 0, size);
    memcpy(to, &entry, sizeof entry);
    memcpy(to + sizeof entry, xattr->name, xattr->name_size);
    memcpy(to + sizeof entry + xattr->name_size, xattr->value, xattr->value_size);
    item->head += size;
}

enum clib_layer_kind erofs_xattr_end(struct clib_erofs *writer) {
    struct erofs_item *item = &writer->item;
    item->head = sizeof(struct erofs_inode);
    enum clib_layer_kind kind = erofs_item_reserve(writer, item->head + sizeof(struct erofs_xattr_header));
    if (kind || !writer->xattr_count)
        return kind;
    qsort(writer->xattrs, writer->xattr_count, sizeof *writer->xattrs, compare);
    memset(item->bytes + item->head, 0, sizeof(struct erofs_xattr_header));
    item->head += sizeof(struct erofs_xattr_header);
    for (size_t i = 0; i < writer->xattr_count; i++) {
        const struct erofs_xattr *xattr = &writer->xattrs[i];
        if (i + 1 < writer->xattr_count && compare_names(xattr, xattr + 1) == 0)
            continue;
        size_t size = padded(sizeof(struct erofs_xattr_entry) + xattr->name_size + xattr->value_size);
        kind = erofs_item_reserve(writer, item->head + size);
        if (kind)
            return kind;
        write_entry(item, xattr, size);
        if ((item->head - sizeof(struct erofs_inode)) / 4 > MAX_COUNT)
            return CLIB_LAYER_MAX_XATTR;
    }
    return CLIB_LAYER_OK;
}
