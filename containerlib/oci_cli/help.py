"""What `--help` and `--version` print."""

from __future__ import annotations

from importlib.metadata import version as installed

from containerlib.oci_cli.commands import COMMANDS, GLOBAL, Command
from containerlib.runtime.containers.containers import SPEC_VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from containerlib.oci_cli.parser import Flag

__all__ = ["help_of", "version"]


def version() -> str:
    """The lines that podman, containerd and dockerd read."""
    return f"containerlib-oci version {installed('containerlib')}\nspec: {SPEC_VERSION}\n"


def help_of(command: Command | None) -> str:
    """Of one command, or of them all."""
    return _of_all() if command is None else _of_one(command)


def _of_one(command: Command) -> str:
    options = " [command options]" if command.flags else ""
    usage = f"containerlib-oci {command.name}{options} {command.usage}".rstrip()
    parts = [
        _section("NAME", [f"containerlib-oci {command.name} - {command.summary}"]),
        _section("USAGE", [usage]),
    ]
    if command.flags:
        parts.append(_section("OPTIONS", _flags(command.flags)))
    return "\n".join(parts)


def _of_all() -> str:
    names = max(map(len, COMMANDS))
    commands = [f"{command.name:<{names}}  {command.summary}" for command in COMMANDS.values()]
    return "\n".join(
        [
            _section(
                "NAME", ["containerlib-oci - an OCI runtime: containers from bundles, with runc's words"]
            ),
            _section("USAGE", ["containerlib-oci [global options] command [command options] [arguments...]"]),
            _section("COMMANDS", commands),
            _section("GLOBAL OPTIONS", _flags(GLOBAL)),
        ]
    )


def _section(title: str, lines: Iterable[str]) -> str:
    return f"{title}:\n" + "".join(f"   {line}\n" for line in lines)


def _flags(flags: Iterable[Flag]) -> list[str]:
    rows = [(_names(flag), flag) for flag in flags]
    width = max(len(names) for names, _ in rows)
    return [f"{names:<{width}}  {flag.help}{_default(flag)}" for names, flag in rows]


def _names(flag: Flag) -> str:
    value = "" if flag.kind == "bool" else " value"
    return ", ".join(f"{'--' if len(name) > 1 else '-'}{name}{value}" for name in flag.names)


def _default(flag: Flag) -> str:
    return "" if flag.default is None else f" (default: {flag.default})"
