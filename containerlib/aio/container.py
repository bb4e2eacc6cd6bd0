"""A container that exists, with verbs to await."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from anyio import CancelScope

from containerlib.aio.container_path import ContainerPath
from containerlib.aio.driving import Flowing, drive, in_thread
from containerlib.aio.image import Image
from containerlib.aio.process import Process
from containerlib.aio.verbs import awaits, iterates, threaded
from containerlib.engine import stats, waiting, words
from containerlib.fluent.container import Container as BlockingContainer
from containerlib.fluent.container import ContainerCollection as BlockingCollection
from containerlib.fluent.container_handle import ContainerHandle

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine
    from containerlib.engine.stats import Stats
    from containerlib.engine.waiting import ReadyCondition, WaitCondition
    from containerlib.spec.status import ExitStatus

__all__ = ["Container", "ContainerCollection"]


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

    async def spawn(
        self,
        *argv: str,
        user: str | int | None = None,
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        privileged: bool = False,
        detach: bool = False,
    ) -> Process:
        """Starts one more command in it, with pipes on its standard streams; with `detach` it outlives this process."""
        spawn = partial(self.blocking.spawn, *argv, user=user, workdir=workdir, env=env, tty=tty)
        return Process(await in_thread(partial(spawn, privileged=privileged, detach=detach)))

    async def attach(self, *, stdin: bool = True, stdout: bool = True, stderr: bool = True) -> Process:
        """The streams of its first process, from this moment on; the end of the process's block lets go of it."""
        attach = partial(self.blocking.attach, stdin=stdin, stdout=stdout, stderr=stderr)
        return Process(await in_thread(attach))

    async def stats(self) -> Stats:
        """What it uses at this moment. Raises: Conflict where it has ended."""
        return await in_thread(partial(stats.read, self._instance))

    def stats_stream(self, *, every: float = 1.0) -> Flowing[Stats]:
        """One sample `every` so many seconds until it ends, with percentages. Raises: Conflict where it has ended."""
        return Flowing(stats.follow(self._instance, words.seconds(every, field="every")))

    def path(self, path: str | os.PathLike[str]) -> ContainerPath:
        """A file or directory in it, by its absolute path: `await container.path("/etc/hosts").read_text()`."""
        return ContainerPath(self.blocking.path(path))

    async def commit(self, reference: str | None = None, **words_: Any) -> Image:
        """An image of its image and what it changed: the words of `containerlib.Container.commit`."""
        return Image(self.engine, await in_thread(partial(self.blocking.commit, reference, **words_)))

    async def __aenter__(self) -> Self:
        self.blocking.__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            await in_thread(partial(self.blocking.__exit__, kind, error, traceback))


class ContainerCollection:
    """The containers of an engine: `engine.containers`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.blocking = BlockingCollection(engine.blocking)

    prune = threaded(BlockingCollection.prune)

    async def get(self, name_or_id: str) -> Container:
        """The container of that name or id, or the only one whose id starts so.

        Raises: NotFound; InvalidArgument where several ids start so.
        """
        return Container(self.engine, await in_thread(partial(self.blocking.get, name_or_id)))

    async def list(self) -> list[Container]:
        """All containers in whatever state, the oldest first."""
        return [Container(self.engine, found) for found in await in_thread(self.blocking.list)]
