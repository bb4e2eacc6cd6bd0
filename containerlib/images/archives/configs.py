"""The config of an image that is made of another one. What is not understood of the old one is kept. No I/O.

Spec: image-spec config.md
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from containerlib.spec.digest import Digest
from containerlib.spec.image_config import CHECKPOINT
from containerlib.spec.platform import Platform

__all__ = ["ConfigChanges", "History", "child_config", "without_processes"]

_OF_ITS_MAKER = ("container", "container_config", "id", "parent", "docker_version", "throwaway", "Size")
"""What Docker notes of the container that an image was committed from."""


@frozen
class ConfigChanges:
    """What the new image runs by default. None: as it was."""

    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()
    """Added to the old one's."""
    labels: tuple[tuple[str, str], ...] = ()
    """Added to the old one's."""
    user: str | None = None
    workdir: str | None = None
    stop_signal: str | None = None


@frozen
class History:
    """Who made the layer, when (seconds since the epoch), and how."""

    created: float
    created_by: str
    author: str = ""
    comment: str = ""

    def to_json(self) -> dict[str, str]:
        value = {
            "created": self.time,
            "created_by": self.created_by,
            "author": self.author,
            "comment": self.comment,
        }
        return {key: text for key, text in value.items() if text}

    @property
    def time(self) -> str:
        """RFC 3339."""
        return datetime.fromtimestamp(self.created, UTC).isoformat().replace("+00:00", "Z")


def child_config(
    base: bytes,
    diff_ids: Sequence[Digest],
    history: History,
    changes: ConfigChanges,
    *,
    keep_history: bool = True,
) -> bytes:
    """The config of the image that has the layers `diff_ids`, with the last of them said by `history`.

    `base` is the old image's config, `{}` where there is none: then it is for this machine.
    """
    value: dict[str, Any] = json.loads(base)
    for key in _OF_ITS_MAKER:
        value.pop(key, None)
    value.setdefault("architecture", Platform.host().architecture)
    value.setdefault("os", "linux")
    value["created"] = history.time
    if history.author:
        value["author"] = history.author
    value["config"] = _changed(value.get("config") or {}, changes)
    value["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]}
    before = (value.get("history") or []) if keep_history else []
    value["history"] = [*before, history.to_json()]
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def without_processes(config: bytes) -> bytes:
    """That of a checkpoint without the word that it is one: for what is made of its files alone."""
    value: dict[str, Any] = json.loads(config)
    labels = (value.get("config") or {}).get("Labels") or {}
    if labels.pop(CHECKPOINT, None) is None:
        return config
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


def _changed(run: dict[str, Any], changes: ConfigChanges) -> dict[str, Any]:
    run = dict(run)
    if changes.entrypoint is not None:
        run["Entrypoint"] = list(changes.entrypoint)
        run.pop("Cmd", None)
    if changes.cmd is not None:
        run["Cmd"] = list(changes.cmd)
    if changes.env:
        before = dict(item.partition("=")[::2] for item in run.get("Env") or ())
        run["Env"] = [f"{name}={text}" for name, text in (before | dict(changes.env)).items()]
    if changes.labels:
        run["Labels"] = (run.get("Labels") or {}) | dict(changes.labels)
    given = {"User": changes.user, "WorkingDir": changes.workdir, "StopSignal": changes.stop_signal}
    return run | {key: text for key, text in given.items() if text is not None}
