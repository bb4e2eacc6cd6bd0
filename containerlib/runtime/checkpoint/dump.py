"""A container's processes to images. See the package for how it is used.

    check             whose processes, which mounts and namespaces come from outside
    CRIU              freezes them, writes the images, and waits at "post-dump"
    post-dump         the processes stand still: their credentials in the images are compared with the kernel's, and
                      the caller copies what else there is
    accepted          they go on, or are killed, and the supervisor was told that this is the end

Before the last step nothing has happened that CRIU does not undo, also where this process is killed: it runs by itself,
and takes a caller who is gone for one that has refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time

from containerlib._sys.paths import open_in_root
from containerlib._sys.processes import await_end, is_alive, is_ending
from containerlib._sys.wire import Kind
from containerlib.errors import AlreadyExists, Conflict, InvalidArgument, StageError, Unavailable
from containerlib.runtime.checkpoint.credentials import verify_dump
from containerlib.runtime.checkpoint.criu import Conversation, Criu
from containerlib.runtime.checkpoint.description import Description, FromOutside, write_description
from containerlib.runtime.checkpoint.failures import explained, log_lines
from containerlib.runtime.checkpoint.image import forget_parent
from containerlib.runtime.checkpoint.mounts import external
from containerlib.runtime.checkpoint.options import Options
from containerlib.runtime.checkpoint.outside import names_of
from containerlib.runtime.checkpoint.requests import DUMP_LOG, dump_request
from containerlib.runtime.connections import connect
from containerlib.runtime.launch import COMING, groups_of
from containerlib.runtime.records import read_record
from containerlib.spec.lifecycle import State

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Self

    from containerlib.errors import Error
    from containerlib.runtime.cgroups.cgroup import ContainerCgroup
    from containerlib.runtime.checkpoint.messages import Answer
    from containerlib.runtime.supervisor import Supervisor
    from containerlib.spec.runtime import Spec

__all__ = ["await_memory", "dump"]

_LEAST_ROOM = 1 << 16
_DYING = 0.1
_PAUSE = 0.01


def dump(
    criu: Criu,
    directory: str,
    images: str,
    *,
    spec: Spec,
    cgroup: ContainerCgroup | None = None,
    options: Options = Options(),  # noqa: B008 - it is frozen
    still: Callable[[], object] | None = None,
    work: str | None = None,
    pre: bool = False,
    target: tuple[int, int] | None = None,
    ready: Callable[[], object] | None = None,
) -> Description:
    """Writes the processes of the container in `directory`, whose config is `spec`, to the directory `images`.

    `images` is made, for its owner alone. `still` is called when they are written, and the processes stand still: what
    it raises lets them go on, and leaves no images. Then they end, or with `options.leave_running` go on, or stay
    paused. `work` takes CRIU's log, dump.log; else `images`. `pre`: the memory alone, for a dump that names it as its
    parent; they go on. `target`: pid and start time of the first process, where no supervisor has recorded them.
    `ready` is called when memory may be asked for, with `options.lazy_pages`. Processes that were executed in the
    container from outside are left out.

    Raises: Conflict where it does not run, or has what the options refuse; Unsupported; AlreadyExists for images that
    are there; StageError(stage="dump"), with the process and the resource, with errno EPERM where a process has forged
    its credentials in the images.
    """
    options.check()
    _require(criu, options, pre)
    pid, start_time = target or _recorded(directory)
    await_memory(directory, (pid, start_time))
    with contextlib.ExitStack() as stack:
        root = _open_root(stack, pid, start_time)
        made = stack.enter_context(_Images(images))
        description = _describe(pid, root, spec)
        asked = dump_request(
            pid,
            options,
            images=_open(stack, images),
            work=_open(stack, work or images),
            outside=names_of(description),
            network=_network(pid, options),
            freezer=_frozen_group(cgroup),
            pre=pre,
        )

        def stands_still() -> None:
            _check_alive(pid, start_time)
            verify_dump(images, pid)
            forget_parent(images, _inner_pid(pid))
            write_description(images, description)
            if still is not None:
                still()
            if not options.leave_running:
                # its supervisor is not to start it again: it ends now, and goes on elsewhere
                _announce(directory, lambda supervisor: supervisor.signal(0, final=True))

        points = {"status-ready": ready, "post-dump": None if pre else stands_still}
        answer = _answer(criu, directory, (pid, start_time), asked, points)
        if not answer.success:
            raise _failure(directory, answer, images, work or images)
        made.keep()
    return description


def _answer(
    criu: Criu,
    directory: str,
    target: tuple[int, int],
    asked: bytes,
    points: Mapping[str, Callable[[], object] | None],
) -> Answer:
    """Raises: Conflict where the container has ended; Unavailable; what a part of `points` raises."""
    try:
        with Conversation(criu, is_vain=lambda: is_ending(*target)) as conversation:
            _announce(directory, lambda supervisor: supervisor.traced_by(conversation.pid))
            conversation.ask(asked)
            answer = conversation.finish(points)
    except Unavailable:
        _check_going_on(*target)
        raise
    if not answer.success:
        _check_going_on(*target)
    return answer


def _failure(directory: str, answer: Answer, images: str, work: str) -> Error:
    subject = f"container {os.path.basename(directory)}"  # noqa: PTH119 - a str
    number = errno.ENOSPC if _is_full(images) else answer.errno
    return explained("dump", number, log_lines(work, DUMP_LOG), subject=subject, where=f"{work}/{DUMP_LOG}")


def _is_full(directory: str) -> bool:
    """Whether there is no room: CRIU says of its programs only that they have failed."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize < _LEAST_ROOM


def _require(criu: Criu, options: Options, pre: bool) -> None:
    if pre or options.parent is not None:
        criu.require("mem_track", "a dump of what has changed since another one")
    if options.lazy_pages:
        if options.page_server is None:
            raise InvalidArgument("lazy pages are asked for at a page server", field="checkpoint.page_server")
        criu.require("lazy_pages", "memory that comes when it is touched")


class _Images:
    """The directory of a dump's images, from which they are removed where it fails; CRIU's log stays."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._kept = False

    def __enter__(self) -> Self:
        try:
            os.makedirs(self._path, 0o700, exist_ok=True)  # noqa: PTH103 - a str
        except OSError as error:
            raise StageError("state", error.errno or 0, self._path) from error
        if any(name.endswith(".img") for name in os.listdir(self._path)):  # noqa: PTH208
            raise AlreadyExists(f"{self._path} has images of another checkpoint: choose another directory")
        return self

    def keep(self) -> None:
        """They are whole."""
        self._kept = True

    def __exit__(self, *_: object) -> None:
        if self._kept:
            return
        for name in os.listdir(self._path):  # noqa: PTH208
            if name.endswith((".img", ".json")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(f"{self._path}/{name}")  # noqa: PTH108


def _recorded(directory: str) -> tuple[int, int]:
    record = read_record(directory, "started")
    if record is None or record.kind != Kind.STARTED:
        state = State.STOPPED if record is None else State.CREATED
        raise Conflict(f"the container is {state.value}, and must be running", state=state.value)
    return record.value[0], record.number[0]


def _check_alive(pid: int, start_time: int) -> None:
    """CRIU has taken a number, which may be another process's by now: frozen as they are, that is sure."""
    if not is_alive(pid, start_time):
        raise Conflict("the container is stopped, and must be running", state=State.STOPPED.value)


def _check_going_on(pid: int, start_time: int) -> None:
    """Of one that was killed CRIU may have seen that before its parent has."""
    await_end(pid, start_time, _DYING)
    _check_alive(pid, start_time)


def await_memory(directory: str, target: tuple[int, int] | None = None) -> None:
    """What has not come yet after a restore would not be in the images: CRIU's reader is at it without a pause.

    `target`: as of `dump`. Raises: Conflict where the container does not run.
    """
    while os.path.exists(f"{directory}/{COMING}"):  # noqa: PTH110 - a str
        _check_alive(*(target or _recorded(directory)))
        time.sleep(_PAUSE)


def _frozen_group(cgroup: ContainerCgroup | None) -> str | None:
    """The group that CRIU has to thaw, and freezes again: of a container that is paused."""
    if cgroup is None or not cgroup.frozen:
        return None
    groups = groups_of(cgroup)
    found = (path for names, path in (groups.hierarchies or {}).items() if "freezer" in names.split(","))
    return next(found, groups.directories[0])


def _open_root(stack: contextlib.ExitStack, pid: int, start_time: int) -> int:
    """The root that the process sees."""
    try:
        root = _open(stack, f"/proc/{pid}/root")
    except StageError:
        root = -1
    _check_alive(pid, start_time)
    return root


def _open(stack: contextlib.ExitStack, path: str) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise StageError("state", error.errno or 0, path) from error
    stack.callback(os.close, fd)
    return fd


def _describe(pid: int, root: int, spec: Spec) -> Description:
    with open(f"/proc/{pid}/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        found = external(file.read())
    called = dict(_destinations(root, spec))
    outside = {
        path: FromOutside(kind, called.get(path, path), options) for path, (kind, options) in found.items()
    }
    return Description(outside, tuple(_stream(pid, fd) for fd in range(3)))


def _destinations(root: int, spec: Spec) -> Iterator[tuple[str, str]]:
    """Mountpoint and what the configuration calls it, where links lie on the way."""
    for mount in spec.get("mounts", ()):
        with contextlib.suppress(OSError):
            fd = open_in_root(root, mount["destination"], os.O_PATH | os.O_CLOEXEC)
            try:
                yield os.readlink(f"/proc/self/fd/{fd}"), mount["destination"]  # noqa: PTH115
            finally:
                os.close(fd)


def _stream(pid: int, fd: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115 - a str
    except FileNotFoundError:
        return ""


def _inner_pid(pid: int) -> int:
    """Its number in its own pid namespace. Spec: proc_pid_status(5), NSpid"""
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        return next((int(line.split()[-1]) for line in file if line.startswith("NSpid:")), pid)


def _network(pid: int, options: Options) -> int | None:
    """The number of its network namespace, where that is one of its own, and not CRIU's to make."""
    if options.network != "given":
        return None
    own, host = (os.stat(f"/proc/{each}/ns/net").st_ino for each in (pid, "thread-self"))  # noqa: PTH116
    return None if own == host else own


def _announce(directory: str, tell: Callable[[Supervisor], object]) -> None:
    """To its supervisor, if it has one."""
    with contextlib.suppress(Conflict):
        supervisor = connect(directory)
        if supervisor is not None:
            with supervisor:
                tell(supervisor)
