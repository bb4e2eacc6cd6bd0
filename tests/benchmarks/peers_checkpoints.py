"""Contenders of checkpoints: each has a redis with its data, alone with a client in a network namespace.

with contenders(bench) as (ours, runc, podman):
    seconds = ours.dump(); pause = ours.client.longest_wait()

What was made last is what the next step takes; what was made before that is removed after it, as memory that has just
been freed is at hand, and other memory may have to be had from this machine's own host.
"""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import containerlib as cl
from benchmarks.bench import Bench
from benchmarks.ending import SHARED_MEMORY, prefix, scratch
from benchmarks.measure import timed
from benchmarks.peers import Podman, write_bundle
from containerlib.engine.checkpoints import capture
from containerlib.runtime.checkpoint import Options
from rig.images import redis_image

__all__ = ["Client", "Ours", "PodmanRedis", "Runc", "contenders"]

TAG = "localhost/redis:latest"
SERVER = ("redis-server", "--save", "", "--bind", "127.0.0.1")
TCP = "--tcp-established"
_numbers = itertools.count()


class Client:
    """A process of its own, beside the server in its network namespace."""

    def __init__(self, pid: int, keys: int) -> None:
        program = Path(__file__).with_name("redis_client.py")
        enter = ("nsenter", "--target", str(pid), "--net")
        self._process = subprocess.Popen(
            [*enter, sys.executable, "-S", "-E", program, str(keys)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self.longest_wait()

    def longest_wait(self) -> float:
        """Seconds, since it was asked last."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        return float(self._process.stdout.readline())

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Ours:
    def __init__(self, bench: Bench, stack: ExitStack, archive: Path, keys: int) -> None:
        self._bench = bench
        self._image: cl.Image | None = None
        (image,) = bench.engine.images.load(archive)
        container = bench.engine.container(image).start(*SERVER[1:])
        stack.callback(lambda: container.remove(force=True))
        self.base_layers = len(image.record.layers)
        pid = container.inspect().pid
        assert pid is not None
        self._container = container
        self.client = stack.enter_context(_client(pid, keys))

    def dump(self) -> float:
        options = Options(leave_running=True, tcp="established")
        started = time.perf_counter()
        with capture.captured(self._container._instance, options, lasting=True):
            return time.perf_counter() - started

    def checkpoint(self) -> float:
        started = time.perf_counter()
        made = self._container.checkpoint(leave_running=True, tcp="established")
        taken = time.perf_counter() - started
        if self._image is not None:
            self._image.remove()
        self._image = made
        return taken

    def push(self, reference: str) -> float:
        return timed(lambda: self._made.push(reference))()

    def pull(self, reference: str) -> float:
        """Into another store."""
        with scratch(self._bench.directory) as root, cl.Engine(root=root) as other:
            return timed(lambda: other.image(reference).pull())()

    def restore(self) -> float:
        return self._restored(self._made.restore)

    def restore_lazily(self) -> float:
        """Until its first answer: its memory comes when it is touched."""

        def answering() -> cl.Container:
            again = self._made.restore(lazy=True)
            again.exec("redis-cli", "get", "key:1")
            return again

        return self._restored(answering)

    def _restored(self, restore: Callable[[], cl.Container]) -> float:
        started = time.perf_counter()
        again = restore()
        taken = time.perf_counter() - started
        again.remove(force=True)
        return taken

    @property
    def _made(self) -> cl.Image:
        assert self._image is not None
        return self._image


class Runc:
    def __init__(self, bench: Bench, stack: ExitStack, rootfs: Path, keys: int) -> None:
        self._bench, self._runc, self._name = bench, bench.low_level("runc"), f"{prefix()}-redis"
        place = bench.directory / "bundles" / "redis"
        self._bundle = write_bundle(place, bench.spec, rootfs, f"{bench.cgroup}/redis", list(SERVER))
        self._places = {
            "disk": stack.enter_context(scratch(bench.directory)),
            "tmpfs": stack.enter_context(scratch(SHARED_MEMORY)),
        }
        self._images: dict[str, Path] = {}
        self._runc.hold(self._bundle, self._name)
        stack.callback(lambda: self._runc.remove(self._name))
        self.client = stack.enter_context(_client(self._runc.pid(self._name), keys))

    def dump(self, place: str) -> float:
        """CRIU's images on a file system."""
        made = self._places[place] / str(next(_numbers))
        made.mkdir()
        taken = self._runc.checkpoint(self._name, made, TCP)
        if place in self._images:
            shutil.rmtree(self._images[place])
        self._images[place] = made
        return taken

    def restore(self, place: str) -> float:
        name = f"{self._name}-{next(_numbers)}"
        taken = self._runc.restore(self._bundle, name, self._images[place])
        self._runc.remove(name)
        return taken


class PodmanRedis:
    def __init__(self, bench: Bench, stack: ExitStack, archive: Path, keys: int) -> None:
        self._bench, self._podman, self._name = bench, bench.podman, f"{prefix()}-redis"
        self._archive: Path | None = None
        self._newest = ""
        self._podman.load(archive)
        self._podman.hold(TAG, self._name, *SERVER[1:])
        stack.callback(lambda: self._podman.remove(self._name))
        self.client = stack.enter_context(_client(self._podman.pid(self._name), keys))

    def export(self) -> float:
        """An archive, which is compressed as our image."""
        made = self._bench.directory / f"redis-checkpoint-{next(_numbers)}.tar.zst"
        words = ("--compress", "zstd", "--export", str(made))
        taken = self._podman.checkpoint(self._name, TCP, *words)
        if self._archive is not None:
            self._archive.unlink()
        self._archive = made
        return taken

    def checkpoint(self) -> float:
        """An image in its storage, which nothing compresses before it is pushed."""
        made = f"localhost/redis-checkpoint:{next(_numbers)}"
        taken = self._podman.checkpoint(self._name, TCP, "--create-image", made)
        if self._newest:
            self._podman.remove_image(self._newest)
        self._newest = made
        return taken

    @property
    def archive(self) -> Path:
        """What was exported last."""
        assert self._archive is not None
        return self._archive

    def push(self, reference: str) -> float:
        return self._podman.push(self._newest, reference)

    def pull(self, reference: str) -> float:
        """Into another storage."""
        with scratch(self._bench.directory) as root:
            other = Podman(self._bench.runner, root / "podman", self._bench.cgroup, temporary=root)
            try:
                return other.pull(reference)
            finally:
                other.close()

    def restore(self) -> float:
        name = f"{self._name}-{next(_numbers)}"
        taken = self._podman.restore(name, "--import", str(self.archive))
        self._podman.remove(name)
        return taken


@contextmanager
def _client(pid: int, keys: int) -> Iterator[Client]:
    client = Client(pid, keys)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def contenders(bench: Bench, keys: int) -> Iterator[tuple[Ours, Runc, PodmanRedis]]:
    """Raises: Skip."""
    image = redis_image()  # its server is root: CRIU reads limits of others only with CAP_SYS_RESOURCE
    image = replace(image, config={**image.config, "User": "0"})
    archive = image.write_docker_archive(bench.directory / "redis.tar", tag=TAG)
    rootfs = image.unpack(bench.directory / "redis-rootfs")
    with ExitStack() as stack:
        yield (
            Ours(bench, stack, archive, keys),
            Runc(bench, stack, rootfs, keys),
            PodmanRedis(bench, stack, archive, keys),
        )
