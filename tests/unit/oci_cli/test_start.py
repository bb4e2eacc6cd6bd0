"""What a command loads: its start is most of its time, and each of these modules costs milliseconds of it."""

from __future__ import annotations

import subprocess
import sys

import pytest

COSTLY = {
    "argparse", "ast", "asyncio", "attr", "ctypes", "dataclasses", "datetime", "hashlib", "httpx", "inspect", "pathlib",
    "random", "secrets", "sqlite3", "subprocess", "tempfile", "typing",
}  # fmt: skip
ABOVE = ("engine", "fluent", "images", "bundles", "shim", "store", "networking", "volumes")


def loaded(module: str) -> set[str]:
    """What importing the command and `module` adds to what the interpreter has loaded by itself."""
    code = f"import sys; before = {{*sys.modules}}; import containerlib.oci_cli.main, {module}; "
    code += "print(*{*sys.modules} - before)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd="/")
    return set(done.stdout.split())


@pytest.mark.parametrize("verb", ["create", "run", "exec", "simple", "list"])
def test_verb_loads_nothing_costly(verb: str) -> None:
    names = loaded(f"containerlib.oci_cli.verb_{verb}")
    assert COSTLY & names == set()
    assert [
        name for name in names if name.startswith(tuple(f"containerlib.{layer}" for layer in ABOVE))
    ] == []


def test_verb_without_a_container_to_make_loads_no_runtime() -> None:
    names = loaded("containerlib.oci_cli.verb_simple") | loaded("containerlib.runtime.containers.kill")
    assert {name for name in names if name.startswith("containerlib.runtime.") and name.count(".") == 2} == {
        "containerlib.runtime.containers"
    }
