/* The container's first process (or an exec's): runs the plan's ops in its new namespaces, then becomes the
 * user's program. */
#pragma once

#include "base.h"
#include "path.h"
#include "plan.h"

/* what it inherits: each stands at its number or is closed; what the program is given from 3 on stands here
 * from INIT_PRESERVED_FD on until the exec */
enum { INIT_SYNC_FD = 3, INIT_TARGET_FD = 4, INIT_LISTENER_FD = 5, INIT_PRESERVED_FD = 6 };

enum { INIT_AHEAD = 8, INIT_SPACES = 8 };

struct init {
    const struct plan *plan;
    uint32_t launch_flags;
    int rows, columns;
    int links;         /* there is a file of that name */
    int preserved;     /* how many descriptors the program is given beyond its stdio */
    const int *layers; /* mounts of the root's layers, until it is "/"; of these are */
    int layer_count;
    int sync;              /* who is told of failure, and learns of the exec by end of file */
    int pid;               /* as the host numbers it; 0 unless a hook has to be told */
    int proc;              /* the host's, where a label is to be written, or -errno */
    int umask;             /* the caller's */
    int ordinary;          /* the shim is not root's */
    int tree;              /* the mount that the shim opened for the next BIND, or -1 */
    int ahead[INIT_AHEAD]; /* the mounts that were made ahead; of these are */
    int made, taken;
    int spaces[INIT_SPACES]; /* other containers' namespaces, opened with the rights of the beginning; of
                                these */
    int opened, joined;
    int listener; /* of the seccomp filter, or -1 */
    int found;    /* what was found of HOLD's program before a filter that comes first; 1: not sought */
    const char **argv, **envp; /* EXEC's, made before a filter; NULL: not yet */
    int root;                  /* the container's root: a mount before PIVOT, "/" after it */
    int null;                  /* a mount of /dev/null that masks a file, -1 before the first */
    int empty;                 /* an empty, read-only tmpfs that masks a directory, likewise */
};

/* runs as the cloned child; never returns */
_Noreturn void init_main(struct init *init);

/* Each op returns 0 or -errno. */

/* any of them, by its kind */
int init_run_op(struct init *init, const struct clib_op *op);

/* host.c: before the root is changed */
int op_cgroup_join(const char *path);
int op_unshare(uint64_t flags);
int op_setns(struct init *init, const struct clib_op *op);
int op_join(struct init *init, uint64_t flags);
int op_oom_score_adj(int64_t value);
int op_time_offsets(const char *text);
int op_loopback_up(void);

/* root.c */
int op_propagation(uint64_t flags);
int op_unmount(const char *path);
int op_root_bind(struct init *init, const struct clib_op *op);
int op_pivot(struct init *init, const struct clib_op *op);
/* init->root becomes "/" by chroot(2) alone */
int change_root(const struct init *init);
/* move.c: makes init->root "/", which `old` is, without pivot_root(2); 0 or -errno */
int root_move(const struct init *init, int old);

/* overlay.c */
struct overlay {
    const struct plan *plan;
    const struct clib_op *op;
    int mapping;       /* the user namespace that id-maps the layers, or -1 */
    const int *mounts; /* CLIB_ROOT_SHARED: those of the layers that are files; of these are */
    int mount_count, taken;
};
/* a new mount of it, which is attached nowhere: for the shim, in a mount namespace for it alone. The
 * descriptor or -errno */
int overlay_mount(struct overlay *overlay);
int op_root_overlay(struct init *init, const struct clib_op *op);
/* block.c: a block device of an open file; its name and descriptor, or -errno */
enum { BLOCK_NAME = 32 };
int block_of_file(int file, char device[BLOCK_NAME]);
/* attaches a mount to a host path */
int mount_onto(int mount, const char *path);
/* options of mount(2): one text, a page long */
struct option_text {
    char text[4096];
    size_t length;
};
int add_text(struct option_text *options, const char *text);

/* filesystem.c */
/* a new, detached mount of a file system configured by `count` "key, value" pairs; the descriptor or -errno
 */
int new_mount(const char *fstype, const char *pairs, uint32_t count, uint64_t attributes);
int op_mount(struct init *init, const struct clib_op *op);

/* copyup.c: copies what is in `directory`, and its extended attributes, to the root of `mount` */
int copy_up(int directory, int mount);

/* mounts.c */
enum path_walk mount_walk(const struct clib_op *op);
/* opens where a MOUNT or BIND goes, making it where it is missing; the descriptor or -errno */
int mount_target(const struct init *init, const struct clib_op *op, int directory);
/* opens what is mounted there already */
int mount_there(const struct init *init, const struct clib_op *op);
/* takes *mount where it becomes the root */
int mount_attach(struct init *init, const struct clib_op *op, int *mount, int target);
/* mount_setattr, where there is something to set */
int mount_attributes(int mount, uint64_t set, uint64_t clear, uint64_t propagation, int recursive);
int op_bind(struct init *init, const struct clib_op *op);
int op_mask(struct init *init, const char *path);
int op_readonly(struct init *init, const char *path);

/* nodes.c */
int op_mknod(struct init *init, const struct clib_op *op);
int op_symlink(struct init *init, const char *text, const char *path);
int op_sysctl(struct init *init, const char *path, const char *value);
/* standard streams on the host's /dev/null go to the one below root */
int replace_null(int root);
int is_null_device(const struct file_facts *facts);

/* console.c */
int op_console(struct init *init, const struct clib_op *op);

/* process.c */
int op_session_keyring(const char *name, uint64_t permissions);
int op_rlimit(const struct clib_op *op);
int op_cap_bounding(uint64_t kept);
int op_user(struct init *init, const struct clib_op *op);
int op_capabilities(struct init *init, const struct clib_op *op);
int op_no_new_privs(void);
int op_seccomp(struct init *init, const struct clib_op *op);
int op_chdir(struct init *init, const struct clib_op *op);
int op_parent_death(uint64_t signal);

/* attributes.c: how the kernel treats the process */
int op_personality(uint64_t persona);
int op_scheduler(const struct init *init, const struct clib_op *op);
int op_io_priority(uint64_t priority);
int op_cpu_affinity(const struct init *init, const struct clib_op *op);
int op_memory_policy(const struct init *init, const struct clib_op *op);
/* what LABEL needs of the host; a descriptor or -errno */
int labels_open(void);
int op_label(const struct init *init, const char *file, const char *text);

/* reaper.c: returns in the child, which goes on with the plan */
int op_init(const struct init *init);
/* 0 in the child; this process stays, without a descriptor (up to last_fd, where one call does not do).
 * -errno: there is no child */
int reaper_part(int last_fd);

/* first.c: the program of a container that another runtime makes; argv has at least two words */
_Noreturn void first_main(const char *const *argv, const char *const *envp);

/* exec.c */
enum { PROGRAM_SIZE = 4096 };
/* writes the path of `name`, sought in the directories of `search` as execvp(3) does, to `found` */
int find_program(const char *name, const char *search, char found[PROGRAM_SIZE]);
int op_hold(struct init *init, const char *name, const char *search);
/* does before a filter, the op `from`, what it may refuse to the ops behind it; 0 or -errno */
int exec_prepare(struct init *init, const struct clib_op *from);
/* from here on nothing has to be opened */
int op_descriptors(struct init *init);
/* does not return when it succeeds */
int op_exec(struct init *init, const struct clib_op *op);

/* restore.c */
int op_target(const struct init *init, const struct clib_op *op);
/* does not return when it succeeds */
int op_restore(struct init *init, const struct clib_op *op);
