"""A command line's flags, read as Go's flag package and urfave/cli read them: one dash or two, a value behind `=` or
as the next word, short names, lists by repetition, flags after arguments too.

A parser of its own because argparse costs 6 ms of a start of 30, and takes no `-pid-file x`.
"""

from __future__ import annotations

from containerlib.errors import InvalidArgument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Flag", "Values", "parse", "parse_duration"]

_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class Flag:
    """`names`: "bundle b". `kind`: bool, text, int, list or duration."""

    __slots__ = ("default", "help", "kind", "names")

    def __init__(self, names: str, kind: str, help: str = "", default: object = None) -> None:  # noqa: A002 - its word
        self.names = names.split()
        self.kind = kind
        self.help = help
        self.default = default

    @property
    def name(self) -> str:
        return self.names[0]


class Values:
    """What the flags of a command line say; each is asked for by its first name."""

    def __init__(self, flags: Iterable[Flag]) -> None:
        self._flags = {flag.name: flag for flag in flags}
        self._given: dict[str, list[str]] = {}

    def add(self, flag: Flag, text: str) -> None:
        """Raises: InvalidArgument for what is no value of this flag."""
        if not _is_valid(flag.kind, text):
            raise InvalidArgument(f'invalid value "{text}" for flag -{flag.name}: parse error')
        self._given.setdefault(flag.name, []).append(text)

    def given(self, name: str) -> bool:
        return name in self._given

    def text(self, name: str) -> str:
        return str(self._last(name) or "")

    def flag(self, name: str) -> bool:
        return self._last(name) in _TRUE

    def number(self, name: str) -> int:
        return int(self._last(name) or 0)

    def seconds(self, name: str) -> float:
        return parse_duration(self._last(name) or "0s")

    def texts(self, name: str) -> list[str]:
        return list(self._given.get(name, ()))

    def _last(self, name: str) -> str | None:
        default = self._flags[name].default
        values = self._given.get(name)
        return values[-1] if values else None if default is None else str(default)


def parse(words: Sequence[str], flags: Sequence[Flag], *, mixed: bool) -> tuple[Values, list[str]]:
    """The values of `flags`, and the arguments. `mixed`: flags may follow arguments; else the first argument ends them.

    Raises: InvalidArgument.
    """
    known = {name: flag for flag in flags for name in flag.names}
    values = Values(flags)
    arguments: list[str] = []
    rest = iter(words)
    for word in rest:
        if word == "--":
            arguments.extend(rest)
        elif len(word) < 2 or word[0] != "-":
            arguments.append(word)
            if not mixed:
                arguments.extend(rest)
        else:
            _take(word, known, values, rest)
    return values, arguments


def _take(word: str, known: dict[str, Flag], values: Values, rest: Iterable[str]) -> None:
    name, equals, text = word[2 if word.startswith("--") else 1 :].partition("=")
    flag = known.get(name)
    if flag is None:
        raise InvalidArgument(f"flag provided but not defined: -{name}")
    if not equals:
        if flag.kind == "bool":
            text = "true"
        else:
            following = next(iter(rest), None)
            if following is None:
                raise InvalidArgument(f"flag needs an argument: -{name}")
            text = following
    values.add(flag, text)


def _is_valid(kind: str, text: str) -> bool:
    if kind == "bool":
        return text in _TRUE or text in _FALSE
    if kind == "int":
        return text.isascii() and text.removeprefix("-").isdigit()
    if kind == "duration":
        try:
            parse_duration(text)
        except ValueError:
            return False
    return True


def parse_duration(text: str) -> float:
    """Seconds of Go's notation: "5s", "1m30s", "250ms", "0". Raises: ValueError."""
    if text == "0":
        return 0.0
    seconds, number, unit = 0.0, "", ""
    for character in f"{text}0":
        if character in "0123456789.":
            if unit:
                seconds += float(number) * _unit(unit)
                number = unit = ""
            number += character
        elif not number:
            raise ValueError(text)
        else:
            unit += character
    if number != "0" or (not seconds and not text.strip("0123456789.")):
        raise ValueError(text)
    return seconds


def _unit(name: str) -> float:
    if name not in _UNITS:
        raise ValueError(name)
    return _UNITS[name]
