"""The recipe of a container, with verbs to await."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.aio.container import Container
from containerlib.aio.driving import in_thread
from containerlib.aio.process import Process
from containerlib.aio.verbs import awaits
from containerlib.fluent.recipe import ContainerRecipe as BlockingRecipe
from containerlib.fluent.recipes.recipe import Recipe

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine  # noqa: F401 - what the recipe's engine is

__all__ = ["ContainerRecipe"]


@frozen(repr=False)
class ContainerRecipe(Recipe["Engine"]):
    """What a container is to be: the words of `containerlib.ContainerRecipe`."""

    @property
    def blocking(self) -> BlockingRecipe:
        """The same recipe for those who may block."""
        return BlockingRecipe(self.engine.blocking, self.image, self.options)

    run = awaits(BlockingRecipe.run)

    async def spawn(self, *argv: str) -> Process:
        """Starts the container with pipes on its standard streams; it is removed when it has ended."""
        return Process(await in_thread(partial(self.blocking.spawn, *argv)))

    async def start(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Starts the container: `async with await recipe.start() as container` stops and removes it at the end."""
        start = partial(self.blocking.start, *argv, detach=detach, remove=remove)
        return Container(self.engine, await in_thread(start))

    async def create(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Makes the container up to OCI's "created": `await container.start()` lets its program run."""
        create = partial(self.blocking.create, *argv, detach=detach, remove=remove)
        return Container(self.engine, await in_thread(create))
