"""What a container tells of itself, and what of it can be changed while it is there.

Each word loads what it needs: their many kinds of values are milliseconds of a start that asks for none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal, overload

from containerlib._sys.steps import items
from containerlib.engine import words

if TYPE_CHECKING:
    from containerlib.engine.inspection import ContainerInfo
    from containerlib.engine.instance import Instance
    from containerlib.engine.stats import Stats
    from containerlib.engine.usage import ProcessInfo
    from containerlib.spec.lifetime import RestartPolicy
    from containerlib.units import Size

__all__ = ["Inspectable"]


class Inspectable:
    """The words of a `Container` that look at it, and change its name and limits."""

    _instance: Instance

    def inspect(self) -> ContainerInfo:
        """All that is known of it at this moment, as one value."""
        from containerlib.engine import inspection  # noqa: PLC0415

        return inspection.inspect(self._instance)

    def top(self) -> tuple[ProcessInfo, ...]:
        """Its processes, by the host's pid.

        Raises: Conflict where it has ended.
        """
        from containerlib.engine import usage  # noqa: PLC0415

        return usage.top(self._instance)

    @overload
    def stats(self, *, stream: Literal[False] = False) -> Stats: ...

    @overload
    def stats(self, *, stream: Literal[True], every: float = 1.0) -> Iterator[Stats]: ...

    def stats(self, *, stream: bool = False, every: float = 1.0) -> Stats | Iterator[Stats]:
        """What it uses; with `stream`, one sample `every` so many seconds until it ends, with percentages.

        Raises: Conflict where it has ended.
        """
        from containerlib.engine import stats  # noqa: PLC0415

        if not words.flag(stream, field="stream"):
            return stats.read(self._instance)
        return items(stats.follow(self._instance, words.seconds(every, field="every")))

    def update(
        self,
        *,
        memory: Size | None = None,
        swap: Size | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        memory_reservation: Size | None = None,
        swappiness: int | None = None,
        cpu_shares: int | None = None,
        cpu_quota: int | None = None,
        cpu_period: int | None = None,
        cpu_rt_runtime: int | None = None,
        cpu_rt_period: int | None = None,
        cpuset: str | int | None = None,
        mems: str | int | None = None,
        blkio_weight: int | None = None,
        hugepages: Mapping[str, Size] | None = None,
        restart: RestartPolicy | None = None,
        retries: int | None = None,
    ) -> None:
        """Other limits, as the recipe's `limit` has them, and when it is started again, as its `restart` has that.

        At once where it runs, and whenever it is started again. What is not given stays; all limits change, or nothing.

        Raises: Conflict where more memory is in use than it would have; Unsupported where a controller is missing, or
        its supervisor could not start it again; InvalidArgument for a policy of what is removed at its end.
        """
        given = {name: v for name, v in locals().items() if name not in ("self", "restart", "retries")}
        from containerlib.engine import update, words_lifetime, words_resources  # noqa: PLC0415
        from containerlib.spec.options import Limits  # noqa: PLC0415

        policy = words_lifetime.changed(self._instance.memo.restart, restart, retries)
        update.update(self._instance, words_resources.limits(Limits(), **given), policy)

    def rename(self, name: str) -> None:
        """Gives it another name.

        Raises: AlreadyExists.
        """
        from containerlib.engine import update  # noqa: PLC0415

        update.rename(self._instance, name)
