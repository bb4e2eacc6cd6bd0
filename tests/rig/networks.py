"""A host's network of a test's own, and other machines joined to it: nothing of the real one is touched.

with own_network():                       # the calling thread's, and that of what it starts
    with Machine("198.51.100.2/24", host="198.51.100.1/24") as outside:
        outside.run("curl", ...)
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import socket
import subprocess
from collections.abc import Iterator
from types import TracebackType
from typing import Self

__all__ = ["Machine", "elements", "interfaces", "own_network"]

_CLONE_NEWNET = 0x40000000
_numbers = itertools.count()


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if libc.unshare(_CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            _ip("link", "set", "lo", "up")
            yield
        finally:
            assert libc.setns(before, _CLONE_NEWNET) == 0
    finally:
        os.close(before)


class Machine:
    """Another machine on a wire of its own to this one; `host` is this one's address on it."""

    def __init__(self, address: str, *, host: str) -> None:
        self._address = address
        self._host = host
        self._wire = f"wire{next(_numbers)}"

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        pid = str(self._process.pid)
        _ip("link", "add", self._wire, "type", "veth", "peer", "name", "eth0", "netns", pid)
        _ip("address", "add", self._host, "dev", self._wire)
        _ip("link", "set", self._wire, "up")
        for words in (
            f"address add {self._address} dev eth0",
            "link set eth0 up",
            "link set lo up",
            f"route add default via {self._host.partition('/')[0]}",
        ):
            self.run("ip", *words.split())
        return self

    @property
    def namespace(self) -> str:
        """The path of its network namespace, for as long as it is there."""
        return f"/proc/{self._process.pid}/ns/net"

    def run(self, *argv: str, timeout: float = 10.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["nsenter", "-t", str(self._process.pid), "-n", *argv],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def popen(self, *argv: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["nsenter", "-t", str(self._process.pid), "-n", *argv],
            stdin=subprocess.PIPE,  # whose end nc would hand on
            stdout=subprocess.PIPE,
            text=True,
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()


def interfaces() -> set[str]:
    """Names of this machine's network devices."""
    return {name for _, name in socket.if_nameindex()}


def elements(name: str, family: str = "inet") -> str:
    """What nft(8) shows of a set or map of ours; "" where it is empty."""
    kind = "map" if name.startswith(("ports", "any")) else "set"
    said = subprocess.run(
        ["nft", "list", kind, family, "containerlib", name], capture_output=True, text=True, check=True
    ).stdout
    return said.partition("elements = {")[2].partition("}")[0].strip()


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
