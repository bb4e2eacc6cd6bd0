"""The async face, on asyncio and on trio: real containers, one event loop."""

from __future__ import annotations

import asyncio
import io
import os
import pickle
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

import containerlib as cl
from containerlib import aio
from rig.lifetime import shim_of

pytestmark = [pytest.mark.anyio, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.fixture
async def async_engine(box: cl.ContainerRecipe) -> AsyncIterator[aio.Engine]:
    async with aio.Engine(box.engine.root) as engine:
        yield engine


@pytest.fixture
def recipe(async_engine: aio.Engine, box: cl.ContainerRecipe) -> aio.ContainerRecipe:
    return aio.ContainerRecipe(async_engine, box.image)


async def test_run_gives_output_and_exit_code(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    done = await recipe.env(A="b").run("sh", "-c", 'cat; echo "$A" >&2; exit 3', input=b"in", check=False)
    assert (done.exit_code, done.stdout, done.stderr) == (3, b"in", b"b\n")
    left_nothing()


async def test_run_that_fails_raises_as_the_blocking_one(recipe: aio.ContainerRecipe) -> None:
    with pytest.raises(cl.ExitError, match="7"):
        await recipe.run("sh", "-c", "exit 7")
    with pytest.raises(cl.StageError):
        await recipe.run("no-such-program")
    with pytest.raises(cl.Timeout):
        await recipe.run("sleep", "60", timeout=0.2)
    with pytest.raises(cl.InvalidArgument):
        await recipe.run("true", timeout=-1.0)


async def test_cancelled_run_leaves_nothing(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    for after in (0.0, 0.002, 0.01, 0.05, 0.2):
        with anyio.move_on_after(after) as scope:
            await recipe.run("sleep", "60")
        assert scope.cancelled_caught
    left_nothing()


async def in_a_block(recipe: aio.ContainerRecipe, _: aio.Container) -> None:
    async with (
        await recipe.start("sleep", "60") as container,
        await container.spawn("sleep", "60") as process,
    ):
        await process.wait()


async def on_a_network(recipe: aio.ContainerRecipe, _: aio.Container) -> None:
    async with await recipe.engine.network("passing").create():
        await asyncio.sleep(60)


Verb = Callable[[aio.ContainerRecipe, aio.Container], Coroutine[Any, Any, object]]
VERBS: dict[str, Verb] = {
    "run": lambda recipe, _: recipe.run("sleep", "60", input=b"x" * 100_000),
    "start": lambda recipe, _: recipe.start("sleep", "60"),
    "start detached": lambda recipe, _: recipe.start("sleep", "60", detach=True),
    "create": lambda recipe, _: recipe.create("sleep", "60"),
    "spawn": lambda recipe, _: recipe.spawn("sleep", "60"),
    "block": in_a_block,
    "exec": lambda _, container: container.exec("sleep", "60"),
    "spawn in one that runs": lambda _, container: container.spawn("sleep", "60"),
    "wait_for": lambda _, container: container.wait_for(exec=("sleep", "60")),
    "network": on_a_network,
    "volume": lambda recipe, _: recipe.engine.volume("passing").create(),
}


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 10], ids=["once", "again and again"])
@pytest.mark.parametrize("verb", VERBS)
async def test_task_that_is_cancelled_at_any_moment_leaves_nothing(
    recipe: aio.ContainerRecipe, verb: str, times: int
) -> None:
    """asyncio's own cancellation, which no scope of anyio's shields from."""
    async with await recipe.start("sleep", "600") as container:
        pause = 0.00005 if verb in ("network", "volume") else 0.0003
        for step in range(25):
            task = asyncio.ensure_future(VERBS[verb](recipe, container))
            await asyncio.sleep(step * pause)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0.001)
            await asyncio.wait([task])
            if not task.cancelled():  # it was done before
                made = task.result()
                assert isinstance(made, aio.Container | aio.Process | aio.Volume)
                if isinstance(made, aio.Process):
                    await made.aclose()
                else:
                    await (made.remove(force=True) if isinstance(made, aio.Container) else made.remove())
        assert await recipe.engine.networks.list() == await recipe.engine.volumes.list() == []
        assert [each.id for each in await recipe.engine.containers.list()] == [container.id]
        with anyio.fail_after(10.0):
            while len(await container.top()) > 1:
                await asyncio.sleep(0.01)


async def test_many_runs_at_once_take_few_threads(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    codes: list[int] = []
    most = 0

    async def run(code: int) -> None:
        codes.append((await recipe.run("sh", "-c", f"sleep 0.5; exit {code}", check=False)).exit_code)

    async with anyio.create_task_group() as group:
        for code in range(60):
            group.start_soon(run, code)
        while len(codes) < 60:
            most = max(most, threading.active_count())
            await anyio.sleep(0.02)
    assert sorted(codes) == list(range(60))
    assert most < 60
    left_nothing()


async def test_spawn_is_a_conversation(recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]) -> None:
    code = 'while read line; do echo "got $line"; done; exit 5'
    async with await recipe.spawn("sh", "-c", code) as process:
        out = BufferedByteReceiveStream(process.stdout)
        for word in (b"one", b"two"):
            await process.stdin.send(word + b"\n")
            assert await out.receive_until(b"\n", 100) == b"got " + word
        assert process.poll() is None
        await process.stdin.aclose()
        assert (await process.wait(30.0)).exit_code == 5
        with pytest.raises(anyio.EndOfStream):
            await process.stdout.receive()
    left_nothing()


async def test_spawn_streams_much_both_ways(recipe: aio.ContainerRecipe) -> None:
    data, back = os.urandom(1 << 22), bytearray()
    async with await recipe.spawn("cat") as process, anyio.create_task_group() as group:

        async def feed() -> None:
            await process.stdin.send(data)
            await process.stdin.aclose()

        group.start_soon(feed)
        async for chunk in process.stdout:
            back += chunk
    assert back == data


async def test_spawn_left_early_is_killed(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with anyio.move_on_after(0.2):
        async with await recipe.spawn("sleep", "60") as process:
            await process.stdout.receive()
    assert process.poll() is not None
    left_nothing()


async def test_container_lives_and_is_gone_after_its_block(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    async with await recipe.name("web").label(a="b").start("sh", "-c", "echo up; sleep 60") as container:
        assert (container.name, container.labels, container.state) == ("web", {"a": "b"}, cl.State.RUNNING)
        await container.wait_for(log="up", timeout=30.0)
        assert (await container.exec("echo", "in it")).text == "in it\n"
        assert container in await container.engine.containers.list()
        assert (await container.inspect()).name == "web"
        await container.path("/file").write_text("text")
        assert await container.path("/file").read_text() == "text"
        assert (await container.stats()).memory.usage_bytes > 0
        await container.pause()
        await container.resume()
        assert (await container.stop()).exit_code == 137
    left_nothing()


async def test_thousand_waits_are_one_loops(
    recipe: aio.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    async with await recipe.start("sleep", "60") as container:
        threads = threading.active_count()
        statuses: list[cl.ExitStatus] = []

        async def wait() -> None:
            statuses.append(await container.wait())

        async with anyio.create_task_group() as group:
            for _ in range(1000):
                group.start_soon(wait)
            await anyio.sleep(0.5)
            assert threading.active_count() <= threads + 1
            await container.kill()
        assert [status.exit_code for status in statuses] == [137] * 1000
    left_nothing()


async def test_logs_are_followed_in_the_loop(recipe: aio.ContainerRecipe) -> None:
    code = "for i in 1 2 3; do echo line $i; sleep 0.1; done"
    async with await recipe.start("sh", "-c", code) as container:
        assert [record.text async for record in container.logs(follow=True)] == ["line 1", "line 2", "line 3"]
    async with await recipe.start("sh", "-c", "echo once; sleep 60") as container:
        with anyio.fail_after(30.0):
            async for record in container.logs(follow=True):
                assert record.text == "once"
                break


async def test_logs_that_come_without_end_leave_others_their_turn(recipe: aio.ContainerRecipe) -> None:
    """And are let go of when they are cancelled."""
    async with await recipe.log(max_size="1MiB").start("yes") as container:
        with anyio.move_on_after(0.3) as scope:
            async for record in container.logs(follow=True):
                assert record.text == "y"
        assert scope.cancelled_caught
        with anyio.move_on_after(0.3) as scope:
            await container.wait_for(log="never", timeout=3600.0)
        assert scope.cancelled_caught


async def test_loop_goes_on_where_a_supervisor_does_not_answer(recipe: aio.ContainerRecipe) -> None:
    async with await recipe.start("sleep", "1000") as container:
        shim = shim_of(container.blocking)
        waits: list[Callable[[], Awaitable[object]]] = [
            container.wait,
            container.stop,
            lambda: anext(container.stats_stream()),
            lambda: anext(container.logs(follow=True)),
        ]
        os.kill(shim, signal.SIGSTOP)
        try:
            for wait in waits:
                with anyio.move_on_after(0.2) as scope:
                    await wait()
                assert scope.cancelled_caught
        finally:
            os.kill(shim, signal.SIGCONT)


async def test_events_are_followed_in_the_loop(recipe: aio.ContainerRecipe) -> None:
    seen: list[str] = []

    async def follow() -> None:
        async for event in recipe.engine.events(follow=True):
            seen.append(event.action)
            if event.action == "remove":
                return

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await anyio.sleep(0.2)
        await recipe.run("true")
    assert [action for action in seen if action in ("create", "die", "remove")] == ["create", "die", "remove"]


async def test_stats_stream_ends_with_the_container(recipe: aio.ContainerRecipe) -> None:
    async with await recipe.start("sleep", "60") as container:
        count = 0
        async for stats in container.stats_stream(every=0.05):
            assert stats.pids.current == 1
            count += 1
            if count == 3:
                await container.kill()
        assert count >= 3


async def test_volume_and_image_of_this_face_are_mounted(recipe: aio.ContainerRecipe, tmp_path: Path) -> None:
    volume = recipe.engine.volume("www")
    with_volume = recipe.mount(volume, at="/www")
    await with_volume.run("sh", "-c", "echo text > /www/file")
    assert (await with_volume.run("cat", "/www/file")).text == "text\n"
    (made,) = await recipe.engine.volumes.list()
    assert made.name == "www"
    await made.remove()


async def test_volume_of_this_face_is_made_backed_up_and_restored(
    recipe: aio.ContainerRecipe, tmp_path: Path
) -> None:
    engine = recipe.engine
    wanted = engine.volume("www").driver("local").label(team="web").option(type="none", device=str(tmp_path))
    volume = await wanted.option(o="bind").create()
    assert (volume.driver, volume.labels) == ("local", {"team": "web"})
    assert volume.options == {"type": "none", "device": str(tmp_path), "o": "bind"}
    await recipe.mount(volume, at="/www").run("sh", "-c", "echo text > /www/file")
    archive = io.BytesIO()
    await volume.backup(archive)
    other = await engine.volume().create()
    await other.restore(io.BytesIO(archive.getvalue()))
    assert (other.path / "file").read_text() == "text\n"
    assert other.created_at > volume.created_at
    for each in (volume, other):
        await each.remove()
    assert (tmp_path / "file").read_text() == "text\n"


async def test_commit_saves_and_runs(recipe: aio.ContainerRecipe, tmp_path: Path) -> None:
    container = await recipe.start("sh", "-c", "echo text > /file", detach=True)
    await container.wait()
    image = await container.commit("made:1")
    await container.remove()
    assert (await recipe.engine.container(image).run("cat", "/file")).text == "text\n"
    await image.save(tmp_path / "made.tar")
    await image.remove()
    (loaded,) = await recipe.engine.images.load(tmp_path / "made.tar")
    assert loaded.references == ("docker.io/library/made:1",)
    await loaded.remove()


async def test_files_are_opened_in_the_loop(recipe: aio.ContainerRecipe) -> None:
    async with await recipe.start("sleep", "600") as container:
        path = container.path("/etc") / "made.txt"
        async with await path.open("wb") as file:
            await file.write(b"one\ntwo\n")
        async with await path.open() as file:
            assert [line async for line in file] == [b"one\n", b"two\n"]
        assert await path.read_text() == "one\ntwo\n"
        assert path in await path.parent.iterdir()
        with pytest.raises(cl.NotFound):
            await (path.parent / "missing").open()


async def test_file_that_is_left_by_a_cancellation_is_closed(recipe: aio.ContainerRecipe) -> None:
    """An open file keeps a stopped container from being started."""
    async with await recipe.start("sh", "-c", "echo text > /file") as container:
        await container.wait()
        with anyio.move_on_after(0.1) as scope:
            async with await container.path("/file").open() as file:
                assert await file.read() == b"text\n"
                await anyio.sleep_forever()
        assert scope.cancelled_caught
        await container.start()


async def test_notebook_shows_the_same_as_the_blocking_face(
    recipe: aio.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    async with await recipe.start("sleep", "600") as container:
        both = [(container, box.engine.containers.get(container.id))]
        both += [(recipe.engine.containers, box.engine.containers), (recipe.engine.images, box.engine.images)]
        (image,) = await recipe.engine.images.list()
        both.append((image, box.engine.images.get(image.id)))
        for awaited, blocking in both:
            assert awaited._repr_html_() == blocking._repr_html_()
            assert repr(awaited)


async def test_container_pickles_by_engine_and_id(recipe: aio.ContainerRecipe) -> None:
    async with await recipe.start("sleep", "600") as container:
        again = pickle.loads(pickle.dumps(container))  # noqa: S301
        assert again == container
        assert (await again.exec("true")).exit_code == 0


async def test_attached_talk_to_one_program_and_leave_it_alone(
    recipe: aio.ContainerRecipe, box: cl.ContainerRecipe
) -> None:
    code = "while read line; do echo got $line; done; echo end"
    container = await recipe.stdin().start("sh", "-c", code, detach=True)
    try:
        async with await container.attach() as first, await container.attach(stdin=False) as second:
            await first.stdin.send(b"one\n")
            assert await first.stdout.receive() == b"got one\n"
            assert await second.stdout.receive() == b"got one\n"
            with pytest.raises(anyio.BrokenResourceError):
                await second.stdin.send(b"x")
        assert container.state is cl.State.RUNNING
        async with await container.attach() as third:
            await third.close_stdin()
            assert await third.stdout.receive() == b"end\n"
            assert (await third.wait(10.0)).exit_code == 0
    finally:
        await container.remove(force=True)


async def test_spawn_detached_is_left_alone(recipe: aio.ContainerRecipe) -> None:
    async with await recipe.start("sleep", "600") as container:
        async with await container.spawn("sleep", "4321", detach=True):
            pass
        assert "sleep 4321" in (await container.exec("ps")).text
