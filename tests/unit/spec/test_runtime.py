"""The types and words of the runtime-spec, held to its own schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints, is_typeddict

import pytest

from containerlib.spec import runtime, vocabulary

SCHEMA = Path(__file__).parents[2] / "data" / "runtime-spec-schema"
OF_WINDOWS = {"commandLine", "username"}


def definition(name: str, file: str = "defs-linux.json") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMA / file).read_text())["definitions"][name]
    return found


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("NamespaceType", vocabulary.NAMESPACES),
        ("RootfsPropagation", vocabulary.PROPAGATIONS),
        ("PersonalityDomain", vocabulary.PERSONALITIES),
        ("SchedulerPolicy", vocabulary.SCHEDULER_POLICIES),
        ("SchedulerFlag", vocabulary.SCHEDULER_FLAGS),
        ("MemoryPolicyMode", vocabulary.MEMORY_POLICY_MODES),
        ("MemoryPolicyFlag", vocabulary.MEMORY_POLICY_FLAGS),
        ("SeccompAction", vocabulary.SECCOMP_ACTIONS),
        ("SeccompOperators", vocabulary.SECCOMP_OPERATORS),
        ("SeccompFlag", vocabulary.SECCOMP_FLAGS),
        ("SeccompArch", vocabulary.SECCOMP_ARCHITECTURES),
    ],
)
def test_words_are_those_of_the_schema(name: str, words: frozenset[str]) -> None:
    assert set(definition(name)["enum"]) == words


def test_words_without_a_definition_are_those_of_the_schema() -> None:
    config = json.loads((SCHEMA / "config-schema.json").read_text())["properties"]
    assert tuple(config["hooks"]["properties"]) == vocabulary.HOOKS
    io_class = config["process"]["properties"]["ioPriority"]["properties"]["class"]
    assert set(io_class["enum"]) == vocabulary.IO_CLASSES
    offsets = json.loads((SCHEMA / "config-linux.json").read_text())["linux"]["properties"]["timeOffsets"]
    assert set(offsets["properties"]) == vocabulary.CLOCKS
    assert (
        definition("FileType")["pattern"]
        == f"^[{''.join(sorted(vocabulary.DEVICE_TYPES, key='cbup'.index))}]$"
    )


def resolved(schema: dict[str, Any], file: str) -> tuple[dict[str, Any], str]:
    """Behind a $ref, and with the parts of an allOf put together."""
    while "$ref" in schema:
        target, _, pointer = schema["$ref"].partition("#")
        file = target or file
        schema = json.loads((SCHEMA / file).read_text())
        for step in pointer.strip("/").split("/"):
            schema = schema[step]
    if "allOf" in schema:
        parts = [resolved(part, file)[0].get("properties", {}) for part in schema["allOf"]]
        schema = {"properties": {name: value for part in parts for name, value in part.items()}}
    return schema, file


def differences(kind: Any, schema: dict[str, Any], file: str, path: str) -> Iterator[str]:
    """Properties that the schema has and the type lacks, or the other way round."""
    schema, file = resolved(schema, file)
    if not is_typeddict(kind):
        return
    hints = get_type_hints(kind)
    properties = schema["properties"]
    for name in sorted((set(properties) - OF_WINDOWS) ^ set(hints)):
        yield f"{path}.{name}"
    for name in set(properties) & set(hints):
        inner, inner_file = resolved(properties[name], file)
        of = hints[name]
        if inner.get("type") == "array":
            items = inner["items"]
            inner, of = items["anyOf"][0] if "anyOf" in items else items, get_args(of)[0]
        elif get_origin(of) is dict:
            of = get_args(of)[1]
            some = next(iter(inner.get("properties", {}).values()), None)
            inner = inner.get("additionalProperties") or some or {}
        yield from differences(of, inner, inner_file, f"{path}.{name}")


def test_types_have_the_properties_of_the_schema() -> None:
    schema = json.loads((SCHEMA / "config-schema.json").read_text())
    assert list(differences(runtime.Spec, schema, "config-schema.json", "")) == []


def test_type_of_the_seccomp_section_has_the_properties_of_the_schema() -> None:
    linux = json.loads((SCHEMA / "config-linux.json").read_text())["linux"]["properties"]
    assert list(differences(runtime.Seccomp, linux["seccomp"], "config-linux.json", "")) == []


def test_missing_property_of_a_type_is_found() -> None:
    schema = {"properties": {"soft": {}, "hard": {}, "type": {}, "more": {}}}
    assert list(differences(runtime.Rlimit, schema, "defs.json", "")) == [".more"]
