"""update: other limits for a container that is there."""

from __future__ import annotations

import sys

from containerlib.errors import InvalidArgument
from containerlib.runtime.containers.update import update

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from containerlib.oci_cli.parser import Values
    from containerlib.oci_cli.request import Request

__all__ = ["resources_of", "run"]

_SIZES = {"memory": "limit", "memory-reservation": "reservation", "memory-swap": "swap"}
_CPU_NUMBERS = {
    "cpu-period": "period",
    "cpu-quota": "quota",
    "cpu-burst": "burst",
    "cpu-share": "shares",
    "cpu-rt-period": "realtimePeriod",
    "cpu-rt-runtime": "realtimeRuntime",
    "cpu-idle": "idle",
}
_MAY_BE_NEGATIVE = frozenset(("cpu-quota", "cpu-rt-runtime"))
_RDT = {"l3-cache-schema": "l3CacheSchema", "mem-bw-schema": "memBwSchema"}


def run(request: Request) -> int:
    container = request.container
    values = request.values
    for name in ("kernel-memory", "kernel-memory-tcp"):
        if values.given(name):
            request.log.warning(f"Setting --{name} is ignored and will be removed")
    rdt: Any = {key: text for flag, key in _RDT.items() if (text := values.text(flag))}
    update(container, resources_of(values), rdt)
    return 0


def resources_of(values: Values) -> dict[str, Any]:
    """linux.resources with what the flags say, and nothing else. Raises: InvalidArgument, NotFound."""
    if path := values.text("resources"):
        resources = _read(path)
        # as runc has it: kubelet and containerd say them each time, and whoever handed out a GPU did not tell them
        resources.pop("devices", None)
        return resources
    memory = {key: _size(flag, text) for flag, key in _SIZES.items() if (text := values.text(flag))}
    if memory.get("limit") == -1:  # on v1 the one on both would stay else
        memory.setdefault("swap", -1)
    cpu: dict[str, Any] = {
        key: _number(flag, text) for flag, key in _CPU_NUMBERS.items() if (text := values.text(flag))
    }
    cpu.update({key: text for key in ("cpus", "mems") if (text := values.text(f"cpuset-{key}"))})
    sections: dict[str, dict[str, Any]] = {"memory": memory, "cpu": cpu}
    if weight := values.number("blkio-weight"):
        sections["blockIO"] = {"weight": weight}
    if limit := values.number("pids-limit"):
        sections["pids"] = {"limit": limit}
    return {name: section for name, section in sections.items() if section}


def _read(path: str) -> dict[str, Any]:
    from containerlib.runtime.config.read import parse_object, read_object

    if path == "-":
        return parse_object(sys.stdin.buffer.read(), path)
    return read_object(path, f"open {path}: no such file or directory")


def _number(flag: str, text: str) -> int:
    digits = text.removeprefix("-") if flag in _MAY_BE_NEGATIVE else text
    if not (digits.isascii() and digits.isdecimal()):
        raise InvalidArgument(f"invalid value for {flag}: {text!r} is not a number")
    return int(text)


def _size(flag: str, text: str) -> int:
    if text == "-1":
        return -1
    from containerlib.units import parse_size

    try:
        return parse_size(text)
    except InvalidArgument as error:
        raise InvalidArgument(f"invalid value for {flag}: {error}") from error
