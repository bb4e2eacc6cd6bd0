"""run and exec with `stream`: the caller sees the output while the program is at work."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import containerlib as cl
from containerlib import aio

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

PROGRAM = 'printf "one\n"; while [ ! -e "$1"/go ]; do sleep 0.02; done; printf "two\n"; printf "err\n" >&2'


class Ears:
    """Lets the program go on when its first line has come; a program that is not heard at once never ends."""

    def __init__(self, directory: Path) -> None:
        self._go = directory / "go"
        self.heard: dict[str, bytes] = {"stdout": b"", "stderr": b""}

    def __call__(self, name: str, data: bytes) -> None:
        self.heard[name] += data
        if self.heard["stdout"].startswith(b"one\n"):
            self._go.touch()


@pytest.fixture
def ears(tmp_path: Path) -> Ears:
    tmp_path.joinpath("shared").mkdir()
    return Ears(tmp_path / "shared")


@pytest.fixture
def shared(box: cl.ContainerRecipe, ears: Ears, tmp_path: Path) -> cl.ContainerRecipe:
    return box.mount(tmp_path / "shared", at="/data")


@pytest.fixture
def running(shared: cl.ContainerRecipe) -> Iterator[cl.Container]:
    with shared.start("sleep", "600") as container:
        yield container


ALL = {"stdout": b"one\ntwo\n", "stderr": b"err\n"}
ARGV = ("sh", "-c", PROGRAM, "sh", "/data")


def test_run_stream_is_heard_while_the_program_runs(shared: cl.ContainerRecipe, ears: Ears) -> None:
    done = shared.run(*ARGV, stream=ears, timeout=60.0)
    assert {"stdout": done.stdout, "stderr": done.stderr} == ears.heard == ALL


def test_exec_stream_is_heard_while_the_command_runs(running: cl.Container, ears: Ears) -> None:
    done = running.exec(*ARGV, stream=ears, timeout=60.0)
    assert {"stdout": done.stdout, "stderr": done.stderr} == ears.heard == ALL


def test_run_stream_with_a_terminal_has_all_on_stdout(shared: cl.ContainerRecipe) -> None:
    heard: list[tuple[str, bytes]] = []
    shared.tty().run(
        "sh", "-c", "echo out; echo err >&2", stream=lambda name, data: heard.append((name, data))
    )
    assert {name for name, _ in heard} == {"stdout"}
    assert b"".join(data for _, data in heard).split() == [b"out", b"err"]


def test_run_stream_true_is_on_this_programs_streams(
    box: cl.ContainerRecipe, capfd: pytest.CaptureFixture[str]
) -> None:
    done = box.run("sh", "-c", "echo out; echo err >&2", stream=True)
    assert capfd.readouterr() == ("out\n", "err\n")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_run_without_stream_writes_nothing_here(
    box: cl.ContainerRecipe, capfd: pytest.CaptureFixture[str]
) -> None:
    box.run("sh", "-c", "echo out; echo err >&2")
    assert capfd.readouterr() == ("", "")


def refuse(name: str, data: bytes) -> None:
    raise LookupError(f"{name} is not wanted")


ENDLESS = ("sh", "-c", "echo one; exec sleep 1000")


def test_run_whose_listener_fails_removes_the_container_and_raises(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    with pytest.raises(LookupError, match="stdout is not wanted"):
        box.run(*ENDLESS, stream=refuse)
    left_nothing()


def test_exec_whose_listener_fails_kills_the_command_alone_and_raises(running: cl.Container) -> None:
    with pytest.raises(LookupError, match="stdout is not wanted"):
        running.exec(*ENDLESS, stream=refuse)
    assert "sleep 1000" not in " ".join(running.exec("ps", "-o", "args").text.split("\n"))
    assert running.state is cl.State.RUNNING


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    backend: str = request.param
    return backend


@pytest.mark.anyio
async def test_async_verbs_stream_is_heard_while_the_program_runs(
    shared: cl.ContainerRecipe, ears: Ears
) -> None:
    async with aio.Engine(shared.engine.root) as engine:
        recipe = aio.ContainerRecipe(engine, shared.image, shared.options)
        done = await recipe.run(*ARGV, stream=ears, timeout=60.0)
        assert {"stdout": done.stdout, "stderr": done.stderr} == ears.heard == ALL
        async with await recipe.start("sleep", "600") as container:
            (Path(shared.options.mounts[0].source) / "go").unlink()
            ears.heard.update(stdout=b"", stderr=b"")
            await container.exec(*ARGV, stream=ears, timeout=60.0)
            assert ears.heard == ALL


@pytest.mark.anyio
async def test_async_run_whose_listener_fails_removes_the_container_and_raises(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> None:
    async with aio.Engine(box.engine.root) as engine:
        with pytest.raises(LookupError, match="stdout is not wanted"):
            await aio.ContainerRecipe(engine, box.image).run(*ENDLESS, stream=refuse)
    left_nothing()
