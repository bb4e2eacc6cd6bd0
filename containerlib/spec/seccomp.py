"""A resolved `linux.seccomp` section that carries its own encoding.

The section is by far the largest part of a config.json and the same for nearly every container. It is
encoded once, when it is resolved; who writes it to a bundle or looks up its compiled filter then pays
nothing.
"""

from __future__ import annotations

import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    _Section = dict[str, Any]
else:
    _Section = dict

__all__ = ["SeccompSection", "canonical"]


def canonical(section: Mapping[str, Any]) -> bytes:
    """The one JSON text of `section`: sorted keys, no spaces; free of cost for a SeccompSection."""
    if isinstance(section, SeccompSection):
        return section.encoded
    return _text(section)


def _text(section: Mapping[str, Any]) -> bytes:
    return json.dumps(section, sort_keys=True, separators=(",", ":")).encode()


class SeccompSection(_Section):
    """A runtime-spec `linux.seccomp` mapping. Shared between containers: not to be changed once it is made.

    Spec: runtime-spec config-linux.md#seccomp
    """

    __slots__ = ("encoded",)

    def __init__(self, section: Mapping[str, Any]) -> None:
        super().__init__(section)
        self.encoded = _text(self)
