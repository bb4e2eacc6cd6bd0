/* The contract between Python and C. gcc reads it (through wire.h and ext.h) and so does cffi:
 * plain declarations only, and every constant is an enumerator, so that there is one place for a number.
 *
 * Structs that cross a process boundary (plan, message) are fixed width and the same in memory, on the
 * control socket and in a container's directory. See wire.h for the conversation that they make up. */

/* ---- failure: the child reports numbers, the parent owns the words ---- */

enum clib_stage {
    CLIB_STAGE_NONE = 0,
    CLIB_STAGE_SPAWN,     /* the parent could not start the helper */
    CLIB_STAGE_LAUNCH,    /* the launch message, its descriptors or the plan were not usable */
    CLIB_STAGE_SOCKET,    /* the control socket in the container's directory */
    CLIB_STAGE_STDIO,     /* pipes, terminal or log */
    CLIB_STAGE_NAMESPACE, /* joining the pid namespace before clone3 */
    CLIB_STAGE_CLONE,     /* clone3 of the container's first process */
    CLIB_STAGE_OP,        /* an op of the plan: index says which */
    CLIB_STAGE_EXEC,      /* execve of the user's program */
    CLIB_STAGE_LOST,      /* the container's first process died during set-up */
    CLIB_STAGE_HOOK, /* a hook or command of the plan: err is 0 where it ended by itself, index says which */
    CLIB_STAGE_RUNTIME, /* another runtime's command, likewise */
    CLIB_STAGE_RECORD,  /* what the supervisor writes down of the start */
};

struct clib_error {
    int32_t stage; /* enum clib_stage */
    int32_t err;   /* errno */
    int32_t index; /* op index when stage is CLIB_STAGE_OP, else -1 */
};

/* ---- the plan: a header, ops, then a blob of NUL-terminated strings and raw data ---- */

enum clib_plan_magic { CLIB_PLAN_MAGIC = 0x6e616c50, CLIB_PLAN_VERSION = 4 };

/* What each op takes is said beside it: n0..n2 are numbers, t0..t2 are strings (blob offsets, 0 = none),
 * data is `size` bytes at t2 (or, for lists, `size` strings one after the other at the named offset).
 * Paths marked "host" are opened in the host's tree, those marked "root" inside the container's root. */
enum clib_op_kind {
    CLIB_OP_NONE = 0,
    /* anywhere: what the first process has no right or no way to do is done by the shim, while it waits */
    CLIB_OP_HANDOVER, /* n0 how many of the next ops the shim runs, in its own namespaces; CGROUP_JOIN is of
                         the first process there too */
    CLIB_OP_ID_MAP,   /* shim: t0 uid_map, gid_map or setgroups of the first process, t1 what is written to it
                       */
    CLIB_OP_COMMAND,  /* shim: t0 program, n0 milliseconds or 0, size its arguments at t2, behind the first
                         process's pid (newuidmap) */
    CLIB_OP_TREE, /* shim: t0 host source, t1 or 0 what of it, where no link leads out, n0 clib_mount_flag, n1
                     clib_tree_kind, n2 MS_* propagation; a mount that the next BIND takes; data where it is
                     id-mapped by maps: the text of a uid_map, a NUL, of a gid_map, a NUL */
    CLIB_OP_MEMORY,    /* shim: a tmpfs of size "key\0value\0" pairs at t2, with the n0 SECRETs right behind,
                          whose directories are those of n2 uid << 32 | gid; t1 of it is a mount that the next
                          BIND takes */
    CLIB_OP_NAMESPACE, /* shim: t0 and t1 as of SETNS; a mount of it that the next BIND takes */
    CLIB_OP_LEND,      /* shim: t1 root path, of which others may BORROW a mount; missing is fine */
    CLIB_OP_BORROW, /* shim: t0 host directory of the container that LENDs; a mount that the next BIND takes
                     */
    CLIB_OP_LINK, /* shim: t0 network device that moves to the first process's namespace, t1 its name there */
    CLIB_OP_LINKS, /* the shim makes what the file `links` says: what connects the network namespace; nothing
                      where there is none */
    CLIB_OP_LISTENER, /* shim: t0 socket that takes the seccomp listener, size 1: at t2 a state as a HOOK has
                         it */
    CLIB_OP_HOOK,     /* t0 program, t1 host directory where the shim runs it, or 0: "/"; n0 argc, n1 envc, n2
                         milliseconds or 0, size = argc + envc + 1 strings at t2:     argv, environment, and the
                         state's JSON with a byte 1 where the pid belongs */
    CLIB_OP_RUNTIME,  /* foreign shim: t0 program, t1 file in DIRECTORY with the pid that it made, or 0, n0
                         argc, n1 envc, n2 milliseconds, size = argc + envc strings at t2; it joins the cgroups
                         of the CGROUP_JOINs right before it */
    /* before the root is changed: the host's tree is still visible */
    CLIB_OP_CGROUP_JOIN, /* t0 host file that takes "0" (v1 tasks or v2 cgroup.procs) */
    CLIB_OP_UNSHARE,     /* n0 CLONE_NEW* flags */
    CLIB_OP_SETNS,   /* t0 host path of a namespace, or with t1, the host directory of a container that runs,
                        what that has by the name t0 in /proc/PID/ns; n0 its CLONE_NEW* flag */
    CLIB_OP_REBIRTH, /* what follows is done by a child in the pid namespace that UNSHARE made, in its place
                      */
    CLIB_OP_JOIN,    /* n0 CLONE_NEW* flags of the launch message's pidfd */
    CLIB_OP_OOM_SCORE_ADJ, /* n0 value as int32 */
    CLIB_OP_TIME_OFFSETS,  /* t0 what is written to timens_offsets; a SETNS of time_for_children follows */
    CLIB_OP_LOOPBACK_UP,   /* brings lo up in the current network namespace */
    CLIB_OP_PROPAGATION,   /* n0 MS_* propagation flags for "/", recursive */
    CLIB_OP_UNMOUNT,       /* t0 host directory, with the mounts below it */
    CLIB_OP_ROOT_BIND,     /* t0 host directory becomes the root, n0 MOUNT_ATTR_*, n1 clib_bind_flag */
    CLIB_OP_ROOT_OVERLAY,  /* t0 host upper or 0, t1 host work or 0, at t2 the mount point, then size
                              "fstype\0host path\0" pairs, top first ("": a directory, else a file that is
                              mounted); n0 clib_root_flag, n1 uid << 32 | gid of a private upper, n2
                              MOUNT_ATTR_*. Shim: a mount that the next ROOT_BIND takes */
    CLIB_OP_ROOT_FUSE, /* shim: t0 program that serves a FUSE mount on its standard input, t1 mount point, n0
                          argc, n1 envc, size = argc + envc strings at t2; a mount that the next ROOT_BIND
                          takes */
    /* the new root is known, the host's tree is still visible; root paths resolve inside the new root */
    CLIB_OP_MOUNT,  /* t0 fstype, t1 root target, size "key\0value\0" pairs at t2 ("" value: flag), n0
                       MOUNT_ATTR_* to set and << 32 to clear by a remount, n1 clib_mount_flag, n2 MS_*
                       propagation, with MS_* of the superblock where CLASSIC */
    CLIB_OP_BIND,   /* t0 host source, t1 root target, n0 MOUNT_ATTR_* to set and << 32 to clear, n1
                       clib_mount_flag and << 32 MOUNT_ATTR_* to set below too, n2 MS_* propagation and << 32
                       MOUNT_ATTR_* to clear below too */
    CLIB_OP_MKNOD,  /* t1 root path, n0 mode with type, n1 dev_t (kernel's new_encode_dev), n2 uid << 32 | gid
                     */
    CLIB_OP_SECRET, /* of the MEMORY before it: t1 path of a new file, n0 mode, n1 1 = the helper itself is
                       its content, n2 uid << 32 | gid, data */
    CLIB_OP_SYMLINK, /* t0 text, t1 root path; an existing entry stays */
    CLIB_OP_CONSOLE, /* a pty of the root's devpts becomes stdio, its master goes to the shim; n0 1 = bind it
                        on /dev/console, n2 uid << 32 | gid */
    CLIB_OP_MASK, /* t1 root path: files under /dev/null, directories under an empty read-only tmpfs; missing
                     is fine */
    CLIB_OP_READONLY,   /* t1 root path made read-only, by a bind on itself where it is no mount; missing is
                           fine */
    CLIB_OP_SYSCTL,     /* t0 path below proc/sys, t1 value */
    CLIB_OP_HOSTNAME,   /* t0 */
    CLIB_OP_DOMAINNAME, /* t0 */
    CLIB_OP_PIVOT,      /* the new root becomes "/"; the host's tree is gone; n0 1 = the root mount is made
                           read-only, n1 MS_* its propagation, n2 clib_pivot_kind */
    /* the process */
    CLIB_OP_SESSION_KEYRING, /* t0 name, n0 KEY_* permissions, which say who finds it by its name */
    CLIB_OP_PERSONALITY,     /* n0 */
    CLIB_OP_SCHEDULER,       /* data: struct sched_attr */
    CLIB_OP_IO_PRIORITY,     /* n0 */
    CLIB_OP_CPU_AFFINITY,    /* data: mask of CPUs */
    CLIB_OP_MEMORY_POLICY,   /* n0 mode and flags, n1 bits in the mask, data: mask of nodes */
    CLIB_OP_LABEL,           /* t0 file below /proc/PID/attr, t1 what is written to it */
    CLIB_OP_RLIMIT,          /* n0 resource, n1 soft, n2 hard */
    CLIB_OP_UMASK,           /* n0; n1 1 = the caller's instead */
    CLIB_OP_NO_NEW_PRIVS,
    CLIB_OP_SECCOMP,      /* data: struct sock_filter[], n0 SECCOMP_FILTER_FLAG_* */
    CLIB_OP_CAP_BOUNDING, /* n0 set that stays */
    CLIB_OP_USER,         /* n0 uid, n1 gid, n2 clib_user_flag, data: uint32_t gid[] */
    CLIB_OP_CAPABILITIES, /* n0 effective, n1 permitted, n2 inheritable, data: uint64_t ambient */
    CLIB_OP_CHDIR,        /* t0 path in the container; made if it is missing and n0 is 1 */
    CLIB_OP_PARENT_DEATH, /* n0 signal when the shim dies */
    CLIB_OP_HOLD, /* CREATED, and waits for START; t0 and t1 as of the EXEC to come, whose file must be there
                     unless n0 is 1 */
    CLIB_OP_DESCRIPTORS, /* what the program is given beyond its stdio goes to its numbers, from 3 on */
    CLIB_OP_INIT, /* what follows is done by a child; this process hands signals on, reaps, and ends as that
                   * does
                   */
    CLIB_OP_EXEC, /* t0 file or name sought in t1 (a PATH), n0 argc, n1 envc, size = argc + envc strings at t2
                   */
    /* after the end, by the shim */
    CLIB_OP_OOM_RECORD,    /* t0 host file with an "oom_kill N" line */
    CLIB_OP_CGROUP_KILL,   /* t0 host cgroup directory whose processes are ended */
    CLIB_OP_CGROUP_REMOVE, /* t0 host cgroup directory */
    CLIB_OP_LOG, /* how the log is kept, from the start on: n0 bytes in a file or 0 (no bound), n1 files, of
                    which 0 is no log, n2 1 = a full disk makes the container wait */
    /* in `links` */
    CLIB_OP_NETLINK,  /* data: messages, n0 protocol and << 32 an errno that is none, n1 where in them the pid
                         of  the first process goes or 0, n2 how many answers come */
    CLIB_OP_RESOLVER, /* t0 host directory of names, t1 the file in it of what the container sees: starts who
                         answers for names in the container's network namespace, where the numbers and data
                         are those of a NETLINK that leads there */
    /* the last ones of a run that goes on from a checkpoint */
    CLIB_OP_TARGET,  /* t1 root path where CRIU mounts something, made where it is missing; t0 host path of
                        that, or 0:  a directory */
    CLIB_OP_REQUEST, /* t0 host directory that CRIU works in, data: the message by which it is asked */
    CLIB_OP_RESTORE, /* t0 CRIU's program, t1 host directory of the images, n0 argc, n1 envc, size = argc +
                        envc strings at t2; the first process becomes CRIU, with the descriptors of
                        clib_restore_fd, and what that makes takes its place */
    CLIB_OP_PAGES,   /* before REQUEST: t0 program that brings memory when it is touched, and says on its
                        standard output when it listens, n0 argc, n1 envc, size = argc + envc strings at t2 */
    CLIB_OP_KINDS
};

/* what CRIU finds at which number; 0, 1 and 2 are /dev/null */
enum clib_restore_fd {
    CLIB_RESTORE_SOCKET = 3,
    CLIB_RESTORE_IMAGES,
    CLIB_RESTORE_WORK,
    CLIB_RESTORE_STDIN,       /* and the two behind it: the streams that the container is given */
    CLIB_RESTORE_NETWORK = 9, /* the network namespace */
    CLIB_RESTORE_FDS,
};

enum clib_mount_flag {
    CLIB_MOUNT_RECURSIVE = 1,              /* rbind */
    CLIB_MOUNT_ATTR_RECURSIVE = 2,         /* TREE: the mounts below are id-mapped too (ridmap) */
    CLIB_MOUNT_NO_SYMLINKS = 4,            /* refuse a target whose path has a symlink (proc, sysfs) */
    CLIB_MOUNT_TREE = 8,                   /* the source is what the TREE before it opened */
    CLIB_MOUNT_PROPAGATION_RECURSIVE = 16, /* of the mounts below too (rprivate, rslave, ...) */
    CLIB_MOUNT_CLASSIC = 32,               /* by mount(2), whose options may be longer than fsconfig's */
    CLIB_MOUNT_REMOUNT = 64,               /* changes what is mounted on the target already */
    CLIB_MOUNT_COPY_UP = 128,              /* first takes what the root has at the target (tmpcopyup) */
    CLIB_MOUNT_COPY_SYMLINK = 256,         /* a source that is a symlink is made anew, and not followed */
    CLIB_MOUNT_TARGET_MODE = 512,          /* has the mode of a target that is there already */
    CLIB_MOUNT_TARGET_OWNER = 1024,        /* and its owner */
    CLIB_MOUNT_ON_PROC = 2048,             /* the target may lie in a procfs */
    CLIB_MOUNT_PROC_SOURCE = 4096,         /* the source must be a procfs */
    CLIB_MOUNT_AHEAD =
        8192, /* is only made, with the rights that the process still has; put in its place by */
    CLIB_MOUNT_MADE = 16384, /* the MOUNT with this flag; in the same order where there are several */
};

enum clib_bind_flag {
    CLIB_BIND_RECURSIVE = 1, /* with what is mounted below */
    CLIB_BIND_TREE = 2,      /* the root is what the shim's op before made, and goes to that directory */
    CLIB_BIND_UNMOUNTED = 4, /* the directory itself, in the host's mount namespace */
};

enum clib_root_flag {
    CLIB_ROOT_PRIVATE = 1,   /* upper on a tmpfs that ends with the container */
    CLIB_ROOT_CLASSIC = 2,   /* by mount(2), before Linux 6.7 */
    CLIB_ROOT_USERXATTR = 4, /* the layers have "user.overlay." attributes, not "trusted.overlay." */
    CLIB_ROOT_MAPPED = 8,    /* shim: the layers are id-mapped by the first process's user namespace */
    CLIB_ROOT_VOLATILE = 16, /* what is written is never synced */
    CLIB_ROOT_SHARED =
        32, /* the layers that are files are mounted: LAUNCH brings the mounts, in this order */
};

enum clib_user_flag {
    CLIB_USER_GROUPS_STAY = 1, /* as they are: setgroups(2) is denied */
    CLIB_USER_OWNS_PIPES = 2,  /* those among its stdio */
};

enum clib_pivot_kind {
    CLIB_PIVOT_EXCHANGED = 0, /* pivot_root(2) */
    CLIB_PIVOT_MOVED = 1,     /* on top of "/", where that cannot be exchanged; then chroot(2) */
    CLIB_PIVOT_UNMOUNTED = 2, /* chroot(2) alone */
};

enum clib_tree_kind {
    CLIB_TREE_OF_MAPS = 0,      /* id-mapped by the data */
    CLIB_TREE_OF_NAMESPACE = 1, /* id-mapped by the first process's user namespace */
    CLIB_TREE_AS_IT_IS = 2,     /* not id-mapped; left to the BIND where the shim may not open it */
};

struct clib_op {
    uint32_t kind;
    uint32_t size;
    uint64_t number[3];
    uint32_t text[3];
    uint32_t reserved;
};

struct clib_plan {
    uint32_t magic;
    uint32_t version;
    uint64_t clone_flags;   /* CLONE_NEW* made by clone3 */
    uint32_t before_count;  /* ops that the container's first process runs */
    uint32_t started_count; /* ops that the shim runs when the program has started */
    uint32_t after_count;   /* ops that the shim runs when the container has ended */
    uint32_t blob_offset;
    uint32_t blob_size;
    uint32_t reserved;
};

/* ---- messages on the control socket, and the records `started` and `exit` on disk ---- */

enum clib_message_kind {
    CLIB_MESSAGE_NONE = 0,
    /* to the shim */
    CLIB_MESSAGE_LAUNCH, /* value[0] clib_launch_flag; descriptors in the order of the flags; first on a new
                            shim only */
    CLIB_MESSAGE_START,  /* lets a created container exec */
    CLIB_MESSAGE_SIGNAL, /* value[0] signal or 0; value[1] 1 = every process of the container, or the exec's
                            process group; value[2] clib_signal_flag */
    CLIB_MESSAGE_RESIZE, /* value[0] rows, value[1] columns */
    CLIB_MESSAGE_WAIT,   /* EXITED follows when the container has ended; value[0] 1 = also where it runs again
                          */
    CLIB_MESSAGE_STATE,  /* answered by CREATED or STARTED */
    /* from the shim */
    CLIB_MESSAGE_CREATED,  /* value[0] pid, number[0] its start time in clock ticks */
    CLIB_MESSAGE_STARTED,  /* the same */
    CLIB_MESSAGE_FAILED,   /* value[0..2] stage, errno, index; value[3] how a hook ended, number[0] ops before
                              the program; on disk, as `failed`: number[1] clib_op_kind */
    CLIB_MESSAGE_EXITED,   /* value[0] exit code, value[1] signal, value[2] OOM kills, number[0] time in ns */
    CLIB_MESSAGE_DONE,     /* value[0] errno of the request, 0 = done */
    CLIB_MESSAGE_TERMINAL, /* one descriptor: the master of a terminal that nobody serves here */
    /* between the first process and the shim */
    CLIB_MESSAGE_REBORN,   /* value[0] the pid of the process that takes the first one's place */
    CLIB_MESSAGE_HANDOVER, /* value[0] index, value[1] count, value[2] a descriptor's number or -1; answered
                              by DONE, with a TREE's descriptor, or by FAILED where the plan has no such ops;
                              one that fails is the first process's end */
    /* on disk alone */
    CLIB_MESSAGE_RESTARTS, /* value[0] how often it was started again; of its last end: value[1] exit code,
                              value[2] signal, value[3] OOM kills, number[0] time in ns; number[1] when it
                              starts again, or 0: it runs */
    /* to the shim, like those above; the numbers of an older one stay */
    CLIB_MESSAGE_ATTACH,    /* value[0] clib_attach_flag; writing ends of pipes for STDOUT and STDERR, in this
                               order: from now on they get what the program writes, until nobody reads them any
                               more or the connection ends. Answered by DONE, with a writing end of its standard
                               input where that is asked for and kept open */
    CLIB_MESSAGE_END_INPUT, /* the shim no longer keeps the program's standard input open */
    CLIB_MESSAGE_BORROW,    /* answered by DONE, with a new mount of what LEND names */
    CLIB_MESSAGE_LINKS, /* `links` is another one, and the plan that comes along makes of what is connected
                           now what it says; answered by DONE, of which value[1] is the op that failed,
                           counted from 1 */
    /* from the first process */
    CLIB_MESSAGE_RESTORING, /* one descriptor: the socket to what it becomes by its exec, which is CRIU */
    /* to the shim */
    CLIB_MESSAGE_TRACED, /* one descriptor: a pidfd of who traces the container's processes from now on, and
                            is killed where they would wait for each other for ever; answered by DONE */
};

enum clib_signal_flag {
    CLIB_SIGNAL_FINAL = 1, /* the container is not started again when it has ended */
    CLIB_SIGNAL_KEEP = 2,  /* its directory is the sender's to remove */
};

enum clib_attach_flag { CLIB_ATTACH_STDIN = 1, CLIB_ATTACH_STDOUT = 2, CLIB_ATTACH_STDERR = 4 };

enum clib_launch_flag {
    CLIB_LAUNCH_PLAN = 1,      /* descriptors, in this order */
    CLIB_LAUNCH_DIRECTORY = 2, /* the container's directory: control socket, log and records */
    CLIB_LAUNCH_OWNER = 4,     /* pidfd of the process that the container dies with */
    CLIB_LAUNCH_TARGET = 8,    /* pidfd whose namespaces CLIB_OP_JOIN joins */
    CLIB_LAUNCH_CGROUP = 16,   /* cgroup v2 directory for CLONE_INTO_CGROUP */
    CLIB_LAUNCH_STDIN = 32,
    CLIB_LAUNCH_STDOUT = 64,
    CLIB_LAUNCH_STDERR = 128,
    CLIB_LAUNCH_LOG =
        256, /* stdout and stderr go through the shim to the log, and on to the descriptors given */
    CLIB_LAUNCH_TERMINAL = 512,      /* a pty is stdin, stdout and stderr; value[1] rows, value[2] columns */
    CLIB_LAUNCH_UNSUPERVISED = 1024, /* the shim ends at "created" or "started", and the container is whose
                                        who adopts orphans; START comes through start.sock in DIRECTORY */
    CLIB_LAUNCH_PRESERVE = 2048,     /* value[3] more descriptors, the last ones: the program's from 3 on */
    CLIB_LAUNCH_CHORES = 4096,       /* there is no container: the shim runs the plan's last ops, and ends */
    CLIB_LAUNCH_FOREIGN = 8192, /* the container's process is another runtime's: the shim runs the plan's ops
                                   itself, RUNTIME among them, and adopts what that makes */
    CLIB_LAUNCH_INPUT = 16384,  /* one more descriptor, behind STDERR's: a writing end of STDIN, which is kept
                                   for those who attach */
    CLIB_LAUNCH_LAYERS = 32768, /* number[0] more descriptors, behind PRESERVE's: mounts of the root's layers,
                                   which are attached nowhere */
    CLIB_LAUNCH_FILTER = 65536, /* the last of them is a socket to nf_tables, for the shim alone */
    CLIB_LAUNCH_RESTORE = 131072, /* one more descriptor, behind INPUT's: the plan of the first run, which
                                     goes on from a checkpoint; PLAN's is of those that follow */
};

enum clib_protocol { CLIB_PROTOCOL_VERSION = 1 };

struct clib_message {
    uint32_t kind;
    uint32_t version;
    int32_t value[4];
    int64_t number[2];
};

/* 127.0.0.11's, where the resolver of a container listens, and to which what comes for 53 is brought */
enum clib_resolver_port { CLIB_RESOLVER_PORT = 61053 };

/* ---- `policy` in a container's directory: what its shim does when the program has ended, or is not well
 * ----
 *
 * Replaced as a whole (rename), and read when it is needed: so it may change while the container runs. Beside
 * it `check` has the plan of a command, or the request of HTTP; `health` is what came of the checks. `keeper`
 * is a plan of one HOOK, the program that takes a checkpoint, and `checkpoints/last/run` the plan of a run
 * that goes on from the last one that it took. */

enum clib_policy_magic {
    CLIB_POLICY_MAGIC = 0x6563696c,
    CLIB_HEALTH_MAGIC = 0x6c616548,
    CLIB_LIFE_VERSION = 1 /* of both */
};

enum clib_restart {
    CLIB_RESTART_NO = 0,
    CLIB_RESTART_ON_FAILURE, /* where the exit code is not 0 */
    CLIB_RESTART_ALWAYS,
    CLIB_RESTART_UNLESS_STOPPED, /* the same to a shim, which does not outlive a stop */
};

enum clib_check {
    CLIB_CHECK_NONE = 0,
    CLIB_CHECK_COMMAND, /* the plan in `check` is run in the container */
    CLIB_CHECK_HTTP,    /* the request in `check` is sent to the port */
    CLIB_CHECK_TCP,     /* the port takes a connection */
};

enum clib_unhealthy {
    CLIB_UNHEALTHY_NONE = 0, /* it is only recorded */
    CLIB_UNHEALTHY_KILL,     /* then the restart policy has its say */
    CLIB_UNHEALTHY_RESTART,  /* by the stop signal, whatever the restart policy is */
    CLIB_UNHEALTHY_STOP,     /* likewise, and for good */
};

struct clib_policy {
    uint32_t magic, version;
    uint32_t restart;              /* enum clib_restart */
    uint32_t retries;              /* of ON_FAILURE; 0: no end */
    uint32_t pause_ms, longest_ms; /* before it starts again: the first time, and doubled up to */
    uint32_t calm_ms;              /* what has run so long begins with pause_ms again */
    uint32_t remove;               /* 1 = the directory is removed in the end */
    uint32_t stop_signal, grace_ms;
    uint32_t check;                 /* enum clib_check */
    uint32_t unhealthy;             /* enum clib_unhealthy */
    uint32_t failures;              /* in a row that make it unhealthy */
    uint32_t port, lowest, highest; /* a status from lowest to highest is a good one */
    uint32_t every_ms, timeout_ms, start_period_ms, start_every_ms;
    /* a file that ends here has 0 in what follows */
    uint32_t checkpoint_ms; /* from one checkpoint to the next, which `keeper` takes; 0: none is taken */
    uint32_t resume;        /* 1 = what is started again goes on from the last of them */
};

enum clib_policy_size { CLIB_POLICY_LEAST = 80 };

enum clib_health_status { CLIB_HEALTH_STARTING = 1, CLIB_HEALTH_HEALTHY, CLIB_HEALTH_UNHEALTHY };
enum clib_health_size { CLIB_HEALTH_RESULTS = 5, CLIB_HEALTH_OUTPUT = 4096 };

struct clib_health_result {
    int64_t start, end; /* times in ns */
    int32_t exit_code;  /* 0: healthy; -1 where it took too long */
    int32_t stage, err; /* of a check that could not be made; its errno alone where nobody answered */
    uint32_t size;
    char output[4096];
};

struct clib_health {
    uint32_t magic, version;
    uint32_t status; /* enum clib_health_status */
    uint32_t streak; /* failures in a row */
    uint32_t count;  /* results, the oldest first */
    uint32_t reserved;
    struct clib_health_result result[5];
};

/* ---- `ends` in a container's directory: how those of its runs ended that another one follows ----
 *
 * `restarts` has the last of them alone, and is overwritten before a reader may have looked. Written aside
 * and renamed; older ones are counted, so that a reader knows how many it has missed. */

enum clib_ends_magic { CLIB_ENDS_MAGIC = 0x73646e45, CLIB_ENDS_VERSION = 1 };
enum clib_ends_size { CLIB_ENDS = 100 };

struct clib_end {
    int64_t began; /* the mtime of `started` in ns; 0: it could not be started */
    int64_t ended; /* time in ns */
    int32_t exit_code, signal, oom_kills, reserved;
};

struct clib_ends {
    uint32_t magic, version;
    uint32_t total; /* since its supervisor was started */
    uint32_t count; /* the last of them, which are here, the oldest first */
    int64_t first;  /* when the first of all ended: tells one supervisor's from the next one's */
    struct clib_end end[100];
};

/* ---- the extension: parent side, called with the GIL released ---- */

/* Starts the program behind exe_fd with control_fd as descriptor 3, null_fd as 0, 1 and 2 and nothing else
 * open, in a new session, without copying the caller's memory. Fills *pidfd when there is such a descriptor.
 * <0: *error says why. */
int clib_spawn(int exe_fd, int control_fd, int null_fd, int *pidfd, struct clib_error *error);

/* A TCP socket, not blocking, of an address family in the network namespace of the process behind pidfd: none
 * of the caller's threads goes there. Its descriptor or -errno. */
int clib_socket_in(int pidfd, int family);

/* A new network namespace, with its loopback device up, that lasts as long as it is mounted: on the file
 * `path`. None of the caller's threads goes there. Each returns 0 or -errno. */
int clib_network_keep(const char *path);
int clib_network_let_go(const char *path);

/* setns(2). A user namespace takes a caller with one thread. 0 or -errno */
int clib_join(int fd, int flags);
/* A child in new namespaces (CLONE_NEW*) that sleeps until it is killed, or its caller's thread ends: one at
 * a time. Its pid or -errno. */
int clib_hold(int flags, int *pidfd);
/* The calling thread gets a mount namespace of its own, with `source`, a file, mounted on the file `target`,
 * which is made; or without a source a tmpfs on the directory. 0 or -errno. */
int clib_own_mounts(const char *source, const char *target);

/* pidfd_open(2), pidfd_send_signal(2). Each returns <0 with -errno. */
int clib_pidfd_open(int pid);
int clib_pidfd_signal(int pidfd, int signal);
/* Waits for the end of a child, and closes *pidfd, which is -1 then. 0 or -errno (-ECHILD: not our child) */
int clib_pidfd_reap(int *pidfd);
/* prctl(PR_SET_CHILD_SUBREAPER). 0 or -errno */
int clib_become_subreaper(void);

/* openat2(2) below dir_fd, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | extra_resolve. Returns the descriptor or
 * -errno. */
int clib_open_in_root(int dir_fd, const char *path, int flags, int mode, uint64_t extra_resolve);

/* Loads a BPF_PROG_TYPE_CGROUP_DEVICE program of count instructions. Its descriptor or -errno. */
int clib_cgroup_device_load(const uint64_t *instructions, uint32_t count);
/* The program that was loaded so and is attached to the cgroup v2 directory. A new descriptor or -errno
 * (-ENOENT: there is none). */
int clib_cgroup_device_find(int cgroup_fd);
/* Attaches program beside those of others, at once in the place of replaced where that is not -1. 0 or
 * -errno. */
int clib_cgroup_device_attach(int cgroup_fd, int program, int replaced);
/* 0 or -errno */
int clib_cgroup_device_detach(int cgroup_fd, int program);

/* Steps of a control group's making, one after the other until one is not possible. How many were: the caller
 * does the next one itself, and hears why. */
/* mkdir(2) of `count` paths, one behind the other */
int clib_make_directories(const char *paths, int count, int mode);
/* one write(2) for each of `count` "path\0value\0" pairs, to a file that is there */
int clib_write_files(const char *pairs, int count);

/* Removes all in the directory `name` of top, and up to `deep` levels below it, each with a descriptor.
 * Directories that are deeper are moved into top where something is in them, as "<aside>0", "<aside>1" and so
 * on. Fills *size with the bytes of the files that are no more. How many were moved, or -errno. Somebody else
 * may remove the same at the same time. */
int clib_remove_level(int top, const char *name, const char *aside, int deep, uint64_t *size);

/* Whether the calling thread has a capability (0 to 63) in force: 1, 0 or -errno. */
int clib_has_capability(int capability);

/* A descriptor that is readable when a file in the directory at path has been written to, or has come
 * (inotify). Or -errno. */
int clib_watch_growth(const char *path);

/* Each of the two paths gets what the other has, at once. 0, or -errno: -EINVAL where the file system
 * cannot. */
int clib_exchange(const char *one, const char *other);

/* 0: the kernel has that type of file system, whose module is loaded where it is one. Or -errno: -ENODEV */
int clib_filesystem_known(const char *type);
