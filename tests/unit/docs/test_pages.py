"""The pages keep up with what they are about."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

import containerlib as cl
from containerlib import errors

ROOT = Path(__file__).parents[3]
PROJECT = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["project"]
EXTRAS = [name for group in PROJECT["optional-dependencies"].values() for name in group]


@pytest.mark.parametrize("requirement", [*PROJECT["dependencies"], *EXTRAS])
def test_dependencies_page_names_each_requirement(requirement: str) -> None:
    name = re.split(r"[^\w-]", requirement)[0]
    assert re.search(rf"\b{re.escape(name)}\b", ROOT.joinpath("docs/dependencies.md").read_text())


def test_dependencies_page_names_each_package_of_the_jobs() -> None:
    lists = r"session\.install\((.*)\)|PACKAGES = \[([^\]]*)\]|debian_packages\(session, \[(.*)\]\)"
    texts = "".join("".join(groups) for groups in re.findall(lists, ROOT.joinpath("noxfile.py").read_text()))
    names = {re.split("=", name)[0] for name in re.findall(r'"([a-z][^"]*)"', texts)}
    assert {"ruff", "clang-format", "gcc", "podman", "qemu-system-x86"} <= names
    page = ROOT.joinpath("docs/dependencies.md").read_text()
    assert [name for name in sorted(names) if not re.search(rf"\b{re.escape(name)}\b", page)] == []


def test_api_page_has_each_public_name() -> None:
    page = ROOT.joinpath("docs/api.md").read_text()
    named = set(re.findall(r"containerlib\.(\w+)(?:\(\))?$", page, re.MULTILINE))
    assert "errors" in named
    assert {*cl.__all__} - named - {*errors.__all__} == set()


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_page_nox_sessions_exist(page: str) -> None:
    sessions = set(re.findall(r"^def (\w+)\(session", ROOT.joinpath("noxfile.py").read_text(), re.MULTILINE))
    commands = re.findall(r"nox -s ((?:[a-z]+ ?)+)", ROOT.joinpath(page).read_text())
    assert {name for command in commands for name in command.split()} <= sessions


@pytest.mark.parametrize("page", ["README.md", *(str(path) for path in ROOT.glob("docs/*.md"))])
def test_page_relative_links_lead_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [link for link in links if not path.parent.joinpath(link).exists()] == []


def test_page_for_users_of_other_libraries_names_words_that_are_there() -> None:
    page = ROOT.joinpath("docs/python-users.md").read_text()
    ours = " ".join(row.rpartition(" | ")[2] for row in re.findall(r"^\| `.*\|$", page, re.MULTILINE))
    kinds = {
        r"`\.": cl.ContainerRecipe,
        r"\bcontainer\.": cl.Container,
        r"\bengine\.": cl.Engine,
        r"\bcl\.": cl,
    }
    named = {(kind, name) for start, kind in kinds.items() for name in re.findall(rf"{start}(\w+)", ours)}
    assert {"exec", "inspect", "limit", "events", "ExitError"} <= {name for _, name in named}
    assert [name for kind, name in named if not hasattr(kind, name)] == []


def test_files_that_sources_and_pages_name_are_there() -> None:
    """A module that was renamed leaves its old name in other modules' docstrings."""
    folders = ("containerlib", "_native", "tests", "examples", "docs")
    known = {path.name for folder in folders for path in ROOT.joinpath(folder).rglob("*.*")}
    pages = [ROOT / "CONTRIBUTING.md", ROOT / "README.md", *ROOT.glob("docs/*.md")]
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in [*ROOT.joinpath("containerlib").rglob("*.py"), *pages]
        for name in re.findall(r"(?<![\w.-])(?:\w+/)*(\w+\.py)\b", path.read_text())
        if name not in known | {"noxfile.py"}
    ]
    assert wrong == []
