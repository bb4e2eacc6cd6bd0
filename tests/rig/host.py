"""What this host has and may do, each as None or the reason why a test that needs it skips."""

from __future__ import annotations

import os
from pathlib import Path

CAPABILITIES = {
    "CAP_CHOWN": 0, "CAP_DAC_OVERRIDE": 1, "CAP_FOWNER": 3, "CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7,
    "CAP_SETPCAP": 8, "CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_SYS_CHROOT": 18, "CAP_SYS_PTRACE": 19,
    "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_MKNOD": 27, "CAP_SYSLOG": 34, "CAP_BPF": 39,
}  # fmt: skip


def lacks_root() -> str | None:
    return None if os.geteuid() == 0 else f"runs as user {os.geteuid()}"


def lacks_capability(name: str) -> str | None:
    """Spec: proc_pid_status(5), CapEff"""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            held = int(line.split()[1], 16)
            return None if held >> CAPABILITIES[name] & 1 else f"{name} is missing"
    return "no CapEff in /proc/self/status"


def has_sanitizers() -> bool:
    """Whether the helper is the build of `nox -s native`: on a libc, with the sanitizers' own system calls."""
    from containerlib._sys.native import HELPER

    return b"libasan" in HELPER.read_bytes()
