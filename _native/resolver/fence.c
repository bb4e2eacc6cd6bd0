/* What stands between whoever finds a fault in the reading of messages and the host. */
#include "resolver.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/resource.h>
#include <linux/seccomp.h>
#include <linux/signal.h>
#include <linux/sockios.h>

enum { NOBODY = 65534 };

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#else
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(verdict) BPF_STMT(BPF_RET | BPF_K, verdict)
#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), RETURN(SECCOMP_RET_ALLOW)
/* where the low half of an argument is one value */
#define ALLOW_WITH(name, argument, value)                                                                    \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 4), LOAD(args[argument]),                            \
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1), RETURN(SECCOMP_RET_ALLOW),                         \
        RETURN(SECCOMP_RET_KILL_PROCESS)

#if !__STDC_HOSTED__
static struct sock_filter filter[] = {
    LOAD(arch),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 1, 0),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(nr),
    ALLOW(ppoll),
    ALLOW(recvfrom),
    ALLOW(sendto),
    ALLOW(connect),
    ALLOW(accept4),
    ALLOW(close),
    ALLOW(statx),
    ALLOW(openat), /* of what little it sees */
    ALLOW(munmap),
    ALLOW(clock_gettime),
    ALLOW(getrandom),
    ALLOW(getsockopt),
    ALLOW(exit_group),
    ALLOW_WITH(mmap, 2, 1 /* PROT_READ */),
    ALLOW_WITH(ioctl, 1, SIOCGIFINDEX),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_socket, 1, 0),
    RETURN(SECCOMP_RET_KILL_PROCESS),
    LOAD(args[0]),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INET, 1, 0),
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INET6, 0, 1),
    RETURN(SECCOMP_RET_ALLOW),
    RETURN(SECCOMP_RET_KILL_PROCESS),
};

static int install_filter(void) {
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return (int)sys(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}
#else /* the sanitizers' libc calls what it likes */
static int install_filter(void) {
    return 0;
}
#endif

int fence(int directory, int parent) {
    struct rlimit64 none = {0};
    long result = sys(fchdir, directory);
    if (result == 0)
        result = sys(chroot, ".");
    if (result == 0)
        result = sys(setgroups, 0, 0);
    if (result == 0)
        result = sys(setresgid, NOBODY, NOBODY, NOBODY);
    if (result == 0)
        result = sys(setresuid, NOBODY, NOBODY, NOBODY); /* with it go all capabilities */
    if (result == 0)
        result = sys(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (result == 0)
        result = sys(prlimit64, 0, RLIMIT_CORE, &none, 0);
    if (result == 0)
        result = sys(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0); /* a change of ids takes it back */
    if (result == 0 && sys(getppid) != parent)
        result = -ESRCH;
    return result < 0 ? (int)result : install_filter();
}
