"""The recipe of a container."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec

from attrs import evolve, field, fields, frozen

from containerlib.engine import run, start, words
from containerlib.engine.launch import Order
from containerlib.engine.log_words import log_options
from containerlib.engine.names import check_name
from containerlib.engine.sources import HostSource, ImageSource, PullPolicy
from containerlib.engine.steps import finish
from containerlib.errors import InvalidArgument
from containerlib.fluent.container import Container
from containerlib.fluent.mounts import mount_option
from containerlib.fluent.process import Process
from containerlib.spec.options import ContainerOptions
from containerlib.units import Size

if TYPE_CHECKING:
    from containerlib.engine.completed import Completed
    from containerlib.fluent.engine import Engine
    from containerlib.fluent.mounts import MountSource

__all__ = ["ContainerRecipe"]

_P = ParamSpec("_P")
_DEFAULTS = ContainerOptions()


@frozen
class ContainerRecipe:
    """What a container is to be. Every word returns a new recipe; a verb makes the container.

    Words that are not used leave the image's value, or Docker's default. Recipes are equal, hash and pickle
    by value.
    """

    engine: Engine
    image: ImageSource
    options: ContainerOptions = field(default=_DEFAULTS)

    # words

    def name(self, name: str, /) -> ContainerRecipe:
        """The container's name, one of a kind in this engine. Without it one is made up."""
        return self._with(name=check_name(name))

    def env(self, mapping: Mapping[str, str] | None = None, /, **variables: str) -> ContainerRecipe:
        """Adds environment variables; one that is there already is replaced."""
        return self._with(env=words.merge_pairs(self.options.env, mapping, variables, field="env"))

    def label(self, mapping: Mapping[str, str] | None = None, /, **labels: str) -> ContainerRecipe:
        """Adds labels; one that is there already is replaced."""
        return self._with(labels=words.merge_pairs(self.options.labels, mapping, labels, field="label"))

    def workdir(self, path: str, /) -> ContainerRecipe:
        """The directory that the program starts in; it is made where the image lacks it."""
        return self._with(workdir=words.container_path(path, field="workdir"))

    def user(self, user: str | int, /) -> ContainerRecipe:
        """Who the program runs as: a name, a number or `"user:group"`, looked up in the image's own files."""
        return self._with(user=words.user(user))

    def entrypoint(self, *argv: str) -> ContainerRecipe:
        """Replaces the image's entrypoint, and drops its command. No words: there is none."""
        return self._with(entrypoint=words.argv(argv, field="entrypoint"))

    def hostname(self, name: str, /) -> ContainerRecipe:
        """The container's host name. Without it, the first 12 digits of its id."""
        return self._with(hostname=words.hostname(name))

    def limit(
        self,
        *,
        memory: Size | None = None,
        swap: Size | None = None,
        cpus: float | None = None,
        pids: int | None = None,
    ) -> ContainerRecipe:
        """Ceilings on what the container may use. What is not given stays as it was.

        `memory` and, on top of it, `swap` are bytes or e.g. `"256MiB"`; `cpus` is processor time per
        time (1.5: one and a half processors); `pids` counts processes and threads.
        """
        return self._with(
            limits=words.limits(self.options.limits, memory=memory, swap=swap, cpus=cpus, pids=pids)
        )

    def mount(self, source: MountSource, *, at: str, read_only: bool = False) -> ContainerRecipe:
        """Shows `source` at the container's absolute path `at`.

        `source` is an absolute path on the host, a volume (`engine.volume("www")`), or `tmpfs(size="64MiB")`.
        """
        mount = mount_option(source, at=at, read_only=read_only)
        others = tuple(other for other in self.options.mounts if other.target != mount.target)
        return self._with(mounts=(*others, mount))

    def read_only(self, enabled: bool = True, /) -> ContainerRecipe:
        """The root file system cannot be written; mounts can."""
        return self._with(read_only=words.flag(enabled, field="read_only"))

    def cap_add(self, *names: str) -> ContainerRecipe:
        """Adds capabilities, e.g. `"NET_ADMIN"`, or `"ALL"`."""
        added = words.capabilities((*self.options.cap_add, *names), field="cap_add")
        return self._with(cap_add=added)

    def cap_drop(self, *names: str) -> ContainerRecipe:
        """Takes capabilities away, e.g. `"CHOWN"`, or `"ALL"`; what `cap_add` names stays."""
        dropped = words.capabilities((*self.options.cap_drop, *names), field="cap_drop")
        return self._with(cap_drop=dropped)

    def privileged(self, enabled: bool = True, /) -> ContainerRecipe:
        """All capabilities and devices, nothing masked, no seccomp: as good as root on the host."""
        return self._with(privileged=words.flag(enabled, field="privileged"))

    def network(self, kind: Literal["none", "host"], /) -> ContainerRecipe:
        """`"none"`: a loopback device alone. `"host"`: the host's network."""
        if kind not in ("none", "host"):
            raise InvalidArgument(f'{kind!r} is not a network: "none" or "host"', field="network")
        return self._with(network=kind)

    def tty(self, enabled: bool = True, /) -> ContainerRecipe:
        """The program's standard streams are a terminal."""
        return self._with(tty=words.flag(enabled, field="tty"))

    def stdin(self, enabled: bool = True, /) -> ContainerRecipe:
        """A started container's program waits for input instead of reading from /dev/null."""
        return self._with(stdin=words.flag(enabled, field="stdin"))

    def sysctl(self, mapping: Mapping[str, str], /) -> ContainerRecipe:
        """Kernel settings of the container's namespaces, e.g. `{"net.core.somaxconn": "1024"}`."""
        return self._with(sysctls=words.merge_pairs(self.options.sysctls, mapping, {}, field="sysctl"))

    def rlimit(self, name: str, soft: int, hard: int | None = None, /) -> ContainerRecipe:
        """A limit of getrlimit(2), e.g. `"nofile"`; -1 is no limit. Without `hard`, both are `soft`."""
        limit = words.rlimit(name, soft, hard)
        others = tuple(other for other in self.options.rlimits if other[0] != limit[0])
        return self._with(rlimits=(*others, limit))

    def seccomp(self, profile: str, /) -> ContainerRecipe:
        """`"default"`, `"unconfined"`, or a profile's JSON text in Docker's or the runtime-spec's form."""
        return self._with(seccomp=words.text(profile, field="seccomp"))

    def no_new_privileges(self, enabled: bool = True, /) -> ContainerRecipe:
        """Set-uid programs and file capabilities give nothing."""
        return self._with(no_new_privileges=words.flag(enabled, field="no_new_privileges"))

    def stop_signal(self, signal: int | str, /) -> ContainerRecipe:
        """What `stop` sends first. Without it, what the image says, or SIGTERM."""
        return self._with(stop_signal=words.stop_signal(signal))

    def stop_timeout(self, seconds: float, /) -> ContainerRecipe:
        """How long `stop` waits before SIGKILL. Without it, 10 seconds."""
        return self._with(stop_timeout=words.seconds(seconds, field="stop_timeout"))

    def log(
        self,
        keep: Literal["file", "none"] | None = "file",
        /,
        *,
        max_size: Size | None = None,
        max_files: int | None = None,
        full: Literal["drop", "block"] | None = None,
    ) -> ContainerRecipe:
        """How what the program writes is kept: without this word all of it, in one file. `None`: not at all.

        `max_size` (bytes, or e.g. `"10MiB"`) bounds a file of the log, and `max_files` (5) how many there are: then the
        oldest one goes. A file is up to twice as large where a line would be torn. `full`: when the disk is full,
        `"drop"` lets the program go on, and the log says how much of it is missing as soon as there is room; `"block"`
        lets it wait for room. What is not given stays as it was.
        """
        return self._with(
            log=log_options(self.options.log, keep=keep, max_size=max_size, max_files=max_files, full=full)
        )

    def pull(self, policy: PullPolicy, /) -> ContainerRecipe:
        """When the image is fetched: `"missing"` (the default), `"never"` or `"always"`."""
        if policy not in ("missing", "never", "always"):
            raise InvalidArgument(f'{policy!r} is none of "missing", "never", "always"', field="pull")
        if isinstance(self.image, HostSource):
            raise InvalidArgument("the host's own file system is never pulled", field="pull")
        return evolve(self, image=evolve(self.image, pull=policy))

    def apply(
        self,
        function: Callable[Concatenate[ContainerRecipe, _P], ContainerRecipe],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> ContainerRecipe:
        """`function(self, ...)`: a word of your own."""
        return function(self, *args, **kwargs)

    # verbs

    def run(
        self,
        *argv: str,
        input: bytes | None = None,  # noqa: A002 - subprocess's name
        check: bool = True,
        timeout: float | None = None,
    ) -> Completed:
        """Runs the container to its end and removes it. `argv` replaces the image's command.

        `input` is what the program reads from its standard input; without it that is empty. Needs
        CAP_SYS_ADMIN.

        Raises: ExitError where the exit code is not 0, unless `check` is False; Timeout after `timeout`
        seconds, when the container is killed and removed; StageError where the program cannot be started
        (`exit_code` 127: not found, 126: not executable); NotFound for an image, user or mount source;
        Unsupported.
        """
        words.flag(check, field="check")
        order, data, limit = self._order(argv), words.data(input), words.timeout(timeout)
        return finish(run.run(self.engine.core, order, stdin=data, check=check, timeout=limit))

    def spawn(self, *argv: str) -> Process:
        """Starts the container with pipes on its standard streams; it is removed when it has ended.

        Raises: as `run`, but for ExitError and Timeout.
        """
        order = self._order(argv)
        return Process(run.spawn(self.engine.core, order))

    def start(self, *argv: str, detach: bool = False) -> Container:
        """Starts the container and returns while it runs. With `detach` it outlives this process.

        A container that is not detached ends with its owner, even by kill -9, and is removed then. As a
        context manager the container is stopped and removed at the end of the block, unless it is detached.

        Raises: as `run`, but for ExitError and Timeout; AlreadyExists for its name.
        """
        order = self._order(argv, detach=detach)
        return Container(self.engine, start.start(self.engine.core, order))

    def create(self, *argv: str, detach: bool = False) -> Container:
        """Makes the container up to OCI's "created": `container.start()` lets its program run.

        Raises: as `start`.
        """
        order = self._order(argv, detach=detach)
        return Container(self.engine, start.create(self.engine.core, order))

    def __repr__(self) -> str:
        source = "host" if isinstance(self.image, HostSource) else self.image.reference
        given = ((f.name, getattr(self.options, f.name)) for f in fields(ContainerOptions))
        words_ = "".join(f" {name}={value!r}" for name, value in given if value != getattr(_DEFAULTS, name))
        return f"<ContainerRecipe of {source}{words_}>"

    def _order(self, argv: tuple[str, ...], *, detach: bool = False) -> Order:
        detached = words.flag(detach, field="detach")
        return Order(self.image, self.options, detached=detached).with_argv(words.argv(argv))

    def _with(self, **changes: Any) -> ContainerRecipe:
        return evolve(self, options=evolve(self.options, **changes))
