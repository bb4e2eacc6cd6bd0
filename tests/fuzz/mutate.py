"""Configurations that are nearly right: some that are, changed in a few places, as objects and then as text.

    text = mutated(seed=1, index=42)        # always the same bytes

Spec: runtime-spec config.md; RFC 8259 (JSON), and what Python's decoder takes beside it
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from containerlib.oci_cli.verb_spec import example, rootless
from containerlib.spec import vocabulary
from rig.configs import full_config, small_config

__all__ = ["changed", "mutated"]

Path = tuple[str | int, ...]


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


SEEDS = tuple(
    (json.dumps(config), tuple(_paths(config)))
    for config in (
        small_config(),
        full_config(),
        full_config(),
        example(unified=False),
        example(unified=True),
        rootless(example(unified=True), 1000, 1000),
    )
)
"""As text, so that each is read anew and shares nothing with the next; and all places in it."""
NUMBERS = (
    *(-(2**63) - 1, -(2**63), -(2**31), -1001, -1000, -20, -1, 0, 1, 2, 7, 19, 63, 64, 99, 100, 999_999_999),
    *(1000, 1023, 1024, 4095, 4096, 8191, 8192, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1, 2**32),
    *(
        2**53,
        2**63 - 1,
        2**63,
        2**64 - 1,
        2**64,
        10**25,
        10**400,
        0.5,
        -0.0,
        1e308,
        float("inf"),
        float("nan"),
    ),
)
KNOWN = tuple(
    sorted(
        vocabulary.NAMESPACES
        | vocabulary.PROPAGATIONS
        | vocabulary.MOUNT_OPTIONS
        | vocabulary.SECCOMP_ACTIONS
        | vocabulary.SCHEDULER_POLICIES
        | vocabulary.SCHEDULER_FLAGS
        | vocabulary.MEMORY_POLICY_MODES
        | vocabulary.RLIMITS
        | vocabulary.IO_CLASSES
        | vocabulary.DEVICE_TYPES
        | vocabulary.PERSONALITIES
    )
)
_LIKELY = """
. .. / // /.. /a a/b ../../x /proc /proc/self //proc /dev /sys tmpfs proc sysfs devpts mqueue cgroup cgroup2 bind none
overlay ext4 ramfs a=b = a,b size=1 mode= uid=x gid=5 context="a,b" , tmpcopyup idmap 0 -1 0-3,7 7-0 0-65535
0-99999999999 0-65535, 0-8191, 1, max 1e3 net.a net/../x kernel.shmmax io.max memory.max cgroup.procs %d eth0
org.systemd.property.TimeoutStopSec uint64 'x' [ -.slice a-b.slice:x:y :: a:b L3:0=f MB:0=1 MB: 1.0.2 2.0.0 1.3.0-x
CAP_KILL CAP_ALL rwm mrw SCMP_CMP_EQ SCMP_ARCH_X86
"""
LIKELY = tuple(_LIKELY.split())
HOSTILE = (
    *(
        "",
        " ",
        "\0",
        "a\0b",
        "\n",
        "\x01",
        "\x7f",
        "a b",
        "8:0 rbps=1\nx",
        "L3:0=f\nL3:1=f",
        "uint64 5",
        "1 - 2",
    ),
    *("\ud800", "\udc80", "\udfff", "a\udc80", "/\udc80", "x=\udc80", "\u00e9", "\u0663", "\u202e", "\ufeff"),
    *(
        "\U0001f600",
        "\U0001f600" * 64,
        "x" * 256,
        "/x" * 2048,
        "9" * 5000,
        "\u00b2",
        "gid=\u00b2",
        "gid=" + "9" * 5000,
    ),
    *("double inf", "double nan", "double 1e400", "uint64 -1", "byte 256", "['a', 'b']", "true"),
)
"""What an encoder, a decoder or the kernel stumbles over: half a surrogate pair, bytes that are no text, digits that
are none of ASCII's."""
REPEATS = (2, 3, 10, 100, 1000)
LARGEST = 100_000
"""Characters of what is put a second time into a configuration, or made longer."""


def mutated(seed: int, index: int) -> bytes:
    """The text of one execution."""
    return changed(random.Random(f"{seed} {index}"))


def changed(rng: random.Random, config: Any = None) -> bytes:
    """`config`, or one that is right, with changes."""
    path: Path | None = None
    if config is None:
        text, paths = rng.choice(SEEDS)
        config, path = json.loads(text), rng.choice((rng.choice(paths), None))
    for _ in range(rng.choice((1, 1, 1, 1, 2, 2, 3, 6))):
        config = _change(rng, config, _somewhere(rng, config) if path is None else path)
        path = None
    written = _written(rng, config)
    return _spoilt(rng, written) if rng.random() < 0.05 else written


# ---- objects ----


def _change(rng: random.Random, config: Any, path: Path) -> Any:
    if not path:
        return rng.choice((config, config, config, _value(rng)))
    place: Any = config
    for step in path[:-1]:
        place = place[step]
    rng.choice(_CHANGES)(rng, place, path[-1], config)
    return config


def _replace(rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    place[key] = _value(rng)


def _alike(rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    """Another value of the same type."""
    old = place[key]
    if isinstance(old, bool):
        place[key] = not old
    elif isinstance(old, int):
        place[key] = rng.choice((*NUMBERS, old + 1, old - 1, -old, old * 2))
    elif isinstance(old, str):
        place[key] = _text(rng, old)
    else:
        _replace(rng, place, key, None)


def _delete(_rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    del place[key]


def _repeat(rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    """An element many times, or a text."""
    times = max(1, min(rng.choice(REPEATS), LARGEST // len(json.dumps(place[key]))))
    if isinstance(place, list):
        place[key:key] = [place[key]] * times
    elif isinstance(place[key], str):
        place[key] = place[key] * times
    elif isinstance(place[key], dict) and place[key]:
        name, value = next(iter(place[key].items()))
        place[key].update({f"{name}{number}": value for number in range(times)})


def _add(rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    if isinstance(place, list):
        place.insert(key, _value(rng))
    else:
        place[_word(rng)] = _value(rng)


def _take(rng: random.Random, place: Any, key: Any, config: Any) -> None:
    """What is at another place."""
    other: Any = config
    for step in _somewhere(rng, config):
        other = other[step]
    copied = json.dumps(other)
    if len(copied) < LARGEST:
        place[key] = json.loads(copied)


def _wrap(rng: random.Random, place: Any, key: Any, _config: Any) -> None:
    for _ in range(rng.choice((1, 1, 2, 50))):
        place[key] = rng.choice(([place[key]], {"a": place[key]}))


_CHANGES = (_replace, _replace, _alike, _alike, _alike, _alike, _delete, _repeat, _add, _take, _wrap)


def _somewhere(rng: random.Random, value: Any) -> Path:
    path: Path = ()
    while isinstance(value, dict | list) and value and rng.random() < 0.95:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        path, value = (*path, key), value[key]
    return path


def _value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8 if depth < 3 else 6)
    if kind < 2:
        return _text(rng)
    if kind < 4:
        return rng.choice(NUMBERS)
    if kind < 6:
        return rng.choice((None, True, False, [], {}, ""))
    count = rng.randrange(4)
    if kind == 6:
        return [_value(rng, depth + 1) for _ in range(count)]
    return {_word(rng): _value(rng, depth + 1) for _ in range(count)}


def _text(rng: random.Random, old: str = "") -> str:
    word = _word(rng)
    how = rng.randrange(6)
    if how < 3:
        return word
    if how == 3:
        return rng.choice((old + word, word + old))
    if how == 4:
        at = rng.randrange(len(old) + 1)
        return old[:at] + word + old[at:]
    return word * rng.choice((1, 10, 300, 5000)) + rng.choice(("", old))


def _word(rng: random.Random) -> str:
    return rng.choice(rng.choice((KNOWN, LIKELY, LIKELY, HOSTILE)))


# ---- text ----


def _written(rng: random.Random, config: Any) -> bytes:
    """JSON, in the ways in which that can be written."""
    text = json.dumps(config, ensure_ascii=rng.random() < 0.5, indent=1 if rng.random() < 0.02 else None)
    return text.encode(errors="surrogatepass")


def _spoilt(rng: random.Random, text: bytes) -> bytes:
    return rng.choice(_SPOILERS)(rng, text, rng.randrange(len(text) + 1))


def _cut(rng: random.Random, text: bytes, at: int) -> bytes:
    return text[:at] + rng.choice((b"", text[rng.randrange(len(text) + 1) :]))


def _byte(rng: random.Random, text: bytes, at: int) -> bytes:
    return text[:at] + bytes([rng.randrange(256)]) + text[at + 1 :]


def _twice(rng: random.Random, text: bytes, _at: int) -> bytes:
    """A key two times: the last one counts."""
    key = rng.choice((b'"linux"', b'"process"', b'"type"', b'"root"'))
    return text.replace(key, key + b": " + rng.choice((b"{}", b"null", b'"x"', b"[1]")) + b", " + key, 1)


def _encoded(rng: random.Random, text: bytes, at: int) -> bytes:
    if rng.random() < 0.5:
        return text[:at] + rng.choice((b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf")) + text[at:]
    try:
        return text.decode().encode(rng.choice(("utf-8-sig", "utf-16", "utf-32")))
    except UnicodeError:
        return text


def _deep(rng: random.Random, text: bytes, at: int) -> bytes:
    deep = rng.choice((10, 500, 2000, 200_000))
    nest = rng.choice((b"[" * deep + b"]" * deep, b'{"a":' * deep + b"1" + b"}" * deep, b"[" * deep))
    return (
        text.replace(b'"linux"', b'"more": ' + nest + b', "linux"', 1)
        if rng.random() < 0.8
        else text[:at] + nest
    )


def _digits(rng: random.Random, text: bytes, _at: int) -> bytes:
    return text.replace(b"1", b"1" * rng.choice((20, 4299, 4301, 100_000)), 1)


_SPOILERS = (_cut, _byte, _twice, _encoded, _deep, _digits)
