"""What a container runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from containerlib.engine import words
from containerlib.fluent.recipes.base import Words

__all__ = ["ProcessWords"]


class ProcessWords(Words):
    """The program, its environment, its user and its end."""

    __slots__ = ()

    def env(self, mapping: Mapping[str, str] | None = None, /, **variables: str) -> Self:
        """Adds environment variables; one that is there already is replaced."""
        return self._with(env=words.merge_pairs(self.options.env, mapping, variables, field="env"))

    def workdir(self, path: str, /) -> Self:
        """The directory that the program starts in; it is made where the image lacks it."""
        return self._with(workdir=words.container_path(path, field="workdir"))

    def user(self, user: str | int, /) -> Self:
        """Who the program runs as: a name, a number or `"user:group"`, looked up in the image's own files."""
        return self._with(user=words.user(user))

    def entrypoint(self, *argv: str) -> Self:
        """Replaces the image's entrypoint, and drops its command. No words: there is none."""
        return self._with(entrypoint=words.argv(argv, field="entrypoint"))

    def tty(self, enabled: bool = True, /) -> Self:
        """The program's standard streams are a terminal."""
        return self._with(tty=words.flag(enabled, field="tty"))

    def stdin(self, enabled: bool = True, /) -> Self:
        """A started container's program waits for input instead of reading from /dev/null."""
        return self._with(stdin=words.flag(enabled, field="stdin"))

    def stop_signal(self, signal: int | str, /) -> Self:
        """What `stop` sends first. Without it, what the image says, or SIGTERM."""
        return self._with(stop_signal=words.stop_signal(signal))

    def stop_timeout(self, seconds: float, /) -> Self:
        """How long `stop` waits before SIGKILL. Without it, 10 seconds."""
        return self._with(stop_timeout=words.seconds(seconds, field="stop_timeout"))
