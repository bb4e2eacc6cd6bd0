"""What a container may do."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from containerlib.engine import words, words_security
from containerlib.fluent.container_handle import ContainerHandle
from containerlib.fluent.recipes.base import Words
from containerlib.spec.options import JOIN, UserNamespace

__all__ = ["SecurityWords"]


class SecurityWords(Words):
    """Capabilities, profiles, and the kernel's settings."""

    __slots__ = ()

    def cap_add(self, *names: str) -> Self:
        """Adds capabilities, e.g. `"NET_ADMIN"`, or `"ALL"`."""
        added = words.capabilities((*self.options.cap_add, *names), field="cap_add")
        return self._with(cap_add=added)

    def cap_drop(self, *names: str) -> Self:
        """Takes capabilities away, e.g. `"CHOWN"`, or `"ALL"`; what `cap_add` names stays."""
        dropped = words.capabilities((*self.options.cap_drop, *names), field="cap_drop")
        return self._with(cap_drop=dropped)

    def privileged(self, enabled: bool = True, /) -> Self:
        """All capabilities and devices, nothing masked, no seccomp: as good as root on the host."""
        return self._with(privileged=words.flag(enabled, field="privileged"))

    def seccomp(self, profile: str | os.PathLike[str] | Mapping[str, object], /) -> Self:
        """`"default"`, `"unconfined"`, or a profile in Docker's or the runtime-spec's form.

        A profile is JSON's text, the value that it stands for, or a Path, which is read when the container is made.
        """
        return self._with(**words_security.seccomp(profile))

    def secret(
        self,
        name: str,
        value: bytes | os.PathLike[str],
        /,
        *,
        at: str | None = None,
        env: str | None = None,
        mode: int | None = None,
        uid: int | None = None,
        gid: int | None = None,
    ) -> Self:
        """A file with `value`, or what a Path has when the container is made: /run/secrets/NAME, or the path `at`.

        It is its root's alone (`mode` 0o400) unless said otherwise, on a tmpfs that nobody can write. With `env` it is
        a variable of the first process, and no file; commands that are executed later have not got it.

        Its content is in no file of the host, in no log, in no `repr` and in no `inspect`; so a container that has
        stopped cannot be started again, but by its restart policy, as nobody else knows it any more.
        """
        made = words_security.secret(name, value, at=at, env=env, mode=mode, uid=uid, gid=gid)
        others = (
            each for each in self.options.secrets if each.name != made.name and each.place != made.place
        )
        return self._with(secrets=(*others, made))

    def apparmor(self, profile: str, /) -> Self:
        """An AppArmor profile that is loaded, or `"unconfined"`, as without a word."""
        return self._with(apparmor=words_security.apparmor(profile))

    def selinux(self, label: str, /, *, mount_label: str | None = None) -> Self:
        """The SELinux label of its processes, `"user:role:type:level"`, and of its files. Without it, none is set."""
        files = None if mount_label is None else words_security.label(mount_label, field="mount_label")
        return self._with(selinux=words_security.label(label, field="selinux"), mount_label=files)

    def mask(self, *paths: str) -> Self:
        """Paths that it cannot look into, beside those of /proc and /sys that no container sees."""
        return self._with(masked=words_security.paths((*self.options.masked, *paths), field="mask"))

    def unmask(self, *paths: str) -> Self:
        """Paths of /proc and /sys that it may see and write after all, or `"ALL"` of them."""
        return self._with(unmasked=words_security.paths((*self.options.unmasked, *paths), field="unmask"))

    def userns(
        self,
        kind: Literal["host", "auto", "keep-id", "maps"] | ContainerHandle[Any] = "maps",
        /,
        *,
        size: int | None = None,
        uids: Sequence[tuple[int, int, int]] | None = None,
        gids: Sequence[tuple[int, int, int]] | None = None,
    ) -> Self:
        """Whose user and group ids it has, and so whether its root is the host's.

        `"host"` (without a word): the host's. `"auto"`: `size` ids (65536) that no other container of this engine has;
        they come from the lines of "containers" or "root" in /etc/subuid and /etc/subgid, or from 1879048192 on.
        `"keep-id"`: a user namespace in which every id is what it is outside. `uids=[(0, 100000, 65536)]`: the first id
        in the container, that on the host, and how many; `gids` are the same unless they are given. Another container:
        the same as that one has. Files of the image and of volumes have their own ids in it.
        """
        if isinstance(kind, ContainerHandle):
            return self._with(userns=UserNamespace(f"{JOIN}{kind.id}"))
        return self._with(userns=words_security.user_namespace(kind, size=size, uids=uids, gids=gids))

    def no_new_privileges(self, enabled: bool = True, /) -> Self:
        """Set-uid programs and file capabilities give nothing."""
        return self._with(no_new_privileges=words.flag(enabled, field="no_new_privileges"))

    def sysctl(self, mapping: Mapping[str, str], /) -> Self:
        """Kernel settings of the container's namespaces, e.g. `{"net.core.somaxconn": "1024"}`."""
        return self._with(sysctls=words.merge_pairs(self.options.sysctls, mapping, {}, field="sysctl"))
