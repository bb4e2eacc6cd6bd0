"""The words that the runtime-spec gives a meaning to, each list as the specification has it.

They say what may stand in a config.json. What the runtime does with a word is in its own tables
(`runtime/plan/mount_options.py`, `runtime/plan/capabilities.py`, ...), and `features` is made of those.

Spec: runtime-spec config.md and config-linux.md; schema/defs-linux.json
"""

from __future__ import annotations

__all__ = [
    "CAPABILITY_SETS",
    "CLOCKS",
    "DEVICE_RULE_TYPES",
    "DEVICE_TYPES",
    "HOOKS",
    "IO_CLASSES",
    "MEMORY_POLICY_FLAGS",
    "MEMORY_POLICY_MODES",
    "MOUNT_OPTIONS",
    "NAMESPACES",
    "OTHER_PLATFORMS",
    "PERSONALITIES",
    "PROPAGATIONS",
    "RLIMITS",
    "SCHEDULER_FLAGS",
    "SCHEDULER_POLICIES",
    "SECCOMP_ACTIONS",
    "SECCOMP_ARCHITECTURES",
    "SECCOMP_FLAGS",
    "SECCOMP_OPERATORS",
    "VERSION",
    "VERSION_MIN",
]

VERSION = "1.3.0"
"""Of the specification that this runtime follows."""
VERSION_MIN = "1.0.0"

HOOKS = ("prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop")
"""In the order in which they run."""
CAPABILITY_SETS = ("bounding", "effective", "inheritable", "permitted", "ambient")
OTHER_PLATFORMS = ("windows", "solaris", "vm", "zos", "freebsd")


def _prefixed(prefix: str, words: str) -> frozenset[str]:
    return frozenset(prefix + word for word in words.split())


NAMESPACES = _prefixed("", "mount pid network uts ipc user cgroup time")
CLOCKS = _prefixed("", "monotonic boottime")
MOUNT_OPTIONS = _prefixed(
    "",
    "async atime bind defaults dev diratime dirsync exec iversion lazytime loud mand noatime nodev nodiratime noexec "
    "noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev rdiratime "
    "relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid rnosymfollow ro "
    "rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw shared silent slave "
    "strictatime suid symfollow sync tmpcopyup unbindable idmap ridmap",
)
"""Those of config.md's table, and `rnodev`, which only features.md has."""
PROPAGATIONS = _prefixed("", "private shared slave unbindable")
DEVICE_TYPES = _prefixed("", "c b u p")
DEVICE_RULE_TYPES = _prefixed("", "a c b")
PERSONALITIES = _prefixed("", "LINUX LINUX32")
RLIMITS = _prefixed(
    "RLIMIT_",
    "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK",
)
IO_CLASSES = _prefixed("IOPRIO_CLASS_", "RT BE IDLE")
SCHEDULER_POLICIES = _prefixed("SCHED_", "OTHER FIFO RR BATCH ISO IDLE DEADLINE")
SCHEDULER_FLAGS = _prefixed(
    "SCHED_FLAG_",
    "RESET_ON_FORK RECLAIM DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX",
)
MEMORY_POLICY_MODES = _prefixed(
    "MPOL_", "DEFAULT BIND INTERLEAVE WEIGHTED_INTERLEAVE PREFERRED PREFERRED_MANY LOCAL"
)
MEMORY_POLICY_FLAGS = _prefixed("MPOL_F_", "NUMA_BALANCING RELATIVE_NODES STATIC_NODES")
SECCOMP_ACTIONS = _prefixed("SCMP_ACT_", "KILL KILL_PROCESS KILL_THREAD TRAP ERRNO TRACE ALLOW LOG NOTIFY")
SECCOMP_OPERATORS = _prefixed("SCMP_CMP_", "NE LT LE EQ GE GT MASKED_EQ")
SECCOMP_FLAGS = _prefixed("SECCOMP_FILTER_FLAG_", "TSYNC LOG SPEC_ALLOW WAIT_KILLABLE_RECV")
SECCOMP_ARCHITECTURES = _prefixed(
    "SCMP_ARCH_",
    "X86 X86_64 X32 ARM AARCH64 LOONGARCH64 M68K MIPS MIPS64 MIPS64N32 MIPSEL MIPSEL64 MIPSEL64N32 "
    "PPC PPC64 PPC64LE S390 S390X SH SHEB PARISC PARISC64 RISCV64",
)
