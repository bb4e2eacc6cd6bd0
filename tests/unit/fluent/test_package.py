"""The package as it is imported."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import containerlib as cl


@pytest.mark.parametrize("name", cl.__all__)
def test_package_every_public_name_is_there_and_documented(name: str) -> None:
    value = getattr(cl, name)
    assert value.__doc__
    assert name in dir(cl)


def test_package_version_is_the_projects() -> None:
    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text())["project"]
    assert cl.__version__ == project["version"]


def test_package_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        cl.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_package_of_the_source_folder_says_why_it_has_no_native_part(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    ignored = shutil.ignore_patterns("*.so", "__pycache__", "_libexec")
    shutil.copytree(root / "containerlib", tmp_path / "containerlib", ignore=ignored)
    shutil.copy(root / "pyproject.toml", tmp_path)
    code = (
        "import sys; sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in type(f).__module__]; "
    )
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    done = subprocess.run(
        [sys.executable, "-c", f"{code}import containerlib._sys.native"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"ImportError: this containerlib is the source folder {tmp_path}/containerlib")
    assert "python -P" in said
    assert "pip install -e ." in said


def test_package_misspelt_name_is_named_for_the_interpreters_suggestion() -> None:
    with pytest.raises(AttributeError) as raised:
        cl.Contaner  # type: ignore[attr-defined]  # noqa: B018
    assert (raised.value.name, raised.value.obj) == ("Contaner", cl)


def test_package_completion_has_nothing_but_what_is_for_users() -> None:
    shown = {name for name in dir(cl) if not name.startswith("_")}
    assert shown == {*cl.__all__, "aio", "errors", "rootless"}


@pytest.mark.parametrize("module", ["aio", "errors", "rootless"])
def test_package_module_for_users_is_there_without_an_import_of_its_own(module: str) -> None:
    code = f"import containerlib; print(containerlib.{module}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"containerlib.{module}\n"


def test_package_import_loads_nothing_heavy() -> None:
    loaded = modules_after("import containerlib")
    assert not loaded & {"attr", "httpx", "sqlite3", "cffi", "asyncio"}


def test_package_engine_loads_no_http_client() -> None:
    loaded = modules_after("import containerlib; containerlib.Engine, containerlib.container")
    assert "containerlib.fluent.engine" in loaded
    assert not loaded & {"httpx", "asyncio", "ssl", "zstandard", "isal"}


def modules_after(code: str) -> set[str]:
    program = f"{code}; import sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())
