/* What /proc says of a process of the host. */
#pragma once

#include "base.h"

/* a file below /proc/<pid>; its descriptor or -errno */
int open_proc(int pid, const char *name, int flags);

struct process_facts {
    int64_t start_time; /* clock ticks since boot; 0 where it is not known */
    int has_execed;
    int is_ending; /* it has nothing any more, and waits for others at most */
    int is_init;   /* or stays as the init of a plan with CLIB_OP_INIT, which names it so */
};
void process_facts(int pid, struct process_facts *facts);
/* of the process whose directory in /proc is open */
void process_facts_in(int process, struct process_facts *facts);
