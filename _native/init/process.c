/* What the user's program will be: limits, user, capabilities, filter. */
#include "init.h"

#include "channel.h"
#include "path.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/keyctl.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>

enum { CAP_WORDS = 2, CAP_BITS = 64 };

int op_session_keyring(const char *name, uint64_t permissions) {
    long keyring = sys(keyctl, KEYCTL_JOIN_SESSION_KEYRING, name);
    if (keyring < 0)
        return keyring == -ENOSYS ? 0 : (int)keyring;
    long result = sys(keyctl, KEYCTL_SETPERM, keyring, permissions);
    return result == -EACCES ? 0 : (int)result; /* who it belongs to has done it */
}

int op_rlimit(const struct clib_op *op) {
    struct rlimit64 limit = {.rlim_cur = op->number[1], .rlim_max = op->number[2]};
    return (int)sys(prlimit64, 0, op->number[0], &limit, 0);
}

int op_cap_bounding(uint64_t kept) {
    for (uint64_t cap = 0; cap < CAP_BITS; cap++) {
        if (kept >> cap & 1)
            continue;
        long result = sys(prctl, PR_CAPBSET_DROP, cap, 0, 0, 0);
        if (result == -EINVAL) /* beyond the last one that this kernel has */
            return 0;
        if (result < 0)
            return (int)result;
    }
    return 0;
}

/* A program opens its streams again as /dev/stdout, which only a pipe's owner may. What else they may be
 * stays as it is: a file or a terminal is the host's, with a name there, and a socket cannot be opened. */
static int give_pipes(uint32_t uid) {
    for (int fd = 0; fd < 3; fd++) {
        struct file_facts facts;
        if (file_facts(fd, &facts) < 0 || !S_ISFIFO(facts.mode))
            continue;
        long result = sys(fchown, fd, uid, -1);
        /* an owner that this user namespace does not have, or a FIFO of a read-only file system */
        if (result < 0 && result != -EPERM && result != -EINVAL && result != -EROFS)
            return (int)result;
    }
    return 0;
}

int op_user(struct init *init, const struct clib_op *op) {
    /* to setresuid(2) -1 means "as it is", which is root, and the rest of a long number nothing */
    if (op->number[0] >= UINT32_MAX || op->number[1] >= UINT32_MAX)
        return -EINVAL;
    long result = op->number[2] & CLIB_USER_OWNS_PIPES ? give_pipes((uint32_t)op->number[0]) : 0;
    if (result == 0)
        result = sys(prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (result == 0 && !(op->number[2] & CLIB_USER_GROUPS_STAY))
        result = sys(setgroups, op->size / sizeof(uint32_t), init->plan->blob + op->text[2]);
    if (result == 0)
        result = sys(setresgid, op->number[1], op->number[1], op->number[1]);
    if (result == 0)
        result = sys(setresuid, op->number[0], op->number[0], op->number[0]);
    if (result == 0) /* where fs.suid_dumpable is 1 the change of user made it dumpable again */
        result = sys(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    return (int)result;
}

/* What cannot be granted, since this process has it not itself, is left out: the plan's maker has warned. */
int op_capabilities(struct init *init, const struct clib_op *op) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[CAP_WORDS];
    uint64_t ambient = 0;
    if (op->size == sizeof ambient)
        memcpy(&ambient, init->plan->blob + op->text[2], sizeof ambient);
    long result = sys(capget, &header, data);
    if (result < 0)
        return (int)result;
    for (int word = 0; word < CAP_WORDS; word++) {
        uint32_t held = data[word].permitted;
        uint32_t permitted = held & (uint32_t)(op->number[1] >> 32 * word);
        uint32_t inheritable = held & (uint32_t)(op->number[2] >> 32 * word);
        data[word] = (struct __user_cap_data_struct){
            .effective = permitted & (uint32_t)(op->number[0] >> 32 * word),
            .permitted = permitted,
            .inheritable = inheritable,
        };
        ambient &= (uint64_t)(permitted & inheritable) << 32 * word | (uint64_t)~0u << 32 * (1 - word);
    }
    result = sys(capset, &header, data);
    if (result == 0)
        result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (uint64_t cap = 0; result == 0 && cap < CAP_BITS; cap++)
        if (ambient >> cap & 1)
            result = sys(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
    return (int)result;
}

int op_no_new_privs(void) {
    return (int)sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

/* Without no_new_privs only who has CAP_SYS_ADMIN loads a filter: the plan leaves it permitted until the
 * exec, and a change of user has made it ineffective. Where it is not there, the load says so. */
static void use_admin(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[CAP_WORDS];
    if (sys(capget, &header, data) < 0)
        return;
    data[0].effective |= data[0].permitted & 1u << CAP_SYS_ADMIN;
    sys(capset, &header, data);
}

/* What comes behind it may be refused, but for what every program needs: execve(2), write(2) and exit(2). */
int op_seccomp(struct init *init, const struct clib_op *op) {
    int prepared = exec_prepare(init, op);
    if (prepared < 0)
        return prepared;
    use_admin();
    struct sock_fprog program = {
        .len = (unsigned short)(op->size / sizeof(struct sock_filter)),
        .filter = (struct sock_filter *)(uintptr_t)(init->plan->blob + op->text[2]),
    };
    long result = sys(seccomp, SECCOMP_SET_MODE_FILTER, op->number[0], &program);
    if (result >= 0 && op->number[0] & SECCOMP_FILTER_FLAG_NEW_LISTENER)
        init->listener = (int)result;
    return result < 0 ? (int)result : 0;
}

/* The directory must be inside the container: one that was opened on the host before would not be
 * (CVE-2024-21626). */
static int check_inside(void) {
    char cwd[4096];
    long length = sys(getcwd, cwd, sizeof cwd);
    if (length < 0)
        return (int)length;
    return cwd[0] == '/' ? 0 : -ENOENT;
}

int op_chdir(struct init *init, const struct clib_op *op) {
    const char *path = op_text(init->plan, op, 0);
    long result = sys(chdir, path);
    if (result == -ENOENT && op->number[0]) {
        cleanup_close int made = path_ensure(init->root, path, 1, PATH_FOLLOW);
        result = made < 0 ? made : sys(chdir, path);
    }
    return result < 0 ? (int)result : check_inside();
}

/* Set last: a change of user clears it. The shim may have died before; then the socket to it has ended. */
int op_parent_death(uint64_t signal) {
    long result = sys(prctl, PR_SET_PDEATHSIG, signal, 0, 0, 0);
    if (result < 0)
        return (int)result;
    char byte;
    long left = sys(recvfrom, INIT_SYNC_FD, &byte, 1, MSG_DONTWAIT_ | MSG_PEEK_, 0, 0);
    return left == 0 ? -EOWNERDEAD : 0;
}
