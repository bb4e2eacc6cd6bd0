"""An image's config: what runs in it by default, and the digests of its unpacked layers.

Spec: image-spec config.md. Docker's config has the same fields and more; those are kept in the bytes only.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from attrs import field, frozen

from containerlib.errors import InvalidArgument
from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.platform import Platform

__all__ = ["CHECKPOINT", "Healthcheck", "History", "ImageConfig", "chain_ids"]

CHECKPOINT = "io.github.containerlib.checkpoint"
"""A label: the top layer is a container's processes, and no part of the root file system."""
_MAX_ID = 2**31 - 1
_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_NANOSECONDS = 1_000_000_000


@frozen
class History:
    """How one layer came about; `empty_layer` for a step that made none. `created` is RFC 3339's text."""

    created: str = ""
    created_by: str = ""
    author: str = ""
    comment: str = ""
    empty_layer: bool = False

    @classmethod
    def read(cls, document: Document) -> History:
        return cls(
            document.text("created", default=""),
            document.text("created_by", default=""),
            document.text("author", default=""),
            document.text("comment", default=""),
            document.flag("empty_layer"),
        )

    def to_json(self) -> dict[str, Any]:
        value = {
            "created": self.created,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
            "empty_layer": self.empty_layer,
        }
        return _filled(value)


@frozen
class Healthcheck:
    """Docker's check of a container's health. Times in seconds, and 0 for what the engine's default is.

    `test` is `("CMD", argv...)`, `("CMD-SHELL", command)`, `("NONE",)`, or empty for that of the image below.
    """

    test: tuple[str, ...] = ()
    interval: float = 0.0
    timeout: float = 0.0
    start_period: float = 0.0
    start_interval: float = 0.0
    retries: int = 0

    @classmethod
    def read(cls, document: Document) -> Healthcheck:
        def seconds(name: str) -> float:
            return document.number(name, default=0) / _NANOSECONDS

        return cls(
            document.argv("Test") or (),
            seconds("Interval"),
            seconds("Timeout"),
            seconds("StartPeriod"),
            seconds("StartInterval"),
            document.number("Retries", default=0),
        )

    def to_json(self) -> dict[str, Any]:
        value = {
            "Test": list(self.test),
            "Interval": round(self.interval * _NANOSECONDS),
            "Timeout": round(self.timeout * _NANOSECONDS),
            "StartPeriod": round(self.start_period * _NANOSECONDS),
            "StartInterval": round(self.start_interval * _NANOSECONDS),
            "Retries": self.retries,
        }
        return _filled(value)


@frozen
class ImageConfig:
    """What running a container needs, and how the image came about. `raw` are the bytes whose digest is its id."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[str, ...] = ()
    """`"NAME=value"` each."""
    user: str = ""
    working_dir: str = ""
    exposed_ports: tuple[str, ...] = ()
    """`"80/tcp"` each."""
    volumes: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str = ""
    healthcheck: Healthcheck | None = None
    shell: tuple[str, ...] = ()
    """What runs the text form of a build's commands; empty: `/bin/sh -c`."""
    on_build: tuple[str, ...] = ()
    args_escaped: bool = False
    """The command is one text already: Windows only."""
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    created: str = ""
    """RFC 3339's text."""
    author: str = ""
    diff_ids: tuple[str, ...] = ()
    history: tuple[History, ...] = ()
    raw: bytes = field(default=b"", repr=False)

    @property
    def is_checkpoint(self) -> bool:
        """Whether the top layer is a container's processes."""
        return CHECKPOINT in dict(self.labels)

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageConfig:
        """Raises: InvalidArgument(field=the path of what is wrong)."""
        document = Document.parse(data, "config")
        run = document.document("config")
        system = Platform.read(document)
        return cls(
            entrypoint=run.argv("Entrypoint"),
            cmd=run.argv("Cmd"),
            env=_usable(run.texts("Env")),
            user=_user(run.text("User", default="")),
            working_dir=run.text("WorkingDir", default=""),
            exposed_ports=run.keys("ExposedPorts"),
            volumes=run.keys("Volumes"),
            labels=run.mapping("Labels"),
            stop_signal=run.text("StopSignal", default=""),
            healthcheck=Healthcheck.read(run.document("Healthcheck")) if "Healthcheck" in run else None,
            shell=run.argv("Shell") or (),
            on_build=run.texts("OnBuild"),
            args_escaped=run.flag("ArgsEscaped"),
            architecture=system.architecture,
            os=system.os or "linux",
            variant=system.variant,
            os_version=system.os_version,
            os_features=system.os_features,
            created=document.text("created", default=""),
            author=document.text("author", default=""),
            diff_ids=tuple(
                str(Digest.parse(text, field=f"config.rootfs.diff_ids[{i}]"))
                for i, text in enumerate(document.document("rootfs").texts("diff_ids"))
            ),
            history=tuple(History.read(entry) for entry in document.documents("history")),
            raw=data,
        )

    def to_bytes(self) -> bytes:
        """The bytes it was read from, or its canonical form."""
        return self.raw or json.dumps(self._to_json(), separators=(",", ":"), sort_keys=True).encode()

    @property
    def platform(self) -> Platform:
        return Platform(
            self.os, self.architecture, self.variant, self.os_version, self.os_features
        ).normalised()

    def chain_ids(self) -> tuple[str, ...]:
        """The name of each layer on top of those below it, the lowest first."""
        return chain_ids(self.diff_ids)

    def _to_json(self) -> dict[str, Any]:
        run: dict[str, Any] = {
            "Entrypoint": list(self.entrypoint) if self.entrypoint is not None else None,
            "Cmd": list(self.cmd) if self.cmd is not None else None,
            "Env": list(self.env),
            "User": self.user,
            "WorkingDir": self.working_dir,
            "ExposedPorts": {port: {} for port in self.exposed_ports},
            "Volumes": {path: {} for path in self.volumes},
            "Labels": dict(self.labels),
            "StopSignal": self.stop_signal,
            "Healthcheck": self.healthcheck.to_json() if self.healthcheck else None,
            "Shell": list(self.shell),
            "OnBuild": list(self.on_build),
            "ArgsEscaped": self.args_escaped,
        }
        system = Platform(self.os, self.architecture, self.variant, self.os_version, self.os_features)
        return {
            **system.to_json(),
            **_filled({"created": self.created, "author": self.author}),
            "config": _filled(run),
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids)},
            **_filled({"history": [entry.to_json() for entry in self.history]}),
        }


def chain_ids(diff_ids: tuple[str, ...]) -> tuple[str, ...]:
    """Spec: image-spec config.md#layer-chainid."""
    chain: list[str] = []
    for diff_id in diff_ids:
        below = f"{chain[-1]} {diff_id}" if chain else ""
        chain.append(f"sha256:{hashlib.sha256(below.encode()).hexdigest()}" if below else diff_id)
    return tuple(chain)


def _usable(env: tuple[str, ...]) -> tuple[str, ...]:
    """`env` without what no program could be given: some old images have names without a value."""
    return tuple(item for item in env if "=" in item and "\0" not in item)


def _user(text: str) -> str:
    """`text`, unless a number in it is no id: one that overflows would be root's (CVE-2024-40635)."""
    for part in text.split(":", 1):
        if _NUMBER.fullmatch(part) and not 0 <= int(part[:20]) <= _MAX_ID:
            raise InvalidArgument(
                f"{part[:30]} is no id: the highest is {_MAX_ID}", field="config.config.User"
            )
    return text


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    """Without what is empty, which is the same as what is absent."""
    return {name: value for name, value in fields.items() if value}
