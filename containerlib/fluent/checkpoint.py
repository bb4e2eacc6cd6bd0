"""Containers as images that go on, and live copies of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Self

from attrs import frozen

from containerlib.boundary import public
from containerlib.engine import words
from containerlib.fluent.image import Image

if TYPE_CHECKING:
    from datetime import datetime

    from containerlib.engine.checkpoints.keeping import Kept
    from containerlib.engine.instance import Instance
    from containerlib.fluent.engine import Engine
    from containerlib.spec.options import Compression

__all__ = ["Checkpoint", "Checkpointable", "KeptCheckpoint"]


@public
@frozen(repr=False)
class Checkpoint(Image):
    """An image with a container's processes: `restore` lets them go on, here or where it was pulled."""

    def __repr__(self) -> str:
        return f"<Checkpoint{super().__repr__().removeprefix('<Image')}"


@public
@frozen(repr=False)
class KeptCheckpoint:
    """One of those that `checkpoint_every` takes, until newer ones have taken its place."""

    _container: Checkpointable
    _kept: Kept

    @property
    def number(self) -> int:
        """The how-many-th of its container it is, from 1."""
        return self._kept.number

    @property
    def created_at(self) -> datetime:
        """When it was taken."""
        return self._kept.created_at

    @property
    def size_bytes(self) -> int:
        """What it takes on disk."""
        return self._kept.size_bytes

    def save(
        self,
        reference: str | None = None,
        *,
        compression: Compression = "zstd",
        key: bytes | None = None,
    ) -> Checkpoint:
        """It as an image, for `push` and `restore`, which stays when the container goes: as of `Container.checkpoint`.

        Raises: NotFound where it is no longer there.
        """
        from containerlib.engine import words_checkpoint  # noqa: PLC0415 - few containers have any
        from containerlib.engine.checkpoints import keeping  # noqa: PLC0415

        record = keeping.save(
            self._container._instance,
            self._kept,
            reference=reference,
            compression=words.compression(compression),
            key=words_checkpoint.sealing_key(key),
        )
        return Checkpoint(self._container.engine, record)

    def __repr__(self) -> str:
        return f"<KeptCheckpoint {self.number} of {self._container!r} at {self.created_at:%Y-%m-%d %H:%M:%S}>"


class Checkpointable:
    """The words of a container that can be made an image that goes on."""

    engine: Engine
    _instance: Instance

    def checkpoint(
        self,
        reference: str | None = None,
        *,
        leave_running: bool = False,
        pre_dumps: int = 0,
        tcp: Literal["refuse", "established", "close"] = "refuse",
        external_unix_sockets: bool = False,
        file_locks: bool = False,
        compression: Compression = "zstd",
        key: bytes | None = None,
    ) -> Checkpoint:
        """Its processes, its files and what it is on, as an image: named `reference`, for `push` and `restore`.

        It ends then, or with `leave_running` goes on after a pause. So many `pre_dumps` copy its memory before, while
        it runs: the pause is for what it has written to since the last, where the kernel tracks that. `tcp`:
        connections are an error, or where it is restored they go on if their addresses are there again
        (`"established"`), or are closed (`"close"`). `external_unix_sockets`: those to sockets of others are closed.
        `file_locks` are taken again. Volumes and what is bound of the host are no part of it, nor programs that `exec`
        runs at this moment. The image holds what is in memory, secrets too: with `key`, 32 random bytes, encrypted (the
        extra `crypto`), for `restore(key=...)`. Needs CRIU 4.2.

        Raises: Unsupported, and StageError with the process and the resource, for what CRIU cannot save; Conflict where
        it does not run. It goes on then.
        """
        from containerlib.engine import words_checkpoint  # noqa: PLC0415 - few containers are checkpointed
        from containerlib.engine.checkpoints import capture  # noqa: PLC0415

        options = words_checkpoint.options(
            tcp,
            external_unix_sockets=external_unix_sockets,
            file_locks=file_locks,
            leave_running=leave_running,
        )
        how = words.compression(compression)
        record = capture.checkpoint(
            self._instance,
            options,
            reference=reference,
            compression=how,
            key=words_checkpoint.sealing_key(key),
            pre_dumps=words_checkpoint.pre_dumps(pre_dumps),
        )
        return Checkpoint(self.engine, record)

    def checkpoints(self) -> list[KeptCheckpoint]:
        """Those that the recipe's `checkpoint_every` has taken and that are still there, the oldest first."""
        from containerlib.engine.checkpoints import keeping  # noqa: PLC0415 - few containers have any

        return [KeptCheckpoint(self, each) for each in keeping.kept(self._instance)]

    def fork(
        self,
        count: int = 1,
        *,
        detach: bool = False,
        lazy: bool = False,
        tcp: Literal["refuse", "established", "close"] = "close",
        external_unix_sockets: bool = False,
        file_locks: bool = False,
    ) -> list[Self]:
        """`count` live copies, which go on from where it is: each with a name, addresses and writable files of its own.

        It pauses, and goes on. Ports that it has published are free ones of the host for a copy. Volumes and what is
        bound of the host they share. The words: as of `checkpoint`; `detach`: as of `start`; `lazy`: as of `restore`.

        Raises: as `checkpoint` and `Image.restore`; none of the copies is left then.
        """
        from containerlib.engine import words_checkpoint  # noqa: PLC0415 - as in checkpoint
        from containerlib.engine.checkpoints import forking  # noqa: PLC0415

        options = words_checkpoint.options(
            tcp, external_unix_sockets=external_unix_sockets, file_locks=file_locks
        )
        number = words_checkpoint.clones(count)
        made = forking.fork(
            self._instance,
            number,
            options,
            detached=words.flag(detach, field="detach"),
            lazy=words.flag(lazy, field="lazy"),
        )
        return [self._beside(each) for each in made]

    def _beside(self, instance: Instance) -> Self:
        """A handle of another container."""
        return type(self)(self.engine, instance)  # type: ignore[call-arg]  # as ContainerHandle is made
