"""Which arguments of a system call the kernel reads as fewer than 64 bits. Pure data.

A filter sees 64 bits of every argument. Where the call's prototype says `int`, the kernel takes the low 32 bits and
drops the others: `socket(AF_VSOCK | 1 << 32, ...)` opens a vsock socket. A comparison of such an argument therefore
looks at the bits that the kernel reads, and at no others.

The prototypes are those of the kernel's include/linux/syscalls.h. Some calls drop more than their prototype says:
clone() drops the upper half of its flags, and the vectored reads and writes that of the descriptor. Calls that only
32-bit architectures have are not listed: all of their arguments have 32 bits.

Spec: seccomp(2); linux/seccomp.h (struct seccomp_data)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

__all__ = ["argument_masks"]

_WORD, _MODE = 0xFFFFFFFF, 0xFFFF

# by the positions of their 32-bit arguments: int, unsigned int, pid_t, uid_t, key_t, clockid_t and the like
_WORDS: Mapping[str, str] = {
    "0": """
accept alarm arch_prctl clock_adjtime clock_getres clock_gettime clock_settime clone close dup epoll_create
epoll_create1 eventfd exit exit_group fchdir fchmod fchmodat fdatasync fgetxattr flistxattr fremovexattr
fstat fstatfs fsync ftruncate futimesat get_robust_list getgroups getitimer getpeername getpgid getrlimit
getrusage getsid getsockname inotify_init1 io_setup io_uring_setup iopl keyctl memfd_secret migrate_pages
mkdirat mlockall modify_ldt mq_getsetattr mq_notify mq_timedreceive openat2 personality pkey_free prctl
pread64 preadv process_vm_readv process_vm_writev pselect6 pwrite64 pwritev read readahead readv
rt_sigaction rt_sigprocmask sched_get_priority_max sched_get_priority_min sched_getparam sched_getscheduler
sched_rr_get_interval sched_setparam select set_mempolicy setfsgid setfsuid setgid setgroups setitimer
setrlimit setuid signalfd syncfs sysfs timer_create timer_delete timer_getoverrun timer_gettime
timerfd_gettime umask userfaultfd ustat write writev
""",
    "01": """
clock_nanosleep dup2 eventfd2 fallocate fanotify_init fcntl flock getpriority inotify_rm_watch ioctl
ioprio_get kexec_file_load kill landlock_restrict_self listen msgctl msgget pidfd_open prlimit64
process_mrelease rt_sigqueueinfo sched_getaffinity sched_setaffinity sched_setscheduler seccomp sendfile
setns setpgid setregid setreuid shmctl shutdown timer_settime timerfd_create timerfd_settime tkill
""",
    "012": """
close_range dup3 epoll_ctl fchown fsmount getsockopt ioprio_set kcmp membarrier pidfd_getfd quotactl_fd
reboot rt_tgsigqueueinfo semctl semget setpriority setresgid setresuid socket socketpair tgkill
""",
    "0123": "io_uring_enter",
    "0124": "setsockopt",
    "013": "fanotify_mark io_uring_register landlock_add_rule pidfd_send_signal tee waitid",
    "014": "fsconfig",
    "02": """
bind bpf connect epoll_pwait2 faccessat finit_module fspick getdents getdents64 getxattrat inotify_add_watch
listxattrat lseek mount_setattr open_by_handle_at open_tree open_tree_attr openat quotactl recvmsg
removexattrat renameat sched_setattr semop semtimedop sendmsg setxattrat shmat shmget syslog unlinkat wait4
""",
    "023": """
epoll_pwait epoll_wait faccessat2 lsm_set_self_attr recvmmsg sched_getattr sendmmsg statx
""",
    "0234": "fchownat",
    "024": "linkat move_mount renameat2",
    "025": "copy_file_range splice",
    "03": """
accept4 cachestat fadvise64 fchmodat2 lsm_get_self_attr mknodat mq_timedsend msgsnd newfstatat readlinkat
recvfrom signalfd4 sync_file_range utimensat vmsplice
""",
    "034": "process_madvise",
    "035": "sendto",
    "04": "execveat file_getattr file_setattr fsetxattr msgrcv name_to_handle_at",
    "05": "move_pages preadv2 pwritev2",
    "1": """
access delete_module fsopen memfd_create mq_open open pipe2 ppoll setdomainname sethostname swapon symlinkat
umount2
""",
    "12": "chown lchown poll",
    "123": "futex_requeue perf_event_open rseq",
    "124": "futex_waitv",
    "125": "futex",
    "2": """
getrandom ioperm landlock_create_ruleset lsm_list_modules madvise map_shadow_stack mknod mlock2 msync
readlink
""",
    "23": "futex_wake",
    "3": "listmount pkey_mprotect request_key statmount",
    "35": "futex_wait",
    "4": "add_key lsetxattr setxattr",
    "5": "mbind",
}

# by the position of a umode_t, which has 16 bits
_MODES: Mapping[str, str] = {
    "1": "chmod creat fchmod mkdir mknod",
    "2": "fchmodat fchmodat2 mkdirat mknodat mq_open open",
    "3": "openat",
}


def argument_masks(name: str) -> Mapping[int, int]:
    """The bits that the kernel reads, by the position of the argument, where these are not all 64."""
    return _MASKS.get(name, {})


def _masks() -> dict[str, dict[int, int]]:
    found: dict[str, dict[int, int]] = {}
    for table, mask in ((_WORDS, _WORD), (_MODES, _MODE)):
        for name, positions in _entries(table):
            found.setdefault(name, {}).update(dict.fromkeys(positions, mask))
    return found


def _entries(table: Mapping[str, str]) -> Iterator[tuple[str, list[int]]]:
    for positions, names in table.items():
        yield from ((name, [int(position) for position in positions]) for name in names.split())


_MASKS = _masks()
