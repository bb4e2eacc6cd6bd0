"""`linux.resources` as properties of a systemd unit: pure. What systemd has no property for is written to the files.

systemd writes its properties to the group whenever it likes (daemon-reload), so what it has a word for it must know.

Spec: systemd.resource-control(5), org.freedesktop.systemd1(5)
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from containerlib.errors import InvalidArgument
from containerlib.runtime.cgroups.devices import allow_list
from containerlib.runtime.cgroups.limits import Section, section, weight_of_shares
from containerlib.runtime.cgroups.limits_v2 import swap_alone
from containerlib.runtime.cgroups.path import ScopeName
from containerlib.spec.number_list import bits_of

__all__ = ["Property", "annotated_properties", "cpu_mask", "scope_properties", "unit_properties"]

Property = tuple[str, tuple[str, Any]]
"""(name, (D-Bus signature, value)), as SetUnitProperties takes it."""

_INFINITY = 2**64 - 1
_PERIOD = 100_000
_SECOND = 1_000_000
_CPUS = 0x10000  # and memory nodes: far more than kernels have
# the first version of systemd with the property
_QUOTA_PERIOD, _ALLOWED_CPUS, _IDLE = 242, 244, 252
_ANNOTATION = "org.systemd.property."
_DIGITS = re.compile("[0-9]{1,20}")
_SECONDS = re.compile(r"[A-Za-z]*[a-z]Sec")
_QUOTED = re.compile(r"""(['"])([^'"\\]*)\1""")
_KINDS = {
    "": "i",
    "byte": "y",
    "double": "d",
    "int16": "n",
    "int32": "i",
    "int64": "x",
    "uint16": "q",
    "uint32": "u",
    "uint64": "t",
}
_NUMBERS = frozenset(_KINDS.values())
_RANGES = {
    "y": (0, 2**8 - 1),
    "n": (-(2**15), 2**15 - 1),
    "i": (-(2**31), 2**31 - 1),
    "x": (-(2**63), 2**63 - 1),
    "q": (0, 2**16 - 1),
    "u": (0, 2**32 - 1),
    "t": (0, 2**64 - 1),
}
_UNIFIED = {
    "cpu.weight": "CPUWeight",
    "memory.high": "MemoryHigh",
    "memory.low": "MemoryLow",
    "memory.max": "MemoryMax",
    "memory.min": "MemoryMin",
    "memory.swap.max": "MemorySwapMax",
    "pids.max": "TasksMax",
}


def scope_properties(name: ScopeName, pids: Sequence[int], *, unified: bool) -> list[Property]:
    """What makes the unit a container's: delegated, counted, and with no order among other units."""
    accounting = "IOAccounting" if unified else "BlockIOAccounting"
    return [
        ("Description", ("s", f"containerlib container {name.unit}")),
        ("Slice", ("s", name.slice)),
        ("Delegate", ("b", True)),
        ("PIDs", ("au", list(pids))),
        ("MemoryAccounting", ("b", True)),
        ("CPUAccounting", ("b", True)),
        (accounting, ("b", True)),
        ("TasksAccounting", ("b", True)),
        ("DefaultDependencies", ("b", False)),
        ("CollectMode", ("s", "inactive-or-failed")),
    ]


def unit_properties(resources: Mapping[str, Any], version: int, *, unified: bool) -> list[Property]:
    """Limits, for systemd `version`. Raises: InvalidArgument(field="resources.…")."""
    memory, cpu = section(resources, "memory"), section(resources, "cpu")
    properties = [*_devices(resources, unified=unified), *_quota(cpu, version), *_cpusets(cpu, version)]
    properties += _v2_memory(memory) if unified else _v1_memory(memory)
    properties += _v2_weight(cpu, version) if unified else _v1_weights(cpu, section(resources, "blockIO"))
    limit = section(resources, "pids").number("limit")
    if limit is not None:
        properties.append(("TasksMax", ("t", _or_infinity(limit or 1))))
    if unified:
        properties += _unified(section(resources, "unified"))
    return list(dict(properties).items())  # the last word on a property counts


def annotated_properties(annotations: Mapping[str, str]) -> list[Property]:
    """`org.systemd.property.NAME: VALUE` as a property; the value is written as GVariant text: uint64 5, 'text', true.

    A time in seconds (TimeoutStopSec) becomes one in microseconds, as systemd keeps it (TimeoutStopUSec).

    Raises: InvalidArgument(field="annotations"). Spec: runc docs/systemd.md#auxiliary-properties
    """
    properties = []
    for key, text in annotations.items():
        if not key.startswith(_ANNOTATION):
            continue
        name = key.removeprefix(_ANNOTATION)
        value = _variant(text.strip())
        if value and _SECONDS.fullmatch(name) and value[0] in _NUMBERS:
            name, value = f"{name.removesuffix('Sec')}USec", _number("t", value[1] * _SECOND)
        if value is None or not (name.isascii() and name.isalnum()):
            raise InvalidArgument(
                f"{key}: {text!r} is no property of a unit, e.g. uint64 5000000", field="annotations"
            )
        properties.append((name, value))
    return properties


def _variant(text: str) -> tuple[str, Any] | None:
    """(D-Bus signature, value) of GVariant text, as far as properties of units have it: no arrays of structures."""
    if text in ("true", "false"):
        return "b", text == "true"
    if quoted := _QUOTED.fullmatch(text):
        return "s", quoted[2]
    if text.startswith("[") and text.endswith("]"):
        items = [_QUOTED.fullmatch(item.strip()) for item in text[1:-1].split(",")]
        return ("as", [item[2] for item in items if item]) if all(items) else None
    kind, _, number = text.rpartition(" ")
    signature = _KINDS.get(kind.strip())
    try:
        return (
            _number(signature, float(number) if signature == "d" else int(number, 0)) if signature else None
        )
    except ValueError:
        return None


def _number(signature: str, number: float) -> tuple[str, float] | None:
    """None where D-Bus has no such number of the type."""
    if signature == "d":
        return (signature, number) if math.isfinite(number) else None
    lowest, highest = _RANGES[signature]
    return (signature, int(number)) if lowest <= number <= highest else None


def cpu_mask(text: str) -> list[int]:
    """0-1,9 as bytes of a bit mask, the lowest first: [3, 2]. Raises: InvalidArgument."""
    try:
        mask = bits_of(text, _CPUS)
    except ValueError as error:
        raise Section("cpu", {}).wrong("cpus", str(error)) from None
    return list(mask.to_bytes((mask.bit_length() + 7) // 8, "little"))


def _v2_memory(memory: Section) -> Iterator[Property]:
    limit, swap, reservation = (memory.bytes(key) for key in ("limit", "swap", "reservation"))
    if limit:
        yield "MemoryMax", ("t", _or_infinity(limit))
    if limit and (alone := swap_alone(limit, swap)) is not None:
        yield "MemorySwapMax", ("t", _or_infinity(alone))
    if reservation:
        yield "MemoryLow", ("t", _or_infinity(reservation))


def _v1_memory(memory: Section) -> Iterator[Property]:
    if limit := memory.bytes("limit"):
        yield "MemoryLimit", ("t", _or_infinity(limit))


def _v2_weight(cpu: Section, version: int) -> Iterator[Property]:
    """Weight 0 is systemd's word for cpu.idle."""
    if shares := cpu.count("shares"):
        yield "CPUWeight", ("t", weight_of_shares(shares))
    if cpu.number("idle") == 1 and version >= _IDLE:
        yield "CPUWeight", ("t", 0)


def _v1_weights(cpu: Section, block: Section) -> Iterator[Property]:
    if shares := cpu.count("shares"):
        yield "CPUShares", ("t", shares)
    if weight := block.count("weight", 1000):
        yield "BlockIOWeight", ("t", weight)


def _quota(cpu: Section, version: int) -> Iterator[Property]:
    """systemd keeps whole percents of a CPU; a part of one is rounded up, and the file then has the exact number."""
    quota, period = cpu.number("quota"), cpu.count("period")
    if period and version >= _QUOTA_PERIOD:
        yield "CPUQuotaPeriodUSec", ("t", period)
    if quota or period:
        per_second = _INFINITY
        if quota and quota > 0:
            percent = -(-quota * 100 // (period or _PERIOD))
            per_second = min(percent * (_SECOND // 100), _INFINITY)
        yield "CPUQuotaPerSecUSec", ("t", per_second)


def _cpusets(cpu: Section, version: int) -> Iterator[Property]:
    for key, name in (("cpus", "AllowedCPUs"), ("mems", "AllowedMemoryNodes")):
        value = cpu.text(key)
        if value and version >= _ALLOWED_CPUS:
            yield name, ("ay", bytes(cpu_mask(value)))


def _unified(unified: Section) -> Iterator[Property]:
    """What systemd has a word for; the rest is the file's alone."""
    for file, value in unified.values.items():
        text = str(value).strip()
        name = _UNIFIED.get(file)
        if name and text == "max":
            yield name, ("t", _INFINITY)
        elif name and _DIGITS.fullmatch(text) and int(text) < _INFINITY:
            yield name, ("t", int(text))


def _devices(resources: Mapping[str, Any], *, unified: bool) -> Iterator[Property]:
    """A second fence on v2, where the container's own program decides too; on v1 systemd writes to the same files.

    A list of what is allowed cannot say every set of rules. Then v2 does without this fence, and v1 allows less: the
    container's own rules are written after this.
    """
    rules = resources.get("devices")
    if not rules:
        return
    allowed = allow_list(rules)
    entries = [_device(node, access) for node, access in allowed.nodes.items()]
    if allowed.everything or (unified and (not allowed.exact or None in entries)):
        yield "DevicePolicy", ("s", "auto")
        yield "DeviceAllow", ("a(ss)", [])
    else:
        yield "DevicePolicy", ("s", "strict")
        yield "DeviceAllow", ("a(ss)", [entry for entry in entries if entry])


def _device(node: tuple[str, int | None, int | None], access: str) -> tuple[str, str] | None:
    """/dev/char/1:3, char-136 or char-*; None for any major with one minor, which systemd has no word for."""
    kind, major, minor = node
    name = "block" if kind == "b" else "char"
    if major is None:
        return None if minor is not None else (f"{name}-*", access)
    return (f"{name}-{major}" if minor is None else f"/dev/{name}/{major}:{minor}", access)


def _or_infinity(number: int) -> int:
    return _INFINITY if number < 0 else number
