"""An engine over each driver: containerlib's own runtime, and the other OCI runtimes that are installed."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable

import pytest

import containerlib as cl
from containerlib.spec.options import SnapshotterName

OWN_COMMAND = "containerlib-oci"


@pytest.fixture(scope="session")
def own_command(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Our own command, as any other runtime: containerlib over containerlib."""
    path = tmp_path_factory.mktemp("driver") / OWN_COMMAND
    path.write_text(f'#!/bin/sh\nexec {executable} -m containerlib.oci_cli "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def driver(request: pytest.FixtureRequest, own_command: str) -> str:
    name = str(getattr(request, "param", "native"))
    if name == OWN_COMMAND:
        return own_command
    if name != "native" and shutil.which(name) is None:
        pytest.skip(f"no {name}: apt-get install {name}")
    return name


@pytest.fixture
def engine(tmp_path: Path, driver: str, snapshotter: SnapshotterName) -> Iterator[cl.Engine]:
    with cl.Engine(tmp_path / "root", driver=driver, snapshotter=snapshotter) as engine:
        yield engine
        assert list(Path(engine.root, "containers").iterdir()) == [], "a container's directory was left"


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@pytest.fixture
def script(engine: cl.Engine, box: cl.ContainerRecipe) -> Callable[[str], Popen[str]]:
    """Starts another process with the same engine, and `box`."""

    def start(code: str) -> Popen[str]:
        prelude = "import containerlib as cl\n"
        prelude += f"engine = cl.Engine({engine.root!r}, driver={engine.driver!r})\n"
        prelude += "(image,) = engine.images.list()\nbox = engine.container(image)\n"
        return Popen([executable, "-c", prelude + textwrap.dedent(code)], stdin=PIPE, stdout=PIPE, text=True)

    return start
