"""container.json: what a checkpoint says of its container, and of the machine that it was made on."""

from __future__ import annotations

import functools
import json
import os
import platform as host
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import asdict, evolve, frozen

from containerlib.engine import words, words_networks
from containerlib.engine.names import check_name
from containerlib.engine.words_lifetime import connections
from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint import Options
from containerlib.spec.options import NetworkOption, PortOption

__all__ = ["VERSION", "Document", "Machine", "agreed", "difference"]

VERSION = "1"
_RELEASE = re.compile(r"(\d+)\.(\d+)")


@frozen
class Machine:
    """What processes that go on elsewhere rely on. `criu` and `kernel` are versions, `cpu` what it can do."""

    architecture: str
    kernel: str
    criu: str
    cpu: tuple[str, ...] = ()

    @classmethod
    def here(cls, criu: tuple[int, int, int]) -> Machine:
        """This one. Spec: proc_cpuinfo(5)"""
        return cls(os.uname().machine, host.release(), ".".join(map(str, criu)), _cpu())


@functools.cache
def _cpu() -> tuple[str, ...]:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return tuple(sorted(value.split()))
    return ()


def difference(made: Machine, here: Machine) -> str | None:
    """Why processes of the one machine cannot go on at the other; None where they can."""
    if made.architecture != here.architecture:
        return f"it is of {made.architecture}, and this machine is {here.architecture}"
    if missing := sorted(set(made.cpu) - set(here.cpu)):
        return f"its processor had {', '.join(missing)}, which this one has not"
    for what, one, other in (("Linux", made.kernel, here.kernel), ("CRIU", made.criu, here.criu)):
        if _release(other) < _release(one):
            return f"it was made with {what} {one}, and here is {other}, which is older"
    return None


def _release(text: str) -> tuple[int, int]:
    found = _RELEASE.match(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


@frozen
class Document:
    """`root` and `directory`: where the engine and the container were; `memo`: what the engine kept of its recipe.

    `log_bytes`: how much of its log was written by then; `options`: what a restore has to agree to.
    """

    container: str
    name: str
    created: str
    image: str
    root: str
    directory: str
    memo: str
    networks: tuple[NetworkOption, ...]
    ports: tuple[PortOption, ...]
    log_bytes: int
    machine: Machine
    options: Options

    def pack(self) -> bytes:
        networks = [asdict(each) for each in self.networks]
        ports = [asdict(each, filter=lambda field, _: field.name != "socket") for each in self.ports]
        fields = {name: getattr(self, name) for name in _PLAIN}
        options = {name: getattr(self.options, name) for name in _AGREED}
        changed = {"networks": networks, "ports": ports, "machine": asdict(self.machine), "options": options}
        return json.dumps({"version": VERSION, **fields, **changed}).encode()

    @classmethod
    def unpack(cls, data: bytes) -> Document:
        """Raises: InvalidArgument(field="checkpoint") where it is damaged, or of a later version."""
        try:
            fields: Any = json.loads(data)
            if fields["version"] != VERSION:
                raise InvalidArgument(
                    f"it is of version {fields['version']}, and this containerlib knows {VERSION}",
                    field="checkpoint",
                )
            made = fields["machine"]
            return cls(
                **{name: _plain(fields, name) for name in _PLAIN},
                networks=tuple(map(_network, fields["networks"])),
                ports=tuple(map(_port, fields["ports"])),
                machine=Machine(
                    words.text(made["architecture"], field="architecture"),
                    words.text(made["kernel"], field="kernel"),
                    words.text(made["criu"], field="criu"),
                    words.vector(made["cpu"], field="cpu"),
                ),
                options=agreed(**fields["options"]),
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if isinstance(error, InvalidArgument) and error.field == "checkpoint":
                raise
            raise InvalidArgument(f"container.json is damaged: {error!r}", field="checkpoint") from error


_AGREED = ("tcp", "external_unix_sockets", "file_locks")
_PLAIN = ("container", "name", "created", "image", "root", "directory", "memo", "log_bytes")


def agreed(tcp: str, external_unix_sockets: bool, file_locks: bool) -> Options:
    """What both sides have to agree on, checked. Raises: InvalidArgument."""
    return Options(
        tcp=connections(tcp),
        external_unix_sockets=words.flag(external_unix_sockets, field="external_unix_sockets"),
        file_locks=words.flag(file_locks, field="file_locks"),
    )


def _plain(fields: Mapping[str, Any], name: str) -> Any:
    return fields[name] if name == "log_bytes" else words.text(fields[name], field=name)


def _network(each: Mapping[str, Any]) -> NetworkOption:
    """Checked as the words of a recipe; the container's own names are among the aliases."""
    made = words_networks.network(each["network"], (), each["address"], each["address6"], each["mac"])
    return evolve(made, aliases=tuple(map(check_name, each["aliases"])))


def _port(each: Mapping[str, Any]) -> PortOption:
    first, last = each["host_port"], each["host_last"]
    host = first if last is None else range(first, last + 1)
    return words_networks.port(each["port"], each["protocol"], host, each["host_address"])
