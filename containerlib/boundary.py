"""The boundary between the library and its caller: how failures leave.

    @public
    class Container: ...

A limit of the process or of the host that is reached becomes a `StageError` whose message names the limit. Any other
exception that is no `Error` is a defect, and leaves as it is.

An `Error` leaves with a short traceback: the frames of the caller, and one cause with the frame that raised it. With
CONTAINERLIB_TRACEBACK=full in the environment every frame and every cause stays.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Generator, Iterable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from containerlib.errors import Error, StageError

__all__ = ["guard", "guard_items", "outward", "public"]

_T = TypeVar("_T")
_Call = TypeVar("_Call", bound=Callable[..., Any])

_BLOCK = frozenset(("__enter__", "__exit__"))
_NO_THREAD = "can't start new thread"
_LIMITS = {
    errno.EMFILE: ("open", ""),
    errno.ENFILE: ("open", ""),
    errno.EAGAIN: (
        "thread",
        "the limit of processes and threads is reached: raise pids.max of the control group, or ulimit -u",
    ),
    errno.ENOMEM: ("memory", "no memory is left: raise memory.max of the control group, or ulimit -v"),
    errno.ENOSPC: (
        "write",
        "the disk is full: free space there, or choose another place with Engine(root=...)",
    ),
    errno.EDQUOT: (
        "write",
        "the disk quota is used up: raise it, or choose another place with Engine(root=...)",
    ),
}


def public(kind: type[_T]) -> type[_T]:
    """Guards every public method and property of the class, the inherited ones included."""
    for base in kind.__mro__:
        if base.__module__.startswith("containerlib."):
            for name, value in tuple(vars(base).items()):
                if name in _BLOCK or not name.startswith("_"):
                    _replace(base, name, value)
    return kind


def guard(call: _Call) -> _Call:
    """The function, whose failures leave as this module says."""

    @wraps(call)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        handled = sys.exception()
        try:
            return call(*args, **kwargs)
        except Exception as error:
            if (leaving := outward(error, args, handled)) is None:
                raise
            raise leaving  # noqa: B904 - it has its cause

    guarded.__guarded__ = True  # type: ignore[attr-defined]
    return guarded  # type: ignore[return-value]


def guard_items(things: Iterable[_T], subject: object) -> Generator[_T, Any, None]:
    """The iterator or flow, whose failures leave as this module says."""
    handled = sys.exception()
    try:
        yield from things
    except Exception as error:
        if (leaving := outward(error, (subject,), handled)) is None:
            raise
        raise leaving  # noqa: B904 - it has its cause


def outward(
    error: Exception, subjects: tuple[object, ...] = (), handled: BaseException | None = None
) -> Exception | None:
    """The exception to raise in the place of `error`, without its frames; None where `error` leaves as it is.

    `subjects`: the arguments of the call, the first of which may lead to the engine. `handled`: the exception that the
    caller was handling at the time of the call.
    """
    leaving = error if isinstance(error, Error) else _exhausted(error, subjects)
    if os.environ.get("CONTAINERLIB_TRACEBACK") == "full":
        return None if leaving is error else leaving
    if leaving is not None:
        cause = leaving.__cause__ or (None if leaving.__suppress_context__ else leaving.__context__)
        if cause is not None and cause is not handled:
            _shorten(cause, handled)
        leaving.__traceback__ = None
    return leaving


def _exhausted(error: Exception, subjects: tuple[object, ...]) -> StageError | None:
    if (number := _limit(error)) not in _LIMITS:
        return None
    stage, advice = _LIMITS[number]
    place = str(getattr(error, "filename", None) or "")
    if number in (errno.ENOSPC, errno.EDQUOT):
        place = place or _full(_root(subjects), os.environ.get("TMPDIR", ""))
    leaving = StageError(stage, number, place, advice=advice)
    leaving.__cause__ = error
    return leaving


def _shorten(cause: BaseException, handled: BaseException | None) -> None:
    """Leaves the frame that raised it, and no cause but what the caller was handling."""
    frames = cause.__traceback__
    while frames is not None and frames.tb_next is not None:
        frames = frames.tb_next
    cause.__traceback__ = frames
    cause.__cause__ = None
    cause.__context__ = handled


def _replace(base: type, name: str, value: object) -> None:
    if isinstance(value, FunctionType) and not hasattr(value, "__guarded__"):
        setattr(base, name, guard(value))
    elif isinstance(value, property) and value.fget is not None and not hasattr(value.fget, "__guarded__"):
        setattr(base, name, property(guard(value.fget), value.fset, value.fdel, value.__doc__))


def _limit(error: Exception) -> int:
    """The errno of the limit that `error` may be about; 0 for none."""
    if isinstance(error, RuntimeError) and str(error) == _NO_THREAD:
        return errno.EAGAIN
    number = error.errno if isinstance(error, OSError) else None
    return 0 if number in (None, errno.EAGAIN) else number or 0


def _root(subjects: tuple[object, ...]) -> str:
    """The state directory of the engine that the first subject belongs to, or an empty string."""
    subject = subjects[0] if subjects else None
    subject = getattr(subject, "container", subject)
    root = getattr(getattr(subject, "engine", subject), "root", "")
    return root if isinstance(root, str) else ""


def _full(*places: str) -> str:
    """The first of the places whose file system has no room for a file; an empty string where all have."""
    for place in filter(None, places):
        try:
            facts = os.statvfs(place)
        except OSError:
            continue
        if not facts.f_bavail or (facts.f_files and not facts.f_favail):
            return place
    return ""
