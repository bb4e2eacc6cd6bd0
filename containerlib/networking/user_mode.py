"""Networks that a process of the host's speaks for: pasta, of passt, one for each container.

    network = UserNetwork(id, subnets)
    made = start(network, namespace, given)          # it is there, and stays until the namespace goes
    end(made)

    container's namespace              host's namespace
      eth0 (tap) ------ pasta ------ sockets, as any program's

No device, address or rule is made on the host: what the container sends comes from sockets of pasta's, and published
ports are sockets that it listens at. Containers of such a network do not reach each other.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from containerlib._sys.native import pidfd_open, pidfd_signal
from containerlib._sys.processes import await_end, is_alive, start_time
from containerlib.errors import NotFound, PluginError
from containerlib.networking.bridge import addresses_of, described
from containerlib.networking.subnets import Addresses
from containerlib.spec.values import frozen

__all__ = ["PATIENCE", "PROTOCOLS", "UserNetwork", "end", "find", "runs", "start"]

PROTOCOLS = ("tcp", "udp")
PATIENCE = 10.0
"""Seconds in which it is there."""
_END_PATIENCE = 5.0
_SIGTERM, _SIGKILL = 15, 9


@frozen
class UserNetwork:
    """A network by its addresses, of which each container has one, with nobody else beside it."""

    id: str
    subnets: tuple[Addresses, ...]
    mtu: int = 1500
    internal: bool = False

    def settings(self) -> Mapping[str, Any]:
        """As the database keeps it."""
        return {"subnets": described(self.subnets), "mtu": self.mtu}

    @classmethod
    def of(cls, network_id: str, settings: Mapping[str, Any]) -> UserNetwork:
        return cls(network_id, addresses_of(settings), settings["mtu"])


def find() -> str:
    """The program. Raises: NotFound."""
    program = shutil.which("pasta")
    if program is None:
        raise NotFound("pasta is not on PATH: install passt, or make the network with another driver")
    return program


def start(  # noqa: PLR0917 - what its device is to be
    network: UserNetwork,
    interface: str,
    namespace: str,
    mac: str,
    address: str,
    ports: Sequence[Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Who speaks for it from now on, and its address. `ports`: as plugins are told.

    Raises: PluginError; Timeout; NotFound; StageError(stage="network").
    """
    from containerlib.networking.cni.plugin import execute  # noqa: PLC0415 - subprocess is 2 ms of an engine's start

    program, addresses, note = find(), network.subnets[0], f"{namespace}.pid"
    words = [
        *("--quiet", "--config-net", "--ipv4-only", "--no-map-gw", "--runas", "0", "--pid", note),
        *("--ns-ifname", interface, "--ns-mac-addr", mac, "--mtu", str(network.mtu)),
        *(
            "--address",
            address,
            "--netmask",
            str(addresses.subnet.prefixlen),
            "--gateway",
            str(addresses.gateway),
        ),
        *("--tcp-ns", "none", "--udp-ns", "none"),
        *_forwards("--tcp-ports", "tcp", ports),
        *_forwards("--udp-ports", "udp", ports),
        *("--netns", namespace),
    ]
    try:
        said = execute([program, *words], "start", {}, timeout=PATIENCE)
        pid = _read_pid(note)
        started = start_time(pid) if pid and not said.code else None
        if not pid or started is None:
            details = "\n".join(
                line for line in said.errors.decode(errors="replace").splitlines() if "to syslog" not in line
            )
            raise PluginError(f"it ended with {said.code}", plugin=program, command="start", details=details)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(note)  # noqa: PTH108 - a str
    return {"pid": pid, "started": started, "ips": [{"address": f"{address}/{addresses.subnet.prefixlen}"}]}


def _forwards(option: str, protocol: str, ports: Sequence[Mapping[str, Any]]) -> list[str]:
    found = []
    for port in ports:
        if port["protocol"] == protocol:
            where = f"{port['hostIP']}/" if "hostIP" in port else ""
            found += [option, f"{where}{port['hostPort']}:{port['containerPort']}"]
    return found or [option, "none"]


def _read_pid(note: str) -> int:
    """0 where there is none."""
    with suppress(OSError, ValueError), open(note, "rb", buffering=0) as file:
        return int(file.read(32))
    return 0


def runs(made: Mapping[str, Any]) -> bool:
    """Whether who speaks for it still does."""
    return "pid" in made and is_alive(made["pid"], made["started"])


def end(made: Mapping[str, Any]) -> None:
    """It need not run any more."""
    for number in (_SIGTERM, _SIGKILL):
        if not runs(made):
            return
        with suppress(ProcessLookupError):
            pidfd = pidfd_open(made["pid"])
            try:
                if runs(made):  # the pid is not another process's by now
                    pidfd_signal(pidfd, number)
            finally:
                os.close(pidfd)
        await_end(made["pid"], made["started"], _END_PATIENCE)
