"""The peers as commands, each with what it needs to work on hosts of every cgroup layout."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.ending import prefix
from benchmarks.measure import Skip
from benchmarks.runner import CommandError, Runner

NO_RAISE = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
"""podman raises these limits by default, which takes CAP_SYS_RESOURCE."""


class LowLevel:
    """crun or runc: takes a bundle."""

    def __init__(
        self, name: str, runner: Runner, directory: Path, bundle: Path, *, command: Sequence[str] = ()
    ) -> None:
        """`command`: where it is not a program of that name."""
        if not command and shutil.which(name) is None:
            raise Skip(f"no {name}: install {name}")
        self.name = name
        self._runner = runner
        self._bundle = bundle
        self._command = (*(command or (name,)), "--root", str(directory / name))
        self._count = 0
        self.run()

    def run(self) -> float:
        """The bundle's process, from nothing to nothing."""
        return self._call("run", "--bundle", str(self._bundle), self._fresh())

    def start(self, bundle: Path, name: str) -> float:
        return self._call("run", "--detach", "--bundle", str(bundle), name)

    def execute(self, name: str) -> float:
        return self._call("exec", name, "true")

    def pass_through(self, name: str, file: Path) -> float:
        """`cat` in the container, from the file."""
        return self._call_with(file, "exec", name, "cat")

    def pause_and_resume(self, name: str) -> float:
        return self._call("pause", name) + self._call("resume", name)

    def whole_life(self, bundle: Path, name: str) -> float:
        """create, start, kill, delete: each a process."""
        taken = self._call("create", "--bundle", str(bundle), name)
        taken += self._call("start", name)
        taken += self._call("kill", name, "KILL")
        return taken + self._call("delete", "--force", name)

    def hold(self, bundle: Path, name: str) -> None:
        """Without streams, which a restored container would need again."""
        words = ("run", "--detach", "--bundle", str(bundle), name)
        self._quietly(*words)

    def _quietly(self, *words: str) -> float:
        quiet = ("sh", "-c", 'exec "$@" </dev/null >/dev/null 2>&1', "sh")
        try:
            return self._runner.seconds(*quiet, *self._command, *words)
        except CommandError as error:
            raise Skip(f"{self.name} does not work here: {error}") from error

    def await_file(self, name: str, path: str) -> None:
        """Until the container has it."""
        while self._runner.run(*self._command, "exec", name, "test", "-e", path, check=False).code:
            time.sleep(0.05)

    def checkpoint(self, name: str, images: Path, *words: str) -> float:
        """CRIU's images; the container runs on."""
        places = ("--image-path", str(images), "--work-path", str(images))
        return self._call("checkpoint", "--leave-running", *places, *words, name)

    def restore(self, bundle: Path, name: str, images: Path, *words: str) -> float:
        places = ("--image-path", str(images), "--work-path", str(images), "--bundle", str(bundle))
        return self._quietly("restore", "--detach", *places, *words, name)

    def pid(self, name: str) -> int:
        return int(json.loads(self._runner.run(*self._command, "state", name).output)["pid"])

    def remove(self, name: str) -> float:
        return self._call("delete", "--force", name)

    def _call_with(self, file: Path, *arguments: str) -> float:
        try:
            return self._runner.seconds(*fed(file, *self._command, *arguments))
        except CommandError as error:
            raise Skip(f"{self.name} does not work here: {error}") from error

    def _fresh(self) -> str:
        self._count += 1
        return f"{prefix()}-{self._count}"

    def _call(self, *arguments: str) -> float:
        try:
            return self._runner.seconds(*self._command, *arguments)
        except CommandError as error:
            raise Skip(f"{self.name} does not work here: {error}") from error


class Podman:
    """podman with storage, state and cgroups of its own under `directory`."""

    def __init__(
        self,
        runner: Runner,
        directory: Path,
        cgroup: str,
        *,
        temporary: Path | None = None,
        options: Sequence[str] = (),
    ) -> None:
        """`temporary` is where a pull keeps blobs meanwhile; podman's default is on the disk."""
        if shutil.which("podman") is None:
            raise Skip("no podman: install podman")
        self._runner = runner
        self._directory = directory
        # podman refuses a run root of more than 50 characters
        self._run_root = Path(tempfile.mkdtemp(prefix=f"{prefix()}-", dir="/run"))
        places = (
            "--root",
            str(directory / "root"),
            "--runroot",
            str(self._run_root),
            "--tmpdir",
            str(directory / "tmp"),
        )
        variables = ("env", f"TMPDIR={temporary}") if temporary else ()
        self._command: Sequence[str] = (
            *variables,
            "podman",
            *places,
            "--cgroup-manager",
            "cgroupfs",
            "--events-backend",
            "file",
            *options,
        )
        self._limits: Sequence[str] = ("--cgroup-parent", cgroup, *NO_RAISE)
        self._isolation = ("--network", "none", *self._limits)

    def load(self, archive: Path) -> None:
        self._call("load", "--input", str(archive))

    def run(self, image: str) -> float:
        return self._call("run", "--rm", *self._isolation, image, "true")

    def run_command(self, image: str) -> tuple[str, ...]:
        """What `run` runs."""
        return (*self._command, "run", "--rm", *self._isolation, image, "true")

    def pass_through(self, name: str, file: Path) -> float:
        """`cat` in the container, from the file."""
        try:
            return self._runner.seconds(*fed(file, *self._command, "exec", "--interactive", name, "cat"))
        except CommandError as error:
            raise Skip(f"podman does not work here: {error}") from error

    def start(self, image: str, name: str) -> float:
        return self._call("run", "--detach", "--name", name, *self._isolation, image, "sleep", "1000")

    def start_logged(self, image: str, name: str, source: Path, *argv: str) -> float:
        """With `source` at /lines, and a log in CRI's format, which conmon writes."""
        log = ("--log-driver", "k8s-file", "--log-opt", f"path={self._directory / name}.log")
        shown = ("--volume", f"{source}:/lines")
        return self._call("run", "--detach", "--name", name, *self._isolation, *log, *shown, image, *argv)

    def hold(self, image: str, name: str, *argv: str) -> float:
        """A container of runc's, which `checkpoint` takes."""
        return self._call(
            "--runtime", "runc", "run", "--detach", "--name", name, *self._isolation, image, *argv
        )

    def log(self, name: str) -> str:
        return self._runner.run(*self._command, "logs", name).output

    def checkpoint(self, name: str, *words: str) -> float:
        """The container runs on. `words` say what is made of it."""
        return self._call("--runtime", "runc", "container", "checkpoint", "--leave-running", *words, name)

    def restore(self, name: str, *words: str) -> float:
        """`words` say from what."""
        return self._call("--runtime", "runc", "container", "restore", "--name", name, *words)

    def pid(self, name: str) -> int:
        output = self._runner.run(*self._command, "inspect", "--format", "{{.State.Pid}}", name).output
        return int(output.split()[-1])

    def push(self, image: str, reference: str) -> float:
        words = ("--quiet", "--tls-verify=false", "--compression-format", "zstd")
        return self._call("push", *words, image, f"docker://{reference}")

    def wait(self, name: str) -> float:
        return self._call("wait", "--interval", "1ms", name)

    def follow(self, name: str) -> Sequence[str]:
        """The command that prints its log as it grows: where the others run, or its mounts would stay on the host."""
        return (*self._runner.enter, *self._command, "logs", "--follow", name)

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

    def remove_image(self, reference: str) -> float:
        return self._call("rmi", reference)

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


class Docker:
    """dockerd, with the containerd that it starts, and the docker command line that asks it.

    Its state is under `directory`, its mounts in a namespace of its own, and there it has its own /run, and
    layers over /etc and /opt, where it writes as well. It sets no network rule, as it has no bridge; the
    one of `peers_networks.py` has both, on a host's network of its own.
    """

    START_SECONDS = 30.0
    END_SECONDS = 20.0
    NAMESPACE = (
        "set -e; mount -t tmpfs tmpfs /run; for name in etc opt; do "
        'mkdir -p "$0/$name/upper" "$0/$name/work"; '
        'mount -t overlay -o "lowerdir=/$name,upperdir=$0/$name/upper,workdir=$0/$name/work" overlay "/$name"; '
        'done; exec "$@"'
    )
    OPTIONS = ("--storage-driver=overlay2", "--exec-opt=native.cgroupdriver=cgroupfs")
    NETWORK: tuple[str, ...] = (
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
    )

    def __init__(self, runner: Runner, directory: Path, cgroup: str) -> None:
        for name, package in {
            "dockerd": "docker.io",
            "docker": "docker.io",
            "containerd": "containerd",
        }.items():
            if shutil.which(name) is None:
                raise Skip(f"no {name}: install {package}")
        directory.mkdir()
        self._runner = runner
        self._log = directory / "log"
        socket = f"unix://{directory}/socket"
        self._command: Sequence[str] = ("docker", "--config", str(directory / "client"), "--host", socket)
        settings = directory / "daemon.json"
        settings.write_text("{}")
        places = (
            f"--config-file={settings}",
            f"--data-root={directory}/data",
            "--exec-root=/run/docker",  # its own /run: a socket's path has 107 bytes at most
            f"--pidfile={directory}/pid",
            f"--host={socket}",
            f"--cgroup-parent={cgroup}",
        )
        self._daemon = self._start(directory, *places)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise

    def load(self, archive: Path) -> None:
        self._call("load", "--input", str(archive))

    def run(self, image: str) -> float:
        return self._call("run", "--rm", "--network", "none", image, "true")

    def start(self, image: str, name: str) -> float:
        return self._call("run", "--detach", "--name", name, "--network", "none", image, "sleep", "1000")

    def execute(self, name: str) -> float:
        return self._call("exec", name, "true")

    def remove(self, name: str) -> float:
        return self._call("rm", "--force", name)

    def pull(self, reference: str) -> float:
        return self._call("pull", "--quiet", reference)

    def remove_image(self, reference: str) -> float:
        return self._call("rmi", reference)

    def close(self) -> None:
        """Ends the daemon and its containerd; what they leave running, the runner ends."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not self._has_ended(0):
                signal.pidfd_send_signal(self._daemon, number)
                self._has_ended(self.END_SECONDS)
        os.close(self._daemon)

    def _start(self, directory: Path, *places: str) -> int:
        """A pidfd of the daemon, which the runner adopts."""
        in_namespace = ("unshare", "--mount", "--propagation", "private", "sh", "-c", self.NAMESPACE)
        daemon = (*in_namespace, str(directory / "layer"), "dockerd", *places, *self.OPTIONS, *self.NETWORK)
        background = 'log=$0; "$@" > "$log" 2>&1 & echo $!'
        return os.pidfd_open(int(self._runner.run("sh", "-c", background, str(self._log), *daemon).output))

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + self.START_SECONDS
        while time.monotonic() < deadline:
            if self._runner.run(*self._command, "version", check=False).code == 0:
                return
            if self._has_ended(0.1):
                break
        last = self._log.read_text().strip().splitlines()[-1:]
        raise Skip(f"dockerd does not start here within {self.START_SECONDS:.0f} s: {' '.join(last)}")

    def _has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._daemon], [], [], seconds)[0])

    def _call(self, *arguments: str) -> float:
        try:
            return self._runner.seconds(*self._command, *arguments)
        except CommandError as error:
            raise Skip(f"docker does not work here: {error}") from error


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


def fed(file: Path, *argv: str) -> tuple[str, ...]:
    """The command with the file as its input and a pipe as its output, which is read."""
    return ("sh", "-c", 'file=$0; "$@" <"$file" | cat >/dev/null', str(file), *argv)


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
