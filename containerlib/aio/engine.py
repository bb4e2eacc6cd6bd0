"""The engine, for event loops."""

from __future__ import annotations

import os
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from containerlib.aio.container import ContainerCollection
from containerlib.aio.driving import in_thread, insist
from containerlib.aio.image import HostImage, Image, ImageCollection, ImageRecipe
from containerlib.aio.network import NetworkCollection, NetworkRecipe
from containerlib.aio.recipe import ContainerRecipe
from containerlib.aio.verbs import iterates, threaded
from containerlib.aio.volume import VolumeCollection, VolumeRecipe
from containerlib.fluent.engine import Engine as BlockingEngine

if TYPE_CHECKING:
    from collections.abc import Callable

    from containerlib.spec.options import SnapshotterName

__all__ = ["Engine"]


class Engine:
    """A container engine whose verbs are awaited, on asyncio or trio: `containerlib.Engine` otherwise.

        async with aio.Engine() as engine:
            print((await engine.container("alpine:3.20").run("uname", "-sr")).text)

    It may have the same root as other engines of either kind. `blocking` is the same engine for those who may block.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        driver: str = "native",
        *,
        snapshotter: SnapshotterName = "auto",
    ) -> None:
        self.blocking = BlockingEngine(root, driver, snapshotter=snapshotter)

    @property
    def root(self) -> str:
        """The state directory."""
        return self.blocking.root

    @property
    def driver(self) -> str:
        """What makes the new containers."""
        return self.blocking.driver

    @property
    def snapshotter(self) -> SnapshotterName:
        """What makes the layers of new images."""
        return self.blocking.snapshotter

    def container(self, image: str | ImageRecipe | Image | HostImage, /) -> ContainerRecipe:
        """The recipe of a container: `engine.container("alpine:3.20")`. Raises: InvalidArgument."""
        given = image if isinstance(image, str) else image.blocking
        return ContainerRecipe(self, self.blocking.container(given).image)

    def image(self, reference: str, /) -> ImageRecipe:
        """The image of that reference, here or in a registry. Raises: InvalidArgument for what is not a reference."""
        return ImageRecipe(self, self.blocking.image(reference))

    def host_image(self) -> HostImage:
        """The running machine's own file system as an image, which needs no registry."""
        return HostImage(self, self.blocking.host_image())

    def volume(self, name: str | None = None, /) -> VolumeRecipe:
        """A volume by name, to create or to mount; without one, of its container. Raises: InvalidArgument."""
        return VolumeRecipe(self, self.blocking.volume(name))

    def network(self, name: str, /) -> NetworkRecipe:
        """A network by name, to create. Raises: InvalidArgument."""
        return NetworkRecipe(self, self.blocking.network(name))

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

    events = iterates(BlockingEngine.events)
    disk_usage = threaded(BlockingEngine.disk_usage)
    reconcile = threaded(BlockingEngine.reconcile)
    prune = threaded(BlockingEngine.prune)

    async def aclose(self) -> None:
        """Ends and removes this engine's containers that are not detached, and closes its database."""
        await in_thread(self.blocking.close)

    async def __aenter__(self) -> Self:
        await in_thread(self.blocking.__enter__, BlockingEngine.close)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await insist(partial(self.blocking.__exit__, kind, error, traceback))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Engine) and self.blocking == other.blocking

    def __hash__(self) -> int:
        return hash(self.blocking)

    def __reduce__(self) -> tuple[Callable[..., Engine], tuple[str, str, SnapshotterName]]:
        return (_engine, (self.root, self.driver, self.snapshotter))

    def __repr__(self) -> str:
        return f"aio.{self.blocking!r}"


def _engine(root: str, driver: str, snapshotter: SnapshotterName) -> Engine:
    """The way back from a pickle."""
    return Engine(root, driver, snapshotter=snapshotter)
