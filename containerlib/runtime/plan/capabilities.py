"""Capabilities: names, bits, and the five sets of a process.

What does not exist or cannot be granted is no error: it is left out, and whoever shows warnings says so.

Spec: runtime-spec config.md#linux-process, capabilities(7)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from containerlib.spec.values import cast, frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import Capabilities, Process

__all__ = ["NAMES", "CapabilitySets", "granted", "held", "mask", "ungranted"]

NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""In the order of their bits."""
_BITS = {name: 1 << bit for bit, name in enumerate(NAMES)}


@frozen
class CapabilitySets:
    """As bits, and so that the kernel takes them together."""

    bounding: int
    effective: int
    permitted: int
    inheritable: int
    ambient: int


def mask(names: Iterable[str]) -> int:
    """The bit set of those of `names` that there are."""
    bits = 0
    for name in names:
        bits |= _BITS.get(name, 0)
    return bits


def granted(capabilities: Capabilities) -> CapabilitySets:
    """What can be granted of `capabilities` by a process that has them all.

    The kernel's rules: nothing is effective that is not permitted, nothing inheritable that the bounding set lacks,
    nothing ambient that is not both permitted and inheritable.
    """
    bounding = mask(capabilities.get("bounding") or ())
    permitted = mask(capabilities.get("permitted") or ())
    inheritable = mask(capabilities.get("inheritable") or ()) & bounding
    return CapabilitySets(
        bounding=bounding,
        effective=mask(capabilities.get("effective") or ()) & permitted,
        permitted=permitted,
        inheritable=inheritable,
        ambient=mask(capabilities.get("ambient") or ()) & permitted & inheritable,
    )


def ungranted(process: Process, own: int, where: str = "process") -> Iterator[str]:
    """Warnings: which of a process's capabilities it will not have, if whoever makes it has `own`.

    Spec: runtime-spec config.md#linux-process: what cannot be granted is a warning
    """
    capabilities = process.get("capabilities")
    if not capabilities:
        return
    sets = granted(capabilities)
    for field in ("bounding", "effective", "permitted", "inheritable", "ambient"):
        asked = mask(cast("list[str] | None", capabilities.get(field)) or ())
        missing = asked & ~(getattr(sets, field) & own)
        for name in names_of(missing):
            reason = (
                "the runtime does not have it itself" if not own & _BITS[name] else "another set must have it"
            )
            yield f"{where}.capabilities.{field}: {name} cannot be granted: {reason}"


def names_of(bits: int) -> tuple[str, ...]:
    return tuple(name for name, bit in _BITS.items() if bits & bit)


def held(status: str = "/proc/self/status") -> int:
    """The bounding set of this process: what it can give at most, outside a user namespace."""
    with open(status) as file:
        for line in file:
            if line.startswith("CapBnd:"):
                return int(line.split()[1], 16)
    return 0
