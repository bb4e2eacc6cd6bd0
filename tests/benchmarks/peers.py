"""The peers as commands, each with what it needs to work on hosts of every cgroup layout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measure import Skip
from benchmarks.runner import CommandError, Runner

NO_RAISE = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
"""podman raises these limits by default, which takes CAP_SYS_RESOURCE."""


class LowLevel:
    """crun or runc: takes a bundle."""

    def __init__(self, name: str, runner: Runner, directory: Path, bundle: Path) -> None:
        if shutil.which(name) is None:
            raise Skip(f"no {name}: install {name}")
        self.name = name
        self._runner = runner
        self._bundle = bundle
        self._command = (name, "--root", str(directory / name))
        self._count = 0
        self.run()

    def run(self) -> float:
        """The bundle's process, from nothing to nothing."""
        return self._call("run", "--bundle", str(self._bundle), self._fresh())

    def start(self, bundle: Path, name: str) -> float:
        return self._call("run", "--detach", "--bundle", str(bundle), name)

    def execute(self, name: str) -> float:
        return self._call("exec", name, "true")

    def remove(self, name: str) -> float:
        return self._call("delete", "--force", name)

    def _fresh(self) -> str:
        self._count += 1
        return f"containerlib-bench-{os.getpid()}-{self._count}"

    def _call(self, *arguments: str) -> float:
        try:
            return self._runner.seconds(*self._command, *arguments)
        except CommandError as error:
            raise Skip(f"{self.name} does not work here: {error}") from error


class Podman:
    """podman with storage, state and cgroups of its own under `directory`."""

    def __init__(
        self, runner: Runner, directory: Path, cgroup: str, *, temporary: Path | None = None
    ) -> None:
        """`temporary` is where a pull keeps blobs meanwhile; podman's default is on the disk."""
        if shutil.which("podman") is None:
            raise Skip("no podman: install podman")
        self._runner = runner
        self._directory = directory
        # podman refuses a run root of more than 50 characters
        self._run_root = Path(tempfile.mkdtemp(prefix="containerlib-", dir="/run"))
        places = (
            "--root",
            str(directory / "root"),
            "--runroot",
            str(self._run_root),
            "--tmpdir",
            str(directory / "tmp"),
        )
        variables = ("env", f"TMPDIR={temporary}") if temporary else ()
        self._command = (
            *variables,
            "podman",
            *places,
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
        )
        self._isolation = ("--network", "none", "--cgroup-parent", cgroup, *NO_RAISE)

    def load(self, archive: Path) -> None:
        self._call("load", "--input", str(archive))

    def run(self, image: str) -> float:
        return self._call("run", "--rm", *self._isolation, image, "true")

    def start(self, image: str, name: str) -> float:
        return self._call("run", "--detach", "--name", name, *self._isolation, image, "sleep", "1000")

    def execute(self, name: str) -> float:
        return self._call("exec", name, "true")

    def remove(self, name: str) -> float:
        return self._call("rm", "--force", "--time", "0", name)

    def monitor(self, name: str) -> int:
        """The pid of the container's conmon."""
        output = self._runner.run(*self._command, "inspect", "--format", "{{.ConmonPidFile}}", name).output
        return int(Path(output.strip().splitlines()[-1]).read_text())

    def pull(self, reference: str) -> float:
        return self._call("pull", "--quiet", "--tls-verify=false", reference)

    def close(self) -> None:
        """Unmounts and removes what podman keeps; it fails for nothing."""
        self._runner.run(*self._command, "rm", "--all", "--force", "--time", "0", check=False)
        self._runner.run(*self._command, "rmi", "--all", "--force", check=False)
        shutil.rmtree(self._directory, ignore_errors=True)
        shutil.rmtree(self._run_root, ignore_errors=True)

    def _call(self, *arguments: str) -> float:
        try:
            return self._runner.seconds(*self._command, *arguments)
        except CommandError as error:
            raise Skip(f"podman does not work here: {error}") from error


class Floor:
    """The program of bare system calls, built from floor.c."""

    def __init__(self, directory: Path, rootfs: Path, filter_: Path | None, cgroups: list[str]) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise Skip("no C compiler: install gcc")
        self._program = directory / "floor"
        source = Path(__file__).with_name("floor.c")
        subprocess.run([compiler, "-O2", "-o", str(self._program), str(source)], check=True)
        self._scratch = directory / "floor-scratch"
        self._scratch.mkdir()
        self._rootfs = rootfs
        self._rest = [str(filter_) if filter_ else "-", *cgroups]

    def sample(self, variant: str) -> float:
        """One round's seconds: the process that measures is started outside of what it measures."""
        command = [str(self._program), variant, str(self._rootfs), str(self._scratch), "1", *self._rest]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise Skip(f"the floor does not work here: {done.stderr.strip()}")
        return int(done.stdout.split()[0]) / 1e9


def write_bundle(
    directory: Path, spec: dict[str, object], rootfs: Path, cgroup: str, argv: list[str]
) -> Path:
    """A copy of `spec` as a bundle that a peer runs: another root, group and command."""
    directory.mkdir(parents=True, exist_ok=True)
    copy = json.loads(json.dumps(spec))
    copy["root"] = {"path": str(rootfs), "readonly": False}
    copy["process"]["args"] = argv
    copy["process"]["terminal"] = False
    copy["linux"]["cgroupsPath"] = cgroup
    directory.joinpath("config.json").write_text(json.dumps(copy))
    return directory
