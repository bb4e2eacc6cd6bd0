"""The recipe of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from containerlib.boundary import public
from containerlib.engine import run, start, words
from containerlib.engine.streaming import listener
from containerlib.fluent.container import Container
from containerlib.fluent.process import Process
from containerlib.fluent.recipes.recipe import Recipe
from containerlib.fluent.waiting import waits

if TYPE_CHECKING:
    from containerlib._sys.steps import Steps
    from containerlib.engine.completed import Completed
    from containerlib.engine.streaming import OnOutput
    from containerlib.fluent.engine import Engine  # noqa: F401 - what the recipe's engine is

__all__ = ["ContainerRecipe"]


@public
@frozen(repr=False)
class ContainerRecipe(Recipe["Engine"]):
    """What a container is to be. Every word returns a new recipe; a verb makes the container.

    Words that are not used leave the image's value, or Docker's default. Recipes are equal, hash and pickle
    by value.
    """

    @waits
    def run(
        self,
        *argv: str,
        input: bytes | None = None,  # noqa: A002 - subprocess's name
        check: bool = True,
        timeout: float | None = None,
        stream: bool | OnOutput = False,
    ) -> Steps[Completed]:
        """Runs the container to its end and removes it. `argv` replaces the image's command.

        `input` is what the program reads from its standard input; without it that is empty. Needs
        CAP_SYS_ADMIN.

        `stream=True` also shows the output as it comes, on `sys.stdout` and `sys.stderr`, in a notebook below the
        cell; a function `stream(name, data)` gets it, `name` being "stdout" or "stderr" and `data` bytes, which may
        end within a line. The function is called in the thread, or event loop, that waits: while it works, the
        program and `timeout` wait for it. If it raises, the container is killed and removed, and the exception leaves.

        Raises: ExitError where the exit code is not 0, unless `check` is False; Timeout after `timeout` seconds, the
        pull of its image included, when the container is killed and removed; StageError where the program cannot be
        started (`exit_code` 127: not found, 126: not executable); NotFound for an image, user or mount source;
        Unsupported.
        """
        words.flag(check, field="check")
        order, data, limit = self._order(argv), words.data(input), words.timeout(timeout)
        hear = listener(stream)
        return run.run(self.engine.core, order, stdin=data, check=check, timeout=limit, on_output=hear)

    def spawn(self, *argv: str) -> Process:
        """Starts the container with pipes on its standard streams; it is removed when it has ended.

        Raises: as `run`, but for ExitError and Timeout.
        """
        order = self._order(argv)
        return Process(run.spawn(self.engine.core, order))

    def start(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Starts the container and returns while it runs. With `detach` it outlives this process.

        A container that is not detached ends with its owner, even by kill -9, and is removed then. As a
        context manager the container is stopped and removed at the end of the block, unless it is detached.
        With `remove` it is removed as soon as it has ended, whoever is alive then.

        Raises: as `run`, but for ExitError and Timeout; AlreadyExists for its name.
        """
        order = self._order(argv, detach=detach, remove=remove)
        return Container(self.engine, start.start(self.engine.core, order))

    def create(self, *argv: str, detach: bool = False, remove: bool = False) -> Container:
        """Makes the container up to OCI's "created": `container.start()` lets its program run.

        Raises: as `start`.
        """
        order = self._order(argv, detach=detach, remove=remove)
        return Container(self.engine, start.create(self.engine.core, order))
