"""What the process of a container says of itself, by a program in C that is among its files (probe.c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from containerlib.errors import StageError
from rig.bundles import Rack

ROOT = ResolvedUser(0, 0, (), "/")
USER = ResolvedUser(1000, 1000, (), "/")

Facts = dict[str, list[str]]


def facts_of(text: str) -> Facts:
    return {line.split()[0]: line.split()[1:] for line in text.splitlines()}


def status_of(text: str) -> dict[str, str]:
    return {name: value.strip() for name, _, value in (line.partition(":") for line in text.splitlines())}


def unfiltered(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Without a seccomp filter, which would keep the probe from asking; `process` and `linux` get `changes`."""

    def change(spec: dict[str, Any]) -> None:
        spec["linux"].pop("seccomp", None)
        for name, values in changes.items():
            spec[name].update(values)

    return change


def refused(rack: Rack, **changes: Any) -> StageError:
    with pytest.raises(StageError) as caught:
        rack.create("true", change=unfiltered(**changes))
    return caught.value


def sets_of(text: str) -> list[int]:
    status = status_of(text)
    return [int(status[f"Cap{name}"], 16) for name in ("Bnd", "Eff", "Prm", "Inh", "Amb")]


def capabilities(
    bounding: tuple[str, ...] = (),
    effective: tuple[str, ...] = (),
    permitted: tuple[str, ...] = (),
    inheritable: tuple[str, ...] = (),
    ambient: tuple[str, ...] = (),
) -> dict[str, Any]:
    sets = {
        "bounding": bounding,
        "effective": effective,
        "permitted": permitted,
        "inheritable": inheritable,
        "ambient": ambient,
    }
    return {"capabilities": {name: list(names) for name, names in sets.items()}}
