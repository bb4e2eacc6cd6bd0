"""Ids and names of containers."""

from __future__ import annotations

import re
import secrets

from containerlib.errors import InvalidArgument
from containerlib.units import check_kind

__all__ = ["check_name", "new_id", "new_name"]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}")
_QUALITIES = (
    "able amber ample bold brave brief bright brisk calm candid civil clear clever crisp deft eager "
    "early fair fleet fond frank fresh gentle glad grand happy hardy jolly keen kind light lively "
    "lucid mellow merry mild neat nimble noble patient plain polite proud quick quiet rapid ready "
    "robust sharp silent sleek smooth sober solid steady still sunny swift tidy vivid warm wise witty"
)
_THINGS = (
    "acorn anchor aspen badger basin beacon birch bison brook canyon cedar cliff clover comet coral "
    "crane cricket delta dune eagle ember falcon fern finch fjord glacier grove harbor hazel heron "
    "ibex island ivy juniper kestrel lagoon lark linden lynx maple marten meadow mesa minnow moss oak "
    "orchid osprey otter pebble pine plover quartz raven reef ridge river robin sable salmon sparrow "
    "spruce summit thistle tundra valley walnut willow wren"
)


def new_id() -> str:
    """64 hexadecimal digits, never used before."""
    return secrets.token_hex(32)


def new_name(*, unique: bool = False) -> str:
    """A name for people, such as `"brisk-otter"`; with `unique`, one that no other container has."""
    name = f"{secrets.choice(_QUALITIES.split())}-{secrets.choice(_THINGS.split())}"
    return f"{name}-{secrets.token_hex(4)}" if unique else name


def check_name(name: str) -> str:
    """`name` where Docker would take it.

    Raises: InvalidArgument.
    """
    want = "a name: up to 128 letters, digits, '_', '.', '-', first a letter or digit"
    check_kind(name, str, want=want, field="name")
    if not _NAME.fullmatch(name):
        raise InvalidArgument(f"{name!r} is not {want}", field="name")
    return name
