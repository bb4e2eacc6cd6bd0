"""Engines that are given an OCI runtime by its path, each with storage, state and cgroups of its own.

    with Podman(tmp_path, runtime) as engine:
        engine.run("sh", "-c", "exit 7").status

Each image is `busybox`, from an OCI layout. At the end nothing of them is left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from rig.oci import Answer

SECONDS = 60.0
NO_RAISE = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
"""podman and buildah raise these limits by default, which takes CAP_SYS_RESOURCE."""
PACKAGES = {"ctr": "containerd", "dockerd": "docker.io", "docker": "docker.io"}


class Engine:
    """`directory` takes all that it writes; `runtime` is the path of an OCI runtime's program."""

    programs: tuple[str, ...] = ()

    def __init__(self, directory: Path, runtime: Path, layout: Path) -> None:
        for name in self.programs:
            if shutil.which(name) is None:
                pytest.skip(f"no {name}: install {PACKAGES.get(name, name)}")
        self.directory = directory
        self.runtime = runtime
        self.layout = layout
        # a run root has 50 characters at most, a socket's path 107
        self.short = Path(tempfile.mkdtemp(prefix="containerlib-", dir="/run"))
        self.cgroup = f"/containerlib-{uuid.uuid4().hex[:12]}"
        self._daemon: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Makes the image known."""

    def command(self, *words: str, environment: dict[str, str] | None = None) -> Answer:
        done = subprocess.run(
            words,
            check=False,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, **(environment or {})},
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    def end(self) -> None:
        """Ends what is left of its containers."""

    def __enter__(self) -> Self:
        try:
            self.prepare()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.end()
        if self._daemon is not None:
            self._daemon.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._daemon.wait(20)
            self._daemon.kill()
            self._daemon.wait()
        shutil.rmtree(self.short, ignore_errors=True)
        root, group = Path("/sys/fs/cgroup"), self.cgroup.removeprefix("/")
        for directory in (root / group, *root.glob(f"*/{group}")):
            if not directory.is_dir():
                continue
            for path in sorted(directory.rglob("*/"), reverse=True):
                path.rmdir()
            directory.rmdir()

    def _start(self, *words: str, log: Path) -> None:
        with log.open("wb") as file:
            self._daemon = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=file, stderr=file)

    def _wait_for(self, *words: str, log: Path) -> None:
        deadline = time.monotonic() + SECONDS
        while self.command(*words).status != 0:
            if time.monotonic() > deadline or (self._daemon and self._daemon.poll() is not None):
                pytest.skip(f"{words[0]} does not start here: {log.read_text().strip().splitlines()[-1:]}")
            time.sleep(0.1)


class Podman(Engine):
    """podman with conmon."""

    programs = ("podman", "conmon")
    image = ""

    def prepare(self) -> None:
        answer = self("pull", "--quiet", f"oci:{self.layout}")
        if answer.status != 0:
            pytest.skip(f"podman does not work here: {answer.stderr}")
        self.image = answer.stdout.split()[-1]

    def __call__(self, *words: str) -> Answer:
        places = (
            "--root",
            f"{self.directory}/root",
            "--runroot",
            str(self.short),
            "--tmpdir",
            f"{self.directory}/tmp",
        )
        ways = ("--cgroup-manager", "cgroupfs", "--events-backend", "file", "--runtime", str(self.runtime))
        return self.command("podman", "--log-level", "error", *places, *ways, *words)

    @property
    def options(self) -> Sequence[str]:
        return ("--network", "none", "--cgroup-parent", self.cgroup, *NO_RAISE)

    def run(self, *argv: str, options: Sequence[str] = ("--rm",)) -> Answer:
        return self("run", *options, *self.options, self.image, *argv)

    def end(self) -> None:
        self("rm", "--all", "--force", "--time", "0")
        self("rmi", "--all", "--force")


class Containerd(Engine):
    """containerd with its shim for runc, and ctr."""

    programs = ("containerd", "ctr")
    image = "containerlib.test/busybox:latest"
    _DISABLED = ("grpc.v1.cri", *(f"snapshotter.v1.{name}" for name in ("aufs", "btrfs", "devmapper", "zfs")))

    def prepare(self) -> None:
        settings, log = self.directory / "config.toml", self.directory / "containerd.log"
        disabled = ", ".join(f'"io.containerd.{name}"' for name in self._DISABLED)
        settings.write_text(
            f'version = 2\nroot = "{self.directory}/root"\nstate = "{self.short}/state"\n'
            f'disabled_plugins = [{disabled}]\n[grpc]\naddress = "{self.short}/socket"\n'
        )
        self._start("containerd", "--config", str(settings), log=log)
        self._wait_for("ctr", "--address", f"{self.short}/socket", "version", log=log)
        archive = self.directory / "image.tar"
        subprocess.run(["tar", "-C", str(self.layout), "-cf", str(archive), "."], check=True)
        name = self.image.removesuffix(":latest")
        answer = self("images", "import", "--base-name", name, str(archive))
        assert answer.status == 0, answer.stderr

    def __call__(self, *words: str) -> Answer:
        return self.command("ctr", "--address", f"{self.short}/socket", *words)

    def run(self, name: str, *argv: str, options: Sequence[str] = ("--rm",)) -> Answer:
        own = ("--runc-binary", str(self.runtime), "--cgroup", f"{self.cgroup}/{name}")
        return self("run", *options, *own, self.image, name, *argv)

    def end(self) -> None:
        for line in self("tasks", "ls", "-q").stdout.split():
            self("tasks", "rm", "--force", line)
        for line in self("containers", "ls", "-q").stdout.split():
            self("containers", "rm", line)


class Docker(Engine):
    """dockerd in a mount namespace and a network namespace of its own, where its rules stay."""

    programs = ("dockerd", "docker", "containerd")
    _NAMESPACE = (
        'set -e; ip link set lo up; mount -t tmpfs tmpfs /run; mkdir -p "$0"; for name in etc opt; do '
        'mkdir -p "$1/$name/upper" "$1/$name/work"; '
        'mount -t overlay -o "lowerdir=/$name,upperdir=$1/$name/upper,workdir=$1/$name/work" overlay "/$name"; '
        'done; shift; exec "$@"'
    )

    def prepare(self) -> None:
        settings, log = self.directory / "daemon.json", self.directory / "dockerd.log"
        settings.write_text(
            f'{{"runtimes": {{"ours": {{"path": "{self.runtime}"}}}}, "default-runtime": "ours"}}'
        )
        self._start(
            *("unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", self._NAMESPACE),
            *(str(self.short), str(self.directory / "layers"), "dockerd", f"--config-file={settings}"),
            *(
                f"--data-root={self.directory}/data",
                "--exec-root=/run/docker",
                f"--pidfile={self.directory}/pid",
            ),
            *(f"--host=unix://{self.socket}", f"--cgroup-parent={self.cgroup}", "--bridge=none"),
            *("--iptables=false", "--ip6tables=false", "--ip-forward=false", "--storage-driver=overlay2"),
            "--exec-opt=native.cgroupdriver=cgroupfs",
            log=log,
        )
        self._wait_for(*self._words, "version", log=log)

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    @property
    def _words(self) -> tuple[str, ...]:
        return ("docker", "--config", str(self.directory / "client"), "--host", f"unix://{self.socket}")

    def load(self, archive: Path) -> None:
        answer = self("load", "--input", str(archive))
        assert answer.status == 0, answer.stderr

    def __call__(self, *words: str) -> Answer:
        return self.command(*self._words, *words)

    def run(self, *argv: str, options: Sequence[str] = ("--rm",)) -> Answer:
        return self("run", *options, "--network", "none", "busybox:latest", *argv)

    def end(self) -> None:
        if names := self("ps", "--all", "--quiet").stdout.split():
            self("rm", "--force", *names)


class Buildah(Engine):
    """buildah with isolation by an OCI runtime."""

    programs = ("buildah",)
    name = ""

    def prepare(self) -> None:
        answer = self("from", *NO_RAISE, f"oci:{self.layout}")
        if answer.status != 0:
            pytest.skip(f"buildah does not work here: {answer.stderr}")
        self.name = answer.stdout.split()[-1]

    def __call__(self, *words: str) -> Answer:
        return self.command(
            "buildah", "--root", f"{self.directory}/root", "--runroot", str(self.short), *words
        )

    def run(self, *argv: str) -> Answer:
        own = ("--isolation", "oci", "--runtime", str(self.runtime), "--network", "none")
        return self("run", *own, self.name, "--", *argv)

    def build(self, context: Path) -> Answer:
        own = ("--isolation", "oci", "--runtime", str(self.runtime), "--network", "none", *NO_RAISE)
        return self("build", *own, "--tag", "built", str(context))

    def end(self) -> None:
        self("rm", "--all")
        self("rmi", "--all", "--force")


def write_runtime(path: Path, python: str, root: Path) -> Path:
    """A program that is the runtime, as an engine is told of one; the last of several --root counts."""
    path.write_text(f'#!/bin/sh\nexec {python} -P -m containerlib.oci_cli --root {root} "$@"\n')
    path.chmod(0o755)
    return path
