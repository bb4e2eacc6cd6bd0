"""How a container is connected, and what it calls itself and others."""

from __future__ import annotations

from containerlib.networking.files import (
    HostNetwork,
    Names,
    Network,
    NoNetwork,
    contents,
    file_mounts,
    network,
    write_files,
)

__all__ = [
    "HostNetwork",
    "Names",
    "Network",
    "NoNetwork",
    "contents",
    "file_mounts",
    "network",
    "write_files",
]
