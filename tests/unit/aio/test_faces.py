"""The blocking face beside the async one, noun by noun: nothing is missing there without a reason."""

from __future__ import annotations

import ast
import inspect
import pickle
import textwrap
from pathlib import PurePosixPath
from types import ModuleType
from typing import Any

import pytest

import containerlib as cl
import containerlib.aio.container
import containerlib.aio.image
import containerlib.aio.network
import containerlib.aio.volume
import containerlib.fluent.containers
import containerlib.fluent.images
import containerlib.fluent.network
import containerlib.fluent.volume
from containerlib import aio

COLLECTIONS = {"container": "containers", "image": "images", "network": "network", "volume": "volume"}
NOUNS: dict[str, tuple[type, type]] = {
    **{name: (getattr(cl, name), getattr(aio, name)) for name in aio.__all__},
    **{
        name: (
            getattr(getattr(containerlib.fluent, home), name),
            getattr(getattr(containerlib.aio, kind), name),
        )
        for kind, home in COLLECTIONS.items()
        for name in [f"{kind.title()}Collection"]
    },
}

NO_NOUN = {
    "Registry": "one registry without an engine: its calls end by themselves, in a thread of anyio's",
    "Change": "a value",
    "Checkpoint": "an aio.Image, which has `restore`",
    "Progress": "a value",
    "Tmpfs": "a value",
}
"""Classes of the layers of engines and images that have no twin."""
OF_ONE_ENGINE = ("container", "default_engine", "host_image", "image", "network", "volume")
"""Words that have no twin: an event loop's engine is opened and closed by `async with`, and none is the default."""
MISSING = {
    ("Engine", "close"): "aclose, as everything in an event loop has it",
    ("Engine", "core"): "for the layer below, which blocks: engine.blocking.core",
    ("Process", "close"): "aclose",
    ("Process", "__enter__"): "__aenter__",
    ("Container", "__enter__"): "__aenter__",
    ("Engine", "__enter__"): "__aenter__",
    ("Network", "__enter__"): "__aenter__",
}
DIFFERENT = {
    ("Container", "stats"): "a verb that is awaited has one result: the stream is stats_stream",
}
SPECIAL = (
    "__enter__",
    "__eq__",
    "__hash__",
    "__reduce__",
    "__repr__",
    "__str__",
    "__truediv__",
    "_repr_html_",
)
"""Beside what is public by its name."""


def assigned(kind: type) -> set[str]:
    """What `__init__` gives every object."""
    found = set()
    for each in kind.__mro__:
        if "__init__" in each.__dict__ and (source := _source(each.__init__)):
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                    found.add(node.attr)
    return found


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function))
    except (OSError, TypeError):  # made by attrs, of fields that are members of the class
        return ""


def members(kind: type) -> set[str]:
    own = {name for each in kind.__mro__ if each is not object for name in each.__dict__}
    public = {name for name in own | assigned(kind) if not name.startswith("_")}
    return public | {name for name in SPECIAL if name in own}


def parameters(verb: Any) -> list[tuple[str, Any, Any]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(verb).parameters.values()]


def public(module: ModuleType) -> list[str]:
    return [name for name in module.__all__ if getattr(module, name).__module__.startswith("containerlib.")]


@pytest.mark.parametrize("noun", NOUNS)
def test_async_noun_has_every_member_or_a_reason(noun: str) -> None:
    blocking, awaited = NOUNS[noun]
    missing = members(blocking) - members(awaited)
    assert missing == {name for where, name in MISSING if where == noun}


@pytest.mark.parametrize("noun", NOUNS)
def test_async_verb_takes_what_the_blocking_one_takes(noun: str) -> None:
    blocking, awaited = NOUNS[noun]
    common = {
        name
        for name in members(blocking) & members(awaited)
        if not name.startswith("__") and callable(getattr(blocking, name, None))
    }
    differing = {
        name for name in common if parameters(getattr(blocking, name)) != parameters(getattr(awaited, name))
    }
    assert differing == {name for where, name in DIFFERENT if where == noun}


def test_every_noun_that_makes_or_holds_an_engines_things_has_a_twin() -> None:
    alive = {
        name
        for name in public(cl)
        if isinstance(getattr(cl, name), type)
        and getattr(cl, name).__module__.split(".")[1] in ("fluent", "images")
    }
    assert {"Container", "Volume"} <= alive
    assert alive - set(aio.__all__) == set(NO_NOUN)


def test_every_word_of_the_package_that_needs_an_engine_has_a_reason() -> None:
    words = {name for name in public(cl) if getattr(cl, name).__module__ == "containerlib.fluent.default"}
    assert words == set(OF_ONE_ENGINE)


def test_async_engine_and_what_it_makes_pickle_by_value() -> None:
    engine = aio.Engine("/nowhere", "runc", snapshotter="copy")
    recipe = engine.container("alpine:3.20").env(A="b").mount(engine.volume("www"), at="/www")
    for value in (engine, recipe, engine.image("a:1"), engine.volume("www").label(team="web")):
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301
    again = pickle.loads(pickle.dumps(engine))  # noqa: S301
    assert (again.root, again.driver, again.snapshotter) == ("/nowhere", "runc", "copy")
    assert (engine.volume("www").name, engine.volume("www").labels) == ("www", ())


def test_async_path_is_made_of_parts() -> None:
    path = aio.ContainerPath(None, PurePosixPath("/etc/a.conf"))  # type: ignore[arg-type]
    assert (path.name, path.suffix, path.parts) == ("a.conf", ".conf", ("/", "etc", "a.conf"))
    assert str(path.parent / "b") == "/etc/b"
