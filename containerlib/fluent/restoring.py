"""Images that are processes too: what goes on from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from containerlib.fluent.container import Container
    from containerlib.fluent.engine import Engine
    from containerlib.images import ImageRecord
    from containerlib.units import Size

__all__ = ["Restorable"]


class Restorable:
    """What an image has that is a checkpoint."""

    __slots__ = ()
    engine: Engine
    record: ImageRecord

    def restore(
        self,
        *,
        name: str | None = None,
        detach: bool = False,
        ports: Mapping[int, int] | None = None,
        networks: Sequence[str] | None = None,
        mounts: Mapping[str, str] | None = None,
        memory: Size | None = None,
        cpus: float | None = None,
        pids: int | None = None,
        tcp: Literal["refuse", "established", "close"] | None = None,
        lazy: bool = False,
        trusted: bool = False,
        key: bytes | None = None,
    ) -> Container:
        """The container that `Container.checkpoint` made this image of, going on, here or on another machine.

        It has the same files, and what was outside of it by the same names: volumes, paths that were bound, networks
        with the same addresses where these are free. Other ones: `ports` (the container's to the host's, 0 for any),
        the names of `networks`, and `mounts` (the place in the container to a volume's name or a path of the host).
        `memory`, `cpus` and `pids` in place of its limits. `tcp`: where its connections are to become something
        else than its checkpoint said. The same image may be restored several times. `lazy`: it goes on at once, and its
        memory comes when it is touched, or soon after; where that fails it is ended, and `inspect().error` says so.
        `detach`: as of `start`. Needs CRIU 4.2.
        One that came as an archive is refused unless it is `trusted`: whoever made it has written what runs. So is
        one that was pulled and has more rights than a container of the default recipe.
        `key`: of one that is encrypted.

        Raises: InvalidArgument for that, for an image that is no checkpoint, and for a path of the host in one from
        elsewhere; Unsupported where its processes cannot go on here, with what this machine lacks; NotFound for what
        it had outside; AlreadyExists for its name; Conflict for an address or a port; StageError(stage="restore").
        Nothing is left then.
        """
        from containerlib.engine import words_checkpoint  # noqa: PLC0415 - few images are checkpoints
        from containerlib.engine.checkpoints import restoring  # noqa: PLC0415
        from containerlib.fluent.container import Container  # noqa: PLC0415

        wanted = words_checkpoint.restoration(
            self.record.id,
            tcp=tcp,
            name=name,
            detach=detach,
            ports=ports,
            networks=networks,
            mounts=mounts,
            limits={"memory": memory, "cpus": cpus, "pids": pids},
            lazy=lazy,
            trusted=trusted,
            key=key,
        )
        return Container(self.engine, restoring.restore(self.engine.core, wanted))
