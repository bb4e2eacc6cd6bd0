"""The promises of the face as types: mypy reads this, nothing runs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, assert_type

import containerlib as cl


def recipes(engine: cl.Engine) -> None:
    recipe = engine.container("alpine").name("a").env(A="b").workdir("/").user("nobody").hostname("h")
    recipe = recipe.limit(memory="256MiB", cpus=1.5, pids=100).mount("/srv", at="/srv", read_only=True)
    recipe = recipe.read_only().cap_add("NET_ADMIN").cap_drop("ALL").network("none")
    assert_type(recipe, cl.ContainerRecipe)
    assert_type(engine.container(engine.host_image()), cl.ContainerRecipe)
    assert_type(cl.container("alpine"), cl.ContainerRecipe)
    assert_type(cl.image("alpine"), cl.ImageRecipe)


def verbs(recipe: cl.ContainerRecipe) -> None:
    assert_type(recipe.run("true", input=b"", check=False, timeout=1.0), cl.Completed)
    assert_type(recipe.run("true").text, str)
    assert_type(recipe.run("true").stdout, bytes)
    assert_type(recipe.start("true", detach=True), cl.Container)
    assert_type(recipe.create("true"), cl.Container)
    assert_type(recipe.spawn("true"), cl.Process)


def handles(engine: cl.Engine) -> None:
    with engine.containers.get("a") as container:
        assert_type(container, cl.Container)
        assert_type(container.exec("true"), cl.Completed)
        assert_type(container.state, cl.State)
        assert_type(container.wait(timeout=1.0), cl.ExitStatus)
        assert_type(container.logs(follow=True), Iterator[cl.LogRecord])
    assert_type(engine.containers.list(), list[cl.Container])
    assert_type(engine.images.load("image.tar"), list[cl.Image])
    assert_type(engine.image("alpine").pull(), cl.Image)


def streams(process: cl.Process) -> None:
    assert_type(process.stdout, BinaryIO)
    assert_type(process.stdin, BinaryIO)
    assert_type(process.wait(timeout=1.0), cl.ExitStatus)
    assert_type(process.poll(), cl.ExitStatus | None)
