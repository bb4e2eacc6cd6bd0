/* The supervisor of one container or exec: a single-threaded loop that holds the stdio open, writes the log,
 * reaps, answers clients and cleans up. It is what makes "daemonless" true: nothing of the caller needs to be
 * alive. */
#pragma once

#include "base.h"
#include "channel.h"
#include "plan.h"

enum { SHIM_CLIENTS = 512, SHIM_PUMPS = 3, SHIM_BUFFER = 1 << 18 };

enum log_stream { LOG_STDOUT, LOG_STDERR, LOG_STREAMS, LOG_NONE = LOG_STREAMS };

/* The container's log: records of one append at a time on their way from `buffer` to the file. */
struct log {
    int fd; /* -1: none is kept */
    int directory;
    int files;             /* how many there are at most */
    int blocks;            /* a full disk makes the container wait */
    int stuck;             /* it waits */
    int tries;             /* in vain since the container's end */
    uint64_t size, limit;  /* of the file that is written */
    char *buffer;          /* mapped while needed */
    size_t start, end;     /* records that are still to be written */
    enum log_stream owner; /* of these records */
    int ends_in_part;      /* the last of them does not end its line */
    struct {
        int open;  /* the file has the beginning of a line, whose rest is to come */
        int cut;   /* that rest is lost */
        int skips; /* the beginning of a line is lost, and so its rest is */
    } stream[LOG_STREAMS];
    uint64_t lost_lines, lost_bytes;
    int lost_to; /* the errno */
};

/* one direction of stdio: bytes come in at `from`, go to the log under a stream's name, and on to `to` */
struct pump {
    int from;
    int to;
    enum log_stream stream; /* LOG_NONE: not logged */
    int shared;             /* the caller's O_NONBLOCK decides whether an end of it waits */
    int wide;               /* `from` is a pipe that holds more than usual */
    char *buffer;           /* SHIM_BUFFER bytes, mapped while needed */
    size_t start, end;      /* what `to` has still to take */
};

struct client {
    int fd; /* -1: free */
    int waiting;
};

enum phase {
    PHASE_LAUNCHING, /* ops are running */
    PHASE_CREATED,   /* ready, waits for START */
    PHASE_RUNNING,   /* the user's program */
    PHASE_ENDING,    /* its first process is reaped, stdio is drained */
};

struct shim {
    struct plan plan;
    uint32_t flags; /* enum clib_launch_flag */
    int rows, columns;
    enum phase phase;
    int recorded; /* `started` is on disk: an end needs its record too */
    int directory, owner, target, cgroup;
    int stdio[3];
    int listener, signals, sync, terminal;
    struct log log;
    int start_listener; /* for the first process, where nobody stays with it */
    int preserved_count;
    int preserved[CLIB_MAX_FDS];
    int released; /* the container is somebody else's now */
    int pid, pidfd;
    int root_daemon; /* pidfd of who serves the container's root, or -1 */
    int guard;       /* of a foreign container: ends it where this process is killed */
    int64_t start_time;
    struct clib_message end; /* EXITED or FAILED, once it is known */
    int client_count;        /* places in use, and free ones between them */
    struct client clients[SHIM_CLIENTS];
    struct pump pumps[SHIM_PUMPS];
};

/* Each returns 0 or -errno unless it says otherwise. */

/* launch.c: from the launch message to a running first process; on failure *stage says where */
int launch_receive(struct shim *shim, enum clib_stage *stage);
int launch_start(struct shim *shim, enum clib_stage *stage);

/* stdio.c */
int stdio_open(struct shim *shim, int child[3]);
void stdio_attach_terminal(struct shim *shim, int master);
/* the descriptor to poll, or -1 */
int pump_wants(const struct shim *shim, const struct pump *pump, short *events);
void pump_run(struct shim *shim, struct pump *pump);
void pump_close(struct pump *pump);
void pump_release(struct pump *pump);

/* log.c */
int log_open(struct shim *shim);
/* can it take what is read now? */
int log_is_ready(struct log *log);
/* what is behind the bytes may be read too, as record_copy says */
void log_append(struct log *log, enum log_stream stream, const char *bytes, size_t size);
/* once more after a full disk; `last`: the container has ended, and this is not done for ever */
void log_retry(struct log *log, int last);
void log_release(struct log *log);
void log_close(struct log *log);

/* record_format.c: one line of the log */
enum { RECORD_PREFIX = 40, RECORD_STREAM = 34 /* std[e]rr, std[o]ut */, RECORD_TAG = 38 };
/* writes "TIME STREAM F " */
void record_prefix(char *to, enum log_stream stream);
/* Copies up to the end of a line or of the bytes, 8 at a time: up to 7 more are read, and written. Returns
 * what is left of them; *to is behind the copy. */
const char *record_copy(char **to, const char *from, const char *end);

/* record.c */
int record_write(const struct shim *shim, const char *name, const struct clib_message *message);
/* the first process of a container that nobody stays with: whoever asked for it may be killed before it hears
 */
void record_init(struct shim *shim);
struct process_facts {
    int64_t start_time; /* clock ticks since boot; 0 where it is not known */
    int has_execed;
    int is_init; /* or stays as the init of a plan with CLIB_OP_INIT, which names it so */
};
void process_facts(int pid, struct process_facts *facts);

/* control.c */
/* a socket of that name in the container's directory; its descriptor or -errno */
int control_listen(const struct shim *shim, const char *name, int type);
/* a free place for a client, or -1: then new ones wait in the queue */
int control_vacancy(const struct shim *shim);
void control_accept(struct shim *shim);
void control_serve(struct shim *shim, struct client *client);
void control_broadcast(struct shim *shim, const struct clib_message *message);
struct clib_message control_state(const struct shim *shim);

/* handover.c */
/* a file below /proc/<pid>; its descriptor or -errno */
int open_proc(int pid, const char *name, int flags);
void handover_serve(struct shim *shim, const struct clib_message *request);
/* runs the hooks among `count` ops from `at` on; 0, or what the failed one, *index, came to */
int handover_hooks(struct shim *shim, uint32_t at, uint32_t count, int *index);
struct clib_message handover_failure(const struct shim *shim, int result, int index);

/* roots.c: *made is the root's mount, attached nowhere */
int roots_overlay(struct shim *shim, const struct clib_op *op, int *made);
int roots_fuse(struct shim *shim, const struct clib_op *op, int *made);
/* waits for who serves the root: its mount is gone, or goes now */
void roots_end(struct shim *shim);

/* link.c: moves a network device to the namespace of a process */
int link_move(int pid, const char *name, const char *new_name);

/* after.c */
void after_kill(const struct shim *shim);
int after_oom_kills(const struct shim *shim);
void after_remove(const struct shim *shim);

/* foreign.c: runs the plan's ops, and adopts the process that its RUNTIME makes; a failure is in shim->end */
void foreign_launch(struct shim *shim, const int child[3]);
/* a RUNTIME without stdio, run to its end: 0, -errno, or how it ended, as program.h has it */
int foreign_command(struct shim *shim, const struct clib_op *op);
/* lets go of what ends the container where the shim is killed, and reaps what is left */
void foreign_dismiss(struct shim *shim);

/* loop.c */
void loop_run(struct shim *shim);
/* the first process is created, or runs: told to all who wait */
void loop_created(struct shim *shim);
void loop_started(struct shim *shim, int64_t start_time);
/* the first process has ended with that status of wait4(2) */
void loop_ended(struct shim *shim, int status);
/* the terminal becomes the container's stdio, or that of the launcher */
void loop_attach(struct shim *shim, int master);
