"""A network configuration: a chain of plugins, and what each of them is told.

Spec: CNI SPEC.md, "Section 1: Network configuration format"
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.document import Document, parse_json

__all__ = ["DEFAULT_PATH", "DEFAULT_TIMEOUT", "VERSIONS", "Chain", "CniNetwork", "number_of", "read"]

DEFAULT_PATH = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni")
DEFAULT_TIMEOUT = 60.0
"""Seconds that a plugin may take."""
VERSIONS = ("0.4.0", "1.0.0", "1.1.0")
"""Of the specification, as they are spoken here, the oldest first."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*", re.ASCII)


@frozen
class Chain:
    """What is run for a network. `versions`: those that it may be run by; once that is agreed on, the one."""

    name: str
    versions: tuple[str, ...]
    plugins: Sequence[Mapping[str, Any]]
    path: tuple[str, ...] = DEFAULT_PATH
    timeout: float = DEFAULT_TIMEOUT
    disable_check: bool = False
    disable_gc: bool = False

    @property
    def version(self) -> str:
        return self.versions[-1]

    @property
    def has_status(self) -> bool:
        """Whether its version has STATUS, and GC."""
        return number_of(self.version) >= (1, 1, 0)

    def can(self, capability: str) -> bool:
        """Whether one of its plugins is to be told of that."""
        return any(dict(one.get("capabilities", {})).get(capability) is True for one in self.plugins)


@frozen
class CniNetwork:
    """A network by its chain. What its addresses are, its plugins know."""

    id: str
    chain: Chain
    subnets: tuple[()] = ()
    internal: bool = False

    def settings(self) -> Mapping[str, Any]:
        """As the database keeps it."""
        chain = self.chain
        return {
            "subnets": [],
            "chain": chain.name,
            "version": chain.version,
            "plugins": [dict(one) for one in chain.plugins],
            "path": list(chain.path),
            "timeout": chain.timeout,
            "disable_check": chain.disable_check,
            "disable_gc": chain.disable_gc,
        }

    @classmethod
    def of(cls, network_id: str, settings: Mapping[str, Any]) -> CniNetwork:
        chain = Chain(
            settings["chain"],
            (settings["version"],),
            settings["plugins"],
            tuple(settings["path"]),
            settings["timeout"],
            settings["disable_check"],
            settings["disable_gc"],
        )
        return cls(network_id, chain)


def read(
    data: bytes,
    *,
    name: str,
    path: tuple[str, ...] = DEFAULT_PATH,
    timeout: float = DEFAULT_TIMEOUT,
    where: str = "config",
) -> Chain:
    """A configuration list, or that of one plugin. `name`: where it has none of its own.

    Raises: InvalidArgument; Unsupported for versions of the specification that are all older or newer.
    """
    document = Document.parse(data, where)
    raw: Any = parse_json(data, where)
    plugins = raw.get("plugins") if "plugins" in document else [raw] if "type" in document else []
    if not isinstance(plugins, list) or not plugins:
        raise InvalidArgument(
            "a list of plugins is needed, and one of them at least", field=f"{where}.plugins"
        )
    for number, plugin in enumerate(plugins):
        _check(plugin, f"{where}.plugins[{number}]")
    return Chain(
        _named(document.text("name", default=name), f"{where}.name"),
        _versions(document),
        plugins,
        path,
        timeout,
        document.flag("disableCheck"),
        document.flag("disableGC"),
    )


def _versions(document: Document) -> tuple[str, ...]:
    """Those that are spoken here, the oldest first."""
    named = document.texts("cniVersions") or (document.text("cniVersion", default="0.1.0"),)
    found = tuple(one for one in VERSIONS if one in named)
    if not found:
        raise Unsupported(
            f"the configuration is of CNI {', '.join(named)}: write {', '.join(VERSIONS)} into its cniVersion"
        )
    return found


def _check(plugin: object, where: str) -> None:
    """A type is the name of a file in one of the directories."""
    document = Document(plugin, where)
    _named(document.text("type"), f"{where}.type")
    delegate = document.document("ipam").text("type", default="") if "ipam" in document else ""
    if delegate:
        _named(delegate, f"{where}.ipam.type")
    document.document("capabilities")


def _named(value: str, where: str) -> str:
    if not _NAME.fullmatch(value):
        raise InvalidArgument(
            f"{value[:100]!r} is not a name of letters, digits, '_', '.' and '-'", field=where
        )
    return value


def number_of(version: str) -> tuple[int, ...]:
    """For comparing."""
    return tuple(int(part) for part in version.split(".") if part.isdecimal())
