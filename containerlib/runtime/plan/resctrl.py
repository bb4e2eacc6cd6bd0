"""linux.intelRdt: a container's class of service in the resctrl file system, and its monitoring group.

    group = assign(rdt, container_id)           # before the start: makes and fills what has to be there
    ... group.task_files                        # the plan's: each process of the container joins through them
    with changed_schemata(group, ["MB:0=50"], root):       # later; an exception brings the old ones back
    group.remove()                              # when the container is deleted: only what is the container's own

Nothing is remembered: `group_of` says again what belongs to a container.

Spec: runtime-spec config-linux.md#intelrdt; the kernel's Documentation/filesystems/resctrl.rst
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator, Mapping, Sequence

from containerlib.errors import Conflict, InvalidArgument, NotFound, StageError, Unsupported
from containerlib.runtime.cgroups.files import write
from containerlib.spec.values import frozen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.spec.runtime import IntelRdt

__all__ = ["ResctrlGroup", "assign", "changed_schemata", "find_resctrl", "group_of", "lines_of", "move_tasks"]

_ROOT_CLASS = "/"
_MAX_PASSES = 100


@frozen
class ResctrlGroup:
    """The directories of one container. `own` are its own, innermost first."""

    directory: str
    monitor: str | None
    own: tuple[str, ...]

    @property
    def task_files(self) -> tuple[str, ...]:
        """In the order in which they are joined: a monitoring group takes only tasks of its class."""
        places = (self.directory, self.monitor) if self.monitor else (self.directory,)
        return tuple(f"{place}/tasks" for place in places)

    def remove(self) -> None:
        """Again is fine. Raises: StageError."""
        for path in self.own:
            try:
                os.rmdir(path)  # noqa: PTH106 - of resctrl, whose files are not to be removed
            except FileNotFoundError:
                continue
            except OSError as error:
                raise StageError("resctrl", error.errno or 0, path) from error


def find_resctrl(mountinfo: str = "/proc/self/mountinfo") -> str:
    """Where the file system is mounted. Raises: Unsupported where it is not."""
    with open(mountinfo) as file:
        for line in file:
            fields, _, kind = line.partition(" - ")
            if kind.split(" ", 1)[0] == "resctrl":
                return fields.split(" ")[4].encode().decode("unicode_escape")
    raise Unsupported(
        "linux.intelRdt: no resctrl file system is mounted. It needs a processor with resource control (RDT) and "
        "CONFIG_X86_CPU_RESCTRL; then: mount -t resctrl resctrl /sys/fs/resctrl"
    )


def group_of(rdt: IntelRdt, container_id: str, root: str) -> ResctrlGroup:
    """The directories of the container, below `root`. Raises: InvalidArgument."""
    class_ = rdt.get("closID") or container_id
    if class_ in (".", "..") or (class_ != _ROOT_CLASS and "/" in class_):
        raise InvalidArgument(f"{class_!r} is no name of a class of service", field="linux.intelRdt.closID")
    directory = root if class_ == _ROOT_CLASS else f"{root}/{class_}"
    monitor = f"{directory}/mon_groups/{container_id}" if rdt.get("enableMonitoring") else None
    own = [monitor] if monitor else []
    if not rdt.get("closID"):
        own.append(directory)
    return ResctrlGroup(directory, monitor, tuple(own))


def assign(
    rdt: IntelRdt, container_id: str, *, root: str | None = None, mkdir: Callable[[str], None] = os.mkdir
) -> ResctrlGroup:
    """Makes, fills or finds the container's groups; what fails leaves nothing behind.

    Raises: Unsupported without resctrl; NotFound for a class without a schema that nobody has made; Conflict where one
    has another schema; StageError with the kernel's own word where it refuses.
    """
    root = root or find_resctrl()
    group = group_of(rdt, container_id, root)
    lines = lines_of(rdt)
    with contextlib.ExitStack() as undo:
        if _make_class(rdt, group.directory, mkdir, bool(lines)):
            undo.callback(_discard, group.directory)
            _write_schemata(root, group.directory, lines)
        else:
            _compare(group.directory, _schemas(rdt))
            _write_schemata(root, group.directory, rdt.get("schemata") or ())
        if group.monitor:
            _make_monitor(root, group.monitor, mkdir)
        undo.pop_all()
    return group


def lines_of(rdt: IntelRdt) -> list[str]:
    """All schemas, in the order in which they are written."""
    return [*_schemas(rdt), *(rdt.get("schemata") or ())]


def _schemas(rdt: IntelRdt) -> list[str]:
    return [*(rdt.get("l3CacheSchema") or "").splitlines(), *filter(None, [rdt.get("memBwSchema")])]


@contextlib.contextmanager
def changed_schemata(group: ResctrlGroup, lines: Sequence[str], root: str) -> Iterator[None]:
    """Writes schemas to the class; what they do not name stays. A class with a name is changed for all that are in it.

    Raises: StageError with the kernel's own word where it refuses; InvalidArgument.
    """
    named = {_resource(line) for line in lines}
    before = [line for line in _read_schemata(group.directory) if _resource(line) in named]
    try:
        _write_schemata(root, group.directory, lines)
        yield
    except BaseException as error:
        try:
            _write_schemata(root, group.directory, before)
        except StageError as cleanup:
            error.add_note(f"the schemata of {group.directory} could not be brought back: {cleanup}")
        raise


def move_tasks(group: ResctrlGroup, pids: Callable[[], Sequence[int]], *, proc: str = "/proc") -> None:
    """Takes processes at work into the class, thread by thread, until there are no others.

    Raises: StageError; Conflict where threads are made faster than they can be moved.
    """
    moved: set[str] = set()
    for _ in range(_MAX_PASSES):
        fresh = {task for pid in pids() for task in _tasks(f"{proc}/{pid}/task")} - moved
        if not fresh:
            return
        for task in fresh:
            _move(group, task)
        moved |= fresh
    raise Conflict(f"threads are made faster than they can be moved to {group.directory}", state="running")


def _tasks(directory: str) -> list[str]:
    try:
        return os.listdir(directory)  # noqa: PTH208 - names alone
    except FileNotFoundError:  # it has ended
        return []


def _move(group: ResctrlGroup, task: str) -> None:
    for path in group.task_files:
        try:
            write(path, task)
        except ProcessLookupError:
            return
        except OSError as error:
            raise StageError("resctrl", error.errno or 0, f"{task} to {path}") from error


def _make_class(rdt: IntelRdt, directory: str, mkdir: Callable[[str], None], has_schema: bool) -> bool:
    """Whether it was made now."""
    if rdt.get("closID") and not has_schema:
        if not os.path.isdir(directory):  # noqa: PTH112 - one system call
            raise NotFound(
                f"linux.intelRdt.closID {rdt['closID']}: {directory} is not there; make it, or give the class a schema"
            )
        return False
    try:
        mkdir(directory)
    except FileExistsError:
        if not rdt.get("closID"):
            raise Conflict(
                f"linux.intelRdt: {directory} is there already, and is not this container's"
            ) from None
        return False
    except OSError as error:
        raise StageError("resctrl", error.errno or 0, directory, advice=_mkdir_advice(error)) from error
    return True


def _make_monitor(root: str, path: str, mkdir: Callable[[str], None]) -> None:
    try:
        mkdir(path)
    except OSError as error:
        advice = _last_status(root) or _mkdir_advice(error)
        raise StageError("resctrl", error.errno or 0, path, advice=advice) from error


def _mkdir_advice(error: OSError) -> str:
    return "the processor has no more classes or monitors" if error.errno == errno.ENOSPC else ""


def _write_schemata(root: str, directory: str, lines: Sequence[str]) -> None:
    for line in lines:
        if "\n" in line:
            raise InvalidArgument(f"{line!r} is more than one line", field="linux.intelRdt.schemata")
        path = f"{directory}/schemata"
        try:
            write(path, f"{line}\n")
        except OSError as error:
            raise StageError(
                "resctrl", error.errno or 0, f"{line} to {path}", advice=_last_status(root)
            ) from error


def _compare(directory: str, schemas: Sequence[str]) -> None:
    if not schemas:
        return
    found = _parse(_read_schemata(directory))
    for schema in schemas:
        for resource, domains in _parse([schema]).items():
            there = found.get(resource, {})
            if any(there.get(domain) != value for domain, value in domains.items()):
                raise Conflict(
                    f"linux.intelRdt: {directory} exists with another schema for {resource}; "
                    f"{schema} was asked for: take another closID, or leave the schema out"
                )


def _read_schemata(directory: str) -> list[str]:
    path = f"{directory}/schemata"
    try:
        with open(path) as file:
            return file.read().splitlines()
    except OSError as error:
        raise StageError("resctrl", error.errno or 0, path) from error


def _resource(line: str) -> str:
    return line.partition(":")[0].strip()


def _parse(lines: Sequence[str]) -> Mapping[str, Mapping[int, int]]:
    """ "L3:0=7f0;1=1f" to {"L3": {0: 0x7f0, 1: 0x1f}}; the kernel pads with blanks and zeros."""
    resources: dict[str, dict[int, int]] = {}
    for line in lines:
        name, _, domains = line.strip().partition(":")
        base = 10 if name.strip() in ("MB", "SMBA") else 16
        for domain in filter(None, domains.split(";")):
            number, _, value = domain.partition("=")
            try:
                resources.setdefault(name.strip(), {})[int(number)] = int(value, base)
            except ValueError:
                raise InvalidArgument(f"{line!r} is no schema", field="linux.intelRdt") from None
    return resources


def _last_status(root: str) -> str:
    """The kernel's reason for its last refusal."""
    try:
        with open(f"{root}/info/last_cmd_status") as file:
            text = file.read().strip()
    except OSError:
        return ""
    return "" if text == "ok" else text


def _discard(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # noqa: PTH106 - of resctrl, whose files are not to be removed
