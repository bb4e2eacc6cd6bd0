"""Containers that have the probe among their files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.users import ResolvedUser
from rig.bundles import Bundled, Rack
from rig.process import ROOT, unfiltered
from rig.programs import compiled_layer

SOURCE = Path(__file__).parent / "probe.c"


@pytest.fixture(scope="session")
def probe_layer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compiled_layer(tmp_path_factory.mktemp("probe"), SOURCE, "probe")


@pytest.fixture
def rack(tmp_path: Path, busybox_rootfs: Path, probe_layer: Path) -> Iterator[Rack]:
    with Rack(tmp_path / "containers", (probe_layer, busybox_rootfs)) as rack:
        yield rack


@pytest.fixture(params=["run", "exec"])
def look(request: pytest.FixtureRequest, rack: Rack) -> Callable[..., str]:
    """What a program says that is a container's first process, and that is executed in it."""

    def ask(*argv: str, user: ResolvedUser = ROOT, **changes: Any) -> str:
        if request.param == "run":
            return rack.run(*argv, change=unfiltered(**changes), user=user).text
        # the first process of this one sleeps, so that what is only for the process is only for the exec
        container = rack.create("sleep", "60", change=unfiltered(linux=changes.pop("linux", {})), user=user)
        done = container.output(*argv, **changes.pop("process", {}))
        assert done.status.exit_code == 0, done.stderr
        return done.text

    return ask


@pytest.fixture
def sleeper(rack: Rack) -> Bundled:
    return rack.create("sleep", "60", change=unfiltered())
