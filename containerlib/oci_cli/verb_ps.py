"""ps: the processes of a container, as the program ps shows them."""

from __future__ import annotations

import json
import subprocess
import sys

from containerlib.errors import InvalidArgument, StageError
from containerlib.runtime.containers.processes import pids

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from containerlib.oci_cli.request import Request

__all__ = ["run", "selected"]


def run(request: Request) -> int:
    found = pids(request.container)
    form = request.values.text("format")
    if form == "json":
        sys.stdout.write(json.dumps(found, separators=(",", ":")) + "\n")
        return 0
    if form != "table":
        raise InvalidArgument("invalid format option")
    sys.stdout.write(
        "".join(f"{line}\n" for line in selected(_ps(request.arguments[1:] or ["-ef"]), set(found)))
    )
    return 0


def _ps(options: list[str]) -> str:
    try:
        done = subprocess.run(["ps", *options], check=False, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise StageError("ps", error.errno or 0, "ps", advice="install procps, or ask for -f json") from error
    if done.returncode != 0:
        raise InvalidArgument(f"ps: exit status {done.returncode}: {(done.stdout + done.stderr).strip()}")
    return done.stdout


def selected(output: str, wanted: Collection[int]) -> Iterator[str]:
    """The title, and the lines of the processes that are wanted. Raises: InvalidArgument."""
    title, *lines = output.split("\n")
    titles = title.split()
    if "PID" not in titles:
        raise InvalidArgument("couldn't find PID field in ps output: have it print pid too")
    column = titles.index("PID")
    yield title
    for line in lines:
        fields = line.split()
        if len(fields) > column and fields[column].isdecimal() and int(fields[column]) in wanted:
            yield line
