"""list: the containers of a state directory."""

from __future__ import annotations

import json
import os
import sys

from containerlib.errors import Error, InvalidArgument, NotFound
from containerlib.oci_cli.log import print_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from containerlib.oci_cli.request import Request
    from containerlib.runtime.containers.containers import Container

__all__ = ["run", "table"]

_COLUMNS = (
    ("ID", "id"),
    ("PID", "pid"),
    ("STATUS", "status"),
    ("BUNDLE", "bundle"),
    ("CREATED", "created"),
    ("OWNER", "owner"),
)
_NARROWEST, _GAP = 12, 3


def run(request: Request) -> int:
    containers, errors = request.containers.list()
    for error in errors:
        print_error(str(error))
    if request.values.flag("quiet"):
        sys.stdout.write("".join(f"{container.id}\n" for container in containers))
        return 0
    rows = [row for container in containers if (row := _row(container))]
    form = request.values.text("format")
    if form == "json":
        sys.stdout.write(json.dumps(rows or None, separators=(",", ":")) + "\n")
    elif form == "table":
        lines = [[str(row[key]) for _, key in _COLUMNS] for row in rows]
        sys.stdout.write(table([[title for title, _ in _COLUMNS], *lines]))
    else:
        raise InvalidArgument("invalid format option")
    return 0


def _row(container: Container) -> dict[str, object] | None:
    """None where it was deleted meanwhile."""
    try:
        return {**container.describe(), "owner": _owner(container.directory)}
    except NotFound:
        return None
    except (Error, OSError) as error:
        print_error(f"status for {container.id}: {error}")
        return None


def _owner(directory: str) -> str:
    import pwd

    try:
        uid = os.stat(directory).st_uid
    except FileNotFoundError as error:
        raise NotFound(directory) from error
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"


def table(rows: list[list[str]]) -> str:
    """Columns as wide as their widest cell and a gap; the last one is not filled up."""
    widths = [
        max(_NARROWEST, *(len(row[column]) + _GAP for row in rows)) for column in range(len(rows[0]) - 1)
    ]
    return "".join(
        "".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=False)) + row[-1] + "\n"
        for row in rows
    )
