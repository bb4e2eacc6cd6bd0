from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from containerlib.runtime.config.properties import SECTIONS, Status, implemented, page, rows
from containerlib.runtime.config.refusals import REFUSALS
from containerlib.spec import vocabulary

ROOT = Path(__file__).parents[3]
SCHEMA = ROOT / "tests" / "data" / "runtime-spec-schema"


def schema_paths(schema: dict[str, Any], file: str, path: str) -> Iterator[str]:
    """Every property of the schema that is a value and no object, as the table writes its path."""
    while "$ref" in schema:
        target, _, pointer = schema["$ref"].partition("#")
        file = target or file
        schema = json.loads((SCHEMA / file).read_text())
        for step in pointer.strip("/").split("/"):
            schema = schema[step]
    inner = [*schema.get("allOf", ()), *schema.get("anyOf", ())]
    for part in inner:
        yield from schema_paths(part, file, path)
    if "properties" in schema:
        for name, value in schema["properties"].items():
            if not path and name in vocabulary.OTHER_PLATFORMS:
                yield name  # a row for the whole section
            else:
                yield from schema_paths(value, file, f"{path}.{name}" if path else name)
    elif schema.get("type") == "array":
        yield from schema_paths(schema["items"], file, f"{path}[]")
    elif isinstance(schema.get("additionalProperties"), dict):
        yield from schema_paths(schema["additionalProperties"], file, f"{path}.*")
    elif not inner:
        yield path


@cache
def table() -> dict[str, Status]:
    return {row.path: row.status for row in rows()}


def test_every_property_of_the_schema_has_a_row() -> None:
    schema = json.loads((SCHEMA / "config-schema.json").read_text())
    paths = set(schema_paths(schema, "config-schema.json", ""))
    assert len(paths) > 150
    assert sorted(path for path in paths if path.removesuffix("[]") not in table()) == []


def test_every_object_on_the_way_to_a_property_has_a_row_or_is_an_element() -> None:
    missing = set()
    for path in table():
        if re.fullmatch(r"[\w.\[\]*]+", path) and not path.startswith(("state.", "features.")):
            parents = [path[: match.start()] for match in re.finditer(r"\.", path)]
            missing |= {p for p in parents if p not in table() and not p.endswith(("[]", "*"))}
    assert missing <= {"linux.timeOffsets.boottime", "linux.timeOffsets.monotonic"}


def test_every_row_is_there_once() -> None:
    assert [path for path, count in Counter(row.path for row in rows()).items() if count > 1] == []


def test_every_mount_option_has_a_row() -> None:
    prefix = "mounts[].options: "
    listed = {path.removeprefix(prefix) for path in table() if path.startswith(prefix)}
    assert listed - {"copy-symlink", "of the file system"} == vocabulary.MOUNT_OPTIONS


def test_refused_rows_are_the_refusals_with_their_sentences() -> None:
    refused = {row.path: row.sentence for row in rows() if row.status is not Status.IMPLEMENTED}
    assert refused == REFUSALS


def test_implemented_is_what_the_row_says() -> None:
    assert implemented("linux.seccomp")
    assert not implemented("windows")
    assert not implemented("linux.personality.flags")
    assert not implemented("no such property")


def test_every_anchor_is_of_a_document_of_the_specification() -> None:
    documents = {section.anchor.partition("#")[0] for section in SECTIONS}
    assert documents == {"config.md", "config-linux.md", "runtime.md", "runtime-linux.md", "features.md"}


def test_page_of_the_documentation_is_the_table() -> None:
    """To write it: python -m containerlib.runtime.config.properties > docs/runtime-spec.md"""
    assert (ROOT / "docs" / "runtime-spec.md").read_text() == page()


@cache
def functions_of(file: str) -> frozenset[str]:
    path = ROOT / file
    return (
        frozenset(re.findall(r"^\s*def (test_\w+)\(", path.read_text(), re.MULTILINE))
        if path.is_file()
        else frozenset()
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_every_row_names_a_test_that_exists(section: Any) -> None:
    """Last: it holds once everything is shown."""
    missing = []
    for row in section.rows:
        file, _, name = row.test.partition("::")
        if name.partition("[")[0] not in functions_of(file):
            missing.append(f"{row.path}: {row.test or 'no test'}")
    assert missing == []
