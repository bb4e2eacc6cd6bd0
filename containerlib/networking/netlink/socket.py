"""A conversation with the kernel: requests in one datagram, an answer for each of them."""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from containerlib._sys.forks import Lock
from containerlib.errors import StageError
from containerlib.networking.netlink import message
from containerlib.networking.netlink.message import ACK_ATTRIBUTES, DONE, ERROR, Answer, Request, packed

__all__ = ["KeptNetlink", "Netlink"]

_SOL_NETLINK = 270
_EXTENDED_ACK, _CAPPED_ACK = 11, 10
_MESSAGE_ATTRIBUTE = 1
_LARGEST = 1 << 16
_ROOM = 1 << 20
_PATIENCE = 10.0
_DUMPS = 5
"""Tries at a list that somebody changes while it is read."""


class Netlink:
    """A socket of one protocol, in the network namespace that it was made in; for one thread at a time.

    Needs CAP_NET_ADMIN there for all that changes something.
    """

    ROUTE = 0
    NETFILTER = 12

    def __init__(self, protocol: int, make: Callable[[int], socket.socket] | None = None) -> None:
        """`make`: of a protocol, the socket in another namespace.

        Raises: StageError(stage="network") where the kernel lacks the protocol.
        """
        self._socket = make(protocol) if make is not None else _socket(protocol)
        self._socket.settimeout(_PATIENCE)
        for option in (_EXTENDED_ACK, _CAPPED_ACK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._sequence = 1

    def run(self, requests: Sequence[Request]) -> None:
        """Sends them together, and hears of each.

        Raises: StageError(stage="network") for the first that is refused; those behind it may have been done.
        """
        if not requests:
            return
        first = self._numbers(len(requests))
        answers = sum(1 for request in requests if request.flags & message.ACK)
        self._send(packed(requests, first), requests)
        failed: StageError | None = None
        while answers:
            for answer in self._hear():
                if answer.kind != ERROR or not first <= answer.sequence < first + len(requests):
                    continue
                answers -= 1
                request = requests[answer.sequence - first]
                number = -struct.unpack_from("=i", answer.body)[0]
                if number and number not in request.tolerated:
                    failed = failed or _failure(number, request, answer)
        if failed is not None:
            raise failed

    def has(self, request: Request) -> bool:
        """Whether what is asked for is there. Raises: StageError(stage="network") but for ENOENT."""
        number = self._numbers(1)
        self._send(request.pack(number), [request])
        found = False
        while True:
            for answer in self._hear():
                if answer.sequence != number:
                    continue
                if answer.kind != ERROR:
                    found = True
                    continue
                error = -struct.unpack_from("=i", answer.body)[0]
                if error not in (0, errno.ENOENT):
                    raise _failure(error, request, answer)
                return found and not error

    def list(self, request: Request) -> Sequence[Answer]:
        """What the kernel has of that kind. Raises: StageError(stage="network")."""
        for _ in range(_DUMPS):
            number = self._numbers(1)
            self._send(request._replace(flags=message.DUMP).pack(number), [request])
            found, whole = self._listed(number, request)
            if whole:
                break
        return found

    def _listed(self, number: int, request: Request) -> tuple[Sequence[Answer], bool]:
        found: list[Answer] = []
        whole = True
        while True:
            for answer in self._hear():
                if answer.sequence != number:
                    continue
                whole = whole and not answer.flags & message.DUMP_INTERRUPTED
                if answer.kind in (ERROR, DONE):
                    error = -struct.unpack_from("=i", answer.body)[0]
                    if error:
                        raise _failure(error, request, answer)
                    return found, whole
                found.append(answer)

    def _numbers(self, count: int) -> int:
        first = self._sequence
        self._sequence = (first + count) % (1 << 31) or 1
        return first

    def _send(self, datagram: bytes, requests: Sequence[Request]) -> None:
        try:
            if len(datagram) > _LARGEST:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * len(datagram))
            self._socket.sendto(datagram, (0, 0))
        except OSError as error:
            raise _failure(error.errno or errno.EIO, requests[0], None) from error

    def _hear(self) -> Iterator[Answer]:
        try:
            return message.messages(self._socket.recv(_ROOM))
        except OSError as error:
            raise StageError("network", error.errno or errno.ETIMEDOUT, "netlink") from error

    def close(self) -> None:
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class KeptNetlink:
    """A socket that stays open from one use to the next, for several threads, one after the other.

    To close one of nf_tables' is to wait for all that was removed lately, some 10 ms, while nobody changes anything.
    """

    def __init__(self, protocol: int) -> None:
        self._protocol = protocol
        self._lock = Lock()
        self._netlink: Netlink | None = None
        self._of = (0, 0)

    @contextmanager
    def use(self) -> Iterator[Netlink]:
        """In the network namespace of the calling thread."""
        with self._lock:
            here = (os.getpid(), os.stat("/proc/thread-self/ns/net").st_ino)  # noqa: PTH116 - hot path
            if self._netlink is None or here != self._of:
                self._drop()
                self._netlink, self._of = Netlink(self._protocol), here
            try:
                yield self._netlink
            except BaseException:  # answers may still be on their way
                self._drop()
                raise

    def _drop(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None

    def close(self) -> None:
        """The next use opens it again."""
        with self._lock:
            self._drop()


def _socket(protocol: int) -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    except OSError as error:
        advice = "load the module nfnetlink" if protocol == Netlink.NETFILTER else ""
        raise StageError(
            "network", error.errno or 0, f"netlink protocol {protocol}", advice=advice
        ) from error


def _failure(number: int, request: Request, answer: Answer | None) -> StageError:
    """With the kernel's own sentence, where it has one."""
    said = ""
    if answer is not None and answer.flags & ACK_ATTRIBUTES:
        found = message.attributes(answer.body[_told(answer) :])
        said = found.get(_MESSAGE_ATTRIBUTE, b"").rstrip(b"\0").decode(errors="replace")
    advice = said or ("it takes CAP_NET_ADMIN" if number == errno.EPERM else "")
    return StageError("network", number, request.subject, advice=advice or os.strerror(number))


def _told(answer: Answer) -> int:
    """Where the attributes begin: behind the errno and the request's header, or with it all that it said."""
    length = struct.unpack_from("=I", answer.body, 4)[0]
    return 4 + (16 if answer.flags & message.CAPPED else (length + 3) & ~3)
