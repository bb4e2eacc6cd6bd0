"""What the figures share, made when first asked for: an image in every form, our engine, and each peer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import containerlib as cl
from benchmarks.ending import SHARED_MEMORY, prefix, sweep
from benchmarks.measure import Skip
from benchmarks.peers import Docker, Floor, LowLevel, Podman, write_bundle
from benchmarks.runner import Runner
from rig import images

IMAGE = "localhost/busybox:latest"
T = TypeVar("T")


class Bench:
    """Owns every process, directory and cgroup that the figures make, but for containerlib's own."""

    def __init__(self, rounds: int, containers: int = 500) -> None:
        """`containers`: how many are on one network where there are many."""
        self.rounds = rounds
        self.containers = containers
        self.directory = Path(tempfile.mkdtemp(prefix=f"{prefix()}-"))
        self.cgroup = f"/{prefix()}"
        self.runner = Runner()
        self._engine: cl.Engine | None = None
        self._made: dict[str, Any] = {}
        self._peers: list[Podman | Docker] = []

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            stack.callback(sweep, (self.directory.parent, SHARED_MEMORY, Path("/run")))
            stack.callback(self.runner.close)
            for peer in self._peers:
                stack.callback(peer.close)
            if self._engine is not None:
                stack.callback(self._engine.close)

    @property
    def engine(self) -> cl.Engine:
        """With the busybox image loaded."""
        if self._engine is None:
            self._engine = cl.Engine(root=self.directory / "root")
            self._engine.images.load(self.archive)
        return self._engine

    @property
    def recipe(self) -> cl.ContainerRecipe:
        return self.engine.container(IMAGE)

    @cached_property
    def rootfs(self) -> Path:
        return images.busybox_image().unpack(self.directory / "rootfs")

    @cached_property
    def archive(self) -> Path:
        return images.busybox_image().write_docker_archive(self.directory / "busybox.tar", tag=IMAGE)

    @cached_property
    def spec(self) -> dict[str, Any]:
        """Our own config.json of the busybox image, Docker's defaults and nothing else."""
        from containerlib.bundles.config import make_config
        from containerlib.bundles.users import ResolvedUser
        from containerlib.spec.image_config import ImageConfig
        from containerlib.spec.options import ContainerOptions

        image = ImageConfig.from_bytes(images.busybox_image().configuration)
        options = ContainerOptions()
        user = ResolvedUser()
        files = [self._file(name) for name in ("resolv.conf", "hostname", "hosts")]
        return dict(
            make_config(image, options, user=user, extra_mounts=files, cgroups_path="", container_id="0" * 64)  # type: ignore[arg-type]
        )

    def bundle(self, name: str, *argv: str) -> Path:
        """The equivalent bundle of a container, for peers that take one."""
        return write_bundle(
            self.directory / "bundles" / name, self.spec, self.rootfs, f"{self.cgroup}/{name}", list(argv)
        )

    def low_level(self, name: str) -> LowLevel:
        return self._once(
            name, lambda: LowLevel(name, self.runner, self.directory, self.bundle(name, "true"))
        )

    @property
    def podman(self) -> Podman:
        return self._once("podman", self._make_podman)

    @property
    def docker(self) -> Docker:
        return self._once("docker", self._make_docker)

    @property
    def floor(self) -> Floor:
        return self._once("floor", self._make_floor)

    def _make_podman(self) -> Podman:
        podman = Podman(self.runner, self.directory / "podman", self.cgroup)
        self._peers.append(podman)
        podman.load(self.archive)
        podman.run(IMAGE)
        return podman

    def _make_docker(self) -> Docker:
        docker = Docker(self.runner, self.directory / "docker", self.cgroup)
        self._peers.append(docker)
        docker.load(self.archive)
        docker.run(IMAGE)
        return docker

    def _make_floor(self) -> Floor:
        name = f"{prefix()}-floor"
        groups = [str(parent / name) for parent in self._cgroup_parents()]
        floor = Floor(self.directory, self.rootfs, self._filter(), groups)
        floor.sample("docker")
        return floor

    def _cgroup_parents(self) -> list[Path]:
        """The hierarchies in which a container of ours has a group."""
        with self.recipe.create("true") as container:
            found = [
                Path(path)
                for path, _, _ in os.walk("/sys/fs/cgroup")
                if container.id in path.rpartition("/")[2]
            ]
        top = Path("/sys/fs/cgroup")
        return [top / path.relative_to(top).parts[0] for path in found] or [top]

    def _filter(self) -> Path | None:
        """The compiled filter of our own spec, or None where it cannot be made."""
        try:
            from containerlib.runtime.seccomp.filters import compiled
        except ImportError:
            return None
        path = self.directory / "filter"
        path.write_bytes(compiled(self.spec["linux"]["seccomp"], None))
        return path

    def _file(self, name: str) -> dict[str, Any]:
        source = self.directory / "files" / name
        source.parent.mkdir(exist_ok=True)
        source.write_text("127.0.0.1 localhost\n")
        return {
            "destination": f"/etc/{name}",
            "type": "bind",
            "source": str(source),
            "options": ["rbind", "rprivate"],
        }

    def _once(self, name: str, make: Callable[[], T]) -> T:
        """Makes it at the first call; a peer that cannot be had is asked once, and the answer kept."""
        if name not in self._made:
            try:
                self._made[name] = make()
            except Skip as skip:
                self._made[name] = skip
        made = self._made[name]
        if isinstance(made, Skip):
            raise made
        return made  # type: ignore[no-any-return]
