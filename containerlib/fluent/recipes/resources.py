"""What a container may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from attrs import evolve

from containerlib.engine import words_resources as words
from containerlib.engine.words import flag, merge_pairs
from containerlib.fluent.recipes.base import Words
from containerlib.units import Size

__all__ = ["ResourceWords"]


class ResourceWords(Words):
    """Limits, shares, and where memory comes from."""

    __slots__ = ()

    def limit(
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
    ) -> Self:
        """Ceilings and shares of what the container may use. What is not given stays as it was.

        `memory` and, on top of it, `swap` (-1: all there is) are bytes or e.g. `"256MiB"`; `memory_reservation`
        is left to it when the host runs short; `swappiness` is from 0 to 100. `cpus` is processor time per time
        (1.5: one and a half processors), or by hand `cpu_quota` in each `cpu_period`, in microseconds, and the
        real-time ones; `cpu_shares` is a weight, where others have 1024. `cpuset` and `mems` are the processors
        and memory nodes that it may use, e.g. `"0-3,7"`. `blkio_weight` is from 10 to 1000. `pids` counts
        processes and threads (-1: no ceiling). `hugepages` are bytes by the page's size: `{"2MB": "64MiB"}`.
        """
        given = {name: value for name, value in locals().items() if name != "self"}
        return self._with(limits=words.limits(self.options.limits, **given))

    def device_limit(
        self,
        path: str,
        /,
        *,
        weight: int | None = None,
        read_bps: Size | None = None,
        write_bps: Size | None = None,
        read_iops: int | None = None,
        write_iops: int | None = None,
    ) -> Self:
        """How much it may read and write on the host's block device at `path`, each second.

        `weight` is its share where others want the device too, from 10 to 1000.
        """
        limit = words.device_limit(
            path,
            weight=weight,
            read_bps=read_bps,
            write_bps=write_bps,
            read_iops=read_iops,
            write_iops=write_iops,
        )
        limits = self.options.limits
        others = tuple(other for other in limits.devices if other.path != limit.path)
        return self._with(limits=evolve(limits, devices=(*others, limit)))

    def cgroup(self, mapping: Mapping[str, str], /) -> Self:
        """Files of its cgroup and what is written to them, e.g. `{"memory.high": "64M"}`: cgroup v2 alone."""
        limits = self.options.limits
        return self._with(
            limits=evolve(limits, unified=merge_pairs(limits.unified, mapping, {}, field="cgroup"))
        )

    def numa(
        self, mode: str, /, nodes: str | int | None = None, *, static: bool = False, relative: bool = False
    ) -> Self:
        """Which memory nodes its memory comes from, by set_mempolicy(2).

        `mode` is `"bind"`, `"preferred"`, `"preferred_many"`, `"interleave"` or `"weighted_interleave"`, each
        with `nodes` such as `"0-1"`, or `"local"` or `"default"`. Where the set of `limit(mems=...)` changes later,
        nodes are taken anew, unless `static`; `relative` ones count within that set.
        """
        return self._with(memory_policy=words.memory_policy(mode, nodes, static=static, relative=relative))

    def oom(self, *, score_adj: int | None = None, kill: bool | None = None) -> Self:
        """What happens when memory runs out: `score_adj`, from -1000 to 1000, says who goes first on the host.

        With `kill=False` the container is never killed at its own limit, and waits instead (cgroup v1 alone).
        """
        made = self
        if score_adj is not None:
            made = made._with(
                oom_score_adj=words.number(score_adj, field="score_adj", least=-1000, most=1000)
            )
        if kill is not None:
            waits = not flag(kill, field="kill")
            made = made._with(limits=evolve(self.options.limits, oom_kill_disable=waits))
        return made

    def shm_size(self, size: Size, /) -> Self:
        """The size of /dev/shm. Without it, 64 MiB."""
        return self._with(shm_bytes=words.positive_size(size, "shm_size"))

    def rlimit(self, name: str, soft: int, hard: int | None = None, /) -> Self:
        """A limit of getrlimit(2), e.g. `"nofile"`; -1 is no limit. Without `hard`, both are `soft`."""
        limit = words.rlimit(name, soft, hard)
        others = tuple(other for other in self.options.rlimits if other[0] != limit[0])
        return self._with(rlimits=(*others, limit))
