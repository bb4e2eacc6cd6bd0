/* The directories of the layers below, walked side by side as overlay merges them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

#include "intake.h"

/* Topmost first; -1 where a layer has nothing to say at the place. */
struct lowers {
    int *fds;
    size_t count;
};

/* What overlay takes for "deleted" and "nothing below shows". */
bool lowers_is_whiteout(const struct stat *status);
bool lowers_is_opaque(int directory_fd);

/* Opens the roots, *failed being the one that could not be. 0 or -1 with errno; lowers_close in either case.
 */
int lowers_open(struct lowers *lowers, const char *const *paths, size_t count, const char **failed);
/* As many places as `roots` has, all of them -1. */
int lowers_make(struct lowers *lowers, const struct lowers *roots);
void lowers_close(struct lowers *lowers);
/* All of them -1. */
void lowers_leave(struct lowers *lowers);
/* Goes to the roots; to none where `covered` says that nothing below shows. */
int lowers_to_roots(struct lowers *lowers, const struct lowers *roots, bool covered);
/* Moves into `name`: those that merge there, none below one that covers the rest. */
void lowers_enter(struct lowers *lowers, const char *name, bool covered);
/* The descriptor that shows `name`, its status filled; -1 where it is not there, or is deleted. */
int lowers_find(const struct lowers *lowers, const char *name, struct stat *status);

/* All attributes of what a descriptor, O_PATH too, is open on. 0 or -1 with errno. lower_xattrs_free
 * in either case. */
struct lower_xattrs {
    struct tar_xattr *items;
    size_t count;
    char *names;
    uint8_t *values;
};
int lowers_xattrs(int fd, struct lower_xattrs *xattrs);
void lower_xattrs_free(struct lower_xattrs *xattrs);

/* Calls with each range of a file that is no hole, in order. */
enum clib_layer_kind lowers_extents(int fd, uint64_t size, struct intake *intake,
                                    enum clib_layer_kind (*each)(void *context, uint64_t start, uint64_t end),
                                    void *context);

/* Calls with each name in each of the roots. */
enum clib_layer_kind lowers_root_names(const struct lowers *roots, struct intake *intake,
                                       enum clib_layer_kind (*each)(void *context, const char *name),
                                       void *context);
