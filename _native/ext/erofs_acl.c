/* POSIX access lists: what the kernel does when one is set.
 * Spec: Linux include/uapi/linux/posix_acl_xattr.h */
#include "erofs.h"

#include <string.h>

enum { VERSION = 2, USER_OBJ = 1, USER = 2, GROUP_OBJ = 4, GROUP = 8, MASK = 16, OTHER = 32 };

struct acl_entry {
    uint16_t tag;
    uint16_t rights;
    uint32_t id;
};

/* The order that entries have: a tag may come where the place of the last is not behind its own. */
static int place_of(uint16_t tag) {
    switch (tag) {
    case USER_OBJ:
        return 1;
    case USER:
        return 2;
    case GROUP_OBJ:
        return 3;
    case GROUP:
        return 4;
    case MASK:
        return 5;
    case OTHER:
        return 6;
    default:
        return 0;
    }
}

static bool follows(uint16_t tag, uint16_t last) {
    bool many = tag == USER || tag == GROUP;
    return place_of(tag) > place_of(last) || (many && tag == last);
}

enum erofs_acl erofs_acl(const uint8_t *value, size_t size, uint32_t *mode) {
    uint32_t version;
    if (size < sizeof version)
        return EROFS_ACL_BAD;
    memcpy(&version, value, sizeof version);
    if (version != VERSION)
        return EROFS_ACL_UNKNOWN;
    if ((size - sizeof version) % sizeof(struct acl_entry))
        return EROFS_ACL_BAD;
    if (size == sizeof version)
        return EROFS_ACL_IN_MODE; /* an empty list says nothing */
    uint32_t bits[3] = {0};
    unsigned tags = 0;
    uint16_t last = 0;
    for (size_t at = sizeof version; at < size; at += sizeof(struct acl_entry)) {
        struct acl_entry entry;
        memcpy(&entry, value + at, sizeof entry);
        bool named = entry.tag == USER || entry.tag == GROUP;
        if (!place_of(entry.tag) || !follows(entry.tag, last) || entry.rights > 7 ||
            (named && entry.id == UINT32_MAX))
            return EROFS_ACL_BAD;
        if (entry.tag == USER_OBJ)
            bits[0] = entry.rights;
        else if (entry.tag == GROUP_OBJ || entry.tag == MASK) /* the mask comes later, and counts */
            bits[1] = entry.rights;
        else if (entry.tag == OTHER)
            bits[2] = entry.rights;
        tags |= entry.tag;
        last = entry.tag;
    }
    bool whole = (tags & (USER_OBJ | GROUP_OBJ | OTHER)) == (USER_OBJ | GROUP_OBJ | OTHER);
    if (!whole || ((tags & (USER | GROUP)) && !(tags & MASK)))
        return EROFS_ACL_BAD;
    *mode = (*mode & ~0777u) | bits[0] << 6 | bits[1] << 3 | bits[2];
    return tags & (USER | GROUP | MASK) ? EROFS_ACL_STORED : EROFS_ACL_IN_MODE;
}
