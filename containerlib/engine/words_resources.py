"""What the words about resources take: limits, shares, and where memory comes from. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import re
from typing import Any

from attrs import evolve, fields_dict

from containerlib.engine.words import flag, host_path, text
from containerlib.errors import InvalidArgument
from containerlib.spec.options import DeviceLimit, Limits
from containerlib.units import Size, check_kind, parse_size

__all__ = ["device_limit", "limits", "memory_policy", "number", "number_list", "positive_size", "rlimit"]

_RLIMITS = (
    "AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK"
)
_LARGEST = 2**64 - 1
_MOST_PROCESSES = 2**22
"""PID_MAX_LIMIT, as much as pids.max takes."""
_MOST_PROCESSORS = 8192
"""What a kernel can be built for (NR_CPUS)."""
_WEIGHTS = (10, 1000)
_NUMBER_LIST = re.compile(r"\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*")
_PAGE_SIZE = re.compile(r"[1-9][0-9]*[KMG]B")
_POLICIES = (
    "bind",
    "default",
    "interleave",
    "local",
    "preferred",
    "preferred_many",
    "weighted_interleave",
)
_RANGES = {
    "swappiness": (0, 100),
    "cpu_shares": (2, 2**18),
    "cpu_period": (1000, 1_000_000),
    "cpu_rt_runtime": (0, 2**62),
    "cpu_rt_period": (1, 2**62),
    "blkio_weight": _WEIGHTS,
    "pids": (1, _MOST_PROCESSES),
}


def limits(old: Limits, **values: Any) -> Limits:
    """`old` with every value that is not None."""
    given = {name: value for name, value in values.items() if value is not None}
    if "hugepages" in given:
        given["hugepages"] = tuple({**dict(old.hugepages), **dict(_hugepages(given["hugepages"]))}.items())
    for name in given.keys() & {"memory", "memory_reservation"}:
        given[f"{name}_bytes"] = positive_size(given.pop(name), name)
    if "swap" in given:
        given["swap_bytes"] = _swap(given.pop("swap"))
    if "cpus" in given:
        given["cpus"] = _cpus(given["cpus"])
    if "cpu_quota" in given:
        given["cpu_quota"] = _quota(given["cpu_quota"])
    if "oom_kill_disable" in given:
        flag(given["oom_kill_disable"], field="oom_kill_disable")
    for name in given.keys() & {"cpuset", "mems"}:
        given[name] = number_list(given[name], field=name)
    for name in given.keys() & _RANGES.keys():
        least, most = _RANGES[name]
        if name == "pids" and given[name] == -1:
            continue
        number(given[name], field=name, least=least, most=most)
    if unknown := given.keys() - fields_dict(Limits).keys():
        raise TypeError(f"not a limit: {', '.join(sorted(unknown))}")
    made = evolve(old, **given)
    if made.cpus is not None and (made.cpu_quota is not None or made.cpu_period is not None):
        raise InvalidArgument("cpus says what cpu_quota and cpu_period say: give one of both", field="cpus")
    return made


def number(value: int, *, field: str, least: int, most: int) -> int:
    """A whole number of a range."""
    check_kind(value, int, want="a whole number, an int", field=field)
    if not least <= value <= most:
        raise InvalidArgument(f"{value} is out of range: from {least} to {most}", field=field)
    return value


def number_list(value: str | int, *, field: str) -> str:
    """`3` or `"0-3,7"`, as the kernel writes sets of processors and memory nodes."""
    check_kind(value, int, str, want='a list of numbers: write e.g. "0-3,7"', field=field)
    written = text(str(value), field=field).replace(" ", "")
    if not _NUMBER_LIST.fullmatch(written):
        raise InvalidArgument(f'{value!r} is not a list of numbers: write e.g. "0-3,7"', field=field)
    for part in written.split(","):
        first, _, last = part.partition("-")
        if last and int(last) < int(first):
            raise InvalidArgument(f"{part} goes down: write {last}-{first}", field=field)
    return written


def positive_size(value: Size, field: str) -> int:
    """A number of bytes that something can run in."""
    size_bytes = parse_size(value, field=field)
    if size_bytes == 0:
        raise InvalidArgument("a limit of 0 bytes lets nothing run", field=field)
    return size_bytes


def device_limit(
    path: str,
    *,
    weight: int | None,
    read_bps: Size | None,
    write_bps: Size | None,
    read_iops: int | None,
    write_iops: int | None,
) -> DeviceLimit:
    """The limits of one block device."""
    sizes = {"read_bps": read_bps, "write_bps": write_bps}
    counts = {"read_iops": read_iops, "write_iops": write_iops}
    given: dict[str, int] = {
        **{name: positive_size(value, name) for name, value in sizes.items() if value is not None},
        **{
            name: number(value, field=name, least=1, most=2**32 - 1)
            for name, value in counts.items()
            if value is not None
        },
    }
    if weight is not None:
        given["weight"] = number(weight, field="weight", least=_WEIGHTS[0], most=_WEIGHTS[1])
    if not given:
        raise InvalidArgument("there is no limit: give read_bps, write_iops, weight, ...", field="read_bps")
    return DeviceLimit(host_path(path, field="device"), **given)


def memory_policy(
    mode: str, nodes: str | int | None, *, static: bool, relative: bool
) -> tuple[str, str, tuple[str, ...]]:
    """A policy of set_mempolicy(2), as the runtime-spec writes it."""
    name = text(mode, field="mode")
    if name not in _POLICIES:
        raise InvalidArgument(f"{name!r} is none of {', '.join(_POLICIES)}", field="mode")
    if (nodes is None) != (name in ("default", "local")):
        need = "takes no nodes" if nodes is not None else 'needs nodes, e.g. nodes="0-1"'
        raise InvalidArgument(f"the memory policy {name} {need}", field="nodes")
    if flag(static, field="static") and flag(relative, field="relative"):
        raise InvalidArgument("nodes are static or relative, not both", field="static")
    flags = ("MPOL_F_STATIC_NODES",) * static + ("MPOL_F_RELATIVE_NODES",) * relative
    return (f"MPOL_{name.upper()}", "" if nodes is None else number_list(nodes, field="nodes"), flags)


def rlimit(name: str, soft: int, hard: int | None) -> tuple[str, int, int]:
    """`("nofile", 1024, None)` as `("RLIMIT_NOFILE", 1024, 1024)`; -1 is no limit."""
    short = text(name, field="rlimit").upper().removeprefix("RLIMIT_")
    if short not in _RLIMITS.split():
        raise InvalidArgument(f"{name!r} is not a resource limit: see getrlimit(2)", field="rlimit")
    low, high = (_ceiling(value) for value in (soft, soft if hard is None else hard))
    if low > high:
        raise InvalidArgument(
            f"the soft limit {soft} of {short} is above the hard limit {hard}", field="rlimit"
        )
    return (f"RLIMIT_{short}", low, high)


def _hugepages(value: Any) -> list[tuple[str, int]]:
    check_kind(value, dict, want='a mapping of page sizes to bytes, e.g. {"2MB": "64MiB"}', field="hugepages")
    for size in value:
        if not _PAGE_SIZE.fullmatch(text(size, field="hugepages")):
            raise InvalidArgument(f'{size!r} is not a page size: write "2MB" or "1GB"', field="hugepages")
    return [(size, parse_size(limit, field="hugepages")) for size, limit in value.items()]


def _swap(value: Size) -> int:
    return -1 if value == -1 and not isinstance(value, bool) else parse_size(value, field="swap")


def _cpus(value: float) -> float:
    check_kind(value, int, float, want="a number of processors, e.g. 1.5", field="cpus")
    # The kernel's smallest quota is 1 ms in a period of 100 ms.
    if not 0.01 <= value <= _MOST_PROCESSORS:
        raise InvalidArgument(f"{value!r} is not a number of processors: at least 0.01", field="cpus")
    return float(value)


def _quota(value: int) -> int:
    check_kind(value, int, want="microseconds, an int", field="cpu_quota")
    if value != -1:
        number(value, field="cpu_quota", least=1000, most=2**62)
    return value


def _ceiling(value: int) -> int:
    check_kind(value, int, want="a limit: an int, or -1 for none", field="rlimit")
    if not -1 <= value <= _LARGEST:
        raise InvalidArgument(f"{value} is not a limit: 0 or more, or -1 for none", field="rlimit")
    return _LARGEST if value == -1 else value
