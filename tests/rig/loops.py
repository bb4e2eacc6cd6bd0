"""File systems in files, on loop devices.

with loop_device(tmp_path / "disk", "mkfs.ext4", "-q", "-O", "quota,project") as device: ...
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def loop_device(file: Path, *make: str, size: str = "64M") -> Iterator[str]:
    """A device with the file system that the command makes; skips where there is no such command."""
    if shutil.which(make[0]) is None:
        pytest.skip(f"no {make[0]}")
    subprocess.run(["truncate", "-s", size, str(file)], check=True)
    subprocess.run([*make, str(file)], check=True, capture_output=True)
    found = subprocess.run(
        ["losetup", "--find", "--show", str(file)], check=True, capture_output=True, text=True
    )
    device = found.stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True)
