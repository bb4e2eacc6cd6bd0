"""What a list of containers is narrowed down to: one test for each keyword, the cheap ones first.

test = TESTS["state"](core, "running")        # checks the value
test(instance)                                # asks the container
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from containerlib import shim
from containerlib.engine import words
from containerlib.engine.eligible import eligible
from containerlib.engine.history import is_lost
from containerlib.engine.listing import find
from containerlib.errors import InvalidArgument
from containerlib.runtime.lifetime import read_health
from containerlib.runtime.supervisor import LOST
from containerlib.spec.lifecycle import State
from containerlib.units import check_kind

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance

__all__ = ["HOST", "TESTS", "name_test"]

Test = Callable[["Instance"], bool]

HOST = "host"
"""The ancestor that is the machine's own file system."""
_HEALTH = ("starting", "healthy", "unhealthy", "none")
_PROTOCOLS = ("tcp", "udp", "sctp")
_PORTS = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([a-z]+))?", re.ASCII)


def name_test(wanted: str | re.Pattern[str]) -> Callable[[str], bool]:
    """Whether a name contains a text, or a regular expression finds something in it."""
    if isinstance(wanted, re.Pattern):
        if not isinstance(wanted.pattern, str):
            raise InvalidArgument(f"{wanted!r} is for bytes: compile a str", field="name")
        return lambda name: wanted.search(name) is not None
    text = words.text(wanted, field="name")
    return lambda name: text in name


def _id(_: Core, start: Any) -> Test:
    digits = words.text(start, field="id").lower()
    return lambda one: one.id.startswith(digits)


def _name(_: Core, wanted: Any) -> Test:
    matches = name_test(wanted)
    return lambda one: matches(one.record.name)


def _labels(_: Core, labels: Any) -> Test:
    wanted = eligible(None, labels)
    return lambda one: wanted.has(one.record.created_at, dict(one.memo.labels))


def _before(core: Core, name: Any) -> Test:
    limit = find(core, words.text(name, field="before"))
    return lambda one: _age(one) < _age(limit)


def _since(core: Core, name: Any) -> Test:
    limit = find(core, words.text(name, field="since"))
    return lambda one: _age(one) > _age(limit)


def _age(one: Instance) -> tuple[Any, str]:
    return one.record.created_at, one.id


def _ancestor(core: Core, image: Any) -> Test:
    """Made from the image, or from one whose lowest layers are all of that one's."""
    if words.text(image, field="ancestor") == HOST:
        return lambda one: one.memo.host
    record = core.images.get(image)
    below = record.config.diff_ids
    known = {record.id: True, "": False}

    def has(one: Instance) -> bool:
        made_from = one.record.image_id
        if made_from not in known:
            layers = core.images.get(made_from).config.diff_ids
            known[made_from] = bool(below) and layers[: len(below)] == below
        return known[made_from]

    return has


def _volume(_: Core, place: Any) -> Test:
    """By the volume's name, the host's path, or where it is mounted."""
    wanted = words.text(place, field="volume")
    return lambda one: (
        wanted in one.memo.volumes or any(wanted in (each.source, each.target) for each in one.memo.mounts)
    )


def _network(core: Core, name: Any) -> Test:
    if words.text(name, field="network") in ("none", "host"):
        return lambda one: _own_network(one) == name
    on = {each.container_id for each in core.store.networks.endpoints(core.store.networks.get(name).id)}
    return lambda one: one.id in on


def _own_network(one: Instance) -> str:
    if one.memo.connected or dict(one.memo.joined).get("network"):
        return ""
    kinds = {each["type"] for each in one.spec.get("linux", {}).get("namespaces", ())}
    return "none" if "network" in kinds else "host"


def _publish(core: Core, ports: Any) -> Test:
    wanted = _ports(ports, field="publish")
    return lambda one: wanted(_published(core, one))


def _expose(core: Core, ports: Any) -> Test:
    wanted = _ports(ports, field="expose")
    return lambda one: wanted({**_exposed(core, one), **_published(core, one)})


def _published(core: Core, one: Instance) -> Mapping[tuple[int, str], None]:
    endpoints = core.store.networks.endpoints_of(one.id) if one.memo.connected else ()
    return {(port["port"], port["protocol"]): None for each in endpoints for port in each.ports}


def _exposed(core: Core, one: Instance) -> Mapping[tuple[int, str], None]:
    """What its image says that it listens at."""
    if not one.record.image_id:
        return {}
    found = map(_PORTS.fullmatch, core.images.get(one.record.image_id).config.exposed_ports)
    return {(int(each[1]), each[3] or "tcp"): None for each in found if each}


def _ports(value: Any, *, field: str) -> Callable[[Mapping[tuple[int, str], None]], bool]:
    """80, range(8000, 8011) or "53/udp"; of a text without a protocol, and of a number, it is TCP's."""
    check_kind(value, int, range, str, want='a port: an int, a range, or a str as "53/udp"', field=field)
    if isinstance(value, str):
        parsed = _PORTS.fullmatch(value)
        if parsed is None or (parsed[3] or "tcp") not in _PROTOCOLS:
            raise InvalidArgument(f'{value!r} is no port: write "53/udp" or "8000-8010/tcp"', field=field)
        numbers, protocol = range(int(parsed[1]), int(parsed[2] or parsed[1]) + 1), parsed[3] or "tcp"
    else:
        numbers, protocol = value if isinstance(value, range) else range(value, value + 1), "tcp"
    if not numbers or min(numbers) < 1 or max(numbers) >= 1 << 16:
        raise InvalidArgument(f"{value!r} is no port: from 1 to 65535", field=field)
    return lambda known: any(number in numbers and kind == protocol for number, kind in known)


def _state(_: Core, states: Any) -> Test:
    wanted = {_one_state(each) for each in _several(states, field="state")}
    return lambda one: one.state in wanted


def _one_state(value: Any) -> State:
    try:
        return State(value)
    except ValueError as error:
        known = ", ".join(repr(each.value) for each in State)
        raise InvalidArgument(f"{value!r} is none of {known}", field="state") from error


def _exit_code(_: Core, codes: Any) -> Test:
    wanted = frozenset(_several(codes, field="exit_code"))
    for code in wanted:
        check_kind(code, int, want="an exit code, an int", field="exit_code")
    return lambda one: one.state is State.STOPPED and _code(one) in wanted


def _code(one: Instance) -> int | None:
    status = shim.read_exit(one.directory)
    if status is None and is_lost(one):
        status = LOST
    return None if status is None else status.exit_code


def _health(_: Core, health: Any) -> Test:
    wanted = frozenset(_several(health, field="health"))
    for each in wanted:
        if each not in _HEALTH:
            raise InvalidArgument(f"{each!r} is none of {', '.join(map(repr, _HEALTH))}", field="health")

    def has(one: Instance) -> bool:
        found = read_health(one.directory)
        return (found.status if found else "none") in wanted

    return has


def _several(value: Any, *, field: str) -> Sequence[Any]:
    """One value, or a sequence of them."""
    if isinstance(value, str | int | State):
        return (value,)
    check_kind(value, Sequence, want="a value or a sequence of them", field=field)
    return tuple(value)


TESTS: Mapping[str, Callable[[Core, Any], Test]] = {
    "id": _id,
    "name": _name,
    "labels": _labels,
    "before": _before,
    "since": _since,
    "volume": _volume,
    "network": _network,
    "publish": _publish,
    "ancestor": _ancestor,
    "expose": _expose,
    "health": _health,
    "exit_code": _exit_code,
    "state": _state,
}
