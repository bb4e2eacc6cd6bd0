"""The program `criu`: which one, whether it can do what is asked of it, and the conversation with it.

    criu = find_criu()                                      # on PATH; Unsupported where that is missing or too old
    criu.require("mem_track", "a dump that builds on another one")
    with Conversation(criu) as conversation:
        conversation.ask(request(DUMP, opts={...}))
        answer = conversation.finish(when={"post-dump": copy_files})

It is executed as `criu swrk FD`: a process that serves one request on the socket that it was given, and ends.

    caller                                criu swrk
      | request {DUMP, opts} ------------->|
      |<-- {NOTIFY, "network-lock"} -------| it has come to that point, and waits
      | {NOTIFY, notify_success} --------->|
      |<-- {NOTIFY, "post-dump"} ----------| the images are whole, the processes stand still
      | {NOTIFY, notify_success} --------->|
      |<-- {DUMP, success} ----------------| they go on, or are killed
      |<-- end of file --------------------|

A caller that is gone has not accepted: before "post-dump" is answered nothing has happened to the processes that CRIU
does not undo. So it is not killed, which could leave code of its own in them, but where they have ended: see
_native/shim/tracer.c.

Spec: criu.org/RPC, criu.org/Action_scripts
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import shutil
import socket
from subprocess import DEVNULL, Popen

from containerlib._sys import forks
from containerlib.errors import Unavailable, Unsupported
from containerlib.runtime.checkpoint.kernel_facts import kept, shown
from containerlib.runtime.checkpoint.messages import (
    ACCEPTED,
    FEATURE_CHECK,
    NOTIFY,
    REFUSED,
    VERSION,
    Answer,
    read_answer,
    request,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["LEAST", "Conversation", "Criu", "find_criu"]

LEAST = (4, 2, 0)
_HOW = "install criu 4.2 or later (Debian 12's and 13's are older), or name another program"
_LONGEST_ANSWER = 1 << 16
_INTERVAL, _LOOKS = 0.25, 2
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Criu:
    """A program that answers as CRIU does, of that version. What the kernel has for it is asked when it is needed."""

    def __init__(self, path: str, version: tuple[int, int, int]) -> None:
        self.path = path
        self.version = version

    def __repr__(self) -> str:
        return f"<Criu {_dotted(self.version)} at {self.path!r}>"

    @functools.cached_property
    def features(self) -> Mapping[str, bool]:
        """`mem_track`, `lazy_pages` and `pidfd_store`. Raises: Unsupported where it cannot look."""
        return self._look().features

    def facts(self) -> str | None:
        """A file with what it has found out of the kernel, for where it keeps none itself."""
        return kept(self._look)

    def _look(self) -> Answer:
        wanted = dict.fromkeys(("mem_track", "lazy_pages", "pidfd_store"), True)
        return _ask(self.path, request(FEATURE_CHECK, features=wanted))

    def require(self, feature: str, purpose: str) -> None:
        """Raises: Unsupported where this kernel, or CRIU itself, has not that feature."""
        if not self.features.get(feature):
            raise Unsupported(f"{purpose} cannot be had: {_LACKS[feature]} (says {self.path})")


_LACKS = {
    "mem_track": "this kernel does not track which memory is written to (CONFIG_MEM_SOFT_DIRTY)",
    "lazy_pages": "this kernel has no userfaultfd(2) that follows forks (CONFIG_USERFAULTFD)",
}


@functools.lru_cache(8)
def find_criu(program: str = "criu") -> Criu:
    """The program of that name on PATH, or at that absolute path.

    Raises: Unsupported where there is none, or one that cannot dump on kernels of today, with what is needed.
    """
    path = shutil.which(program)
    if path is None:
        raise Unsupported(f"checkpoints are made by CRIU, and there is no program {program!r}: {_HOW}")
    path = os.path.abspath(path)  # noqa: PTH100 - a str
    version = _ask(path, request(VERSION)).version
    if version < LEAST:
        raise Unsupported(
            f"checkpoints need CRIU {_dotted(LEAST)}, and {path} is {_dotted(version)}: older ones cannot dump "
            f"processes and their sockets on kernels of today; {_HOW}"
        )
    return Criu(path, version)


def _ask(path: str, question: bytes) -> Answer:
    try:
        with Conversation(path) as conversation:
            conversation.ask(question)
            answer = conversation.finish()
    except (OSError, Unavailable) as error:
        raise Unsupported(f"{path} is no CRIU that can be used: {error}; {_HOW}") from error
    if not answer.success:
        raise Unsupported(f"{path} cannot look at this kernel: {answer.message or 'is this root?'}")
    return answer


def _dotted(version: tuple[int, int, int]) -> str:
    major, minor, sublevel = version
    return f"{major}.{minor}.{sublevel}" if sublevel else f"{major}.{minor}"


def _start(path: str, fd: int) -> Popen[bytes]:
    """Raises: OSError."""
    return Popen(
        [path, "swrk", str(fd)],
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        env={"PATH": os.environ.get("PATH") or _PATH},
        cwd="/",
        pass_fds=(fd,),
        start_new_session=True,
        umask=0o077,
    )


class Conversation:
    """One CRIU at work, in a session of its own: what is typed at this process's terminal does not reach it.

    At the end of the block it has ended; where that is left by an error, it was told so first.
    """

    def __init__(self, criu: Criu | str, *, is_vain: Callable[[], bool] = lambda: False) -> None:
        """`is_vain`: whether it works for nothing, asked every now and then: two times so, and it is killed.

        Raises: OSError.
        """
        self._is_vain = is_vain
        path, facts = (criu, None) if isinstance(criu, str) else (criu.path, criu.facts())
        with forks.no_fork:
            self._ours, theirs = socket.socketpair(
                socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC
            )
            forks.close_in_child(self._ours)
            with theirs:
                try:
                    self._process = shown(facts, functools.partial(_start, path, theirs.fileno()))
                except BaseException:
                    self._ours.close()
                    raise

    @property
    def pid(self) -> int:
        """Of CRIU."""
        return self._process.pid

    def ask(self, data: bytes) -> None:
        """Sends a request."""
        self._send(data)

    def finish(self, when: Mapping[str, Callable[[], object] | None] = {}) -> Answer:
        """What the request came to. `when`: what is done at a point, while CRIU waits, and what fails refuses it.

        Raises: Unavailable where it ends without an answer; what a part of `when` raises, when CRIU has undone all.
        """
        while (answer := self._receive()).kind == NOTIFY:
            try:
                if (part := when.get(answer.script)) is not None:
                    part()
            except BaseException:
                self._refuse()
                raise
            self._send(ACCEPTED)
        return answer

    def _refuse(self) -> None:
        """Tells it so, and hears until it has undone all."""
        with contextlib.suppress(Unavailable):
            self._send(REFUSED)
            while self._receive().kind == NOTIFY:
                self._send(REFUSED)

    def _send(self, data: bytes) -> None:
        try:
            self._ours.send(data, socket.MSG_NOSIGNAL)
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._gone() from error

    def _receive(self) -> Answer:
        poll = select.poll()
        poll.register(self._ours, select.POLLIN)
        vain = 0
        while not poll.poll(_INTERVAL * 1000):
            vain = vain + 1 if self._is_vain() else 0
            if vain == _LOOKS:
                self._process.kill()
        try:
            data = self._ours.recv(_LONGEST_ANSWER)
        except ConnectionResetError:
            data = b""
        if not data:
            raise self._gone()
        return read_answer(data)

    def _gone(self) -> Unavailable:
        return Unavailable(f"CRIU ended without an answer, with {self._process.wait()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with forks.no_fork:
            forks.let_go(self._ours)
            self._ours.close()
        self._process.wait()
