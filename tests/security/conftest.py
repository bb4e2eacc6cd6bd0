"""Attacks from inside: a rack of containers whose image has the attacker's program, as root with Docker's defaults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.bundles import Rack
from rig.oci import Command
from rig.programs import compiled_layer

SOURCE = Path(__file__).parent / "attack.c"


@pytest.fixture(scope="session")
def attack_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A layer with /bin/attack; see attack.c for its words."""
    return compiled_layer(tmp_path_factory.mktemp("attack"), SOURCE, "attack")


@pytest.fixture
def needs_criu() -> None:
    """Skips with the reason where no CRIU works."""
    from rig.checkpoints import criu

    criu()


@pytest.fixture
def rack(tmp_path: Path, busybox_rootfs: Path, attack_layer: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "containers", (attack_layer, busybox_rootfs)) as rack:
        yield rack


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    """An empty layer for the hostile part of an image."""
    path = tmp_path / "layer"
    path.mkdir(mode=0o755)
    return path


@pytest.fixture
def oci(tmp_path: Path) -> Iterator[Command]:
    """The runc-compatible command with a state directory of its own."""
    with Command.ours(tmp_path / "state") as command:
        yield command


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host, with what must not change, nor be seen."""
    path = tmp_path / "outside"
    path.joinpath("deep").mkdir(parents=True)
    path.joinpath("secret").write_text("secret")
    path.joinpath("deep/secret").write_text("secret")
    return path
