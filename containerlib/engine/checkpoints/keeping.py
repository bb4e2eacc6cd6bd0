"""Checkpoints that a container's supervisor has taken while it runs, and what is started again goes on from.

    supervisor                            a Python of its own: __main__.py
      | every so many seconds ------------>| keep ROOT ID: checkpoints/13 is made, `last` leads there, 10 is removed
      | the program has ended, `last/run` ->| rewind DIRECTORY 13: its files are as they were then
      |    then CRIU: the processes too     |

    <container>/checkpoints/13/     layer/, changed.tar as of any checkpoint (capture.py), and when these are whole
                       13/run       the plan of a run that goes on from it
                       last         a link to the newest
                       failed.log   CRIU's, of the last that failed
    <container>/upper.before        what the files were before they were put back, until the next is taken

None of ours needs to be alive, and each step may be its last: a checkpoint without `run` is none, and is cleared away
by the next. Who reads one holds it by flock(2), and it is not removed meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import frozen

import containerlib
from containerlib._sys.forks import opened
from containerlib._sys.trees import remove_tree, tree_size
from containerlib._sys.writing import replace_file
from containerlib.engine.checkpoints import changed, restoring
from containerlib.engine.checkpoints.capture import captured, image_of, read_captured, require
from containerlib.engine.checkpoints.document import agreed
from containerlib.engine.history import note
from containerlib.engine.late import late_of
from containerlib.engine.mounting import image_roots
from containerlib.engine.sources import resolve_again
from containerlib.engine.undo import Undo
from containerlib.errors import Conflict, Error, NotFound, Unsupported
from containerlib.runtime.checkpoint import DUMP_LOG, find_criu, packed_restore
from containerlib.runtime.plan.hooks import Program
from containerlib.runtime.records import read_record
from containerlib.spec.lifecycle import State
from containerlib.spec.values import cast, evolve

if TYPE_CHECKING:
    from containerlib.engine.instance import Instance
    from containerlib.images import ImageRecord
    from containerlib.runtime import Supervisor
    from containerlib.runtime.checkpoint import Options
    from containerlib.spec.lifetime import CheckpointOption
    from containerlib.spec.options import Compression

__all__ = ["Kept", "forget_last", "keep", "keeper", "kept", "resuming", "save"]

_PLACE, _RUN, _LAST, _FAILED_LOG = "checkpoints", "run", "last", "failed.log"
_PASSED_ON = ("PATH", "TMPDIR", "LANG")
_START = (
    "import sys; sys.path.append(sys.argv.pop(1)); "
    "from containerlib.engine.checkpoints.__main__ import main; main(*sys.argv[1:])"
)
"""Nothing is loaded from where this process was started, or its script is: a container may write there. Where this
package is comes last, and only there for an interpreter that does not know it."""


@frozen
class Kept:
    """One that is there."""

    number: int
    created_at: datetime
    size_bytes: int
    directory: str


# ---- for the supervisor ----


def keeper(instance: Instance) -> Program:
    """What takes a checkpoint, whenever the supervisor runs it.

    Raises: Unsupported where that could not be, with the reason.
    """
    require(instance)
    find_criu()
    return _program("keep", instance.core.root, instance.id)


def _program(*words: str) -> Program:
    """This module's, in an interpreter of its own. Raises: Unsupported where this process has none to run."""
    if not sys.executable:
        raise Unsupported("checkpoints are kept by a Python of their own, and sys.executable names none")
    home = os.path.abspath(f"{os.path.dirname(containerlib.__file__)}/..")  # noqa: PTH100, PTH120 - a str
    env = tuple(f"{name}={os.environ[name]}" for name in _PASSED_ON if name in os.environ)
    return Program((sys.executable, "-I", "-B", "-c", _START, home, *words), env)


def forget_last(instance: Instance) -> None:
    """It begins anew: none of its earlier checkpoints is where it goes on from."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(f"{instance.directory}/{_PLACE}/{_LAST}")  # noqa: PTH108 - a str


# ---- taking one ----


def keep(instance: Instance) -> None:
    """Takes a checkpoint of the running container, and removes the oldest where there are too many.

    What it comes to is an event: "checkpoint", or "checkpoint_failed" with the reason. Raises: as `checkpoint`.
    """
    try:
        number = _keep(instance, cast("CheckpointOption", instance.memo.checkpoints))
    except (Error, OSError) as error:
        with contextlib.suppress(Error, OSError):
            if instance.state is not State.STOPPED:  # else its end is what is to be told
                note(instance, "checkpoint_failed", reason=str(error))
        raise
    note(instance, "checkpoint", number=str(number))


def _keep(instance: Instance, option: CheckpointOption) -> int:
    place = f"{instance.directory}/{_PLACE}"
    os.makedirs(place, 0o700, exist_ok=True)  # noqa: PTH103 - a str
    with opened(place, os.O_RDONLY | os.O_DIRECTORY) as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)  # one whose supervisor was killed may be at work still
        run = read_record(instance.directory, "started")
        _clear(place)
        changed.forget_before(instance.directory)
        number = max(_numbers(place), default=0) + 1
        directory = f"{place}/{number}"
        with Undo() as undo:
            undo.add(partial(remove_tree, directory))
            undo.add(partial(_keep_log, place, directory))
            os.mkdir(directory, 0o700)  # noqa: PTH102 - a str
            with captured(instance, evolve(_options(option), leave_running=True), at=directory):
                pass
            plan = _run(instance, directory, option)
            _sync(directory)
            if read_record(instance.directory, "started") != run:
                raise Conflict(f"{instance.subject} was started anew meanwhile", state=instance.state.value)
            replace_file(directory, _RUN, plan)
        _lead_to(place, number)
        for old in _numbers(place)[: -option.keep]:
            _remove(f"{place}/{old}")
    return number


def _keep_log(place: str, directory: str) -> None:
    """Why it failed, as CRIU says it."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(f"{directory}/{DUMP_LOG}", f"{place}/{_FAILED_LOG}")  # noqa: PTH104 - a str


def _options(option: CheckpointOption) -> Options:
    return agreed(option.tcp, option.external_unix_sockets, option.file_locks)


def _run(instance: Instance, directory: str, option: CheckpointOption) -> bytes:
    """The plan of a run that goes on from it."""
    record, memo = instance.record, instance.memo
    image = resolve_again(instance.core, record.image_id, record.image_reference, memo.layers)
    return packed_restore(
        find_criu(),
        f"{directory}/layer/checkpoint",
        instance.directory,
        directory=instance.directory,
        root=image.root(instance.directory, instance.core.mountpoints),
        cgroup=instance.cgroup,
        spec=instance.spec,
        options=_options(option),
        stdin=memo.stdin,
        log=memo.log,
        late=late_of(instance),
        mounted=image_roots(instance),
        first=_program("rewind", instance.directory, directory),
    )


def _sync(directory: str) -> None:
    """All of it is on disk before anybody relies on it."""
    for at, _, names in os.walk(directory):
        for path in (*(f"{at}/{name}" for name in names), at):
            with opened(path, os.O_RDONLY) as file:
                os.fsync(file)


def _lead_to(place: str, number: int) -> None:
    aside = f"{place}/{_LAST}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(aside)  # noqa: PTH108 - a str
    os.symlink(str(number), aside)  # noqa: PTH211
    os.rename(aside, f"{place}/{_LAST}")  # noqa: PTH104


def _clear(place: str) -> None:
    """What killed ones left."""
    with os.scandir(place) as entries:
        unfinished = [
            entry.path
            for entry in entries
            if entry.is_dir(follow_symlinks=False) and not os.path.exists(f"{entry.path}/{_RUN}")  # noqa: PTH110
        ]
    for path in unfinished:
        remove_tree(path)


def _numbers(place: str) -> list[int]:
    """Of those that are there, the newest last."""
    try:
        return sorted(int(name) for name in os.listdir(place) if name.isdecimal())  # noqa: PTH208
    except FileNotFoundError:
        return []


def _remove(path: str) -> None:
    """Unless somebody reads it: then the next time."""
    with (
        contextlib.suppress(BlockingIOError, FileNotFoundError),
        opened(path, os.O_RDONLY | os.O_DIRECTORY) as held,
    ):
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.unlink(f"{path}/{_RUN}")  # noqa: PTH108 - from here on it is none
        remove_tree(path)


# ---- those that are there ----


def kept(instance: Instance) -> list[Kept]:
    """The oldest first. Raises: NotFound where the container has been removed."""
    place, found = f"{instance.directory}/{_PLACE}", list[Kept]()
    for number in _numbers(place):
        path = f"{place}/{number}"
        with contextlib.suppress(FileNotFoundError):  # an older one goes at this moment
            made = os.stat(f"{path}/{_RUN}").st_mtime  # noqa: PTH116 - a str
            found.append(Kept(number, datetime.fromtimestamp(made, UTC), tree_size(path), path))
    if not found and not os.path.isdir(instance.directory):  # noqa: PTH112
        raise instance.gone()
    return found


def save(
    instance: Instance, one: Kept, *, reference: str | None, compression: Compression, key: bytes | None
) -> ImageRecord:
    """The image of one that is kept. Raises: NotFound where it is no longer there; as `checkpoint`."""
    with _held(one.directory):
        record = image_of(instance, read_captured(one.directory), reference, compression, key)
    note(instance, "checkpoint", image_id=record.id, number=str(one.number))
    return record


@contextlib.contextmanager
def _held(path: str) -> Iterator[None]:
    """The checkpoint is not removed meanwhile. Raises: NotFound."""
    with contextlib.ExitStack() as stack:
        try:
            directory = stack.enter_context(opened(path, os.O_RDONLY | os.O_DIRECTORY))
        except FileNotFoundError as error:
            raise _gone(path) from error
        fcntl.flock(directory, fcntl.LOCK_SH)
        if not os.path.exists(f"{path}/{_RUN}"):  # noqa: PTH110 - a str
            raise _gone(path)
        yield


def _gone(path: str) -> NotFound:
    number = os.path.basename(path)  # noqa: PTH119 - a str
    return NotFound(f"the checkpoint {number} is no longer there: newer ones have taken its place")


# ---- without its supervisor ----


def resuming(instance: Instance) -> Callable[..., Supervisor] | None:
    """How the stopped container is made to go on from the last one, with its files put back; None: there is none.

    Raises: Unsupported without CRIU.
    """
    option, last = instance.memo.checkpoints, f"{instance.directory}/{_PLACE}/{_LAST}"
    if option is None or not os.path.exists(f"{last}/{_RUN}"):  # noqa: PTH110 - a str
        return None
    criu, directory, options = find_criu(), os.path.realpath(last), _options(option)

    def create(*given: Any, **words: Any) -> Supervisor:
        with _held(directory), changed.rewound(instance.directory, f"{directory}/changed.tar"):
            return restoring.create(criu, f"{directory}/layer/checkpoint", options, *given, **words)

    return create
