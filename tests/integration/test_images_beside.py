"""Verbs on an image that somebody removes at each step: the verb ends as if alone, or says that the image is gone."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import containerlib as cl
from rig.images import Image, Layer
from rig.registry import Registry

NAME = "beside:1"
MOMENTS = 100
PACKAGE = f"{Path(cl.__file__).parent}/images/"
"""Without what is below it, which holds locks that the other thread needs too."""

pytestmark = pytest.mark.privileged("CAP_CHOWN, CAP_MKNOD, CAP_SYS_ADMIN: unpacks layers as they are")

Step = Callable[[], object]


@pytest.fixture
def loaded(engine: cl.Engine, tmp_path: Path) -> Callable[[], cl.Image]:
    layers = (Layer().file("one", "1").finish(), Layer().file("two", "2").finish())
    layout = Image(layers, {"Cmd": ["sh"]}).write_layout(tmp_path / "layout", tag=NAME)
    return lambda: engine.images.load(layout)[0]


def squash(image: cl.Image, registry: Registry) -> None:
    image.squash("squashed:1")


def save(image: cl.Image, registry: Registry) -> None:
    image.save(io.BytesIO())


def push(image: cl.Image, registry: Registry) -> None:
    image.push(f"{registry.address}/beside:1")


@pytest.mark.parametrize("verb", [squash, save, push])
def test_image_removed_at_any_step_of_a_verb_fails_it_as_not_found_alone(
    engine: cl.Engine,
    loaded: Callable[[], cl.Image],
    registry: Registry,
    verb: Callable[[cl.Image, Registry], None],
) -> None:
    outcomes = set()
    image = loaded()
    whole = calls_of(partial(verb, image, registry))
    forget(engine)
    for moment in range(0, whole, max(whole // MOMENTS, 1)):
        image = loaded()
        remove = Interruption(engine, image.remove, moment)
        try:
            remove.during(partial(verb, image, registry))
        except cl.NotFound:
            outcomes.add("not found")
        else:
            outcomes.add("done")
        forget(engine)
    assert outcomes == {"not found", "done"}


def test_images_are_listed_while_others_come_and_go(
    engine: cl.Engine, loaded: Callable[[], cl.Image]
) -> None:
    with cl.Engine(root=engine.root) as other:  # which has read no configuration yet
        loaded()
        removal = Interruption(engine, lambda: engine.images.get(NAME).remove(), after="list")
        assert removal.during(other.images.list) == []


def forget(engine: cl.Engine) -> None:
    for image in engine.images.list():
        image.remove()


class Interruption:
    """`step` is taken by another thread at the `moment`th call of a function of the package, outside transactions.

    Or at the return of the first method of the table of images that is called `after`.
    """

    def __init__(self, engine: cl.Engine, step: Step, moment: int = 0, *, after: str = "") -> None:
        self._database = engine.core.store.database
        self._step: Step | None = step
        self._left = moment
        self._after = after

    def during(self, verb: Callable[[], Any]) -> Any:
        sys.setprofile(self._look)
        try:
            return verb()
        finally:
            sys.setprofile(None)

    def _look(self, frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        if self._step is None:
            return
        if self._after:
            if (event, code.co_qualname) != ("return", f"ImageTable.{self._after}"):
                return
        elif event != "call" or not code.co_filename.startswith(PACKAGE):
            return
        self._left -= 1
        if self._left >= 0:
            return
        connection = self._database._connection
        if connection is not None and connection.in_transaction:
            return
        step, self._step = self._step, None
        thread = threading.Thread(target=step, daemon=True)
        thread.start()
        thread.join(20)
        assert not thread.is_alive()


def calls_of(verb: Callable[[], object]) -> int:
    calls = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal calls
        calls += event == "call" and frame.f_code.co_filename.startswith(PACKAGE)

    sys.setprofile(count)
    try:
        verb()
    finally:
        sys.setprofile(None)
    return calls
