"""Peers that pull, push and remove images: each with state of its own under one directory, on one file system.

with peer(bench, directory) as podman:
    podman.pull(reference); podman.remove_image(reference)          # seconds
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.ending import prefix
from benchmarks.measure import Skip
from benchmarks.peers import Docker, Podman
from benchmarks.runner import CommandError, Runner


class Containerd:
    """containerd without its CRI part, asked by ctr. Layers are unpacked by its overlayfs snapshotter."""

    START_SECONDS = 20.0

    def __init__(self, runner: Runner, directory: Path) -> None:
        for name in ("containerd", "ctr"):
            if shutil.which(name) is None:
                raise Skip(f"no {name}: install containerd")
        directory.mkdir()
        self._runner = runner
        self._log = directory / "log"
        # a socket's path has 107 bytes at most
        self._run = Path("/run") / f"{prefix()}-containerd"
        self._run.mkdir()
        settings = directory / "config.toml"
        settings.write_text(
            'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'root = "{directory}/root"\nstate = "{self._run}/state"\n'
            f'[grpc]\naddress = "{self._run}/socket"\n'
            f'[plugins."io.containerd.internal.v1.opt"]\npath = "{directory}/opt"\n'
        )
        self._command = ("ctr", "--address", f"{self._run}/socket")
        background = 'log=$0; "$@" > "$log" 2>&1 & echo $!'
        daemon = ("containerd", "--config", str(settings))
        self._daemon = os.pidfd_open(int(runner.run("sh", "-c", background, str(self._log), *daemon).output))
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def pull(self, reference: str) -> float:
        return self._call("image", "pull", "--plain-http", reference)

    def remove_image(self, reference: str) -> float:
        return self._call("image", "remove", "--sync", reference)

    def life_logged(self, name: str, rootfs: Path, source: Path, log: Path, *argv: str) -> float:
        """A container's whole life with `source` at /lines, and its output in `log`, as containerd's shim writes it."""
        shown = ("--mount", f"type=bind,src={source},dst=/lines,options=rbind:ro")
        kept = ("--log-uri", f"file://{log}")
        return self._call("run", "--rm", "--rootfs", *shown, *kept, str(rootfs), name, *argv)

    def close(self) -> None:
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not select.select([self._daemon], [], [], 0)[0]:
                signal.pidfd_send_signal(self._daemon, number)
                select.select([self._daemon], [], [], 10)
        os.close(self._daemon)
        shutil.rmtree(self._run, ignore_errors=True)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.START_SECONDS
        while time.monotonic() < deadline:
            if self._runner.run(*self._command, "version", check=False).code == 0:
                return
            time.sleep(0.1)
        last = self._log.read_text().strip().splitlines()[-1:]
        raise Skip(f"containerd does not start here: {' '.join(last)}")

    def _call(self, *arguments: str) -> float:
        try:
            return self._runner.seconds(*self._command, *arguments)
        except CommandError as error:
            raise Skip(f"ctr does not work here: {error}") from error


class Umoci:
    """skopeo to an OCI layout, then umoci to a root file system: the way without any engine."""

    def __init__(self, runner: Runner, directory: Path) -> None:
        for name in ("skopeo", "umoci"):
            if shutil.which(name) is None:
                raise Skip(f"no {name}: install {name}")
        directory.mkdir()
        self._runner = runner
        self._directory = directory

    def pull(self, reference: str) -> float:
        layout = f"{self._directory}/layout:image"
        copied = self._call(
            "skopeo", "--insecure-policy", "--tmpdir", str(self._directory), "copy", "--quiet",
            "--src-tls-verify=false", f"docker://{reference}", f"oci:{layout}",
        )  # fmt: skip
        return copied + self._call("umoci", "unpack", "--image", layout, f"{self._directory}/bundle")

    def remove_image(self, _: str) -> float:
        return self._call("rm", "-rf", f"{self._directory}/bundle", f"{self._directory}/layout")

    def close(self) -> None:
        """Nothing of it runs."""

    def _call(self, *argv: str) -> float:
        try:
            return self._runner.seconds(*argv)
        except CommandError as error:
            raise Skip(f"{argv[0]} does not work here: {error}") from error


ImagePeer = Podman | Docker | Containerd | Umoci
PEERS = ("podman pull", "docker pull", "ctr image pull", "skopeo + umoci")


@contextmanager
def peer(name: str, bench: Bench, directory: Path) -> Iterator[ImagePeer]:
    """The peer with empty state below `directory`. Raises: Skip."""
    made = _make(name, bench, directory)
    try:
        yield made
    finally:
        made.close()


def _make(name: str, bench: Bench, directory: Path) -> ImagePeer:
    match name.split(maxsplit=1)[0]:
        case "podman":
            return Podman(bench.runner, directory / "podman", bench.cgroup, temporary=directory)
        case "docker":
            return Docker(bench.runner, directory / "docker", bench.cgroup)
        case "ctr":
            return Containerd(bench.runner, directory / "containerd")
        case _:
            return Umoci(bench.runner, directory / "umoci")
