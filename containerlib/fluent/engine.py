"""The engine: where recipes begin."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from containerlib._sys.forks import Lock
from containerlib.boundary import public
from containerlib.engine import events, reconcile, words, words_events
from containerlib.engine.core import default_root
from containerlib.engine.eligible import eligible
from containerlib.engine.events import Query
from containerlib.engine.prune import prune
from containerlib.engine.sources import HostSource, StoredSource, check_reference
from containerlib.engine.undo import end_block
from containerlib.errors import StageError
from containerlib.fluent.containers import ContainerCollection
from containerlib.fluent.image import HostImage, Image, ImageRecipe
from containerlib.fluent.images import ImageCollection
from containerlib.fluent.network import NetworkCollection, NetworkRecipe
from containerlib.fluent.recipe import ContainerRecipe
from containerlib.fluent.volume import VolumeCollection, VolumeRecipe
from containerlib.fluent.waiting import flows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime, timedelta

    from containerlib._sys.steps import Flow
    from containerlib.engine.core import Core
    from containerlib.engine.disk import DiskUsage
    from containerlib.engine.events import Event
    from containerlib.engine.prune import PruneReport
    from containerlib.spec.options import SnapshotterName

__all__ = ["Engine"]


@public
class Engine:
    """A container engine over one state directory. The first verb opens it; to make the object does nothing.

        with Engine() as engine:
            print(engine.container("alpine:3.20").run("uname", "-sr").text)

    `root` None is /var/lib/containerlib for root and $XDG_DATA_HOME/containerlib for everybody else. Several
    engines, in several processes, may have the same root. `driver` makes the new containers: "native", or another OCI
    runtime ("runc", "crun", "runsc" on PATH, or an absolute path), which the first verb looks for; each container keeps
    the one that made it. `snapshotter` makes the layers of the images that are pulled or loaded from now on: "erofs",
    "overlay", "fuse-overlayfs", "copy", or with "auto" the first of these that works here; an image stays in its form
    until it is pulled again. An engine is safe to use from many threads, hashes, and pickles by these three. As a
    context manager it is closed at the end.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        driver: str = "native",
        *,
        snapshotter: SnapshotterName = "auto",
    ) -> None:
        place = default_root() if root is None else words.state_directory(root, field="root")
        try:
            self.root: str = os.path.abspath(place)  # noqa: PTH100
        except FileNotFoundError as error:
            raise StageError(
                "state",
                error.errno or 0,
                place,
                advice="the working directory is gone: give an absolute path",
            ) from error
        self.driver: str = words.driver(driver)
        self.snapshotter: SnapshotterName = words.snapshotter(snapshotter)
        self._core: Core | None = None
        self._lock = Lock()

    @property
    def core(self) -> Core:
        """The open state, for the layer below.

        Raises: StageError(stage="state") where the state directory cannot be made or written.
        """
        if (core := self._core) is not None:
            return core
        with self._lock:
            if self._core is None:
                self._core = reconcile.open_core(self.root, self.driver, self.snapshotter)
            return self._core

    def container(self, image: str | ImageRecipe | Image | HostImage, /) -> ContainerRecipe:
        """The recipe of a container: `engine.container("alpine:3.20")`.

        An image that is named by reference is pulled when it is missing.

        Raises: InvalidArgument for what is not a reference.
        """
        match image:
            case HostImage():
                return ContainerRecipe(self, HostSource())
            case Image():
                return ContainerRecipe(self, StoredSource(image.id, "never"))
            case ImageRecipe():
                return ContainerRecipe(self, StoredSource(image.reference))
            case _:
                return ContainerRecipe(self, StoredSource(check_reference(image)))

    def image(self, reference: str, /) -> ImageRecipe:
        """The image of that reference, here or in a registry: `engine.image("redis:7").pull()`.

        Raises: InvalidArgument for what is not a reference.
        """
        return ImageRecipe(self, reference)

    def host_image(self) -> HostImage:
        """The running machine's own file system as an image, which needs no registry."""
        return HostImage(self)

    def volume(self, name: str | None = None, /) -> VolumeRecipe:
        """A volume by name, to create or to mount; without one, of the container that mounts it.

        Raises: InvalidArgument.
        """
        return VolumeRecipe(self, name)

    def network(self, name: str, /) -> NetworkRecipe:
        """A network by name, to create.

        Raises: InvalidArgument.
        """
        return NetworkRecipe(self, name)

    @property
    def networks(self) -> NetworkCollection:
        """The networks under this root."""
        return NetworkCollection(self)

    @property
    def containers(self) -> ContainerCollection:
        """The containers under this root."""
        return ContainerCollection(self)

    @property
    def images(self) -> ImageCollection:
        """The images under this root."""
        return ImageCollection(self)

    @property
    def volumes(self) -> VolumeCollection:
        """The volumes under this root."""
        return VolumeCollection(self)

    @flows
    def events(
        self,
        *,
        follow: bool = False,
        since: datetime | timedelta | None = None,
        until: datetime | timedelta | None = None,
        after: int | None = None,
        kinds: Sequence[str] = (),
        actions: Sequence[str] = (),
        subject: str | None = None,
        image: str | None = None,
        labels: Mapping[str, str | None] | None = None,
    ) -> Flow[Event]:
        """What happened under this root, whichever process did it: the newest 10,000 events of 30 days.

        With `follow` those to come, as they come, until `until`; from now on, or from `since`, or from the event after
        the one with the id `after`, and none is missed. Which ones: `kinds` ("container", "image", "volume"),
        `actions` ("die"), `subject` (a name or an id), `image` (of it, by id or reference, and of containers that were
        made from it; without a tag, of every tag), `labels` (None: any value).

        Raises: InvalidArgument.
        """
        query = Query(
            follow=words.flag(follow, field="follow"),
            since=words.moment(since, field="since"),
            until=words.moment(until, field="until"),
            after=after,
            kinds=words_events.event_kinds(kinds),
            actions=words_events.event_actions(actions),
            subject=None if subject is None else words.text(subject, field="subject"),
            image=None if image is None else words.text(image, field="image"),
            labels=eligible(None, labels).labels,
        )
        return events.events(self.core, query)

    def disk_usage(self) -> DiskUsage:
        """What images, containers, volumes and logs take on disk. Looks at each file that a container wrote."""
        from containerlib.engine import disk  # noqa: PLC0415 - few ask

        return disk.disk_usage(self.core)

    def reconcile(self) -> tuple[str, ...]:
        """Makes it true again what is known of containers, after processes were killed: each engine begins with this.

        Those whose owner is gone are removed, and their names returned; those whose supervisor is gone are started
        again where their restart policy says so.
        """
        return tuple(reconcile.reconcile(self.core))

    def prune(self) -> PruneReport:
        """Removes what killed processes left behind, and nothing that is in order."""
        return prune(self.core)

    def close(self) -> None:
        """Ends and removes this engine's containers that are not detached, and closes its database.

        A verb that comes later opens the state again.

        Raises: ExceptionGroup of what could not be removed, after all else is done.
        """
        with self._lock:
            core, self._core = self._core, None
        if core is not None:
            reconcile.close(core)

    def __enter__(self) -> Self:
        _ = self.core
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        end_block(error, self.close)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine) and self._words == other._words

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[Callable[..., Engine], tuple[str, str, SnapshotterName]]:
        return (_engine, self._words)

    def __repr__(self) -> str:
        driver = "" if self.driver == "native" else f", driver={self.driver!r}"
        snapshotter = "" if self.snapshotter == "auto" else f", snapshotter={self.snapshotter!r}"
        return f"Engine({self.root!r}{driver}{snapshotter})"

    @property
    def _words(self) -> tuple[str, str, SnapshotterName]:
        return (self.root, self.driver, self.snapshotter)


def _engine(root: str, driver: str, snapshotter: SnapshotterName) -> Engine:
    """The way back from a pickle."""
    return Engine(root, driver, snapshotter=snapshotter)
