"""What the tests of checkpoints stand on: a CRIU that works here, and containers that go on from their images.

images = checkpoint(container, tmp_path / "images", leave_running=True)
again = restore(rack, container, images)          # with the files that it has now
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Callable, MutableMapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import pytest

from containerlib import Container
from containerlib.errors import Unsupported
from containerlib.runtime import ContainerCgroup, OverlayRoot
from containerlib.runtime.checkpoint import Criu, Options, dump, find_criu
from containerlib.runtime.checkpoint import restore as restore_images
from containerlib.runtime.order import Stdio
from containerlib.spec.runtime import Spec
from rig.bundles import Bundled, Rack, log_of, make_directory, until

PROGRAM = os.environ.get("CRIU", "criu")
"""`tests/rig/criu-fetch DIR` gets one, where the distribution's is too old."""

COUNT = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done"
"""A program of sh that counts on its standard output: what it has left out shows."""


def criu() -> Criu:
    """Skips with the reason where there is none that works."""
    try:
        return find_criu(PROGRAM)
    except Unsupported as error:
        pytest.skip(str(error))


MOMENTS = ("Seized task", "Putting parasite blob", "Dumping pages", "Sent msg to daemon")
"""What CRIU's log says on its way. At some of them it waits for a process that waits for another, which is CRIU's."""


def await_moment(log: Path, words: str) -> None:
    """Waits until CRIU has come so far."""
    until(lambda: log.exists() and words in log.read_text(errors="replace"))


def numbers(container: Bundled) -> list[int]:
    """How far the container's program, COUNT, has counted by now."""
    return [int(line) for line in log_of(container).splitlines()]


def counted(container: Container) -> list[int]:
    """How far the program of an engine's container, COUNT, has counted by now."""
    return [int(record.text) for record in container.logs()]


def ask(container: Container, *words: str) -> str:
    """By the port that it has published."""
    (port,) = container.ports
    with socket.create_connection(("127.0.0.1", port.host), timeout=10.0) as connection:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(1000).decode()


def on_path(environment: MutableMapping[str, str], directory: Path) -> None:
    """`criu` on PATH is the one that the tests were given; skips as `criu`. `directory`: for a link to it."""
    programs = directory / "programs"
    programs.mkdir()
    (programs / "criu").symlink_to(criu().path)
    environment["PATH"] = f"{programs}:{environment.get('PATH', os.defpath)}"


def checkpoint(
    container: Bundled,
    images: Path,
    *,
    still: Callable[[], object] | None = None,
    work: Path | None = None,
    **options: Any,
) -> Path:
    """Dumps the container to the directory `images`."""
    dump(
        criu(),
        container.directory,
        str(images),
        spec=container.spec,
        cgroup=container.cgroup,
        options=Options(**options),
        still=still,
        work=None if work is None else str(work),
    )
    return images


def restore(
    rack: Rack,
    container: Bundled,
    images: Path,
    *,
    name: str = "again",
    lowers: Sequence[Path] = (),
    change: Callable[[dict[str, Any]], None] | None = None,
    options: Options = Options(),  # noqa: B008 - it is frozen
    stdio: Stdio | None = None,
    owned: bool = True,
    **words: Any,
) -> Bundled:
    """Another container that goes on from the images of `container`, with a copy of its own files."""
    directory = str(rack.directory / name)
    make_directory(directory)
    copied = subprocess.run(["cp", "-a", f"{container.directory}/upper/.", f"{directory}/upper"], check=True)
    assert copied.returncode == 0
    spec = cast(dict[str, Any], deepcopy(container.spec))
    spec["linux"]["cgroupsPath"] += f"-{name}"
    if change is not None:
        change(spec)
    cgroup = ContainerCgroup(spec["linux"]["cgroupsPath"])
    cgroup.create(spec["linux"]["resources"])
    layers = (*map(str, lowers), *rack.lowers)
    try:
        supervisor = restore_images(
            criu(),
            str(images),
            directory,
            directory=directory,
            root=OverlayRoot(layers, f"{directory}/upper", f"{directory}/work"),
            cgroup=cgroup,
            owned=owned,
            spec=cast(Spec, spec),
            options=options,
            stdio=stdio,
            **words,
        )
    except BaseException:
        cgroup.remove()
        shutil.rmtree(directory)
        raise
    return rack.add(Bundled(directory, cgroup, cast(Spec, spec), supervisor, container.cache))
