"""A container that exists."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self, overload

from containerlib._sys.steps import finish
from containerlib.boundary import public
from containerlib.engine import (
    archive,
    attach,
    execute,
    health,
    listing,
    ready,
    start,
    stop,
    waiting,
    words,
    words_log,
)
from containerlib.engine.execute import ExecOptions
from containerlib.engine.signals import parse_signal
from containerlib.engine.streaming import listener
from containerlib.engine.words_ready import conditions
from containerlib.fluent.checkpoint import Checkpointable
from containerlib.fluent.container_handle import ContainerHandle
from containerlib.fluent.image import Image, image_changes
from containerlib.fluent.inspection import Inspectable
from containerlib.fluent.process import Process
from containerlib.fluent.waiting import flows, waits

if TYPE_CHECKING:
    from containerlib._sys.steps import Flow, Steps
    from containerlib.engine.completed import Completed
    from containerlib.engine.streaming import OnOutput
    from containerlib.fluent.container_path import ContainerPath
    from containerlib.fluent.engine import Engine
    from containerlib.images.archives.changes import Change
    from containerlib.images.archives.streams import Target
    from containerlib.spec.options import Compression
    from containerlib.spec.status import ExitStatus, LogRecord

__all__ = ["Container"]


@public
class Container(ContainerHandle["Engine"], Inspectable, Checkpointable):
    """A container, whatever its state: a handle that any process with the same root can have.

    As a context manager it is stopped and removed at the end of the block, unless it was started with
    `detach`; a child that is forked in the block leaves it alone. Handles are equal where they are of the same
    container. Every verb raises NotFound once it has been removed.
    """

    _entered_by: int | None = None
    """The process that is in its block."""

    def __reduce__(self) -> tuple[Callable[[Engine, str], Container], tuple[Engine, str]]:
        """Pickles by engine and id: the same container for another process with the same root."""
        return _find, (self.engine, self.id)

    def start(self) -> None:
        """Lets a created container's program run, or starts a stopped one again, on the files that it left.

        One of the host's image finds that image as it is: what it wrote was in memory.

        Raises: Conflict where it runs; StageError.
        """
        start.restart(self._instance)

    @waits
    def wait_healthy(self, timeout: float = 30.0) -> Steps[None]:
        """Waits at most `timeout` seconds until a check of its health has succeeded.

        Raises: Timeout with the last check's output and the log's last lines; Conflict, with these, where it ends
        first, and where it has no check.
        """
        return health.wait_healthy(self._instance, words.seconds(timeout))

    def restart(self, timeout: float | None = None) -> None:
        """Stops it as `stop` does, where it runs, and starts it again.

        Raises: Conflict where somebody else starts it at this moment; StageError.
        """
        start.again(self._instance, words.timeout(timeout))

    @overload
    def wait(
        self, timeout: float | None = None, *, condition: waiting.WaitCondition = "stopped"
    ) -> ExitStatus: ...

    @overload
    def wait(self, timeout: float | None = None, *, condition: waiting.ReadyCondition) -> None: ...

    def wait(
        self,
        timeout: float | None = None,
        *,
        condition: waiting.WaitCondition | waiting.ReadyCondition = "stopped",
    ) -> ExitStatus | None:
        """Waits at most `timeout` seconds for its end, whichever process started it.

        With a restart policy that is when it stays stopped; `"next-exit"` waits for its program's next end, and
        `"removed"` until its name is free. Without an end there are `"running"`, whoever starts it, and `"healthy"`.

        One whose supervisor was killed ended by that: exit code 137, signal 9.

        Raises: Timeout, with the last lines of the log; Unavailable where it was never started; as `wait_healthy`.
        """
        return finish(waiting.steps(self._instance, words.timeout(timeout), condition))

    @waits
    def wait_for(
        self,
        *,
        log: str | re.Pattern[str] | None = None,
        count: int = 1,
        port: int | None = None,
        http: str | None = None,
        exec: Sequence[str] | None = None,  # noqa: A002 - DESIGN's name
        timeout: float = 30.0,
    ) -> Steps[None]:
        """Waits until a line of its log contains `log`, then until it can be reached, then until `exec` exits with 0.

        `log` is a text, or what `re.compile` gives: it is searched for in each line, from the log's first one on, and
        with `count` so many lines are waited for (`log=re.compile("ready .* connections"), count=2`).

        `port` is a TCP port that takes a connection on its own loopback, by IPv4 or IPv6. With `http` it answers a
        GET of that path there (`http="/health", port=8080`; without `port` it is 80) with a status from 200 to 399.

        Raises: Timeout with the log's last lines, after `timeout` seconds; Conflict with them at once where it ends
        first; InvalidArgument where there is nothing to wait for.
        """
        lines, target, command = conditions(log, count, port, http, exec)
        limit = words.seconds(timeout)
        return ready.wait_for(self._instance, log=lines, target=target, command=command, timeout=limit)

    @waits
    def stop(self, timeout: float | None = None) -> Steps[ExitStatus]:
        """Sends the stop signal, waits `timeout` seconds (None: the recipe's, or 10), then kills.

        A program that neither catches nor blocks the signal is killed at once: as the first process of its
        pid namespace it would never get it. A container that has ended is left as it is.
        """
        return stop.stop(self._instance, words.timeout(timeout))

    def kill(self, signal: int | str = "KILL") -> None:
        """Sends a signal to its first process.

        Raises: InvalidArgument; Conflict where it has ended.
        """
        stop.kill(self._instance, parse_signal(signal))

    def pause(self) -> None:
        """Freezes all of its processes.

        Raises: Conflict where it does not run.
        """
        stop.pause(self._instance)

    def resume(self) -> None:
        """Lets it run on.

        Raises: Conflict where it is not paused.
        """
        stop.resume(self._instance)

    @flows
    def logs(
        self,
        *,
        follow: bool = False,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        tail: int | None = None,
        stream: Literal["stdout", "stderr"] | None = None,
    ) -> Flow[LogRecord]:
        """The lines that it wrote, in order; with `follow`, also those to come, until it ends or `until` is over.

        `since` and `until` are datetimes with a time zone, or how long ago: of a line it counts when its writing began.
        `tail`: the last so many of these lines, which are looked for from the end. Times are the clock's when a line
        came: one that is set back shows. A line of more than a MiB is several records, `partial` but for the last.

        Raises: Unsupported where the recipe says `.log(None)`.
        """
        words.flag(follow, field="follow")
        return listing.logs(
            self._instance,
            follow=follow,
            since=words.moment(since, field="since"),
            until=words.moment(until, field="until"),
            tail=words_log.line_count(tail, field="tail"),
            stream=words_log.log_stream(stream),
        )

    @waits
    def exec(
        self,
        *argv: str,
        input: bytes | None = None,  # noqa: A002 - subprocess's name
        user: str | int | None = None,
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        privileged: bool = False,
        check: bool = True,
        timeout: float | None = None,
        stream: bool | OnOutput = False,
    ) -> Steps[Completed]:
        """Runs one more command in it, to the command's end; what is not given is as for its first process.

        `privileged`: with every capability; what the container's filter, devices and masked paths refuse stays refused.
        `stream` shows the output as it comes, as for `ContainerRecipe.run`.

        Raises: ExitError where the exit code is not 0, unless `check` is False; Timeout after `timeout`
        seconds, when the command is killed; Conflict where the container does not run; StageError where the
        command cannot be started (`exit_code` 127: not found, 126: not executable).
        """
        options = _exec_options(argv, user, workdir, env, tty=tty, privileged=privileged)
        words.flag(check, field="check")
        data, limit, hear = words.data(input), words.timeout(timeout), listener(stream)
        return execute.execute(
            self._instance, options, stdin=data, must_succeed=check, timeout=limit, on_output=hear
        )

    def spawn(
        self,
        *argv: str,
        user: str | int | None = None,
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        tty: bool = False,
        privileged: bool = False,
        detach: bool = False,
    ) -> Process:
        """Starts one more command in it, with pipes on its standard streams; `privileged` as for `exec`.

        With `detach` it outlives this process, until it or the container ends: its streams are /dev/null, and the end
        of a `with` block leaves it alone.

        Raises: Conflict where it does not run; StageError; InvalidArgument for `detach` with `tty`.
        """
        spawn = execute.spawn_detached if words.flag(detach, field="detach") else execute.spawn
        options = _exec_options(argv, user, workdir, env, tty=tty, privileged=privileged)
        return Process(spawn(self._instance, options))

    def attach(self, *, stdin: bool = True, stdout: bool = True, stderr: bool = True) -> Process:
        """The streams of its first process, from this moment on; `logs()` has what was written before.

        Several may be attached at once, each with a copy of all output: one that does not read stops the container, as
        a full pipe does, so leave out what you do not read. `stdin` is what all of them and `recipe.stdin()` keep open.
        Closing the process, or the end of its `with` block, lets go of the container and does not end it. One that is
        created may be attached to before it is started.

        Raises: Conflict where it has ended; Unsupported where an older containerlib started it.
        """
        wanted = {"stdin": stdin, "stdout": stdout, "stderr": stderr}
        return Process(
            attach.attach(
                self._instance, **{name: words.flag(value, field=name) for name, value in wanted.items()}
            )
        )

    def path(self, path: str | os.PathLike[str]) -> ContainerPath:
        """A file or directory in it, by its absolute path: `container.path("/etc/hosts").read_text()`."""
        from containerlib.fluent.container_path import ContainerPath  # noqa: PLC0415 - few ask, as below

        return ContainerPath(self, PurePosixPath(words.container_path(path, field="path")))

    def diff(self) -> list[Change]:
        """What it changed in its image's files, by path: `str(change)` is docker's `"C /etc"`.

        Raises: Unsupported for a container of the host's image, whose changes are in memory.
        """
        return archive.diff(self._instance)

    def export(self, target: Target) -> None:
        """Writes all of its files, without what is mounted, as a tar archive to a path, as `Image.save` does, or
        to an open file.

        Raises: StageError; Unsupported for a container of the host's image.
        """
        archive.export(self._instance, target)

    def commit(
        self,
        reference: str | None = None,
        *,
        entrypoint: Sequence[str] | None = None,
        cmd: Sequence[str] | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        user: str | int | None = None,
        workdir: str | None = None,
        author: str = "",
        message: str = "",
        compression: Compression = "gzip",
        pause: bool = True,
    ) -> Image:
        """An image of its image and what it changed, named `reference`; it is frozen meanwhile with `pause`.

        `entrypoint`, `cmd`, `user` and `workdir` replace the image's, `env` and `labels` add to them. Layers are
        written in a reproducible way: the same changes of the same times give the same bytes, and with
        SOURCE_DATE_EPOCH in the environment the same image.

        Raises: InvalidArgument; StageError; Unsupported for a container of the host's image.
        """
        made = archive.history(
            "commit", author=words.text(author, field="author"), comment=words.text(message, field="message")
        )
        record = archive.commit(
            self._instance,
            reference=reference,
            made=made,
            changed=image_changes(
                entrypoint=entrypoint, cmd=cmd, env=env, labels=labels, user=user, workdir=workdir
            ),
            compression=words.compression(compression),
            pause=words.flag(pause, field="pause"),
        )
        return Image(self.engine, record)

    def remove(self, *, force: bool = False, volumes: bool = False) -> None:
        """Removes it and all that it wrote; with `force`, also while it runs.

        With `volumes` those that were made for it, as its image asks, go too, unless others have them.

        Raises: Conflict where it runs.
        """
        words.flag(volumes, field="volumes")
        stop.remove(self._instance, force=words.flag(force, field="force"), volumes=volumes)

    def __enter__(self) -> Self:
        self._entered_by = os.getpid()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entered_by in (None, os.getpid()):
            stop.leave(self._instance, error)

    def _repr_html_(self) -> str:
        from containerlib.fluent.tables import container_table  # noqa: PLC0415 - for notebooks alone

        return container_table(self)


def _find(engine: Engine, container_id: str) -> Container:
    return engine.containers.get(container_id)


def _exec_options(
    argv: tuple[str, ...],
    user: str | int | None,
    workdir: str | None,
    env: Mapping[str, str] | None,
    *,
    tty: bool,
    privileged: bool,
) -> ExecOptions:
    return ExecOptions(
        argv=words.command(argv),
        user=None if user is None else words.user(user),
        workdir=None if workdir is None else words.container_path(workdir, field="workdir"),
        env=words.merge_pairs((), env, {}, field="env"),
        tty=words.flag(tty, field="tty"),
        privileged=words.flag(privileged, field="privileged"),
    )
