/* Applying the tar archive of an OCI layer to a directory. gcc reads this through ext.h, and so does cffi.
 *
 *     layer = clib_layer_open(directory, lowers, count, ready, &limits, &error);
 *     while (chunk) clib_layer_feed(layer, chunk, size, &error);
 *     clib_layer_finish(layer, &stats, &error);
 *     clib_layer_close(layer);
 *
 * Every function but close answers 0 (open: not NULL), or fills *error; the entry that it happened at is then
 * in clib_layer_error_path. After a failure nothing more is written, and the directory is the caller's to
 * remove. */

enum clib_layer_kind {
    CLIB_LAYER_OK = 0,
    CLIB_LAYER_SYSTEM, /* a system call failed: err is its errno */
    /* the archive is not one */
    CLIB_LAYER_TRUNCATED, /* it ends inside an entry */
    CLIB_LAYER_CHECKSUM,  /* a block that should be a header is not */
    CLIB_LAYER_NUMBER,    /* a numeric field has no number, or one that is out of its range */
    CLIB_LAYER_TYPE,      /* an entry type that layers do not have */
    CLIB_LAYER_PAX,       /* a malformed extended header */
    CLIB_LAYER_SPARSE,    /* a map of a sparse file that contradicts itself */
    /* the archive is one, and asks for what it may not have */
    CLIB_LAYER_NAME, /* empty, or has a NUL or a ".." in it */
    CLIB_LAYER_NAME_LENGTH,
    CLIB_LAYER_WHITEOUT_NAME,   /* ".wh." with no usable name behind it, or used as a directory */
    CLIB_LAYER_WHITEOUT_DEVICE, /* the character device 0/0 is how overlay says "deleted": an archive may not
                                 */
    CLIB_LAYER_LINK,            /* the target of a hard link is missing, a directory, or outside */
    CLIB_LAYER_PARENT,          /* a part of the path is not a directory */
    CLIB_LAYER_LOOP,            /* too many symbolic links in a path */
    CLIB_LAYER_XATTR,           /* an extended attribute that the kernel calls malformed */
    /* the bounds */
    CLIB_LAYER_MAX_ENTRIES,
    CLIB_LAYER_MAX_BYTES,
    CLIB_LAYER_MAX_PAX,
    CLIB_LAYER_MAX_XATTR,
    CLIB_LAYER_MAX_SEGMENTS, /* parts of one sparse file */
};

struct clib_layer_limits {
    uint64_t max_entries;     /* directories that the archive implies are counted too */
    uint64_t max_bytes;       /* content written; holes are not counted */
    uint32_t max_path_bytes;  /* of one name or link target, at most 4095 */
    uint32_t max_pax_bytes;   /* of one extended header */
    uint32_t max_xattr_bytes; /* names and values of one entry */
};

struct clib_layer_stats {
    uint64_t entries;
    uint64_t bytes;
    uint64_t skipped_xattrs; /* the file system does not take them */
};

struct clib_layer_error {
    int32_t kind; /* enum clib_layer_kind */
    int32_t err;  /* errno when kind is CLIB_LAYER_SYSTEM, else 0 */
};

struct clib_layer;

/* directory exists and is empty; lowers are directories of the layers below, top first, and their names live
 * as long as the layer. ready is a descriptor that becomes readable once they are complete, and is waited for
 * where they are looked at: by feed, for what the archive leaves unsaid, or by finish. -1: they are complete.
 * One thread at a time. */
struct clib_layer *clib_layer_open(const char *directory, const char *const *lowers, size_t count, int ready,
                                   const struct clib_layer_limits *limits, struct clib_layer_error *error);
int clib_layer_feed(struct clib_layer *layer, const void *data, size_t size, struct clib_layer_error *error);
int clib_layer_finish(struct clib_layer *layer, struct clib_layer_stats *stats,
                      struct clib_layer_error *error);
/* Copies the name of the entry at hand (bytes as in the archive, NUL-terminated, cut to size); returns its
 * length. */
size_t clib_layer_error_path(const struct clib_layer *layer, char *buffer, size_t size);
void clib_layer_close(struct clib_layer *layer);
