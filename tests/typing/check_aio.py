"""What a type checker must know of the async face."""

from __future__ import annotations

from typing import assert_type

import containerlib as cl
from containerlib import aio


async def recipes(engine: aio.Engine) -> None:
    recipe = engine.container("redis:7")
    assert_type(recipe, aio.ContainerRecipe)
    assert_type(recipe.name("a").env(A="b").limit(memory="1MiB"), aio.ContainerRecipe)
    assert_type(recipe.mount(engine.volume("www"), at="/www"), aio.ContainerRecipe)
    assert_type(
        engine.container(await engine.image("redis:7").pull(platform="linux/arm64")), aio.ContainerRecipe
    )


async def verbs(recipe: aio.ContainerRecipe) -> None:
    assert_type(await recipe.run("true", check=False, timeout=1.0), cl.Completed)
    async with await recipe.spawn("cat") as process:
        assert_type(await process.stdout.receive(), bytes)
        assert_type(await process.wait(1.0), cl.ExitStatus)
    async with await recipe.start("sleep", "1") as container:
        assert_type(container, aio.Container)
        assert_type(container.state, cl.State)
        assert_type(await container.exec("true", env={"A": "b"}), cl.Completed)
        assert_type(await container.wait(), cl.ExitStatus)
        assert_type(await container.path("/a").read_text(), str)
        assert_type(await container.stats(), cl.Stats)
        assert_type(await container.commit("a:1"), aio.Image)
        assert_type(await container.spawn("cat", tty=True), aio.Process)
        async with await (container.path("/a") / "b").open("rb") as file:
            assert_type(await file.read(), bytes)
        assert_type(await recipe.pid(container).run(), cl.Completed)
        async for record in container.logs(follow=True):
            assert_type(record, cl.LogRecord)


async def collections(engine: aio.Engine) -> None:
    assert_type(await engine.containers.list(), list[aio.Container])
    assert_type(await engine.images.get("a:1"), aio.Image)
    volume = await engine.volume("www").driver("shelf").option(tier="fast").create()
    assert_type(volume, aio.Volume)
    assert_type(await volume.backup("www.tar"), None)
    assert_type(await engine.disk_usage(), cl.DiskUsage)
    async for event in engine.events(follow=True):
        assert_type(event, cl.Event)


async def refused(recipe: aio.ContainerRecipe) -> None:
    await recipe.run("cat", input="text")  # type: ignore[arg-type]
    await (await recipe.start()).commit("a:1", compresion="zstd")  # type: ignore[call-arg]
    recipe.run("true").text  # type: ignore[attr-defined]  # noqa: B018
