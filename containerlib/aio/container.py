"""A container that exists, with verbs to await."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self, overload

from containerlib.aio.container_path import ContainerPath
from containerlib.aio.driving import Flowing, drive, in_thread, insist
from containerlib.aio.image import Image, KeptCheckpoint
from containerlib.aio.process import process
from containerlib.aio.verbs import awaits, handed, iterates, threaded
from containerlib.engine import stats, stop, waiting, words
from containerlib.fluent.container import Container as BlockingContainer
from containerlib.fluent.container_handle import ContainerHandle
from containerlib.fluent.containers import ContainerCollection as BlockingCollection
from containerlib.fluent.process import Process as BlockingProcess

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine
    from containerlib.engine.stats import Stats
    from containerlib.engine.waiting import ReadyCondition, WaitCondition
    from containerlib.fluent.checkpoint import KeptCheckpoint as BlockingKept
    from containerlib.fluent.image import Image as BlockingImage
    from containerlib.spec.status import ExitStatus

__all__ = ["Container", "ContainerCollection", "discard"]


def _image(self: Container, made: BlockingImage) -> Image:
    return Image(self.engine, made)


def _kept(self: Container, made: list[BlockingKept]) -> list[KeptCheckpoint]:
    return [KeptCheckpoint(self.engine, each) for each in made]


def _copies(self: Container, made: list[BlockingContainer]) -> list[Container]:
    return [Container(self.engine, each) for each in made]


def _discard_all(made: list[BlockingContainer]) -> None:
    for each in made:
        discard(each)


class Container(ContainerHandle["Engine"]):
    """A container, whatever its state: `containerlib.Container`, whose verbs are awaited.

    At the end of an `async with` block it is stopped and removed, unless it was started with `detach`.
    """

    def __init__(self, engine: Engine, blocking: BlockingContainer) -> None:
        super().__init__(engine, blocking._instance)
        self.blocking = blocking

    start = threaded(BlockingContainer.start)
    restart = threaded(BlockingContainer.restart)
    wait_for = awaits(BlockingContainer.wait_for)
    wait_healthy = awaits(BlockingContainer.wait_healthy)
    stop = awaits(BlockingContainer.stop)
    kill = threaded(BlockingContainer.kill)
    pause = threaded(BlockingContainer.pause)
    resume = threaded(BlockingContainer.resume)
    exec = awaits(BlockingContainer.exec)
    logs = iterates(BlockingContainer.logs)
    diff = threaded(BlockingContainer.diff)
    export = threaded(BlockingContainer.export)
    inspect = threaded(BlockingContainer.inspect)
    top = threaded(BlockingContainer.top)
    update = threaded(BlockingContainer.update)
    rename = threaded(BlockingContainer.rename)
    remove = threaded(BlockingContainer.remove)
    spawn = handed(BlockingContainer.spawn, process, BlockingProcess.close)
    attach = handed(BlockingContainer.attach, process, BlockingProcess.close)
    commit = handed(BlockingContainer.commit, _image)
    checkpoint = handed(BlockingContainer.checkpoint, _image)
    checkpoints = handed(BlockingContainer.checkpoints, _kept)
    fork = handed(BlockingContainer.fork, _copies, _discard_all)

    @overload
    async def wait(
        self, timeout: float | None = None, *, condition: WaitCondition = "stopped"
    ) -> ExitStatus: ...

    @overload
    async def wait(self, timeout: float | None = None, *, condition: ReadyCondition) -> None: ...

    async def wait(
        self, timeout: float | None = None, *, condition: WaitCondition | ReadyCondition = "stopped"
    ) -> ExitStatus | None:
        """Waits at most `timeout` seconds for its end, or for `condition`: as `containerlib.Container.wait`."""
        return await drive(waiting.steps(self._instance, words.timeout(timeout), condition))

    async def stats(self) -> Stats:
        """What it uses at this moment. Raises: Conflict where it has ended."""
        return await in_thread(partial(stats.read, self._instance))

    def stats_stream(self, *, every: float = 1.0) -> Flowing[Stats]:
        """One sample `every` so many seconds until it ends, with percentages. Raises: Conflict where it has ended."""
        return Flowing(stats.follow(self._instance, words.seconds(every, field="every")))

    def path(self, path: str | os.PathLike[str]) -> ContainerPath:
        """A file or directory in it, by its absolute path: `await container.path("/etc/hosts").read_text()`."""
        return ContainerPath(self, self.blocking.path(path).pure)

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()

    def __reduce__(self) -> tuple[Callable[[Engine, str], Container], tuple[Engine, str]]:
        """Pickles by engine and id, as the blocking one."""
        return _find, (self.engine, self.id)

    async def __aenter__(self) -> Self:
        self.blocking.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await insist(partial(self.blocking.__exit__, kind, error, traceback))


def discard(container: BlockingContainer) -> None:
    """Ends and removes what nobody has got a handle of."""
    stop.discard(container._instance)


def _handle(self: ContainerCollection, found: BlockingContainer) -> Container:
    return Container(self.engine, found)


def _handles(self: ContainerCollection, found: list[BlockingContainer]) -> list[Container]:
    return [Container(self.engine, each) for each in found]


class ContainerCollection:
    """The containers of an engine: `engine.containers`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.blocking = BlockingCollection(engine.blocking)

    list = handed(BlockingCollection.list, _handles)
    get = handed(BlockingCollection.get, _handle)
    prune = threaded(BlockingCollection.prune)

    def __repr__(self) -> str:
        return f"aio.{self.blocking!r}"

    def _repr_html_(self) -> str:
        return self.blocking._repr_html_()


def _find(engine: Engine, container_id: str) -> Container:
    return Container(engine, engine.blocking.containers.get(container_id))
