/* A plan as it lies in memory: checked once when it is mapped, so that every offset in it can be trusted
 * afterwards. */
#pragma once

#include "base.h"

struct plan {
    const struct clib_plan *header;
    const struct clib_op *ops;
    const char *blob;
    size_t size;
};

/* maps and checks the plan behind fd; 0 or -errno (-EINVAL: malformed) */
int plan_map(int fd, struct plan *plan);
/* checks a plan of `size` bytes at `memory` */
int plan_check(const void *memory, size_t size, struct plan *plan);
void plan_unmap(struct plan *plan);
/* the first op of that kind among those before the program, or -1 */
int plan_index(const struct plan *plan, enum clib_op_kind kind);

/* string n of an op, or NULL */
static inline const char *op_text(const struct plan *plan, const struct clib_op *op, int n) {
    return op->text[n] ? plan->blob + op->text[n] : NULL;
}

/* the strings, or the bytes, of an op that has them */
static inline const char *op_list(const struct plan *plan, const struct clib_op *op) {
    return plan->blob + op->text[2];
}

/* the string behind `text` in a list of strings */
static inline const char *next_text(const char *text) {
    return text + text_length(text) + 1;
}
