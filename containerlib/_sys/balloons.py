"""Memory that the host of this machine takes back while it is free.

It does so with large pieces. Who gets one has each of its pages found again by the host: 1 GB takes 2.4 s then, where
it took 0.05 s, and in small pieces, which stay here, 0.4 s.
"""

from __future__ import annotations

import os

__all__ = ["takes_back"]

_DEVICES = "/sys/bus/virtio/drivers/virtio_balloon"
_REPORTING = 5
"""The feature's number. Spec: virtio 1.2, 5.5.3 VIRTIO_BALLOON_F_PAGE_REPORTING"""


def takes_back(devices: str = _DEVICES) -> bool:
    """Whether it does."""
    try:
        with os.scandir(devices) as entries:
            return any(_reports(f"{entry.path}/features") for entry in entries)
    except FileNotFoundError:
        return False


def _reports(path: str) -> bool:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()[_REPORTING : _REPORTING + 1] == "1"
    except OSError:  # it is no device
        return False
