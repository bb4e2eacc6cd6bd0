/* Writing the tar archive of an OCI layer as one EROFS file system, as bytes come. gcc reads this through
 * ext.h, and so does cffi.
 *
 *     writer = clib_erofs_open(path, &limits, &error);
 *     while (chunk) clib_erofs_feed(writer, chunk, size, &error);
 *     clib_erofs_finish(writer, lowers, count, &stats, &error);
 *     clib_erofs_close(writer);
 *
 * The calls, the limits and the failures are those of clib_layer. The file is made by open, must not exist
 * before, and is the caller's to sync and, after a failure, to remove. */

struct clib_erofs;

struct clib_erofs *clib_erofs_open(const char *path, const struct clib_layer_limits *limits,
                                   struct clib_layer_error *error);
int clib_erofs_feed(struct clib_erofs *writer, const void *data, size_t size, struct clib_layer_error *error);
/* lowers are directories of the layers below, top first; nothing before this looks at them. */
int clib_erofs_finish(struct clib_erofs *writer, const char *const *lowers, size_t count,
                      struct clib_layer_stats *stats, struct clib_layer_error *error);
size_t clib_erofs_error_path(const struct clib_erofs *writer, char *buffer, size_t size);
void clib_erofs_close(struct clib_erofs *writer);

/* A detached, read-only mount (nosuid, nodev) of a file system on `source`. Its descriptor, or -errno. */
int clib_mount_detached(const char *type, const char *source);
/* A detached tmpfs (mode 0700, nosuid, nodev, noexec), which is swapped only where the kernel knows no other
 * way. `large`: large files have large pages, where the kernel has any. Its descriptor, or -errno. */
int clib_mount_memory(int large);
/* Makes the file a block device, read-only, that is taken apart when nobody has it open or mounted. Fills its
 * name; its descriptor, or -errno. */
int clib_loop_attach(const char *path, char device[32]);
