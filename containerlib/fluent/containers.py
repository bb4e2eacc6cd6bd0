"""The containers of an engine."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from containerlib.boundary import public
from containerlib.engine import listing, words
from containerlib.fluent.container import Container
from containerlib.fluent.named import named

if TYPE_CHECKING:
    from containerlib.engine.disk import ContainersPruned
    from containerlib.fluent.engine import Engine
    from containerlib.fluent.image import HostImage
    from containerlib.fluent.named import AnyHost, HealthWord, WithId, WithName
    from containerlib.spec.lifecycle import State

__all__ = ["ContainerCollection"]


@public
class ContainerCollection:
    """The containers of an engine: `engine.containers`."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get(self, name_or_id: str) -> Container:
        """The container of that name or id, or the only one whose id starts so.

        Raises: NotFound; InvalidArgument where several ids start so.
        """
        name = words.text(name_or_id, field="name_or_id")
        return Container(self.engine, listing.find(self.engine.core, name))

    def prune(
        self, *, older_than: float | None = None, labels: Mapping[str, str | None] | None = None
    ) -> ContainersPruned:
        """Removes the containers that have stopped, with all that they wrote.

        Containers that are being made stay, and those of a `run()` or `spawn()` whose process lives: it removes them.
        Further conditions: they were made `older_than` seconds ago; they have all of `labels` (None: whatever value).
        """
        from containerlib.engine import disk  # noqa: PLC0415
        from containerlib.engine.eligible import eligible  # noqa: PLC0415

        return disk.prune_containers(self.engine.core, eligible(older_than, labels))

    def list(
        self,
        *,
        labels: Mapping[str, str | None] | None = None,
        name: str | re.Pattern[str] | None = None,
        id: str | None = None,  # noqa: A002 - docker's word
        state: State | str | Sequence[State | str] | None = None,
        exit_code: int | Sequence[int] | None = None,
        health: HealthWord | Sequence[HealthWord] | None = None,
        ancestor: str | WithId | HostImage | AnyHost | None = None,
        before: str | WithId | None = None,
        since: str | WithId | None = None,
        volume: str | WithName | None = None,
        network: str | WithName | None = None,
        publish: int | range | str | None = None,
        expose: int | range | str | None = None,
    ) -> list[Container]:
        """The containers for which all that is given holds, the oldest first; without a filter all, in any state.

        `labels`: they have all of these (None: any value). `name`: it contains the text, or the regular expression is
        found in it. `id`: it starts so. `state`: one of these (`"running"`, `cl.State.PAUSED`). `exit_code`: they have
        stopped with one of these. `health`: one of "starting", "healthy", "unhealthy" and "none". `ancestor`: they were
        made from this image, or from one with all of its layers lowest; `"host"` is the machine's own files.
        `before`, `since`: they were made before or after this container. `volume`: they have this volume, or mount this
        path of the host or in the container. `network`: they are on this network, or have `"host"` or `"none"`.
        `publish`: a port of theirs that is published is among these; `expose`: likewise, or their image names it. A
        port is TCP's unless a str says otherwise: `80`, `range(8000, 8011)`, `"53/udp"`. Needs no privilege.

        Raises: NotFound for a container, an image or a network that is not there; InvalidArgument.
        """
        given = locals()
        names = {"ancestor": ancestor, "before": before, "since": since, "volume": volume, "network": network}
        wanted = {name: value for name, value in given.items() if name != "self" and value is not None}
        if not wanted:
            return [Container(self.engine, instance) for instance in listing.list_all(self.engine.core)]
        from containerlib.engine import filters  # noqa: PLC0415 - few ask

        wanted.update({name: named(value) for name, value in names.items() if value is not None})
        return [Container(self.engine, one) for one in filters.containers(self.engine.core, wanted)]

    def __repr__(self) -> str:
        return f"<ContainerCollection of {self.engine!r}>"

    def _repr_html_(self) -> str:
        from containerlib.fluent.tables import containers_table  # noqa: PLC0415 - for notebooks alone

        return containers_table(self.list())
