"""One container that exists: its record, its place on disk, and what the kernel says of it."""

from __future__ import annotations

import contextlib
import json
import os
from typing import TYPE_CHECKING, Any, Literal, Self

from attrs import asdict, define, field, fields, frozen

from containerlib import runtime
from containerlib.errors import NotFound
from containerlib.runtime import ContainerCgroup, Driver
from containerlib.runtime.config.read import read_config
from containerlib.spec.lifecycle import State
from containerlib.spec.lifetime import NO_RESTART, CheckpointOption, HealthOption, RestartOption
from containerlib.spec.log import ALL_IN_ONE, LogOptions
from containerlib.spec.runtime import Spec
from containerlib.store import ContainerRecord

if TYPE_CHECKING:
    from containerlib.engine.core import Core
    from containerlib.engine.ids import IdKind
    from containerlib.spec.layer import LayerKind

__all__ = ["Instance", "Memo", "Shared"]


@frozen
class Shared:
    """A volume or host path that the container mounts: a `MountOption` without what others have no use for."""

    kind: Literal["bind", "volume"]
    target: str
    source: str
    read_only: bool
    subpath: str = ""


@frozen
class Memo:
    """What later verbs need to know of the recipe, kept as JSON in the container's record."""

    detached: bool = False
    host: bool = False
    tty: bool = False
    stdin: bool = False
    stop_signal: str | None = None
    stop_timeout: float | None = None
    labels: tuple[tuple[str, str], ...] = ()
    volumes: tuple[str, ...] = ()
    anonymous: tuple[str, ...] = ()
    """Those of them that were made for it, and go with it."""
    mounts: tuple[Shared, ...] = ()
    """What `volumes_from` gives to others, and what is looked for again at each start."""
    images: tuple[tuple[str, str, LayerKind], ...] = ()
    """(where it is mounted, the image's id, the form of its layers)"""
    init: bool = False
    secrets: tuple[str, ...] = ()
    """Their names; what they are is kept nowhere."""
    ipc: str = "private"
    ids: IdKind = ""
    """Whether it has a user namespace, and there other ids than the host's."""
    joined: tuple[tuple[str, str], ...] = ()
    """(kind of namespace, id of the container that it is of)"""
    connected: bool = False
    """Whether its network namespace is on a network."""
    driver: str = runtime.NATIVE
    restart: RestartOption = NO_RESTART
    checkpoints: CheckpointOption | None = None
    """Those that are taken while it runs."""
    health: HealthOption | None = None
    """How its health is checked: as the recipe says, or the image."""
    remove: bool = False
    """Its shim removes it when it has ended."""
    layers: LayerKind = "overlay"
    """The form of the image's layers that it was made on; the image may be used in another by now."""
    log: LogOptions = ALL_IN_ONE
    words: tuple[tuple[str, Any], ...] = ()
    """Words of the recipe that neither the configuration nor another field has, for `inspect`."""

    def to_json(self) -> str:
        """Only what is not the default: most containers need no more than `{}`."""
        if self == _PLAIN:
            return "{}"
        known = {f.name: value for f in fields(Memo) if (value := getattr(self, f.name)) != f.default}
        if "restart" in known:
            known["restart"] = asdict(self.restart)
        if self.checkpoints is not None:
            known["checkpoints"] = asdict(self.checkpoints)
        if self.health is not None:
            known["health"] = self.health.to_json()
        return json.dumps(
            known,
            default=lambda value: {
                name: getattr(value, name) for name in value.__slots__ if name != "__weakref__"
            },
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        known: dict[str, Any] = json.loads(text)
        for name in ("labels", "joined"):
            known[name] = tuple((key, value) for key, value in known.get(name, ()))
        for name in ("volumes", "anonymous", "secrets"):
            known[name] = tuple(known.get(name, ()))
        known["images"] = tuple((at, image, kind) for at, image, kind in known.get("images", ()))
        known["mounts"] = tuple(Shared(**mount) for mount in known.get("mounts", ()))
        known["words"] = tuple((name, _frozen(value)) for name, value in known.get("words", ()))
        known["log"] = LogOptions(**known.get("log", {}))
        if "restart" in known:
            known["restart"] = RestartOption.read(known["restart"])
        if "checkpoints" in known:
            known["checkpoints"] = CheckpointOption(**known["checkpoints"])
        if "health" in known:
            known["health"] = HealthOption.read(known["health"])
        return cls(**known)


def _frozen(value: Any) -> Any:
    """JSON's lists as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


_PLAIN = Memo()


@define(eq=False)
class Instance:
    """A container by its record.

    Holds no descriptor: every verb asks the shim afresh, from any process or thread.
    """

    core: Core
    record: ContainerRecord
    memo: Memo
    _spec: Spec | None = field(default=None, repr=False)
    _cgroup: ContainerCgroup | None = field(default=None, repr=False)

    @classmethod
    def of(cls, core: Core, record: ContainerRecord) -> Self:
        return cls(core, record, Memo.from_json(record.options_json))

    @property
    def id(self) -> str:
        return self.record.id

    @property
    def subject(self) -> str:
        """How messages call it."""
        return f"container {self.record.name!r}"

    @property
    def directory(self) -> str:
        return self.core.directory(self.record.id)

    @property
    def driver(self) -> Driver:
        """Who makes its processes, whatever this engine's own driver is.

        Raises: NotFound where it is no longer installed.
        """
        return runtime.find_driver(self.memo.driver)

    @property
    def cgroup(self) -> ContainerCgroup:
        """The container's control groups; the object remembers which it made."""
        if self._cgroup is None:
            self._cgroup = self.core.cgroup(self.record.id, every=self.driver.every_group)
        return self._cgroup

    @property
    def state(self) -> State:
        """The truth of this moment.

        Raises: NotFound where the container has been removed.
        """
        state = runtime.state(self.directory, self.cgroup)
        if state is State.STOPPED and not os.path.isdir(self.directory):  # noqa: PTH112 - hot path
            raise self.gone()
        return state

    @property
    def spec(self) -> Spec:
        """The container's config.json, read once.

        Raises: NotFound where the container has been removed.
        """
        if self._spec is None:
            try:
                self._spec = read_config(f"{self.directory}/config.json")
            except NotFound as error:
                raise self.gone() from error
        return self._spec

    def refresh(self, spec: Spec | None = None) -> None:
        """Takes in what others changed: config.json is `spec`, or read again when it is asked for."""
        self._spec = spec
        with contextlib.suppress(NotFound):  # `state` says so
            self.record = self.core.store.containers.get(self.id)

    def gone(self) -> NotFound:
        """The error that says so."""
        return NotFound(
            f"{self.subject} is no longer there: it was removed; engine.containers.list() shows what is"
        )
