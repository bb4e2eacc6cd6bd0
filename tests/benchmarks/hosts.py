"""Hosts, as far as they are networks: each contender has one to itself, so that no other's rules are on its way.

    host, outside = Host(), Host()
    join(host, "198.51.100.1/24", outside, "198.51.100.2/24")
    outside.run("ping", "-c1", "198.51.100.1")
    with host.entered(): ...                    # the calling thread, and what it starts

A host ends with the process that made it, whatever ends that one.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import subprocess
from collections.abc import Iterator

from benchmarks.ending import prefix
from benchmarks.measure import Skip

__all__ = ["Host", "join"]

_CLONE_NEWNET = 0x40000000
_wires = itertools.count()


class Host:
    """A network namespace with its loopback device."""

    def __init__(self) -> None:
        # a line never comes: what ends it is the end of its input
        command = ["unshare", "--net", "sh", "-c", "echo; read -r line", f"{prefix()}-host"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.run("ip", "link", "set", "lo", "up")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def enter(self) -> tuple[str, ...]:
        """What is before a command that is to run there."""
        return ("nsenter", "--target", str(self.pid), "--net")

    def run(self, *argv: str) -> str:
        """What it prints. Raises: Skip."""
        done = subprocess.run([*self.enter, *argv], check=False, capture_output=True, text=True)
        if done.returncode != 0:
            last = f"{done.stdout}\n{done.stderr}".strip().splitlines()[-1:]
            raise Skip(f"{argv[0]}: exit code {done.returncode}: {' '.join(last)}")
        return done.stdout

    def serve(self, *argv: str) -> subprocess.Popen[bytes]:
        """A server, which ends at the latest with this process."""
        ending = ("setpriv", "--pdeathsig", "KILL")
        return subprocess.Popen(
            [*ending, *self.enter, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        there = os.open(f"/proc/{self.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _enter(there)
            try:
                yield
            finally:
                _enter(before)
        finally:
            os.close(before)
            os.close(there)

    def close(self) -> None:
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


def join(host: Host, address: str, other: Host, others: str) -> None:
    """A wire between the two. Addresses are with the lengths of their prefixes."""
    name = f"wire{next(_wires)}"
    host.run("ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", str(other.pid))
    for end, own in ((host, address), (other, others)):
        end.run("ip", "address", "add", own, "dev", name)
        end.run("ip", "link", "set", name, "up")


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
