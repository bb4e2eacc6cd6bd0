"""A real resolver on loopback, as a host has one, and what it was asked for.

with Dnsmasq({"example.test": "192.0.2.1"}) as server: ... server.asked()
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from typing import Self

__all__ = ["Dnsmasq"]


class Dnsmasq:
    """Knows `records` (name: addresses, by commas) and no other name; in the calling thread's network namespace."""

    def __init__(
        self, records: Mapping[str, str], *, address: str = "127.0.0.1", options: tuple[str, ...] = ()
    ) -> None:
        self._records = [f"--host-record={name},{addresses}" for name, addresses in records.items()]
        self._address = address
        self._options = options
        self._log = ""

    def __enter__(self) -> Self:
        words = ["--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--user=root"]
        words += [f"--listen-address={self._address}", "--bind-interfaces", "--local=/#/", "--pid-file="]
        words += ["--log-queries", "--log-facility=-", *self._records, *self._options]
        self._process = subprocess.Popen(["dnsmasq", *words], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if "started" in line:
                break
        return self

    def asked(self) -> list[str]:
        """The names that it was asked for; ends it."""
        self._process.terminate()
        _, log = self._process.communicate(timeout=10)
        return [line.partition("] ")[2].split()[0] for line in log.splitlines() if "query[" in line]

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
