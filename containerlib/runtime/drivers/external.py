"""Another OCI runtime as a driver: runc, crun, runsc, or whatever speaks their command line.

Its state is kept in the container's own directory, so that nothing of it is anywhere else:

    <container>/oci/           what the runtime keeps (--root)
    <container>/runtime.log    what it says (--log)
    <container>/exec-*/        the files of an exec, for as long as it is being started
    <container>/checking/      those of an exec that checks the container's health, again and again
    <container>/adapted/       the bundle that it is given, where the container's own says what it does not know
    <container>/late/          empty: what is found or made at each start is mounted there, where the runtime sees it

Spec: runtime-spec runtime.md#operations; the command line is that of runc(8), which the others have taken over.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from containerlib._sys.wire import Launch
from containerlib.errors import Conflict, NotFound, StageError, Unsupported
from containerlib.runtime import launch
from containerlib.runtime.cgroups.cgroup import ContainerCgroup
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.drivers.bundle import First, bundle_for
from containerlib.runtime.drivers.errors import explained
from containerlib.runtime.drivers.plan import PID_FILE, Command, foreign_exec_plan, foreign_plan
from containerlib.runtime.drivers.refusals import Facts, refuse_config, refuse_process
from containerlib.runtime.kernel import keeps_memory, require_kernel
from containerlib.runtime.order import Stdio, run_chores, supervise, terminal_size
from containerlib.runtime.plan.late import NOTHING, Late, Memory
from containerlib.runtime.plan.links import NO_LINKS, Links
from containerlib.runtime.plan.op import Op, Plan
from containerlib.runtime.plan.roots import OverlayRoot, Root, shared_mounts
from containerlib.runtime.supervisor import Supervisor
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.runtime import Process, Spec
from containerlib.spec.secret import Secret
from containerlib.spec.values import evolve

__all__ = ["ExternalRuntime", "find_external"]

_PACKAGES = {"runc": "runc", "crun": "crun", "runsc": "runsc", "youki": "youki", "containerlib-oci": ""}
_VERSION = re.compile(r"^(\S+) version:? *(?:release-|v)?([0-9][0-9.]*)", re.M)
_PASSED_ON = ("PATH", "HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS")
_ANSWER_PATIENCE = 30.0
_LOG = "runtime.log"
_INNER = "inner.pid"
_CHECKING = "checking"
_LATE = "late"
_FIRST = Memory((Secret("init", "init", mode=0o555, is_helper=True),), "/init", swap=True)

Ask = Callable[[Sequence[str]], str]


class ExternalRuntime:
    """The runtime at `path`. Asks it for its version and features once, when it is made.

    Raises: Unsupported where the program is no OCI runtime.
    """

    every_group = True

    def __init__(self, name: str, path: str, *, ask: Ask | None = None) -> None:
        self.name = name
        self.path = path
        self.facts = _facts(path, ask or _ask)

    @property
    def _is_sandbox(self) -> bool:
        """Whether it has a kernel of its own: its processes are not the container's, and it does not place them."""
        return self.facts.kind == "runsc"

    def create(
        self,
        bundle: str,
        *,
        directory: str,
        root: Root,
        cgroup: ContainerCgroup,
        owned: bool,
        spec: Spec,
        stdio: Stdio | None = None,
        hold: bool = False,
        seccomp_cache: str | None = None,  # noqa: ARG002 - the runtime compiles its own
        wait: bool = True,  # noqa: ARG002 - it is slow anyway, and what it says is to be read
        log: LogOptions | None = ALL_IN_ONE,
        reaper: bool = False,
        late: Late = NOTHING,
        images: Sequence[tuple[str, OverlayRoot]] = (),
        links: Links = NO_LINKS,
        kept: Sequence[int] = (),  # noqa: ARG002 - of links
        is_first: bool = False,
    ) -> Supervisor:
        require_kernel()
        if images:
            raise Unsupported(
                f"an image as a mount takes the native driver: {self.name!r} cannot stack its layers"
            )
        if links != NO_LINKS:
            raise Unsupported(f"a network takes the native driver: {self.name!r} makes its namespace itself")
        refuse_config(spec, self.facts, self.name)
        if not is_first:
            launch.forget(directory)
        place = f"{directory}/{_LATE}"
        first, late = _first(late, place, stays=reaper)
        if late.found:
            os.makedirs(place, 0o700, exist_ok=True)  # noqa: PTH103 - a str
        said = f"{directory}/{_LOG}"
        _unlink(said)
        size = terminal_size(spec["process"], None)
        plan = foreign_plan(
            self._command(directory, said, spec),
            (
                "--bundle",
                bundle_for(bundle, directory, spec, sandbox=self._is_sandbox, first=first),
                *_files(directory, terminal=size is not None),
            ),
            root=launch.mountable(root),
            rootfs=os.path.join(bundle, spec.get("root", {}).get("path", "rootfs")),
            groups=launch.groups_of(cgroup),
            layout=Layout.host(),
            container_id=os.path.basename(directory),  # noqa: PTH119 - a str
            join=self._is_sandbox,
            hold=hold,
            log=log or ALL_IN_ONE,
            late=late,
            place=place,
            linux=spec.get("linux"),
        )
        with self._explaining(said, spec["process"]):
            return supervise(
                plan,
                directory=directory,
                subject=directory,
                owned=owned,
                stdio=stdio,
                flags=Launch.FOREIGN | Launch.LOG,
                terminal=size,
                layers=shared_mounts(root),
            )

    def execute(
        self,
        directory: str,
        spec: Spec,
        process: Process,
        *,
        cgroup: ContainerCgroup,
        stdio: Stdio | None = None,
        owned: bool = True,
        seccomp_cache: str | None = None,  # noqa: ARG002 - as in `create`
        wait: bool = True,  # noqa: ARG002
    ) -> Supervisor:
        refuse_process(process, self.facts, self.name)
        launch.require_running(directory, cgroup)
        with tempfile.TemporaryDirectory(prefix="exec-", dir=directory, ignore_cleanup_errors=True) as place:
            with open(f"{place}/process.json", "w", encoding="utf-8") as file:
                json.dump(process, file)
            size = terminal_size(process, None)
            with self._explaining(f"{place}/{_LOG}", process):
                supervisor = supervise(
                    self._exec_plan(directory, place, spec, terminal=size is not None),
                    directory=place,
                    subject=None,
                    owned=owned,
                    stdio=stdio,
                    flags=Launch.FOREIGN,
                    terminal=size,
                    kind=_SandboxedExec if self._is_sandbox else Supervisor,
                )
            if isinstance(supervisor, _SandboxedExec):
                command = self._command(directory, os.devnull, spec)
                supervisor.reach(command, os.path.basename(directory), f"{place}/{_INNER}")  # noqa: PTH119
            return supervisor

    def exec_plan(
        self,
        directory: str,
        spec: Spec,
        process: Process,
        *,
        cgroup: ContainerCgroup,  # noqa: ARG002 - the runtime places it
        seccomp_cache: str | None = None,  # noqa: ARG002 - as in `create`
    ) -> bytes:
        refuse_process(process, self.facts, self.name)
        place = f"{directory}/{_CHECKING}"
        os.makedirs(place, 0o700, exist_ok=True)  # noqa: PTH103 - a str
        with open(f"{place}/process.json", "w", encoding="utf-8") as file:
            json.dump(process, file)
        return self._exec_plan(directory, place, spec, terminal=False).pack()

    def start(self, supervisor: Supervisor, directory: str, spec: Spec) -> None:
        with self._explaining(f"{directory}/{_LOG}", spec["process"]):
            supervisor.start()

    def files_of(self, pid: int, directory: str) -> str:
        if not self._is_sandbox:
            return f"/proc/{pid}/root/."
        # what the sandbox shows its container is mounted in the shim's namespace, and nowhere else
        return f"/proc/{_parent(pid)}/root{directory}/rootfs/."

    def _exec_plan(self, directory: str, place: str, spec: Spec, *, terminal: bool) -> Plan:
        """The plan of an exec whose files are in `place`, which is where its commands are run."""
        home, at = directory, place
        more: tuple[str, ...] = ()
        if self._is_sandbox:
            # runsc leaves out every argument with a "detach" in it when it runs itself again: no path may have one
            home = at = "/proc/self/cwd"
            os.symlink("../oci", f"{place}/oci")  # noqa: PTH211 - a str
            more = ("--internal-pid-file", f"{at}/{_INNER}")
        return foreign_exec_plan(
            self._command(home, f"{at}/{_LOG}", spec),
            ("--detach", "--process", f"{at}/process.json", *_files(at, terminal=terminal), *more),
            os.path.join(directory, spec.get("root", {}).get("path", "rootfs")),
            Layout.host(),
            container_id=os.path.basename(directory),  # noqa: PTH119
        )

    def _command(self, directory: str, log: str, spec: Spec) -> Command:
        words = [self.path, "--root", f"{directory}/oci", "--log", log, "--log-format", "json"]
        if self._is_sandbox:
            kinds = [n["type"] for n in spec.get("linux", {}).get("namespaces", ())]
            if "CAP_NET_RAW" in spec["process"].get("capabilities", {}).get("bounding", ()):
                words.append("--net-raw")
            if spec.get("linux", {}).get("seccomp"):
                words.append("--oci-seccomp")
            words += ["--ignore-cgroups", f"--network={'none' if 'network' in kinds else 'host'}"]
        env = [f"{name}={value}" for name in _PASSED_ON if (value := os.environ.get(name))]
        return Command(tuple(words), tuple(env))

    @contextlib.contextmanager
    def _explaining(self, log: str, process: Process) -> Iterator[None]:
        try:
            yield
        except StageError as error:
            better = explained(error, log, process["args"][0])
            if better is error:
                raise
            raise better from error


class _SandboxedExec(Supervisor):
    """An exec whose process is the sandbox's own: what the host has is one that waits for its end."""

    _kill: Callable[[int], Op] | None = None

    def reach(self, command: Command, container_id: str, file: str) -> None:
        """Takes note of the process's number in the sandbox, which `file` holds."""
        with open(file, encoding="ascii") as text:
            inner = text.read().strip()
        self._kill = lambda number: command.op("kill", "--pid", inner, container_id, str(number))

    def signal(self, number: int, *, everyone: bool = False, final: bool = False, keep: bool = False) -> None:
        if self._kill is not None and self.poll() is None:
            try:
                run_chores([self._kill(number)])
            except StageError:  # it ends at this moment
                pass
            else:
                return
        super().signal(number, everyone=everyone, final=final, keep=keep)


def find_external(name: str) -> ExternalRuntime:
    """The runtime of that name on PATH, or at that absolute path.

    Raises: NotFound, Unsupported.
    """
    path = shutil.which(name)
    if path is None:
        if "/" in name:
            raise NotFound(f"the driver {name!r} is not there, or is no program: look at its path and mode")
        package = _PACKAGES.get(name, name)
        raise NotFound(
            f"the driver {name!r} is not on PATH: "
            + (
                f"apt-get install {package}, or give its absolute path"
                if package
                else "give its absolute path"
            )
        )
    return ExternalRuntime(name, os.path.abspath(path))  # noqa: PTH100 - a str


def _first(late: Late, place: str, *, stays: bool) -> tuple[First | None, Late]:
    """Our own first program where one is needed, and what is late with it below `place`.

    Variables are in memory alone, as a file that is their process's: a runtime may write the environment to a disk.
    """
    if not stays and not late.variables:
        return None, late
    found = {**late.found, f"{place}/init": _FIRST}
    variables = f"{place}/env" if late.variables else None
    if variables is not None:
        own = late.variables[0]
        content = b"".join(f"{each.variable}=".encode() + each.value + b"\0" for each in late.variables)
        files = (Secret("env", "env", content, uid=own.uid, gid=own.gid),)
        found[variables] = Memory(files, "/env", swap=not keeps_memory())
    return First(f"{place}/init", stays, variables), evolve(late, found=found)


def _files(place: str, *, terminal: bool) -> tuple[str, ...]:
    console = ("--console-socket", "console.sock") if terminal else ()
    return ("--pid-file", f"{place}/{PID_FILE}", *console)


def _facts(path: str, ask: Ask) -> Facts:
    said = ask([path, "--version"])
    match = _VERSION.search(said)
    if match is None:
        raise Unsupported(
            f"{path} is no OCI runtime that can be a driver: to --version it says {said.strip()[:100]!r}"
        )
    kind, version = match.groups()
    try:
        features = json.loads(ask([path, "features"]))
    except (ValueError, Unsupported):  # older than the verb
        features = {}
    number = tuple(int(part) for part in version.split(".") if part)
    return Facts(kind, number, cast(dict[str, Any], features) if isinstance(features, dict) else {})


def _ask(argv: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            argv,
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_ANSWER_PATIENCE,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unsupported(f"{argv[0]} is no OCI runtime that can be a driver: {error}") from error
    return done.stdout


def _parent(pid: int) -> int:
    """Spec: proc_pid_status(5)"""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))
    except (FileNotFoundError, ProcessLookupError) as error:
        raise Conflict("the container is stopped, and must be running", state="stopped") from error


def _unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)  # noqa: PTH108 - a str
