"""A network namespace with a link to the host's: an address that is not loopback, and that nobody else reaches.

    with Neighbour() as neighbour:
        subprocess.Popen([*neighbour.enter, "server", "--listen", neighbour.address])

A process keeps the namespace, and not a name under /run/netns, which would leave a mount there. It ends when
its input does: also with a test run that is killed.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType


class Neighbour:
    """`address` is its own, `host_address` is the host's end of the link. Needs CAP_NET_ADMIN and CAP_SYS_ADMIN."""

    def __init__(self) -> None:
        first = ipaddress.IPv4Address("10.222.0.0") + os.getpid() % 2**14 * 4
        self.host_address, self.address = str(first + 1), str(first + 2)
        self._link = f"containerl{os.getpid() % 10**5}"  # a name has at most 15 bytes
        self._keeper: subprocess.Popen[bytes] | None = None

    @property
    def enter(self) -> tuple[str, ...]:
        """The command that runs the one behind it there."""
        assert self._keeper is not None
        return ("nsenter", f"--net=/proc/{self._keeper.pid}/ns/net")

    def __enter__(self) -> Neighbour:
        command = ["unshare", "--net", "cat"]
        self._keeper = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            self._wait_until_it_is_away()
            self._connect(self._keeper.pid)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        subprocess.run(["ip", "link", "delete", self._link], check=False, capture_output=True)
        if self._keeper is not None:
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper = None

    def _connect(self, pid: int) -> None:
        run("ip", "link", "add", self._link, "type", "veth", "peer", "name", "eth0", "netns", str(pid))
        run("ip", "address", "add", f"{self.host_address}/30", "dev", self._link)
        run("ip", "link", "set", self._link, "up")
        run(*self.enter, "ip", "address", "add", f"{self.address}/30", "dev", "eth0")
        run(*self.enter, "ip", "link", "set", "eth0", "up")

    def _wait_until_it_is_away(self) -> None:
        assert self._keeper is not None
        here = Path("/proc/self/ns/net").readlink()
        deadline = time.monotonic() + 10
        while Path(f"/proc/{self._keeper.pid}/ns/net").readlink() == here:
            if self._keeper.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("unshare --net did not make a network namespace")
            time.sleep(0.005)


def run(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
