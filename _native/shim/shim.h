/* The supervisor of one container or exec: a single-threaded loop that holds the stdio open, writes the log,
 * reaps, answers clients and cleans up. It is what makes "daemonless" true: nothing of the caller needs to be
 * alive. */
#pragma once

#include "base.h"
#include "channel.h"
#include "plan.h"
#include "proc.h"

enum { SHIM_CLIENTS = 4096, SHIM_PUMPS = 4, SHIM_TAPS = 32, SHIM_BUFFER = 1 << 18 };

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
    uint64_t reserved;     /* it has blocks up to here: for a note, where the disk is full */
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

/* where a pump's bytes go: each takes them at its own pace, and all of them before the pump takes in more */
struct tap {
    int fd;
    int shared;   /* the O_NONBLOCK of whoever gave it decides whether it waits */
    int client;   /* the place of who has attached it; -1: it was there from the start */
    size_t start; /* in the pump's buffer: what it has still to take */
};

/* one direction of stdio: bytes come in at `from`, go to the log under a stream's name, and on to the taps */
struct pump {
    int from;
    enum log_stream stream; /* LOG_NONE: not logged */
    int shared;             /* likewise of `from` */
    int wide;               /* `from` is a pipe that holds more than usual */
    char *buffer;           /* SHIM_BUFFER bytes, mapped while needed */
    size_t end;             /* of what is in it */
    int tap_count;
    struct tap taps[SHIM_TAPS];
};

enum pump_number {
    PUMP_STDOUT, /* of a terminal: both */
    PUMP_STDERR,
    PUMP_KEYBOARD, /* from the launcher's stdin to the terminal */
    PUMP_INPUT,    /* from those who have attached to the terminal */
};

enum waiting {
    WAITING_NOT = 0,
    WAITING_END,  /* of the container */
    WAITING_EXIT, /* of its program, though that may run again */
};

struct client {
    int fd; /* -1: free */
    enum waiting waiting;
};

enum phase {
    PHASE_LAUNCHING, /* ops are running */
    PHASE_CREATED,   /* ready, waits for START */
    PHASE_RUNNING,   /* the user's program */
    PHASE_ENDING,    /* its first process is reaped, stdio is drained */
    PHASE_RESTING,   /* it has ended, and will be started again */
};

/* times are of CLOCK_MONOTONIC in ns; 0: none is set */
struct life {
    uint32_t restarts; /* how often it was started again */
    uint32_t pause_ms; /* before the last start */
    int final;         /* somebody has stopped it, or its owner is gone */
    int keep;          /* who removes the container has taken the directory's removal over */
    int again;         /* it is started again whatever its policy says */
    int settled;       /* what follows an end is done */
    int resumed;       /* this run goes on from a checkpoint */
    int oom_before;    /* OOM kills of earlier runs */
    int stdin;         /* of the next run, or -1 */
    int64_t began;     /* when its program started */
    int64_t rest_until, kill_at;
    struct clib_message end; /* of the run before */
    uint32_t ends;           /* how many runs have been followed by another */
    int64_t first_end;       /* time of the first of them */
};

struct health {
    enum clib_health_status status; /* 0: nothing is checked */
    uint32_t streak;
    int pid, pidfd; /* of the process that makes a check now, or 0 and -1 */
    int channel;    /* what it reports, and */
    int output;     /* what the command writes */
    int late;
    int64_t next, deadline;
    int64_t counted_from;              /* before its first success an earlier failure does not count */
    uint32_t early_ms;                 /* between such checks */
    struct clib_health_result *result; /* mapped while it is made */
};

struct tracer {
    int pidfd;    /* of who traces the container's processes, or -1 */
    int64_t next; /* when it is looked at again */
    int seen;     /* how often in a row the first process was found to be waiting for others */
};

struct keeper {
    int pidfd;    /* of the program that takes a checkpoint now, or -1 */
    int64_t next; /* when the next is taken */
};

struct shim {
    struct plan plan;  /* of this run */
    struct plan later; /* of those that follow, where that is another one */
    uint32_t flags;    /* enum clib_launch_flag */
    int rows, columns;
    enum phase phase;
    int failed_op; /* which op a launch has failed in, where it is one, or -1 */
    int recorded;  /* `started` is on disk: an end needs its record too */
    int directory, owner, target, cgroup;
    int stdio[3];
    int input; /* a writing end for those who attach, or -1 */
    int listener, signals, sync, terminal;
    struct log log;
    int start_listener; /* for the first process, where nobody stays with it */
    int preserved_count;
    int preserved[CLIB_MAX_FDS];
    int layer_count;
    int layers[CLIB_MAX_FDS]; /* mounts of the root's layers */
    int released;             /* the container is somebody else's now */
    int pid, pidfd;
    int root_daemon; /* pidfd of who serves the container's root, or -1 */
    int guard;       /* ends a container that this process has not started itself, where this one is killed */
    int criu;        /* the socket to what the first process is about to become, or -1 */
    int restoring;   /* `sync` is that, and CRIU is at work */
    int lent;        /* a mount in the container's mount namespace, or -1 */
    int has_links;   /* this run is connected by what the file says */
    int failed_link; /* of them, counted from 1, or 0 */
    int filter;      /* a socket to nf_tables, or -1 */
    int resolver;    /* pidfd of who answers for names, or -1 */
    int reader;      /* pidfd of who brings memory when it is touched, or -1 */
    int reader_pid;  /* or 0 */
    int reader_up;   /* a pipe, on which it says that it listens, or -1 */
    int host_mounts; /* of a foreign container: the mount namespace that its shim has left, or -1 */
    int64_t start_time;
    int64_t ended_at;        /* on the monotonic clock */
    struct clib_message end; /* EXITED or FAILED, once it is known */
    struct life life;
    struct health health;
    struct keeper keeper;
    struct tracer tracer;
    struct pump pumps[SHIM_PUMPS];
    int64_t deaf_until; /* it has no descriptor for another client; on the monotonic clock, 0: it has */
    int client_count;   /* places in use, and free ones between them */
    struct client clients[SHIM_CLIENTS]; /* the last: pages that nobody needs are never touched */
};

/* Each returns 0 or -errno unless it says otherwise. */

/* main.c */
void shim_clear(struct shim *shim);
/* signals, and what else a supervisor is in the kernel's eyes */
int shim_prepare(struct shim *shim);
/* from the launch to the end of the process; `result` of what came before */
_Noreturn void shim_run(struct shim *shim, int result, enum clib_stage stage);

/* launch.c: from the launch message to a running first process; on failure *stage says where */
int launch_receive(struct shim *shim, enum clib_stage *stage);
int launch_start(struct shim *shim, enum clib_stage *stage);

/* stdio.c */
int stdio_open(struct shim *shim, int child[3]);
void stdio_attach_terminal(struct shim *shim, int master);
/* the client at that place gets `wanted` (enum clib_attach_flag) in fds, and in *input what it writes to or
 * -1 */
int stdio_attach(struct shim *shim, int client, uint32_t wanted, int *fds, int count, int *input);
void stdio_detach(struct shim *shim, int client);
/* drops those who have attached and do not read */
void stdio_give_up(struct shim *shim);
int stdio_end_input(struct shim *shim);
/* the descriptor to poll, or -1 */
int pump_wants(const struct shim *shim, const struct pump *pump, short *events);
/* has a tap still to take something? */
int pump_is_behind(const struct pump *pump);
void pump_run(struct shim *shim, struct pump *pump);
/* Nobody's end is to wait for those who have attached to read what it wrote last: their pipes grow, where
 * they may, and keep it. */
void pump_make_room(const struct pump *pump);
/* `from` is at its end */
void pump_close(struct shim *shim, struct pump *pump);
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
/* how it ended, also where the disk is full */
void record_exit(const struct shim *shim);
/* the first process of a container that nobody stays with: whoever asked for it may be killed before it hears
 */
void record_init(struct shim *shim);

/* control.c */
/* a socket of that name in the container's directory; its descriptor or -errno */
int control_listen(const struct shim *shim, const char *name, int type);
/* a free place for a client, or -1: then new ones wait in the queue */
int control_vacancy(const struct shim *shim);
void control_accept(struct shim *shim);
void control_serve(struct shim *shim, struct client *client);
void control_broadcast(struct shim *shim, const struct clib_message *message);
/* how the container has ended, to everyone: nobody can ask any more */
void control_end(struct shim *shim);
/* to those who wait for the next exit, who then have heard what they wanted */
void control_exited(struct shim *shim);
struct clib_message control_state(const struct shim *shim);

/* handover.c */
void handover_serve(struct shim *shim, const struct clib_message *request);
/* one of the ops by which a mount is made for the next BIND: *made, in the place of what it was */
int handover_make(struct shim *shim, const struct clib_op *op, int *made);
/* runs the hooks among `count` ops from `at` on; 0, or what the failed one, *index, came to */
int handover_hooks(struct shim *shim, uint32_t at, uint32_t count, int *index);
struct clib_message handover_failure(const struct shim *shim, int result, int index);

/* aside.c: *made is a mount, attached nowhere */
typedef int (*mount_maker)(struct shim *shim, const struct clib_op *op); /* its descriptor or -errno */
/* `flags`: CLONE_NEWNS for a mount namespace of its own, or 0 */
int make_aside(struct shim *shim, const struct clib_op *op, mount_maker make, uint64_t flags, int *made);
/* what such a process has answered, or another shim */
int receive_mount(int channel, int *made);

/* memory.c: a MEMORY, with its SECRETs */
int memory_mount(struct shim *shim, const struct clib_op *op, int *made);

/* lend.c */
/* opens what the container lends; what is missing is not lent */
int lend_open(struct shim *shim, const char *path);
void lend_end(struct shim *shim);
/* a clone of it */
int lend(struct shim *shim, int *made);
/* what the container of that directory lends */
int borrow(const char *directory, int *made);
/* a mount of a NAMESPACE */
int lend_namespace(const struct plan *plan, const struct clib_op *op, int *made);

/* roots.c: *made is the root's mount, attached nowhere */
int roots_overlay(struct shim *shim, const struct clib_op *op, int *made);
int roots_fuse(struct shim *shim, const struct clib_op *op, int *made);
/* waits for who serves the root: its mount is gone, or goes now */
void roots_end(struct shim *shim);

/* pages.c: memory that comes when it is touched, of a run that goes on from a checkpoint: starts who brings
 * it */
int pages_start(struct shim *shim);
/* until CRIU can be asked for processes with such memory */
int pages_await(struct shim *shim);
/* they are made: from here on nothing else than what they had is found in their memory */
int pages_watch(struct shim *shim);
/* what wait4(2) says of who brings it */
void pages_heard(struct shim *shim, int status);
void pages_end(struct shim *shim);

/* link.c: moves a network device to the namespace of a process */
int link_move(int pid, const char *name, const char *new_name);

/* links.c: what connects the container to networks */
int links_make(struct shim *shim);
/* while it runs; *failed is the op that did, counted from 1 */
int links_change(struct shim *shim, const struct plan *plan, int *failed);
/* and what follows, when that has been told */
void links_changed(const struct plan *plan);
/* the container has ended */
void links_end(struct shim *shim);
/* A socket belongs to the network namespace that it was made in. This process has one thread, and comes back:
 * to what is given, or -errno. */
int network_enter(int pid);
int network_leave(int own);

/* netlink.c: sends the op's messages; `pid` goes where the op says. `filter`: a socket to nf_tables, or -1 at
 * first, that stays open, since to close one is to wait for what was removed lately; NULL: none does */
int netlink_run(const struct plan *plan, const struct clib_op *op, int pid, int *filter);

/* names.c: who answers for names, until the end of the run */
int names_start(struct shim *shim, const struct plan *plan, const struct clib_op *op);
void names_end(struct shim *shim);

/* after.c */
void after_kill(const struct shim *shim);
/* the same, until there is nothing left to kill */
void after_empty(const struct shim *shim);
int after_is_frozen(const struct shim *shim);
int after_oom_kills(const struct shim *shim);
void after_remove(const struct shim *shim);

/* foreign.c: runs the plan's ops, and adopts the process that its RUNTIME makes; a failure is in shim->end */
void foreign_launch(struct shim *shim, const int child[3]);
/* a RUNTIME without stdio, run to its end: 0, -errno, or how it ended, as program.h has it */
int foreign_command(struct shim *shim, const struct clib_op *op);
/* dismisses the guard, and reaps what is left */
void foreign_dismiss(struct shim *shim);
/* back to the host's mounts: what is mounted in the directory, in a namespace that this process is in, cannot
 * be removed */
void foreign_leave(struct shim *shim);

/* guard.c: posted anew, it knows of the first process that there is now */
int guard_post(struct shim *shim);
void guard_dismiss(struct shim *shim);

/* answer.c */
struct answer {
    int type, success, error;
    int pid;           /* with a point */
    const char *point; /* that CRIU has come to, and waits at; of these bytes */
    size_t point_size;
};
void answer_read(const char *bytes, size_t size, struct answer *answer);
int answer_is_at(const struct answer *answer, const char *point);

/* restore.c: the first process has become CRIU */
void restore_begin(struct shim *shim);
/* what CRIU says; -EAGAIN: nothing */
int restore_serve(struct shim *shim);
/* until it has said all */
void restore_finish(struct shim *shim);

/* loop.c */
void loop_run(struct shim *shim);
/* the first process is created, or runs: told to all who wait */
void loop_created(struct shim *shim);
void loop_started(struct shim *shim, int64_t start_time);
/* a child takes the first process's place: 0 or -errno */
int loop_adopt(struct shim *shim, int pid);
/* the first process has ended with that status of wait4(2) */
void loop_ended(struct shim *shim, int status);
/* the terminal becomes the container's stdio, or that of the launcher */
void loop_attach(struct shim *shim, int master);

/* life.c: what follows an end */
int64_t clock_ns(int clock);
/* -errno: there is none */
int policy_read(const struct shim *shim, struct clib_policy *policy);
/* may its program run again when it has ended? */
int life_may_go_on(const struct shim *shim);
/* the poststop hooks, each of them whatever becomes of the others */
void life_poststop(struct shim *shim);
/* its program runs */
void life_began(struct shim *shim);
/* the container is not started again */
void life_end(struct shim *shim);
/* by the stop signal, and after a while by SIGKILL */
void life_stop(struct shim *shim, const struct clib_policy *policy);
/* OOM kills of this run, put into its end */
void life_count(struct shim *shim);
/* 1: the program has ended, and runs again by now, or has tried to; 0: it has ended for good */
int life_goes_on(struct shim *shim);
/* removes the container's directory where that is this shim's to do */
void life_remove(struct shim *shim);

/* ends.c: shim->end, of a run that another follows, is there for those who look later */
void ends_add(struct shim *shim);

/* tracer.c: who makes a checkpoint of the container at this moment; takes the pidfd over */
void tracer_watch(struct shim *shim, int pidfd);
/* when it is looked at again; 0: there is none */
int64_t tracer_due(const struct shim *shim);
void tracer_run(struct shim *shim, int64_t now);

/* remove.c: removes what is in the directory, and with its name the directory */
int remove_tree(int directory);

/* health.c */
void health_begin(struct shim *shim);
void health_end(struct shim *shim);
/* when something is to be done about it; 0: not at all */
int64_t health_due(const struct shim *shim);
void health_run(struct shim *shim, int64_t now);
void health_listen(struct shim *shim);
/* the process that makes the check has ended */
void health_reaped(struct shim *shim);

/* keeper.c: checkpoints that are taken while the container runs */
void keeper_begin(struct shim *shim);
void keeper_end(struct shim *shim);
/* when the next is taken; 0: not at all */
int64_t keeper_due(const struct shim *shim);
void keeper_run(struct shim *shim, int64_t now);
/* some process has ended: perhaps the one that takes it */
void keeper_look(struct shim *shim);
/* the plan of a run that goes on from the last: 0 or -errno */
int keeper_last(const struct shim *shim, struct plan *plan);
/* whether the process behind the pidfd has ended by then; it is not reaped */
int ends_within(int pidfd, int seconds);

/* check.c: the process that makes a check; its pid, with shim->health's descriptors, or -errno */
int check_start(struct shim *shim, const struct clib_policy *policy);
/* closes every descriptor from 3 on but those kept (-1: none) */
void close_others(const int *kept, int count);

/* probe.c: what a check of a port comes to: an exit code and in value[3] errno */
struct clib_message probe(int target, const struct clib_policy *policy, const char *request, size_t size,
                          int output);
