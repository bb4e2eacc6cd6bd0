"""`linux.resources` to the files of cgroup v1 and v2, and what is written to each: pure.

Spec: runtime-spec config-linux.md#control-groups; kernel cgroup-v1/*.rst and cgroup-v2.rst
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import frozen

from containerlib.errors import InvalidArgument, Unsupported

__all__ = ["Setting", "device_lines", "v1_settings", "v2_settings"]

_HANDLED = frozenset({"devices", "memory", "cpu", "pids", "unified"})
_MEMORY = frozenset({"limit", "swap", "reservation"})
_CPU = frozenset({"quota", "period", "shares"})
_PIDS = frozenset({"limit"})


@frozen
class Setting:
    """One write: `value` to `file` in the group of `controller`. `optional`: the file may be missing."""

    controller: str
    file: str
    value: str
    optional: bool = False


def v1_settings(resources: Mapping[str, Any]) -> list[Setting]:
    """Writes in the order that the kernel wants: memory before memory with swap.

    Raises: Unsupported for a limit that is not implemented; InvalidArgument(field="resources").
    """
    _refuse_unknown(resources)
    if resources.get("unified"):
        raise Unsupported("resources.unified needs cgroup v2, and this machine has v1 controllers")
    settings = []
    memory = resources.get("memory") or {}
    limit, swap = _number(memory, "limit"), _number(memory, "swap")
    if limit:
        settings.append(Setting("memory", "memory.limit_in_bytes", str(limit)))
    if _number(memory, "reservation"):
        settings.append(Setting("memory", "memory.soft_limit_in_bytes", str(memory["reservation"])))
    if swap:
        # without swap accounting the kernel has no such file; Docker's default of twice the memory can then
        # be let go
        settings.append(Setting("memory", "memory.memsw.limit_in_bytes", str(swap), swap in (2 * limit, -1)))
    cpu = resources.get("cpu") or {}
    if _number(cpu, "shares"):
        settings.append(Setting("cpu", "cpu.shares", str(cpu["shares"])))
    if _number(cpu, "period"):
        settings.append(Setting("cpu", "cpu.cfs_period_us", str(cpu["period"])))
    if _number(cpu, "quota"):
        settings.append(Setting("cpu", "cpu.cfs_quota_us", str(cpu["quota"])))
    return settings + _pids(resources)


def v2_settings(resources: Mapping[str, Any]) -> list[Setting]:
    """The same for cgroup v2, where swap is counted without memory.

    Raises: Unsupported for a limit that is not implemented; InvalidArgument(field="resources").
    """
    _refuse_unknown(resources)
    settings = []
    memory = resources.get("memory") or {}
    limit, swap = _number(memory, "limit"), _number(memory, "swap")
    if limit:
        settings.append(Setting("memory", "memory.max", _or_max(limit)))
    if _number(memory, "reservation"):
        settings.append(Setting("memory", "memory.low", _or_max(memory["reservation"])))
    if swap:
        alone = swap if swap < 0 else swap - limit
        if alone < -1 or limit < 0 < swap:
            raise InvalidArgument(f"memory.swap {swap} is less than memory.limit {limit}", field="resources")
        settings.append(Setting("memory", "memory.swap.max", _or_max(alone), swap in (2 * limit, -1)))
    cpu = resources.get("cpu") or {}
    if _number(cpu, "shares"):
        settings.append(Setting("cpu", "cpu.weight", str(1 + (cpu["shares"] - 2) * 9999 // 262142)))
    if _number(cpu, "quota") or _number(cpu, "period"):
        quota = cpu.get("quota") or -1
        settings.append(Setting("cpu", "cpu.max", f"{_or_max(quota)} {cpu.get('period') or 100_000}"))
    return settings + _pids(resources) + _unified(resources)


def device_lines(rules: list[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """("devices.allow" or "devices.deny", line) of each rule, in order: v1 takes one rule a write.

    Spec: kernel cgroup-v1/devices.rst
    """
    lines = []
    for rule in rules:
        kind = rule.get("type") or "a"
        file = "devices.allow" if rule.get("allow") else "devices.deny"
        numbers = [rule.get(name) for name in ("major", "minor")]
        major, minor = ("*" if number is None or number < 0 else str(number) for number in numbers)
        text = "a" if kind == "a" else f"{kind} {major}:{minor} {rule.get('access') or 'rwm'}"
        lines.append((file, text))
    return lines


def _pids(resources: Mapping[str, Any]) -> list[Setting]:
    limit = _number(resources.get("pids") or {}, "limit")
    return [Setting("pids", "pids.max", _or_max(limit))] if limit else []


def _unified(resources: Mapping[str, Any]) -> list[Setting]:
    settings = []
    for file, value in (resources.get("unified") or {}).items():
        controller, dot, rest = file.partition(".")
        if not controller or not dot or not rest or "/" in file:
            raise InvalidArgument(f"{file!r} is no file of cgroup v2", field="resources.unified")
        settings.append(Setting(controller, file, str(value)))
    return settings


def _refuse_unknown(resources: Mapping[str, Any]) -> None:
    """A limit that nobody would keep is an error; an empty section of another tool's file is not."""
    _refuse(resources, lambda key: key in _HANDLED, "")
    for section, known in (("memory", _MEMORY), ("cpu", _CPU), ("pids", _PIDS)):
        _refuse(resources.get(section) or {}, known.__contains__, f"{section}.")


def _refuse(section: Mapping[str, Any], is_known: Callable[[str], bool], prefix: str) -> None:
    for key, value in section.items():
        if value and not is_known(key):
            raise Unsupported(
                f"resources.{prefix}{key} is not implemented; leave it out of the configuration"
            )


def _number(section: Mapping[str, Any], key: str) -> int:
    value = section.get(key)
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidArgument(f"{key} {value!r} is not a number", field="resources")
    return value


def _or_max(value: int) -> str:
    return "max" if value < 0 else str(value)
