"""Capability names, Docker's default set, and what `cap_add`, `cap_drop` and `privileged` make of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.runtime.plan.capabilities import NAMES

__all__ = ["ALL", "DEFAULT", "capability_set", "names_of"]

ALL = NAMES

DEFAULT: tuple[str, ...] = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
)

_KNOWN = frozenset(ALL)


def names_of(mask: int) -> frozenset[str]:
    """Names of the bits of a mask as /proc/PID/status shows it."""
    return frozenset(name for number, name in enumerate(ALL) if mask >> number & 1)


def capability_set(
    add: Sequence[str] = (),
    drop: Sequence[str] = (),
    *,
    privileged: bool = False,
    bounding: frozenset[str] = _KNOWN,
) -> tuple[str, ...]:
    """The capabilities of a container: Docker's 14, less `drop`, plus `add`, never more than `bounding`.

    Names are taken with or without `CAP_`, in any case; `ALL` stands for all of them. A default capability
    that the bounding set lacks is left out; one that was asked for by its name is an error.

    Raises: InvalidArgument for an unknown name; Unsupported for an added one that the bounding set lacks.
    """
    if privileged:
        return tuple(name for name in ALL if name in bounding)
    if not add and not drop:
        return tuple(name for name in DEFAULT if name in bounding)
    added, dropped = _normalized(add, "cap_add"), _normalized(drop, "cap_drop")
    explicit = [name for name in added if name != "ALL"]
    for name in explicit:
        if name not in bounding:
            raise Unsupported(
                f"cap_add: {name} is not in this process's bounding set: "
                "leave it out, or start the program with it"
            )
    if "ALL" in added:
        base: tuple[str, ...] = ALL
    else:
        base = () if "ALL" in dropped else DEFAULT
    kept = [name for name in base if name in bounding and name not in dropped]
    if "ALL" not in added:
        kept.extend(name for name in explicit if name not in kept)
    return tuple(kept)


def _normalized(names: Iterable[str], field: str) -> tuple[str, ...]:
    result = []
    for name in names:
        upper = name.upper()
        full = upper if upper == "ALL" or upper.startswith("CAP_") else f"CAP_{upper}"
        if full != "ALL" and full not in _KNOWN:
            raise InvalidArgument(f"{name!r} is not a capability: names are like NET_ADMIN", field=field)
        result.append(full)
    return tuple(dict.fromkeys(result))
