/* The conversation that a container's life is, and the layout of a plan.
 *
 *   caller                          shim (helper, fd 3)                 container's first process
 *     | socketpair, sendmsg:          |                                       |
 *     |   LAUNCH {flags} + fds        |                                       |
 *     | clib_spawn ------------------>| maps the plan, binds shim.sock        |
 *     |                               | clone3 ------------------------------>| ops[0..before)
 *     |                               |                 FAILED {stage, ...} <-| an op failed
 *     |<--------------------- FAILED  |                                       |
 *     |                               |             HANDOVER {index, count} <-| the shim's ops
 *     |                               | DONE ------------------------------->|
 *     |                               |                         TERMINAL+fd <-| CLIB_OP_CONSOLE
 *     |                               |                             CREATED <-| CLIB_OP_HOLD
 *     |<-------------------- CREATED  | writes `started`                      |
 *     | START ----------------------->| START ------------------------------->| execve
 *     |                               |                   end of file (CLOEXEC): exec has succeeded
 *     |<-------------------- STARTED  | writes `started`                      | the user's program
 *     | SIGNAL, RESIZE, STATE ------->|                                       |
 *     |<----------------------- DONE  |                                       |
 *     |                               |<--------------------------- SIGCHLD --| ends
 *     |                               | drains stdio, writes `exit`           .
 *     | ATTACH {streams} + pipes ---->| each pipe gets what the program writes from now on
 *     |<------------- DONE + stdin's  |
 *     | bytes, into the program's own pipe (to a terminal: through the shim) >|
 *     |<-------- bytes, in the pipes  |<------------------------------ bytes --|
 *     | end of the connection ------->| the pipes are closed
 *     |                               |                                       |
 *     | BORROW ---------------------->| (another container's shim: that one starts, and shares what this one
 * has)
 *     |<-------------- DONE + a mount | a clone of what LEND has opened
 *     |                               |                                       |
 *     |<--------------------- EXITED  | ops[before..before + after)
 *     |<---------------- end of file  | ends
 *
 * Where `policy` in the container's directory says so, its end is the shim's to answer with another start of
 * the same plan, in the same cgroup and with the same log: nobody but the shim needs to be alive.
 *
 *   caller                          shim                                container's first process
 *     |                               |<--------------------------- SIGCHLD --| ends
 *     |                               | drains stdio, ends what is left       .
 *     |<-- EXITED (next exit asked)   | writes `ends`, `restarts`, waits
 *     | SIGNAL {FINAL} -------------->| does not wait any longer, and goes on as above
 *     |                               | clone3 ------------------------------>| ops[0..before)
 *     |<-------------------- STARTED  | writes `started`, `restarts`          | the user's program
 *
 * A run may go on from a checkpoint, whose processes CRIU makes: see shim/restore.c.
 *
 * Any process may connect to shim.sock and take the caller's place; messages are one SOCK_SEQPACKET datagram
 * each.
 *
 * A shim outlives the release that started it, and serves the next one. So within a version of the protocol a
 * number keeps its meaning, what is added has a number or a field of its own that was 0 before, and an answer
 * is in the version of who sends it. A kind that is not known is answered by DONE {EPROTO}, and another
 * version by DONE {EPROTONOSUPPORT}; neither ends anything. tests/data/protocol-1.json holds a client to
 * this. */
#pragma once

#include <stdint.h>

#include "native.cdef.h"

_Static_assert(sizeof(struct clib_error) == 12, "fixed width");
_Static_assert(sizeof(struct clib_op) == 48, "fixed width");
_Static_assert(sizeof(struct clib_plan) == 40, "fixed width");
_Static_assert(sizeof(struct clib_message) == 40, "fixed width");
_Static_assert(sizeof(struct clib_policy) == 88, "fixed width");
_Static_assert(__builtin_offsetof(struct clib_policy, checkpoint_ms) == CLIB_POLICY_LEAST, "fixed width");
_Static_assert(sizeof(struct clib_health_result) == 32 + CLIB_HEALTH_OUTPUT, "fixed width");
_Static_assert(sizeof(struct clib_health) == 24 + CLIB_HEALTH_RESULTS * sizeof(struct clib_health_result),
               "fixed width");
_Static_assert(sizeof(struct clib_ends) == 24 + CLIB_ENDS * sizeof(struct clib_end), "fixed width");
_Static_assert(sizeof(struct clib_end) == 32, "fixed width");

enum { CLIB_CONTROL_FD = 3, CLIB_MAX_FDS = 64 };
