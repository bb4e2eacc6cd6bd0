"""The recipe of a container."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self

from attrs import evolve, field, fields, frozen

from containerlib.engine import lifetime_words, run, start, words
from containerlib.engine.launch import Order
from containerlib.engine.log_words import log_options
from containerlib.engine.sources import HostSource, ImageSource, PullPolicy
from containerlib.engine.steps import finish
from containerlib.errors import InvalidArgument
from containerlib.fluent.container import Container
from containerlib.fluent.process import Process
from containerlib.fluent.recipes.devices import DeviceWords
from containerlib.fluent.recipes.identity import IdentityWords
from containerlib.fluent.recipes.mounts import MountWords
from containerlib.fluent.recipes.namespaces import NamespaceWords
from containerlib.fluent.recipes.process import ProcessWords
from containerlib.fluent.recipes.resources import ResourceWords
from containerlib.fluent.recipes.security import SecurityWords
from containerlib.spec.options import ContainerOptions

if TYPE_CHECKING:
    from containerlib.engine.completed import Completed
    from containerlib.fluent.engine import Engine
    from containerlib.spec.lifetime import Check, HealthAction, RestartPolicy
    from containerlib.units import Size

__all__ = ["ContainerRecipe"]

_P = ParamSpec("_P")
_DEFAULTS = ContainerOptions()


@frozen
class ContainerRecipe(
    IdentityWords, ProcessWords, ResourceWords, MountWords, NamespaceWords, DeviceWords, SecurityWords
):
    """What a container is to be. Every word returns a new recipe; a verb makes the container.

    Words that are not used leave the image's value, or Docker's default. Recipes are equal, hash and pickle
    by value.
    """

    engine: Engine
    image: ImageSource
    options: ContainerOptions = field(default=_DEFAULTS)

    # words

    def log(
        self,
        keep: Literal["file", "none"] | None = "file",
        /,
        *,
        max_size: Size | None = None,
        max_files: int | None = None,
        full: Literal["drop", "block"] | None = None,
    ) -> Self:
        """How what the program writes is kept: without this word all of it, in one file. `None`: not at all.

        `max_size` (bytes, or e.g. `"10MiB"`) bounds a file of the log, and `max_files` (5) how many there are: then the
        oldest one goes. A file is up to twice as large where a line would be torn. `full`: when the disk is full,
        `"drop"` lets the program go on, and the log says how much of it is missing as soon as there is room; `"block"`
        lets it wait for room. What is not given stays as it was.
        """
        return self._with(
            log=log_options(self.options.log, keep=keep, max_size=max_size, max_files=max_files, full=full)
        )

    def restart(self, policy: RestartPolicy, /, *, retries: int | None = None) -> ContainerRecipe:
        """When it is started again after its end: `"no"`, `"on-failure"`, `"always"` or `"unless-stopped"`.

        `"on-failure"` does so where the exit code is not 0, with `retries` no oftener than that. It waits between
        starts: 100 ms, each time twice as long up to a minute, and from the beginning after 10 s that went well.
        What `stop` or a kill has ended stays so. Nobody but the container's own supervisor needs to be alive.
        """
        return self._with(restart=lifetime_words.restart(policy, retries))

    def healthy_when(
        self,
        check: Check | None,
        /,
        *,
        every: float = 30.0,
        timeout: float = 30.0,
        retries: int = 3,
        start_period: float = 0.0,
        start_every: float = 5.0,
        on_failure: HealthAction = "none",
    ) -> ContainerRecipe:
        """How to tell whether it is well: `cl.command(...)`, `cl.http(port)`, `cl.tcp(port)`. None: none.

        It is checked `every` so many seconds, and oftener until it is well for the first time; `retries` failures in a
        row make it unhealthy. Until the first success, those of the first `start_period` seconds, when it is checked
        each `start_every`, do not count. A check that takes longer than `timeout` is killed, and has failed.
        `on_failure` is done when it becomes unhealthy: `"kill"` leaves the rest to `restart`'s policy, `"restart"` and
        `"stop"` begin with the stop signal.
        """
        option = lifetime_words.health(
            check,
            every=every,
            timeout=timeout,
            retries=retries,
            start_period=start_period,
            start_every=start_every,
            on_failure=on_failure,
        )
        return self._with(health=option)

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

    def start(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Starts the container and returns while it runs. With `detach` it outlives this process.

        A container that is not detached ends with its owner, even by kill -9, and is removed then. As a
        context manager the container is stopped and removed at the end of the block, unless it is detached.
        With `remove` it is removed as soon as it has ended, whoever is alive then.

        Raises: as `run`, but for ExitError and Timeout; AlreadyExists for its name.
        """
        order = self._order(argv, detach=detach, remove=remove)
        return Container(self.engine, start.start(self.engine.core, order))

    def create(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Makes the container up to OCI's "created": `container.start()` lets its program run.

        Raises: as `start`.
        """
        order = self._order(argv, detach=detach, remove=remove)
        return Container(self.engine, start.create(self.engine.core, order))

    def __repr__(self) -> str:
        source = "host" if isinstance(self.image, HostSource) else self.image.reference
        given = ((f.name, getattr(self.options, f.name)) for f in fields(ContainerOptions))
        words_ = "".join(f" {name}={value!r}" for name, value in given if value != getattr(_DEFAULTS, name))
        return f"<ContainerRecipe of {source}{words_}>"

    def _order(self, argv: tuple[str, ...], *, detach: bool = False, remove: bool = False) -> Order:
        detached, removed = words.flag(detach, field="detach"), words.flag(remove, field="remove")
        if removed and self.options.restart.policy != "no":
            raise InvalidArgument(
                f"what is removed at its end is not started again: {self.options.restart.policy!r}",
                field="remove",
            )
        order = Order(self.image, self.options, detached=detached, remove=removed)
        return order.with_argv(words.argv(argv))

    def _with(self, **changes: Any) -> Self:
        return evolve(self, options=evolve(self.options, **changes))
