"""Containers at the runtime layer, without an engine: a bundle in a directory, and what comes of it.

    with Rack(tmp_path, (rootfs,)) as rack:
        done = rack.run("cat", "/proc/self/status")     # Done: status, stdout, stderr
        container = rack.create("sleep", "60", hold=True)
        container.supervisor.start()

What is still alive at the end of the block is killed; what a container leaves is for the test to look at.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from attrs import evolve

from containerlib.bundles.config import make_config
from containerlib.bundles.users import ResolvedUser
from containerlib.bundles.write import write
from containerlib.errors import Error
from containerlib.runtime import (
    ContainerCgroup,
    OverlayRoot,
    Root,
    Stdio,
    Supervisor,
    connect,
    create,
    execute,
)
from containerlib.runtime.cgroups.cgroup import remove_if_empty
from containerlib.runtime.kernel import HOST_FILES, KernelFiles
from containerlib.runtime.lifetime import Lifetime, write_policy
from containerlib.shim import read_log_bytes
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.options import ContainerOptions
from containerlib.spec.runtime import Process, Spec
from containerlib.spec.status import ExitStatus

DEFAULTS = ContainerOptions()
ROOT = ResolvedUser(0, 0, (), "/root")
PATIENCE = 30.0
_PARENT = "/containerlib"


@dataclass(frozen=True)
class Done:
    """How a program ended, and all that it wrote."""

    status: ExitStatus
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        return self.stdout.decode().strip()


@dataclass
class Bundled:
    """A container that was created: its directory, its cgroups, its config and the connection to its shim."""

    directory: str
    cgroup: ContainerCgroup
    spec: Spec
    supervisor: Supervisor
    cache: str

    def finish(self, timeout: float = PATIENCE) -> Done:
        """Waits for the end and for the clean-up after it."""
        status = self.supervisor.wait(timeout)
        self.supervisor.finished()
        return Done(status, *read_log_bytes(self.directory))

    def execute(
        self,
        *argv: str,
        stdio: Stdio | None = None,
        terminal: tuple[int, int] | None = None,
        files: KernelFiles = HOST_FILES,
        keyring: bool = True,
        **changes: Any,
    ) -> Supervisor:
        """Another process; `changes` are to the config's `process`."""
        own = {**self.spec["process"], "args": list(argv), "terminal": terminal is not None}
        return execute(
            self.directory,
            self.spec,
            cast(Process, {**own, **changes}),
            cgroup=self.cgroup,
            stdio=stdio,
            terminal=terminal,
            seccomp_cache=self.cache,
            files=files,
            keyring=keyring,
        )

    def output(self, *argv: str, **changes: Any) -> Done:
        """What another process says, at most a pipe's worth of it."""
        with contextlib.ExitStack() as stack:
            (out, out_end), (err, err_end) = os.pipe(), os.pipe()
            stack.callback(os.close, out)
            stack.callback(os.close, err)
            try:
                supervisor = self.execute(*argv, stdio=Stdio(stdout=out_end, stderr=err_end), **changes)
            finally:
                os.close(out_end)
                os.close(err_end)
            with supervisor:
                status = supervisor.wait(PATIENCE)
                supervisor.finished()
            return Done(status, read_all(out), read_all(err))


class Rack:
    """Makes containers below `directory` with a root of `lowers`, top first, and a writable layer of their own."""

    def __init__(self, directory: Path, lowers: Sequence[Path]) -> None:
        self.directory = directory
        self.lowers = tuple(str(lower) for lower in lowers)
        self._made: list[Bundled] = []

    def create(
        self,
        *argv: str,
        options: ContainerOptions = DEFAULTS,
        user: ResolvedUser = ROOT,
        lowers: Sequence[Path] = (),
        root: Root | None = None,
        name: str | None = None,
        change: Callable[[dict[str, Any]], None] | None = None,
        owned: bool = True,
        **words: Any,
    ) -> Bundled:
        """`lowers` go on top of the rack's own; `change` may edit config.json; `words` are for `create`."""
        container_id = uuid.uuid4().hex * 2
        directory = str(self.directory / (name or container_id))
        make_directory(directory)
        spec = _config(container_id, evolve(options, command=argv), user, change)
        write(directory, spec)
        cgroup = ContainerCgroup(spec["linux"]["cgroupsPath"])
        cgroup.create(spec["linux"]["resources"])
        layers = (*map(str, lowers), *self.lowers)
        cache = str(self.directory / "seccomp")
        try:
            supervisor = create(
                directory,
                directory=directory,
                root=root or OverlayRoot(layers, f"{directory}/upper", f"{directory}/work"),
                cgroup=cgroup,
                owned=owned,
                spec=spec,
                seccomp_cache=cache,
                **words,
            )
        except BaseException:
            cgroup.remove()
            raise
        return self.add(Bundled(directory, cgroup, spec, supervisor, cache))

    def add(self, made: Bundled) -> Bundled:
        """One more that is ended with the block."""
        self._made.append(made)
        return made

    def run(self, *argv: str, **words: Any) -> Done:
        """Creates and waits for the end."""
        return self.create(*argv, **words).finish()

    def __enter__(self) -> Rack:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self._made:
            end(container)
        remove_if_empty(_PARENT)


def end(container: Bundled) -> None:
    """Kills what is left of the container."""
    with contextlib.suppress(Error, OSError):
        supervisor = connect(container.directory)
        if supervisor is not None:
            with supervisor:
                write_policy(container.directory, Lifetime())  # or it starts the next run
                supervisor.signal(signal.SIGKILL, everyone=True)
                with contextlib.suppress(Error):
                    container.cgroup.thaw()
                supervisor.wait(PATIENCE)
                supervisor.finished()
    with contextlib.suppress(Error):
        container.cgroup.kill()
        container.cgroup.remove()
    container.supervisor.close()


def make_directory(directory: str) -> None:
    """What the runtime expects of a container's directory."""
    for path in (directory, f"{directory}/rootfs", f"{directory}/upper", f"{directory}/work"):
        Path(path).mkdir(parents=True, exist_ok=True)
    Path(directory, "upper").chmod(0o755)  # the container's "/", whatever the umask


def read_all(fd: int) -> bytes:
    return b"".join(iter(lambda: os.read(fd, 65536), b""))


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Waits until `condition` is true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def log_of(container: Bundled) -> bytes:
    """What its program has written to its standard output."""
    return read_log_bytes(container.directory)[0]


def shim_of(container: Bundled) -> int:
    """The pid of the container's supervisor, its first process's parent."""
    return parent_of(container.supervisor.pid)


def parent_of(pid: int) -> int:
    """The pid of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _config(
    container_id: str,
    options: ContainerOptions,
    user: ResolvedUser,
    change: Callable[[dict[str, Any]], None] | None,
) -> Spec:
    spec = make_config(
        ImageConfig(),
        options,
        user=user,
        extra_mounts=[],
        cgroups_path=f"{_PARENT}/test-{container_id}",
        container_id=container_id,
    )
    if change is not None:
        spec = deepcopy(spec)
        change(cast(dict[str, Any], spec))
    return spec
