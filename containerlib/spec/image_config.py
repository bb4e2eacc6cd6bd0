"""An image's config: what runs in it by default, and the digests of its unpacked layers.

Spec: image-spec config.md. Docker's config has the same fields and more; those are kept in the bytes only.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from attrs import field, frozen

from containerlib.spec.digest import Digest
from containerlib.spec.document import Document
from containerlib.spec.platform import Platform

__all__ = ["ImageConfig", "chain_ids"]


@frozen
class ImageConfig:
    """The fields that running a container needs. `raw` are the bytes whose digest is the image's id."""

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
    architecture: str = ""
    os: str = "linux"
    variant: str = ""
    diff_ids: tuple[str, ...] = ()
    raw: bytes = field(default=b"", repr=False)

    @classmethod
    def from_bytes(cls, data: bytes) -> ImageConfig:
        """Raises: InvalidArgument(field=the path of what is wrong)."""
        document = Document.parse(data, "config")
        run = document.document("config")
        rootfs = document.document("rootfs")
        return cls(
            entrypoint=run.texts("Entrypoint"),
            cmd=run.texts("Cmd"),
            env=_usable(run.texts("Env") or ()),
            user=run.text("User", default=""),
            working_dir=run.text("WorkingDir", default=""),
            exposed_ports=run.keys("ExposedPorts"),
            volumes=run.keys("Volumes"),
            labels=run.mapping("Labels"),
            stop_signal=run.text("StopSignal", default=""),
            architecture=document.text("architecture", default=""),
            os=document.text("os", default="linux"),
            variant=document.text("variant", default=""),
            diff_ids=tuple(
                str(Digest.parse(text, field="config.rootfs.diff_ids"))
                for text in rootfs.texts("diff_ids") or ()
            ),
            raw=data,
        )

    def to_bytes(self) -> bytes:
        """The bytes it was read from, or its canonical form."""
        return self.raw or json.dumps(self._to_json(), separators=(",", ":"), sort_keys=True).encode()

    @property
    def platform(self) -> Platform:
        return Platform(self.os, self.architecture, self.variant).normalised()

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
        }
        value: dict[str, Any] = {
            "architecture": self.architecture,
            "os": self.os,
            "config": {key: item for key, item in run.items() if item},
            "rootfs": {"type": "layers", "diff_ids": list(self.diff_ids)},
        }
        return {**value, "variant": self.variant} if self.variant else value


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
