/* The floor: what the bare system calls of a container cost, with nothing around them.
 *
 *   floor three|docker ROOTFS SCRATCH ROUNDS SECCOMP|- [CGROUP]...
 *
 * Each round makes the groups, clones with every namespace but user and time, joins the groups by writing "0"
 * to their `tasks` (v2: `cgroup.procs`), mounts an overlay of ROOTFS and what the variant says, pivots,
 * executes /bin/true, waits, and takes everything away. "three" mounts /proc, /dev and /sys; "docker" also
 * makes Docker's other mounts, devices, masks and read-only paths, drops capabilities, and loads the filter
 * in the file SECCOMP. Prints each round's nanoseconds.
 *
 * It does not supervise, log, collect output, record anything, or survive an error: it says so and exits
 * with 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CHECK(call)                                                                                          \
    do {                                                                                                     \
        if ((call) < 0) {                                                                                    \
            fprintf(stderr, "floor: line %d: %s: %s\n", __LINE__, #call, strerror(errno));                   \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

enum { NAMESPACES = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET };

struct floor {
    const char *rootfs;
    const char *scratch;
    int docker;
    struct sock_fprog filter;
    char **cgroups;
    int cgroup_count;
};

struct mount_entry {
    const char *source, *target, *type;
    unsigned long flags;
    const char *data;
};

static const unsigned long SAFE = MS_NOSUID | MS_NODEV | MS_NOEXEC;

static const struct {
    const char *path;
    int major, minor;
} DEVICES[] = {{"dev/null", 1, 3}, {"dev/zero", 1, 5},   {"dev/full", 1, 7},
               {"dev/tty", 5, 0},  {"dev/random", 1, 8}, {"dev/urandom", 1, 9}};

static const char *const SYMLINKS[][2] = {
    {"/proc/self/fd", "dev/fd"},       {"/proc/self/fd/0", "dev/stdin"}, {"/proc/self/fd/1", "dev/stdout"},
    {"/proc/self/fd/2", "dev/stderr"}, {"/proc/kcore", "dev/core"},      {"pts/ptmx", "dev/ptmx"}};

static const char *const MASKED[] = {"proc/asound",     "proc/acpi",        "proc/interrupts",
                                     "proc/kcore",      "proc/keys",        "proc/latency_stats",
                                     "proc/timer_list", "proc/timer_stats", "proc/sched_debug",
                                     "proc/scsi",       "sys/firmware",     "sys/devices/virtual/powercap"};

static const char *const READ_ONLY[] = {"proc/bus", "proc/fs", "proc/irq", "proc/sys", "proc/sysrq-trigger"};

/* Docker's 14 by number */
static const int KEPT[] = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31};

static void write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    CHECK(fd);
    CHECK(write(fd, text, strlen(text)));
    close(fd);
}

static const char *in(char *buffer, size_t size, const char *directory, const char *name) {
    snprintf(buffer, size, "%s/%s", directory, name);
    return buffer;
}

static void join_cgroups(const struct floor *floor) {
    char path[4096];
    for (int i = 0; i < floor->cgroup_count; i++) {
        in(path, sizeof path, floor->cgroups[i], "tasks");
        if (access(path, F_OK) < 0)
            in(path, sizeof path, floor->cgroups[i], "cgroup.procs");
        write_file(path, "0");
    }
    CHECK(unshare(CLONE_NEWCGROUP));
}

static void mount_root(const struct floor *floor) {
    char options[16384], path[4096];
    snprintf(options, sizeof options, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", floor->rootfs,
             floor->scratch, floor->scratch);
    CHECK(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL));
    CHECK(mount("overlay", in(path, sizeof path, floor->scratch, "merged"), "overlay", 0, options));
    CHECK(chdir(path));
}

static void mount_three(void) {
    CHECK(mount("proc", "proc", "proc", SAFE, NULL));
    CHECK(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
    CHECK(mount("sysfs", "sys", "sysfs", SAFE | MS_RDONLY, NULL));
}

static void make_file(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    CHECK(fd);
    close(fd);
}

static void mount_docker(const struct floor *floor) {
    static const struct mount_entry entries[] = {
        {"devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
        {"shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k"},
        {"mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
        {"tmpfs", "sys/fs/cgroup", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755"},
    };
    static const char *const files[] = {"etc/resolv.conf", "etc/hostname", "etc/hosts"};
    char source[4096];

    CHECK(mkdir("dev/pts", 0755));
    CHECK(mkdir("dev/shm", 0755));
    CHECK(mkdir("dev/mqueue", 0755));
    for (size_t i = 0; i < COUNT(entries); i++)
        CHECK(
            mount(entries[i].source, entries[i].target, entries[i].type, entries[i].flags, entries[i].data));
    for (size_t i = 0; i < COUNT(files); i++) {
        make_file(files[i]);
        CHECK(mount(in(source, sizeof source, floor->scratch, "file"), files[i], NULL, MS_BIND, NULL));
    }
    CHECK(mount(NULL, "sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE, NULL));
}

static void make_devices(void) {
    for (size_t i = 0; i < COUNT(DEVICES); i++)
        CHECK(mknod(DEVICES[i].path, S_IFCHR | 0666, makedev(DEVICES[i].major, DEVICES[i].minor)));
    for (size_t i = 0; i < COUNT(SYMLINKS); i++)
        CHECK(symlink(SYMLINKS[i][0], SYMLINKS[i][1]));
}

static void hide_paths(void) {
    struct stat status;
    for (size_t i = 0; i < COUNT(MASKED); i++) {
        if (stat(MASKED[i], &status) < 0)
            continue;
        if (S_ISDIR(status.st_mode))
            CHECK(mount("tmpfs", MASKED[i], "tmpfs", MS_RDONLY, NULL));
        else
            CHECK(mount("dev/null", MASKED[i], NULL, MS_BIND, NULL));
    }
    for (size_t i = 0; i < COUNT(READ_ONLY); i++) {
        if (stat(READ_ONLY[i], &status) < 0)
            continue;
        CHECK(mount(READ_ONLY[i], READ_ONLY[i], NULL, MS_BIND | MS_REC, NULL));
        CHECK(mount(NULL, READ_ONLY[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE, NULL));
    }
}

static void set_sysctls(void) {
    write_file("proc/sys/net/ipv4/ping_group_range", "0 2147483647");
    write_file("proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
}

static void bring_loopback_up(void) {
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(fd);
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    CHECK(ioctl(fd, SIOCSIFFLAGS, &request));
    close(fd);
}

static void drop_capabilities(void) {
    for (int capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
        int kept = 0;
        for (size_t i = 0; i < COUNT(KEPT); i++)
            kept |= KEPT[i] == capability;
        if (!kept)
            CHECK(prctl(PR_CAPBSET_DROP, capability, 0, 0, 0));
    }
}

static void run_child(const struct floor *floor) {
    char *const argv[] = {"true", NULL};
    char *const environment[] = {"PATH=/usr/bin:/bin", NULL};

    join_cgroups(floor);
    mount_root(floor);
    mount_three();
    if (floor->docker) {
        mount_docker(floor);
        make_devices();
        set_sysctls();
        hide_paths();
        bring_loopback_up();
        CHECK(sethostname("floor", 5));
    }
    CHECK(syscall(SYS_pivot_root, ".", "."));
    CHECK(umount2(".", MNT_DETACH));
    CHECK(chdir("/"));
    if (floor->docker) {
        if (floor->filter.len)
            CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &floor->filter));
        drop_capabilities();
    }
    CHECK(execve("/bin/true", argv, environment));
}

static void make_scratch(const struct floor *floor) {
    static const char *const names[] = {"upper", "work", "merged"};
    char path[4096];
    for (size_t i = 0; i < COUNT(names); i++)
        CHECK(mkdir(in(path, sizeof path, floor->scratch, names[i]), 0755));
    for (int i = 0; i < floor->cgroup_count; i++)
        CHECK(mkdir(floor->cgroups[i], 0755));
}

/* What the overlay and the child left in the upper directory: three files in etc, made by mount_docker. */
static void remove_scratch(const struct floor *floor) {
    static const char *const files[] = {"upper/etc/resolv.conf", "upper/etc/hostname", "upper/etc/hosts"};
    static const char *const directories[] = {"upper/etc", "upper", "work/index",
                                              "work/work", "work",  "merged"};
    char path[4096];
    for (int i = 0; i < floor->cgroup_count; i++)
        CHECK(rmdir(floor->cgroups[i]));
    for (size_t i = 0; i < COUNT(files) && floor->docker; i++)
        unlink(in(path, sizeof path, floor->scratch, files[i]));
    for (size_t i = 0; i < COUNT(directories); i++)
        if (rmdir(in(path, sizeof path, floor->scratch, directories[i])) < 0 && errno != ENOENT)
            CHECK(-1);
}

static long long nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static long long run_round(const struct floor *floor) {
    long long started = nanoseconds();
    int status;
    pid_t child;

    make_scratch(floor);
    child = (pid_t)syscall(SYS_clone, NAMESPACES | SIGCHLD, NULL, NULL, NULL, NULL);
    CHECK(child);
    if (child == 0)
        run_child(floor);
    CHECK(waitpid(child, &status, 0));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        exit(1);
    remove_scratch(floor);
    return nanoseconds() - started;
}

static void read_filter(struct floor *floor, const char *path) {
    static struct sock_filter instructions[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size;

    CHECK(fd);
    size = read(fd, instructions, sizeof instructions);
    CHECK(size);
    close(fd);
    floor->filter.len = (unsigned short)((size_t)size / sizeof instructions[0]);
    floor->filter.filter = instructions;
}

int main(int argc, char **argv) {
    char path[4096];
    if (argc < 6) {
        fprintf(stderr, "usage: floor three|docker ROOTFS SCRATCH ROUNDS SECCOMP|- [CGROUP]...\n");
        return 2;
    }
    struct floor floor = {.rootfs = argv[2],
                          .scratch = argv[3],
                          .docker = strcmp(argv[1], "docker") == 0,
                          .cgroups = argv + 6,
                          .cgroup_count = argc - 6};
    if (strcmp(argv[5], "-") != 0)
        read_filter(&floor, argv[5]);
    make_file(in(path, sizeof path, floor.scratch, "file"));
    for (int round = atoi(argv[4]); round > 0; round--)
        printf("%lld\n", run_round(&floor));
    return 0;
}
