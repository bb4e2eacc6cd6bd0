/* The ends of runs that another one follows: the newest of them, and how many there were in all. A program
 * that ends again and again does so faster than anybody looks; who looks later finds each here, or how many
 * are gone.
 *
 * The record is written aside and renamed: it is read while it is written. Where the disk is full the end is
 * not in it, and the count of the next one says so. */
#include "shim.h"

#include <linux/stat.h>

static int is_whole(const struct clib_ends *ends, long size) {
    return size == sizeof *ends && ends->magic == CLIB_ENDS_MAGIC && ends->version == CLIB_ENDS_VERSION &&
           ends->count <= CLIB_ENDS;
}

/* what others take the start of this run for: the time of its record */
static int64_t began(const struct shim *shim) {
    struct statx facts;
    if (!shim->life.began || sys(statx, shim->directory, "started", 0, STATX_MTIME, &facts) < 0)
        return 0;
    return facts.stx_mtime.tv_sec * 1000000000 + facts.stx_mtime.tv_nsec;
}

void ends_add(struct shim *shim) {
    static const char aside[] = "ends.new";
    struct clib_ends ends;
    const struct clib_message *end = &shim->end;
    cleanup_close int old = (int)sys(openat, shim->directory, "ends", O_RDONLY | O_CLOEXEC);
    if (!is_whole(&ends, old < 0 ? old : sys(read, old, &ends, sizeof ends)))
        memset(&ends, 0, sizeof ends);
    if (!shim->life.ends++)
        shim->life.first_end = end->number[0];
    /* one that could not be written is between those that are there: nobody could tell which it was */
    if (ends.total + 1 != shim->life.ends)
        ends.count = 0;
    if (ends.count == CLIB_ENDS)
        memmove(ends.end, ends.end + 1, --ends.count * sizeof *ends.end);
    ends.magic = CLIB_ENDS_MAGIC;
    ends.version = CLIB_ENDS_VERSION;
    ends.total = shim->life.ends;
    ends.first = shim->life.first_end;
    ends.end[ends.count++] = (struct clib_end){.began = began(shim),
                                               .ended = end->number[0],
                                               .exit_code = end->value[0],
                                               .signal = end->value[1],
                                               .oom_kills = end->value[2]};
    cleanup_close int new =
        (int)sys(openat, shim->directory, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (new < 0)
        return;
    if (sys(write, new, &ends, sizeof ends) == sizeof ends)
        sys(renameat, shim->directory, aside, shim->directory, "ends");
    else
        sys(unlinkat, shim->directory, aside, 0);
}
