"""What a container may do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from containerlib.engine import words
from containerlib.fluent.recipes.base import Words

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

    def seccomp(self, profile: str, /) -> Self:
        """`"default"`, `"unconfined"`, or a profile's JSON text in Docker's or the runtime-spec's form."""
        return self._with(seccomp=words.text(profile, field="seccomp"))

    def no_new_privileges(self, enabled: bool = True, /) -> Self:
        """Set-uid programs and file capabilities give nothing."""
        return self._with(no_new_privileges=words.flag(enabled, field="no_new_privileges"))

    def sysctl(self, mapping: Mapping[str, str], /) -> Self:
        """Kernel settings of the container's namespaces, e.g. `{"net.core.somaxconn": "1024"}`."""
        return self._with(sysctls=words.merge_pairs(self.options.sysctls, mapping, {}, field="sysctl"))
