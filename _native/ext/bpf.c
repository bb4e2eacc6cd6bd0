/* cgroup v2 has no devices controller: a small eBPF program, attached to the group, decides instead. */
#include "ext.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* by which ours is known among those that others attach to the same group: systemd, or who hands out GPUs */
static const char NAME[BPF_OBJ_NAME_LEN] = "containerlib";
enum { MOST_PROGRAMS = 64 }; /* of a group, as the kernel has it */

static int bpf(int command, union bpf_attr *attributes) {
    long result = syscall(SYS_bpf, command, attributes, sizeof *attributes);
    return result < 0 ? -errno : (int)result;
}

int clib_cgroup_device_load(const uint64_t *instructions, uint32_t count) {
    static const char license[] = "Apache-2.0";
    union bpf_attr load;
    memset(&load, 0, sizeof load);
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insn_cnt = count;
    load.insns = (uint64_t)(uintptr_t)instructions;
    load.license = (uint64_t)(uintptr_t)license;
    memcpy(load.prog_name, NAME, sizeof NAME);
    return bpf(BPF_PROG_LOAD, &load);
}

static int is_ours(int program) {
    struct bpf_prog_info info;
    memset(&info, 0, sizeof info);
    union bpf_attr ask;
    memset(&ask, 0, sizeof ask);
    ask.info.bpf_fd = (uint32_t)program;
    ask.info.info_len = sizeof info;
    ask.info.info = (uint64_t)(uintptr_t)&info;
    return bpf(BPF_OBJ_GET_INFO_BY_FD, &ask) == 0 && memcmp(info.name, NAME, sizeof NAME) == 0;
}

int clib_cgroup_device_find(int cgroup_fd) {
    uint32_t ids[MOST_PROGRAMS];
    union bpf_attr query;
    memset(&query, 0, sizeof query);
    query.query.target_fd = (uint32_t)cgroup_fd;
    query.query.attach_type = BPF_CGROUP_DEVICE;
    query.query.prog_ids = (uint64_t)(uintptr_t)ids;
    query.query.prog_cnt = MOST_PROGRAMS;
    int result = bpf(BPF_PROG_QUERY, &query);
    if (result < 0)
        return result;
    for (uint32_t i = 0; i < query.query.prog_cnt; i++) {
        union bpf_attr open;
        memset(&open, 0, sizeof open);
        open.prog_id = ids[i];
        int program = bpf(BPF_PROG_GET_FD_BY_ID, &open);
        if (program >= 0 && is_ours(program))
            return program;
        if (program >= 0)
            close(program);
    }
    return -ENOENT;
}

int clib_cgroup_device_attach(int cgroup_fd, int program, int replaced) {
    union bpf_attr attach;
    memset(&attach, 0, sizeof attach);
    attach.target_fd = (uint32_t)cgroup_fd;
    attach.attach_bpf_fd = (uint32_t)program;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI;
    if (replaced >= 0) {
        attach.attach_flags |= BPF_F_REPLACE;
        attach.replace_bpf_fd = (uint32_t)replaced;
    }
    return bpf(BPF_PROG_ATTACH, &attach);
}

int clib_cgroup_device_detach(int cgroup_fd, int program) {
    union bpf_attr detach;
    memset(&detach, 0, sizeof detach);
    detach.target_fd = (uint32_t)cgroup_fd;
    detach.attach_bpf_fd = (uint32_t)program;
    detach.attach_type = BPF_CGROUP_DEVICE;
    return bpf(BPF_PROG_DETACH, &detach);
}
