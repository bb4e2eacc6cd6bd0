"""Named volumes: directories that outlive containers."""

from __future__ import annotations

from containerlib.volumes.drivers import VolumeDriver
from containerlib.volumes.volumes import Volume, VolumeStore

__all__ = ["Volume", "VolumeDriver", "VolumeStore"]
