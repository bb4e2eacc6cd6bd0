"""Files of the caller's that options name: read when the container is made, and not when the recipe is written.

The grammar of an environment's file is Docker's: one `NAME=value` a line, all behind the first `=` as it is, without
quotes or escapes; spaces before a name, empty lines and lines that begin with `#` are passed over; a name alone takes
the value that it has here, and is left out where it has none.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from containerlib.engine import words
from containerlib.engine.words_security import MAX_SECRET
from containerlib.errors import InvalidArgument, NotFound, StageError
from containerlib.spec.options import ContainerOptions
from containerlib.spec.secret import Secret
from containerlib.spec.values import evolve as evolve_value

if TYPE_CHECKING:
    from containerlib.spec.runtime import Mount

__all__ = ["read_env_file", "timezone", "with_files"]

_ZONES = "/usr/share/zoneinfo"
_BOM = b"\xef\xbb\xbf"


def read_env_file(path: str | os.PathLike[str], /) -> dict[str, str]:
    """The variables of a file in docker's `--env-file` form: `container.exec("env", env=cl.read_env_file("prod.env"))`.

    Raises: NotFound; InvalidArgument for a line that is none; StageError where it cannot be read.
    """
    name = words.any_path(path, field="path")
    values = {}
    for variable, value in _lines(name):
        found = os.environ.get(variable) if value is None else value
        if found is not None:
            values[variable] = found
    return values


def with_files(options: ContainerOptions) -> ContainerOptions:
    """`options` with what their files hold; what the recipe says itself counts more. Raises: as `read_env_file`."""
    if any(secret.source for secret in options.secrets):
        options = evolve(options, secrets=tuple(_secret(secret) for secret in options.secrets))
    if options.seccomp_file is not None:
        options = evolve(options, seccomp=_read(options.seccomp_file).decode(errors="replace"))
    if not options.env_files and not options.label_files:
        return options
    env: dict[str, str] = {}
    labels: dict[str, str] = {}
    for path in options.env_files:
        env.update(read_env_file(path))
    for path in options.label_files:
        labels.update((name, value or "") for name, value in _lines(path))
    return evolve(options, env=_under(env, options.env), labels=_under(labels, options.labels))


def _secret(secret: Secret) -> Secret:
    if secret.source is None:
        return secret
    value = _read(secret.source)
    if len(value) > MAX_SECRET:
        raise InvalidArgument(
            f"{secret.source} has more than {MAX_SECRET} bytes: mount() it instead", field="secret"
        )
    return evolve_value(secret, value=value, source=None)


def timezone(name: str, zones: str = _ZONES) -> Mount:
    """The mount that makes `name` the container's time zone. Raises: NotFound for one that the host lacks."""
    path = os.path.realpath("/etc/localtime" if name == "local" else f"{zones}/{name}")
    if not os.path.isfile(path):  # noqa: PTH113 - a str
        raise NotFound(
            f"there is no time zone {name!r} in {zones} of this machine: install tzdata, or choose another"
        )
    return {
        "destination": "/etc/localtime",
        "type": "bind",
        "source": path,
        "options": ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"],
    }


def _under(files: Mapping[str, str], own: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return tuple({**files, **dict(own)}.items())


def _lines(path: str) -> Iterator[tuple[str, str | None]]:
    for number, line in enumerate(_read(path).removeprefix(_BOM).split(b"\n"), 1):
        try:
            text = line.removesuffix(b"\r").decode().lstrip()
        except UnicodeDecodeError as error:
            raise InvalidArgument(f"line {number} of {path} is not UTF-8", field="env_file") from error
        if not text or text.startswith("#"):
            continue
        name, separator, value = text.partition("=")
        if not name or " " in name or "\t" in name or "\0" in text:
            raise InvalidArgument(
                f"line {number} of {path} has no name before its '=': write NAME=value, without spaces in the name",
                field="env_file",
            )
        yield name, value if separator else None


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {path}: it is read when the container is made") from error
    except OSError as error:
        raise StageError("env_file", error.errno or 0, path) from error
