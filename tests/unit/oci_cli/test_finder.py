"""Modules that are found faster: the same ones, and no others, as without."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import containerlib

FACTS = """
import sys
INSTALL
import containerlib.runtime.plan.roots as module, containerlib.runtime as package, containerlib._native as extension
for found in (module, package, extension):
    spec = found.__spec__
    facts = {key: value for key, value in vars(found).items() if key.startswith("__") and isinstance(value, str | list)}
    print(facts, spec.origin, spec.cached, spec.has_location, spec.parent, spec.submodule_search_locations)
print(type(module.__loader__).__name__, module.__loader__.get_source(module.__name__)[:30])
"""
INSTALL = "from containerlib.oci_cli.start import Finder; sys.meta_path.insert(0, Finder)"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("compiled") / "containerlib"
    shutil.copytree(Path(containerlib.__file__).parent, place, ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(place)], check=True)
    return place


@pytest.fixture
def copy(compiled: Path, tmp_path: Path) -> Path:
    """A package of our own to change; with their times the compiled forms hold for the copies too."""
    return shutil.copytree(compiled, tmp_path / "containerlib")


def python(copy: Path, code: str, *options: str) -> list[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy.parent)}
    done = subprocess.run(
        [sys.executable, *options, "-c", code], check=True, capture_output=True, text=True, env=environment
    )
    return done.stdout.splitlines()


def found_by(copy: Path, name: str, *options: str) -> str:
    """The kind of the loader that a module came from."""
    code = f"import sys; {INSTALL}; import {name} as module; print(type(module.__loader__).__name__)"
    return python(copy, code, *options)[0]


def test_modules_are_what_the_interpreter_makes_of_them(copy: Path) -> None:
    *ours, our_loader = python(copy, FACTS.replace("INSTALL", INSTALL))
    *theirs, their_loader = python(copy, FACTS.replace("INSTALL", ""))
    assert ours == theirs
    assert (our_loader.split()[0], their_loader.split()[0]) == ("_Loader", "SourceFileLoader")
    assert our_loader.split()[1:] == their_loader.split()[1:]


def test_source_that_was_changed_is_compiled_anew(copy: Path) -> None:
    source = copy / "runtime" / "plan" / "roots.py"
    source.write_text(source.read_text() + "\nCHANGED = True\n")
    code = f"import sys; {INSTALL}; import containerlib.runtime.plan.roots as module; print(module.CHANGED)"
    assert python(copy, code) == ["True"]


def test_source_of_another_time_is_compiled_anew(copy: Path) -> None:
    source = copy / "runtime" / "plan" / "roots.py"
    text = source.read_text()
    source.write_text(text.replace("classic: bool = False", "classic: bool = True "))
    os.utime(source, (1, 1))
    code = f"import sys; {INSTALL}; from containerlib.runtime.plan.roots import OverlayRoot; "
    assert python(copy, code + "print(OverlayRoot((), None, None).classic)") == ["True"]


@pytest.mark.parametrize("damage", ["missing", "empty", "another interpreter's", "hashed"])
def test_compiled_form_that_is_not_of_this_source_is_left_to_the_interpreter(copy: Path, damage: str) -> None:
    name = "containerlib.runtime.plan.roots"
    assert found_by(copy, name) == "_Loader"
    (compiled,) = (copy / "runtime" / "plan" / "__pycache__").glob("roots.*")
    data = bytearray(compiled.read_bytes())
    if damage == "missing":
        compiled.unlink()
    elif damage == "empty":
        compiled.write_bytes(b"")
    elif damage == "another interpreter's":
        data[0] ^= 1
        compiled.write_bytes(data)
    else:
        hashed = [
            "compileall",
            "-q",
            "-f",
            "--invalidation-mode",
            "checked-hash",
            str(copy / "runtime" / "plan"),
        ]
        subprocess.run([sys.executable, "-m", *hashed], check=True)
    assert found_by(copy, name) == "SourceFileLoader"


def test_command_starts_where_the_compiled_forms_are_others(copy: Path, tmp_path: Path) -> None:
    for options in (("-O",), ("-X", f"pycache_prefix={tmp_path / 'elsewhere'}")):
        code = (
            "import sys; sys.argv[1:] = ['--version']; from containerlib.oci_cli.start import start; start()"
        )
        assert python(copy, code, *options)[0].startswith("containerlib-oci version")
