"""Programs of the tests' own, in layers of images."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["compiled_layer"]


def compiled_layer(layer: Path, source: Path, name: str) -> Path:
    """Fills the directory `layer` with /bin/`name`, a static program made of `source`; skips without a compiler."""
    if shutil.which("cc") is None:
        pytest.skip("no cc: install gcc")
    layer.chmod(0o755)
    layer.joinpath("bin").mkdir()
    subprocess.run(["cc", "-static", "-O1", "-Wall", "-o", layer / "bin" / name, source], check=True)
    return layer
