"""What a list is narrowed down to: docker's filters, as keywords with types.

    containers(core, {"labels": {"team": "web"}, "state": "running"})
    images(core, {"reference": "redis:*"})

A keyword that is None filters nothing; what is given has to hold all at once. Values are checked before anything is
looked at. Every function raises InvalidArgument with the keyword as its `field`, and NotFound for a container, an image
or a network that is named and is not there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from containerlib.engine import words
from containerlib.engine.eligible import eligible
from containerlib.engine.filters_containers import TESTS as CONTAINER_TESTS
from containerlib.engine.filters_containers import name_test
from containerlib.engine.listing import list_all
from containerlib.engine.volume_use import users_of
from containerlib.errors import InvalidArgument, NotFound

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.instance import Instance
    from containerlib.images import ImageRecord
    from containerlib.store import NetworkRecord
    from containerlib.volumes import Volume

__all__ = ["containers", "images", "networks", "volumes"]

_SHORT = ("docker.io/library/", "docker.io/")


def containers(core: Core, given: Mapping[str, Any]) -> list[Instance]:
    """The containers for which all holds, the oldest first. One that is removed meanwhile is left out."""
    wanted = [
        make(core, given[name]) for name, make in CONTAINER_TESTS.items() if given.get(name) is not None
    ]
    return [one for one in list_all(core) if _holds(wanted, one)]


def _holds(wanted: Sequence[Callable[[Instance], bool]], one: Instance) -> bool:
    try:
        return all(test(one) for test in wanted)
    except NotFound:
        return False


def images(core: Core, given: Mapping[str, Any]) -> list[ImageRecord]:
    """The images for which all holds: dangling, reference, labels, older_than, before, since."""
    wanted = eligible(given["older_than"], given["labels"])
    dangling, pattern = _flag(given["dangling"]), given["reference"]
    if pattern is not None:
        words.text(pattern, field="reference")
    before, since = (_came(core, given[name], name) for name in ("before", "since"))
    return [
        one
        for one in core.images.list()
        if (dangling is None or dangling is not bool(one.references))
        and (pattern is None or any(_is_named(name, pattern) for name in one.references))
        and wanted.has(one.created_at, dict(one.config.labels))
        and (before is None or (one.created_at, one.id) < before)
        and (since is None or (one.created_at, one.id) > since)
    ]


def volumes(core: Core, given: Mapping[str, Any]) -> list[Volume]:
    """The volumes for which all holds, by name: dangling, driver, labels, name."""
    wanted, dangling = eligible(None, given["labels"]), _flag(given["dangling"])
    is_named, driver = _matcher(given["name"]), _text(given["driver"], field="driver")
    return [
        one
        for one in core.volumes.list()
        if is_named(one.name)
        and driver in (None, one.driver)
        and wanted.has(one.created_at, dict(one.labels))
        and (dangling is None or dangling is not bool(users_of(core, one.name)))
    ]


def networks(core: Core, given: Mapping[str, Any]) -> list[NetworkRecord]:
    """The networks for which all holds, by name: dangling, driver, id, labels, name."""
    wanted, dangling = eligible(None, given["labels"]), _flag(given["dangling"])
    is_named, driver = _matcher(given["name"]), _text(given["driver"], field="driver")
    start = _text(given["id"], field="id") or ""
    return [
        one
        for one in core.store.networks.list()
        if is_named(one.name)
        and one.id.startswith(start)
        and driver in (None, one.driver)
        and wanted.has(one.created_at, dict(one.labels))
        and (dangling is None or dangling is not bool(core.store.networks.endpoints(one.id)))
    ]


def _matcher(name: str | re.Pattern[str] | None) -> Callable[[str], bool]:
    return (lambda _: True) if name is None else name_test(name)


def _flag(value: bool | None) -> bool | None:
    return None if value is None else words.flag(value, field="dangling")


def _text(value: str | None, *, field: str) -> str | None:
    return None if value is None else words.text(value, field=field)


def _came(core: Core, image: str | None, field: str) -> tuple[Any, str] | None:
    """When that image came here, and its id, which parts those that came together."""
    if image is None:
        return None
    if not words.text(image, field=field):
        raise InvalidArgument("an image's name is empty", field=field)
    record = core.images.get(image)
    return record.created_at, record.id


def _is_named(reference: str, pattern: str) -> bool:
    """Whether the reference, its short form, or one of these without a tag matches: `*` stops at a "/", as docker's."""
    short = next(
        (reference.removeprefix(start) for start in _SHORT if reference.startswith(start)), reference
    )
    names = (form for full in (reference, short) for form in (full, _without_tag(full)))
    return any(_matches(name.split("/"), pattern.split("/")) for name in names)


def _without_tag(reference: str) -> str:
    repository, _, rest = reference.partition("@")[0].rpartition(":")
    return repository if repository and "/" not in rest else reference


def _matches(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    return len(parts) == len(patterns) and all(map(fnmatchcase, parts, patterns))
