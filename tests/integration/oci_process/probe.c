/* What the kernel says of the process that asks, one "name value..." a line: what no busybox applet shows. */
#define _GNU_SOURCE
#include <linux/keyctl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct attributes {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

static void scheduler(void) {
    struct attributes a = {0};
    if (syscall(SYS_sched_getattr, 0, &a, sizeof a, 0) == 0)
        printf("scheduler %u %llu %d %u %llu %llu %llu\n", a.policy, (unsigned long long)a.flags, a.nice,
               a.priority, (unsigned long long)a.runtime, (unsigned long long)a.deadline,
               (unsigned long long)a.period);
    printf("io_priority %ld\n", syscall(SYS_ioprio_get, 1, 0));
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    printf("cpus");
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &set))
            printf(" %d", cpu);
    printf("\n");
}

static void memory(void) {
    int mode = -1;
    unsigned long nodes[16] = {0};
    if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, 0, 0) == 0)
        printf("memory_policy %#x %#lx\n", mode, nodes[0]);
}

static void keyring(void) {
    char text[256] = "";
    long id = syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0);
    syscall(SYS_keyctl, KEYCTL_DESCRIBE, KEY_SPEC_SESSION_KEYRING, text, sizeof text);
    printf("keyring %ld %s\n", id, text);
}

int main(void) {
    struct timespec monotonic, boottime;
    mode_t mask = umask(0);
    clock_gettime(CLOCK_MONOTONIC, &monotonic);
    clock_gettime(CLOCK_BOOTTIME, &boottime);
    scheduler();
    memory();
    keyring();
    printf("personality %#x\n", (unsigned)personality(0xffffffff));
    printf("umask %o\n", mask);
    printf("clocks %ld %ld\n", (long)monotonic.tv_sec, (long)boottime.tv_sec);
    return 0;
}
