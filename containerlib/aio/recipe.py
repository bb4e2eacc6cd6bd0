"""The recipe of a container, with verbs to await."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.aio.container import Container, discard
from containerlib.aio.process import process
from containerlib.aio.verbs import awaits, handed
from containerlib.fluent.process import Process as BlockingProcess
from containerlib.fluent.recipe import ContainerRecipe as BlockingRecipe
from containerlib.fluent.recipes.recipe import Recipe

if TYPE_CHECKING:
    from containerlib.aio.engine import Engine  # noqa: F401 - what the recipe's engine is
    from containerlib.fluent.container import Container as BlockingContainer

__all__ = ["ContainerRecipe"]


def _container(self: ContainerRecipe, made: BlockingContainer) -> Container:
    return Container(self.engine, made)


@frozen(repr=False)
class ContainerRecipe(Recipe["Engine"]):
    """What a container is to be: the words of `containerlib.ContainerRecipe`.

    `async with await recipe.start() as container` stops and removes it at the end.
    """

    @property
    def blocking(self) -> BlockingRecipe:
        """The same recipe for those who may block."""
        return BlockingRecipe(self.engine.blocking, self.image, self.options)

    run = awaits(BlockingRecipe.run)

    spawn = handed(BlockingRecipe.spawn, process, BlockingProcess.close)
    start = handed(BlockingRecipe.start, _container, discard)
    create = handed(BlockingRecipe.create, _container, discard)
