"""The fence: `_sys` alone imports `_native`. import-linter does not see an extension module, so this looks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import containerlib

PACKAGE = Path(containerlib.__file__).parent


def imported(path: Path) -> Iterator[str]:
    """The absolute name of everything that a file imports, also inside functions."""
    within = ["containerlib", *path.relative_to(PACKAGE).with_suffix("").parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            parent = within[: len(within) - node.level] if node.level else []
            module = ".".join([*parent, *([node.module] if node.module else [])])
            yield from (f"{module}.{name.name}" for name in node.names)


def touches_native(path: Path) -> bool:
    return any(f"{name}.".startswith("containerlib._native.") for name in imported(path))


def test_native_is_imported_by_sys_alone() -> None:
    users = {path.relative_to(PACKAGE).parts[0] for path in PACKAGE.rglob("*.py") if touches_native(path)}
    assert users == {"_sys"}
