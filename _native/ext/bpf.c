/* cgroup v2 has no devices controller: a small eBPF program, attached to the group, decides instead. */
#include "ext.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

int clib_cgroup_device_attach(int cgroup_fd, const uint64_t *instructions, uint32_t count) {
    static const char license[] = "Apache-2.0";
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insn_cnt = count;
    load.insns = (uint64_t)(uintptr_t)instructions;
    load.license = (uint64_t)(uintptr_t)license;
    long program = syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof load);
    if (program < 0)
        return -errno;
    union bpf_attr attach;
    memset(&attach, 0, sizeof attach);
    attach.target_fd = (uint32_t)cgroup_fd;
    attach.attach_bpf_fd = (uint32_t)program;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    int result = syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof attach) < 0 ? -errno : 0;
    close((int)program);
    return result;
}
