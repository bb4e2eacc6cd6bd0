"""What to do about an op that the kernel refused: a sentence for each op and errno that has one cause."""

from __future__ import annotations

from collections.abc import Mapping
from errno import (
    E2BIG,
    EACCES,
    EBUSY,
    ECHILD,
    EDQUOT,
    EEXIST,
    EINVAL,
    EIO,
    ELOOP,
    ENODEV,
    ENOENT,
    ENOSYS,
    ENOTBLK,
    ENOTDIR,
    EOPNOTSUPP,
    EPERM,
    EPROTO,
    ERANGE,
    ESRCH,
    ETIMEDOUT,
    EUCLEAN,
)

__all__ = ["OP_ADVICE"]

_NOT_MAPPABLE = (
    "this kernel cannot id-map the source's file system or a mount below it, or it is id-mapped already"
)
_ABSENT = "the container that this one shares with does not run, or was removed: start it first"
_DAMAGED = "a layer's file is damaged: pull the image again, after removing it"
_NOT_ON_EACH_OTHER = "a directory cannot be mounted on a file, nor a file on a directory"
_BY_OP: Mapping[str, Mapping[int, str]] = {
    "chdir": {ENOENT: "the container has no such directory: make it first"},
    "mount": {ENODEV: "this kernel has no such file system: see /proc/filesystems"},
    "bind": {
        EINVAL: _NOT_ON_EACH_OTHER,
        ENOTDIR: _NOT_ON_EACH_OTHER,
        EPERM: "a user namespace cannot take away what the source's mount forbids "
        "(ro, nosuid, nodev, noexec, noatime)",
        ENODEV: "only a procfs may be mounted on /proc",
    },
    "setns": {ESRCH: _ABSENT},
    "namespace": {ESRCH: _ABSENT},
    "borrow": {
        ESRCH: _ABSENT,
        ENOENT: "that container has nothing there to lend",
        EINVAL: "that container has unmounted what it was to lend",
        EPROTO: "its supervisor was started by an older containerlib: start it again with this one",
        ETIMEDOUT: "its supervisor does not answer: is it stopped?",
    },
    "tree": {
        ENOENT: "the source, or the part of it that is asked for, is not there: make it first",
        EINVAL: _NOT_MAPPABLE,
        EPERM: _NOT_MAPPABLE,
        EOPNOTSUPP: _NOT_MAPPABLE,
    },
    "root_overlay": {
        EUCLEAN: _DAMAGED,
        ENOTBLK: "this kernel mounts no file system that is a file: Linux 6.12 with EROFS_FS_BACKED_BY_FILE does; pull "
        'the image with Engine(snapshotter="overlay")',
        ELOOP: "the state directory is on an overlay itself, too deep a stack: choose another root, or pull the image "
        'with Engine(snapshotter="overlay")',
        EPERM: "mounting layers needs root (CAP_SYS_ADMIN)",
    },
    "root_fuse": {
        ENOENT: "it needs /dev/fuse and the program fuse-overlayfs: apt-get install fuse-overlayfs",
        ENODEV: "this kernel has no FUSE: modprobe fuse",
    },
    "rlimit": {
        EPERM: "raising a hard limit needs CAP_SYS_RESOURCE; a RLIMIT_NOFILE below 128 is set last, and the seccomp "
        "profile must allow prlimit64 then"
    },
    "oom_score_adj": {EACCES: "a value below the runtime's own needs CAP_SYS_RESOURCE"},
    "scheduler": {
        EPERM: "it needs CAP_SYS_NICE on the host; a real-time policy also a cgroup with cpu.rt_runtime_us, and "
        "SCHED_DEADLINE every CPU",
        EINVAL: "this kernel does not have the policy (Linux itself has no SCHED_ISO), or not with these values",
        EBUSY: "the CPUs have not that much time left for SCHED_DEADLINE",
        EOPNOTSUPP: "utilization clamping needs a kernel with CONFIG_UCLAMP_TASK",
        E2BIG: "utilization clamping needs Linux 5.3",
    },
    "io_priority": {EPERM: "IOPRIO_CLASS_RT needs CAP_SYS_NICE on the host"},
    "cpu_affinity": {EINVAL: "none of these CPUs is there, or in the cpuset"},
    "memory_policy": {
        EINVAL: "these nodes are not there or not in the cpuset, or the kernel does not know the mode",
        ENOSYS: "it needs a kernel with CONFIG_NUMA",
    },
    "personality": {EINVAL: "this processor cannot run such programs"},
    "time_offsets": {ERANGE: "with this offset the clock would be negative, or beyond the kernel's range"},
    "label": {
        ENOENT: "no such profile is loaded in this kernel",
        EINVAL: "the security module does not know this label",
    },
    "propagation": {
        EINVAL: 'here "/" is a directory in a mount, as after a chroot(2), and no root could be changed'
    },
    "pivot": {
        EINVAL: 'where "/" is the initial ramdisk, pivot_root(2) is not possible: create with --no-pivot'
    },
    "session_keyring": {EDQUOT: "the user has too many keys: raise /proc/sys/kernel/keys/maxkeys"},
    "listener": {
        ETIMEDOUT: "the seccomp agent accepts no connection, or does not read what it is sent: is it stopped?"
    },
    "pages": {
        EIO: "what brought its memory from the checkpoint failed or was killed, and so it was ended: see pages.log",
        ECHILD: "what was to bring its memory from the checkpoint could not begin: see pages.log",
        ETIMEDOUT: "what was to bring its memory from the checkpoint does not answer: is it stopped?",
    },
    "link": {
        ENODEV: "the network namespace of the runtime has no such device",
        EEXIST: "the container's network namespace has a device of that name; a name with %d finds a free one",
        EINVAL: "this kind of device cannot leave its network namespace",
        EACCES: "it has an address of IPv6, and IPv6 is off in the container's network namespace",
        EPERM: "it needs CAP_NET_ADMIN in both network namespaces",
    },
}
OP_ADVICE: Mapping[tuple[str, int], str] = {
    (op, code): sentence for op, sentences in _BY_OP.items() for code, sentence in sentences.items()
}
"""By the op's name and the errno."""
