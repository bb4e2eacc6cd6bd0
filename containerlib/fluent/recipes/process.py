"""What a container runs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, Self

from containerlib.engine import words, words_names
from containerlib.errors import InvalidArgument
from containerlib.fluent.recipes.base import Words

__all__ = ["ProcessWords"]


class ProcessWords(Words):
    """The program, its environment, its user and its end."""

    __slots__ = ()

    def env(self, mapping: Mapping[str, str] | None = None, /, **variables: str) -> Self:
        """Adds environment variables; one that is there already is replaced."""
        return self._with(env=words.merge_pairs(self.options.env, mapping, variables, field="env"))

    def env_file(self, path: str | os.PathLike[str], /) -> Self:
        """Adds a file's variables, in docker's form, read when the container is made; `env` counts more."""
        files = self.options.env_files
        return self._with(env_files=(*files, words_names.file_path(path, field="env_file")))

    def workdir(self, path: str, /) -> Self:
        """The directory that the program starts in; it is made where the image lacks it."""
        return self._with(workdir=words.container_path(path, field="workdir"))

    def user(self, user: str | int, /) -> Self:
        """Who the program runs as: a name, a number or `"user:group"`, looked up in the image's own files."""
        return self._with(user=words.user(user))

    def group_add(self, *groups: str | int) -> Self:
        """More groups of the program, by number or by their name in the image's /etc/group."""
        return self._with(group_add=words_names.groups((*self.options.group_add, *groups)))

    def init(self, enabled: bool = True, /) -> Self:
        """Puts an init before the program, which hands signals on to it and reaps the processes that lose their parent.

        It ends with the program's exit code, or 128 and the number of the signal that ended the program.
        """
        return self._with(init=words.flag(enabled, field="init"))

    def umask(self, mask: int, /) -> Self:
        """Permissions that the program's new files lack, e.g. 0o027. Without it, 0o022."""
        return self._with(umask=words_names.umask(mask))

    def timezone(self, name: str, /) -> Self:
        """Its /etc/localtime: a zone that the host knows, e.g. `"Europe/Berlin"`, or `"local"`, the host's own."""
        return self._with(timezone=words_names.timezone(name))

    def personality(self, domain: Literal["linux", "linux32"], /) -> Self:
        """What uname(2) says the machine is: `"linux32"` for a 32-bit one."""
        if domain not in ("linux", "linux32"):
            raise InvalidArgument(f'{domain!r} is neither "linux" nor "linux32"', field="personality")
        return self._with(personality=domain.upper())

    def entrypoint(self, *argv: str) -> Self:
        """Replaces the image's entrypoint, and drops its command. No words: there is none."""
        return self._with(entrypoint=words.argv(argv, field="entrypoint"))

    def tty(self, enabled: bool = True, /) -> Self:
        """The program's standard streams are a terminal."""
        return self._with(tty=words.flag(enabled, field="tty"))

    def stdin(self, enabled: bool = True, /) -> Self:
        """A started container's program waits for input, of those who `attach`, instead of reading /dev/null."""
        return self._with(stdin=words.flag(enabled, field="stdin"))

    def stop_signal(self, signal: int | str, /) -> Self:
        """What `stop` sends first. Without it, what the image says, or SIGTERM."""
        return self._with(stop_signal=words.stop_signal(signal))

    def stop_timeout(self, seconds: float, /) -> Self:
        """How long `stop` waits before SIGKILL. Without it, 10 seconds."""
        return self._with(stop_timeout=words.seconds(seconds, field="stop_timeout"))
