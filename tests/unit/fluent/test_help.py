"""What help(), completion and a notebook's `?` say of the face."""

from __future__ import annotations

import inspect
import pydoc
from collections.abc import Iterator

import pytest

import containerlib as cl
from containerlib import aio

CLASSES = (
    cl.Engine,
    cl.ContainerRecipe,
    cl.Container,
    cl.Process,
    aio.Engine,
    aio.ContainerRecipe,
    aio.Container,
    aio.Process,
)


def methods() -> Iterator[object]:
    for each in CLASSES:
        for name, method in inspect.getmembers(each, inspect.isfunction):
            if not name.startswith("_"):
                yield pytest.param(method, id=f"{each.__module__}.{each.__name__}.{name}")


@pytest.mark.parametrize("method", list(methods()))
def test_help_of_a_verb_says_what_the_caller_gets(method: object) -> None:
    text = pydoc.render_doc(method, renderer=pydoc.plaintext)
    assert "Steps[" not in text
    assert "Flow[" not in text


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        (cl.ContainerRecipe.run, "Completed"),
        (cl.Container.stop, "ExitStatus"),
        (cl.Container.logs, "Iterator[LogRecord]"),
        (aio.ContainerRecipe.run, "Completed"),
        (aio.Container.logs, "Flowing[LogRecord]"),
    ],
)
def test_signature_of_a_verb_has_the_answer_of_its_face(method: object, answer: str) -> None:
    assert callable(method)
    assert inspect.signature(method).return_annotation == answer
    assert method.__annotations__["return"] == answer


def test_repr_of_a_recipe_has_the_words_that_were_said_and_no_others() -> None:
    recipe = cl.Engine("/state").container("alpine").limit(memory="1GiB").mount("/srv", at="/srv")
    mount = "MountOption(kind='bind', target='/srv', source='/srv')"
    said = f"mounts=({mount},) limits=Limits(memory_bytes=1073741824)"
    assert repr(recipe) == f"<ContainerRecipe of alpine {said}>"


def test_help_of_a_recipe_does_not_list_every_default() -> None:
    assert "apparmor=None" not in pydoc.render_doc(cl.ContainerRecipe, renderer=pydoc.plaintext)
