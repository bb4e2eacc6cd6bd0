"""What a recipe is: the value behind the words, without verbs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar

from attrs import evolve, field, fields, frozen

from containerlib.engine import words, words_lifetime
from containerlib.engine.launch import Order
from containerlib.engine.sources import HostSource, ImageSource, PullPolicy
from containerlib.engine.words_log import log_options
from containerlib.errors import InvalidArgument
from containerlib.fluent.recipes.devices import DeviceWords
from containerlib.fluent.recipes.identity import IdentityWords
from containerlib.fluent.recipes.mounts import MountWords
from containerlib.fluent.recipes.namespaces import NamespaceWords
from containerlib.fluent.recipes.process import ProcessWords
from containerlib.fluent.recipes.resources import ResourceWords
from containerlib.fluent.recipes.security import SecurityWords
from containerlib.spec.options import ContainerOptions

if TYPE_CHECKING:
    from containerlib.spec.lifetime import Check, HealthAction, RestartPolicy
    from containerlib.units import Size

__all__ = ["Recipe"]

_E = TypeVar("_E")
_P = ParamSpec("_P")
_DEFAULTS = ContainerOptions()


@frozen
class Recipe(
    IdentityWords,
    ProcessWords,
    ResourceWords,
    MountWords,
    NamespaceWords,
    DeviceWords,
    SecurityWords,
    Generic[_E],
):
    """The engine, the image and all that the words said."""

    engine: _E
    image: ImageSource
    options: ContainerOptions = field(default=_DEFAULTS)

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

    def restart(
        self, policy: RestartPolicy, /, *, retries: int | None = None, from_checkpoint: bool = False
    ) -> Self:
        """When it is started again after its end: `"no"`, `"on-failure"`, `"always"` or `"unless-stopped"`.

        `"on-failure"` does so where the exit code is not 0, with `retries` no oftener than that. It waits between
        starts: 100 ms, each time twice as long up to a minute, and from the beginning after 10 s that went well.
        What `stop` or a kill has ended stays so. Nobody but the container's own supervisor needs to be alive.
        `from_checkpoint`: it goes on from the last checkpoint that `checkpoint_every` has taken since it was started,
        with its files as they were then; where there is none, or it cannot, it begins anew.
        """
        return self._with(restart=words_lifetime.restart(policy, retries, from_checkpoint=from_checkpoint))

    def checkpoint_every(
        self,
        seconds: float | None,
        /,
        *,
        keep: int = 3,
        tcp: Literal["refuse", "established", "close"] = "close",
        external_unix_sockets: bool = False,
        file_locks: bool = False,
    ) -> Self:
        """A checkpoint each so many seconds while it runs; `container.checkpoints()` has the last `keep` of them.

        Its supervisor has them taken, and needs nobody else; the container pauses for each, and goes on. They are in
        its directory, memory and all, and go with it. Events tell of each, and of those that failed, with the reason.
        `tcp` and the other words: as of `Container.checkpoint`. `None`: none is taken. Needs CRIU 4.2, and is
        Unsupported at the start of a container that has no checkpoints.
        """
        option = words_lifetime.checkpoints(
            seconds, keep=keep, tcp=tcp, external_unix_sockets=external_unix_sockets, file_locks=file_locks
        )
        return self._with(checkpoints=option)

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
    ) -> Self:
        """How to tell whether it is well: `cl.command(...)`, `cl.http(port)`, `cl.tcp(port)`, or None: not at all.

        Without this word it is as the image's HEALTHCHECK says.

        It is checked `every` so many seconds, and oftener until it is well for the first time; `retries` failures in a
        row make it unhealthy. Until the first success, those of the first `start_period` seconds, when it is checked
        each `start_every`, do not count. A check that takes longer than `timeout` is killed, and has failed.
        `on_failure` is done when it becomes unhealthy: `"kill"` leaves the rest to `restart`'s policy, `"restart"` and
        `"stop"` begin with the stop signal.
        """
        option = words_lifetime.health(
            check,
            every=every,
            timeout=timeout,
            retries=retries,
            start_period=start_period,
            start_every=start_every,
            on_failure=on_failure,
        )
        return self._with(health=option)

    def pull(self, policy: PullPolicy, /) -> Self:
        """When the image is fetched: `"missing"` (the default), `"never"` or `"always"`."""
        if policy not in ("missing", "never", "always"):
            raise InvalidArgument(f'{policy!r} is none of "missing", "never", "always"', field="pull")
        if isinstance(self.image, HostSource):
            raise InvalidArgument("the host's own file system is never pulled", field="pull")
        return evolve(self, image=evolve(self.image, pull=policy))

    def apply(
        self,
        function: Callable[Concatenate[Self, _P], Self],
        /,
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> Self:
        """`function(self, ...)`: a word of your own."""
        return function(self, *args, **kwargs)

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
        if self.options.restart.from_checkpoint and self.options.checkpoints is None:
            raise InvalidArgument(
                "what goes on from its checkpoints has to have some: checkpoint_every(60.0)",
                field="from_checkpoint",
            )
        return Order(self.image, self.options, words.argv(argv), detached=detached, remove=removed)

    def _with(self, **changes: Any) -> Self:
        return evolve(self, options=evolve(self.options, **changes))
