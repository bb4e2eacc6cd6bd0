/* Programs named by a plan: the words of an EXEC, and the programs that are run to their end before it. */
#pragma once

#include "base.h"
#include "plan.h"

/* every signal as a program expects it when it starts */
void program_signals(void);

/* argv and envp of an op as execve takes them; `more` leaves room for that many words at the front of argv.
 * NULL: no memory. */
struct words {
    const char **argv, **envp;
    size_t size; /* of their memory */
};
struct words program_words(const struct plan *plan, const struct clib_op *op, uint64_t argc, uint64_t envc,
                           int more);
/* who executes a program itself has no use for it */
void words_release(struct words *words);

/* A HOOK with its container's state on stdin, run to its end; `pid` is put into the state. It works in
 * `directory` (-1: "/"). 0, -errno where it
 * could not be run or took too long (-ETIMEDOUT), or how it ended: its exit code, or 128 + the signal. */
int program_hook(const struct plan *plan, const struct clib_op *op, int pid, int directory);
/* the same in its own directory, which is ended with the process behind the pidfd `owner` (-EOWNERDEAD) */
int program_hook_of(const struct plan *plan, const struct clib_op *op, int pid, int owner);
/* a COMMAND, likewise */
int program_command(const struct plan *plan, const struct clib_op *op, int pid);
/* starts a RUNTIME with that stdio (-1: /dev/null) in that directory (-1: "/"); its pid, with *pidfd, or
 * -errno */
int program_runtime(const struct plan *plan, const struct clib_op *op, const int stdio[3], int directory,
                    int *pidfd);
/* a HOOK's or LISTENER's state, with the pid where it belongs, as a file in memory; its descriptor or -errno
 */
int program_state(const char *text, int pid);
