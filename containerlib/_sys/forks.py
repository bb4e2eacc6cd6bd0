"""What a fork copies, and its child must not keep.

os.fork and multiprocessing copy the process with one of its threads. What the others have open is open in the child,
too, for as long as that lives: whoever waits for the end of a pipe waits for the child, and a lock of flock(2) is its
own. So such descriptors are closed in the child, and a `Lock` is free there. Nothing is half made or half closed at a
fork.

    with opened(path, os.O_RDONLY) as lock: ...
    with held(socket.socket) as channel: ...

    with no_fork:
        pipes.ends = os.pipe2(os.O_CLOEXEC)
        close_in_child(pipes)
    with no_fork:
        let_go(pipes)
        pipes.close()
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol, TypeVar

    class _Closable(Protocol):
        def close(self) -> None: ...

    _C = TypeVar("_C", bound=_Closable)

__all__ = ["Lock", "close_in_child", "descriptor", "held", "let_go", "no_fork", "opened"]

no_fork = threading.RLock()
"""Whoever has it is not forked. For moments: a fork waits for it."""
_known: weakref.WeakSet[_Closable] = weakref.WeakSet()


class Lock:
    """A lock that a forked child finds free, whichever thread of its parent's has it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _locks.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def free(self) -> None:
        """Forgets who has it: nobody is there any more."""
        self._lock = threading.Lock()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


class _Descriptor:
    """A descriptor that is closed once."""

    def __init__(self, make: Callable[[], int]) -> None:
        self.number = make()

    def close(self) -> None:
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)


def close_in_child(thing: _Closable) -> None:
    """A forked child closes `thing`, until `let_go`."""
    _known.add(thing)


def let_go(thing: _Closable) -> None:
    """What `thing` has open is closed, or somebody else's."""
    _known.discard(thing)


@contextmanager
def held(make: Callable[[], _C]) -> Iterator[_C]:
    """What `make` gives, closed at the end of the block, and in a forked child at once."""
    with no_fork:
        thing = make()
        _known.add(thing)
    try:
        yield thing
    finally:
        with no_fork:
            _known.discard(thing)
            thing.close()


@contextmanager
def descriptor(make: Callable[[], int]) -> Iterator[int]:
    """A descriptor that `make` gives, as `held`."""
    with held(lambda: _Descriptor(make)) as made:
        yield made.number


def opened(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> AbstractContextManager[int]:
    """An open file, as `held`. Raises: OSError."""
    return descriptor(lambda: os.open(path, flags | os.O_CLOEXEC, mode))


def _in_child() -> None:
    while _known:
        _known.pop().close()
    for lock in tuple(_locks):
        lock.free()
    no_fork.release()


os.register_at_fork(before=no_fork.acquire, after_in_parent=no_fork.release, after_in_child=_in_child)
