"""The words of checkpoints, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from containerlib.engine import words, words_networks, words_resources
from containerlib.engine.checkpoints.document import agreed
from containerlib.engine.checkpoints.restoring import Restoration
from containerlib.engine.checkpoints.sealing import KEY_BYTES
from containerlib.engine.names import check_name
from containerlib.engine.words_lifetime import connections
from containerlib.errors import InvalidArgument
from containerlib.runtime.checkpoint import Options
from containerlib.spec.options import Limits
from containerlib.spec.values import evolve
from containerlib.units import check_kind

__all__ = ["MOST_CLONES", "MOST_PRE_DUMPS", "clones", "options", "pre_dumps", "restoration", "sealing_key"]

MOST_CLONES = 1000
MOST_PRE_DUMPS = 32


def options(
    tcp: str, *, external_unix_sockets: bool, file_locks: bool, leave_running: bool = False
) -> Options:
    """How a checkpoint is made."""
    made = agreed(tcp, external_unix_sockets, file_locks)
    return evolve(made, leave_running=words.flag(leave_running, field="leave_running"))


def restoration(
    image: str,
    *,
    tcp: str | None,
    name: str | None,
    detach: bool,
    ports: Mapping[int, int] | None,
    networks: Sequence[str] | None,
    mounts: Mapping[str, str] | None,
    limits: Mapping[str, Any],
    lazy: bool,
    trusted: bool,
    key: bytes | None,
) -> Restoration:
    """What is to be made of the checkpoint `image`; None: as it was."""
    given = {key: value for key, value in limits.items() if value is not None}
    names = None if networks is None else words.vector(networks, field="networks")
    on = None if names is None else [words_networks.network(each, (), None, None, None) for each in names]
    published = None if ports is None else [words_networks.port(*each, None) for each in _tcp(ports)]
    check_kind(mounts, Mapping, type(None), want="a mapping of places to sources", field="mounts")
    places = {words.container_path(at, field="mounts"): source for at, source in (mounts or {}).items()}
    return Restoration(
        image,
        None if name is None else check_name(name),
        words.flag(detach, field="detach"),
        None if on is None else tuple(on),
        None if published is None else tuple(published),
        words_resources.limits(Limits(), **given) if given else None,
        {at: words.text(source, field="mounts") for at, source in places.items()},
        None if tcp is None else connections(tcp),
        words.flag(lazy, field="lazy"),
        words.flag(trusted, field="trusted"),
        sealing_key(key),
    )


def _tcp(ports: Mapping[int, int]) -> list[tuple[int, str, int]]:
    check_kind(ports, Mapping, want="a mapping of the container's ports to the host's", field="ports")
    return [(number, "tcp", host) for number, host in ports.items()]


def sealing_key(key: bytes | None) -> bytes | None:
    """What encrypts."""
    if key is None:
        return None
    if not isinstance(key, bytes) or len(key) != KEY_BYTES:
        raise InvalidArgument(f"a key is {KEY_BYTES} random bytes: os.urandom({KEY_BYTES})", field="key")
    return key


def clones(count: int) -> int:
    """How many."""
    return words_resources.number(count, field="count", least=1, most=MOST_CLONES)


def pre_dumps(count: int) -> int:
    """How many."""
    return words_resources.number(count, field="pre_dumps", least=0, most=MOST_PRE_DUMPS)
