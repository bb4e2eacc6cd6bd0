/* What another container has at this moment: looked up by its directory each time, since its process is
 * another one whenever it has been started again. */
#pragma once

#include "plan.h"

/* the namespace by that name in /proc/PID/ns of the container of that host directory; its descriptor, or
 * -errno (-ESRCH: it does not run, or was removed) */
int other_namespace(const char *directory, const char *name);
/* what a SETNS is about, likewise */
int other_setns(const struct plan *plan, const struct clib_op *op);
