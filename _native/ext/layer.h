/* Applying tar entries to a directory: what the files of the layer writer share.
 *
 * Nothing here trusts a name. A path is split into a parent and a last part; the parent is opened inside the
 * root (openat2 RESOLVE_IN_ROOT, or part by part), and the last part is made with calls that neither follow
 * nor replace what is there. A file that exists is never opened: it is removed, and made anew. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "intake.h"
#include "lowers.h"

enum { LAYER_SETTLE_BYTES = 64 << 20 }; /* names of directories that are remembered for their times */

/* A directory's last touches, made when nothing is written into it any more. */
struct layer_pending {
    dev_t device;
    ino_t inode;
    struct timespec times[2];
    size_t path; /* offset in the names */
    uint32_t mode;
};

struct layer_pendings {
    struct layer_pending *items;
    size_t count;
    size_t capacity;
    char *names;
    size_t names_size;
    size_t names_capacity;
};

struct clib_layer {
    struct intake intake;
    int root;
    struct lowers lowers; /* open once they were looked at */
    const char *const *lower_paths;
    size_t lower_count;
    int ready; /* readable once the layers below are complete; -1: they are */
    bool lowers_open;
    bool privileged; /* root passes over modes and may give files away */
    bool root_opaque;
    bool root_said; /* by an entry */

    char path[LAYER_PATH]; /* of the entry, without ".", doubled or trailing slashes; "" is the root */
    size_t parent_size;
    const char *base; /* its last part */

    /* the parent of the last entry: most entries have the same */
    int parent;
    char parent_path[LAYER_PATH];
    bool parent_known;

    int file; /* the regular file at hand, -1 for other entries */
    const struct tar_entry *entry;
    struct layer_pendings pendings;
};

/* "a/b/c" as descriptors: the directory in the layer, and those of the layers below that merge with it. */
struct layer_place {
    int upper;
    struct lowers lowers;
    size_t depth_left;
    unsigned links_left;
    char path[LAYER_PATH]; /* free of symbolic links */
    size_t path_size;
};

enum layer_make {
    LAYER_MAKE_LOWER, /* only directories that a lower layer has */
    LAYER_MAKE_ALL,
};

static inline enum clib_layer_kind layer_failed(struct clib_layer *layer) {
    return intake_failed(&layer->intake);
}

/* layer_path.c */
/* Opens the parent of layer->path into layer->parent. */
enum clib_layer_kind layer_open_parent(struct clib_layer *layer);
void layer_forget_parent(struct clib_layer *layer);
/* Makes directory_fd the cached parent of what is below layer->path. */
void layer_adopt_parent(struct clib_layer *layer, int *directory_fd);
/* Opens a directory by its path in the archive, links in it resolved inside the root; -1 with errno. */
int layer_open_in_root(const struct clib_layer *layer, const char *path, uint64_t flags);

/* layer_merge.c */
enum clib_layer_kind layer_place_open(struct clib_layer *layer, struct layer_place *place);
void layer_place_close(struct layer_place *place);
/* Goes to `path` below the root, making directories that are missing. CLIB_LAYER_LINK: not there, and not
 * made. */
enum clib_layer_kind layer_place_walk(struct clib_layer *layer, struct layer_place *place, const char *path,
                                      enum layer_make make);

/* layer_lower.c */
/* Opens the layers below before they are looked at, and waits until they are complete: most layers need
 * nothing of them before their end. */
enum clib_layer_kind layer_need_lowers(struct clib_layer *layer);
/* Makes `name` in the place as the topmost lower layer has it. CLIB_LAYER_LINK where none has. */
enum clib_layer_kind layer_copy_up(struct clib_layer *layer, struct layer_place *place, const char *name);
/* Owner, mode, attributes and (later) times of a directory, from the same directory in a lower layer. */
enum clib_layer_kind layer_copy_directory(struct clib_layer *layer, int from, int to, const char *path);

/* layer_entry.c */
enum clib_layer_kind layer_entry(void *layer, const struct tar_entry *entry);
enum clib_layer_kind layer_data(void *layer, uint64_t offset, const uint8_t *data, size_t size);
enum clib_layer_kind layer_end(void *layer);

/* layer_link.c */
enum clib_layer_kind layer_hardlink(struct clib_layer *layer);
/* Removes what has the entry's name. */
enum clib_layer_kind layer_make_room(struct clib_layer *layer);

/* layer_whiteout.c */
enum clib_layer_kind layer_whiteout(struct clib_layer *layer);
enum clib_layer_kind layer_opaque(struct clib_layer *layer);
enum clib_layer_kind layer_set_opaque(struct clib_layer *layer, int directory_fd);
/* overlay does not look at "opaque" on the root of a layer: hides each name of the lower roots instead. */
enum clib_layer_kind layer_hide_lower_roots(struct clib_layer *layer);

/* layer_meta.c */
/* chmod(2) of what an O_PATH descriptor is open on. */
int layer_chmod(int fd, uint32_t mode);
/* Sets an attribute through any descriptor, O_PATH too. */
enum clib_layer_kind layer_set_xattr(struct clib_layer *layer, int fd, const struct tar_xattr *xattr);
enum clib_layer_kind layer_set_xattrs(struct clib_layer *layer, int fd);
enum clib_layer_kind layer_copy_xattrs(struct clib_layer *layer, int from, int to);
/* Sets st_uid, st_gid and st_mode of `wanted` where the open file or directory has others. */
enum clib_layer_kind layer_set_owner_and_mode(struct clib_layer *layer, int fd, const struct stat *wanted);
/* Gives an open file owner, mode, attributes and times where they differ from what it was made with. */
enum clib_layer_kind layer_set_file(struct clib_layer *layer, int fd);
/* The same for a directory, whose times follow at the end. */
enum clib_layer_kind layer_set_directory(struct clib_layer *layer, int fd, const struct stat *wanted,
                                         const char *path);
/* Gives the directories their times, once nothing more is written into them. */
enum clib_layer_kind layer_settle(struct clib_layer *layer);

/* layer_remove.c */
/* Removes name and, if it is a directory, all that is below it. 0 or -1 with errno. */
int layer_remove(int parent, const char *name);
