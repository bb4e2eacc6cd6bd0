"""What the words about devices take. Pure, as words.py is.

Every function raises InvalidArgument with the word's name as its `field`.
"""

from __future__ import annotations

import re

from containerlib.engine.words import container_path, text
from containerlib.engine.words_resources import number
from containerlib.errors import InvalidArgument
from containerlib.spec.options import DeviceOption
from containerlib.units import check_kind

__all__ = ["access", "device", "gpus", "is_qualified", "rule"]

_QUALIFIED = re.compile(
    r"[A-Za-z][A-Za-z0-9_.-]*/[A-Za-z][A-Za-z0-9_-]*=[A-Za-z0-9]([A-Za-z0-9_.:-]*[A-Za-z0-9])?"
)
_RULE = re.compile(r"([abc]) ([0-9]{1,7}|\*):([0-9]{1,7}|\*) ([rwm]{1,3})")


def is_qualified(name: str) -> bool:
    """Whether it is a device's name in CDI: `"vendor/class=name"`."""
    return bool(_QUALIFIED.fullmatch(text(name, field="device")))


def device(path: str, at: str | None, allowed: str) -> DeviceOption:
    """A device of the host, and where the container has it."""
    if not path.startswith("/"):
        raise InvalidArgument(
            f'{path!r} is neither the path of a device, e.g. "/dev/fuse", nor a CDI name, e.g. "nvidia.com/gpu=0"',
            field="device",
        )
    source = container_path(path, field="device")
    return DeviceOption(source, source if at is None else container_path(at, field="at"), access(allowed))


def access(value: str) -> str:
    """Some of r, w and m (to make the node)."""
    if not text(value, field="access") or set(value) - set("rwm") or len(set(value)) < len(value):
        raise InvalidArgument(
            f'{value!r} is not some of "rwm": r to read, w to write, m to make nodes', field="access"
        )
    return value


def rule(value: str) -> tuple[str, int | None, int | None, str]:
    """A rule as docker has it: `"c 10:200 rwm"`."""
    match = _RULE.fullmatch(text(value, field="device_cgroup_rule"))
    if match is None:
        raise InvalidArgument(
            f'{value!r} is no rule: write the kind (a, b or c), the numbers and the access, e.g. "c 10:200 rwm"',
            field="device_cgroup_rule",
        )
    kind, major, minor, allowed = match.groups()
    return kind, _any(major), _any(minor), access(allowed)


def gpus(count: int | str) -> int:
    """How many; `"all"` is -1."""
    if count == "all":
        return -1
    check_kind(
        count,
        int,
        want='a number of GPUs, or "all"; for one by name, device("nvidia.com/gpu=0")',
        field="gpus",
    )
    return number(int(count), field="gpus", least=1, most=1024)


def _any(value: str) -> int | None:
    return None if value == "*" else int(value)
