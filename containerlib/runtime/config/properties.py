"""Every property of the runtime-spec, what this runtime does with it, and the test that shows it.

    implemented("linux.netDevices")                       # True
    python -m containerlib.runtime.config.properties > docs/runtime-spec.md

The rows are in property_table.py, in the order of the specification. A path is written as in config.json: `[]` is an
element of an array, `*` a key of the user's own, `=word` one value of several, `: word` one side of a property that
has many.

Spec: runtime-spec 1.3.0
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache

from containerlib.runtime.config.property_table import SECTIONS
from containerlib.runtime.config.property_types import Property, Section, Status
from containerlib.spec.vocabulary import VERSION

__all__ = ["SECTIONS", "Property", "Section", "Status", "implemented", "page", "rows"]


def rows() -> Iterator[Property]:
    """Every property, in order."""
    for section in SECTIONS:
        yield from section.rows


def implemented(path: str) -> bool:
    """Whether `path` is in the table, as implemented."""
    return _statuses().get(path) is Status.IMPLEMENTED


@cache
def _statuses() -> dict[str, Status]:
    return {row.path: row.status for row in rows()}


# ---- the page of the documentation ----

_INTRODUCTION = f"""\
# The OCI runtime specification

What becomes of every property of the OCI runtime specification {VERSION} on Linux, and the test that shows it. The
runtime itself goes by the same table: `containerlib-oci features` is made of it, and so is this page
(`python -m containerlib.runtime.config.properties`).

* **implemented**: done as the specification has it.
* **refused**: never done, and never in silence: the error is `Unsupported` with the sentence of the table.
* **not on Linux**: for bundles of another platform, and refused in the same way.

A property that the specification does not know is passed over, as it asks for. A value that cannot be right is an
`InvalidArgument` whose `field` is the path of the property, `process.rlimits[2].type` for example.

In the paths, `[]` is an element of an array, `*` a key of the user's own, `=word` one value of several, and `: word`
one side of a property that has many.
"""
_UNTESTED = """\
## What the project's machines cannot test

Implemented by the kernel's documentation, and tested as far as is said here:
"""
_SOURCE = "https://github.com/opencontainers/runtime-spec/blob/v" + VERSION


def page() -> str:
    """The text of docs/runtime-spec.md."""
    counts = {status: sum(row.status is status for row in rows()) for status in Status}
    total = ", ".join(f"{count} {status.value}" for status, count in counts.items())
    parts = [_INTRODUCTION, f"{sum(counts.values())} rows: {total}.\n"]
    for section in SECTIONS:
        parts.append(f"## {section.title}\n\n[{section.anchor}]({_SOURCE}/{section.anchor})\n")
        parts.append("| property | | test |\n|---|---|---|")
        parts.extend(map(_line, section.rows))
        parts.append("")
    parts.append(_UNTESTED)
    parts.extend(f"* `{row.path}`: {row.untested}" for row in rows() if row.untested)
    return "\n".join(parts) + "\n"


def _line(row: Property) -> str:
    status = row.status.value + (f": {row.sentence}" if row.sentence else "")
    cells = (f"`{row.path}`", status, f"`{row.test}`" if row.test else "")
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
