"""Any change of a configuration that is right: it is right too, or named wrong, as the schema and the text have it."""

from __future__ import annotations

import copy
import json
import re
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from containerlib.errors import Error, InvalidArgument, Unsupported
from containerlib.runtime.config.validate import validate, validate_process, validate_resources
from containerlib.spec import vocabulary
from rig.configs import full_config, json_schema, small_config

Path = tuple[str | int, ...]

_LANDMARKS = st.sampled_from(
    [-(2**63) - 1, -(2**63), -1001, -2, -1, 0, 1, 5, 100, 101, 511, 512, 65536, 2**31, 2**32, 2**63, 2**64]
)
_WORDS = st.sampled_from(
    sorted(
        vocabulary.NAMESPACES
        | vocabulary.PROPAGATIONS
        | vocabulary.SECCOMP_ACTIONS
        | vocabulary.SCHEDULER_POLICIES
        | vocabulary.MEMORY_POLICY_MODES
        | vocabulary.RLIMITS
        | vocabulary.DEVICE_TYPES
        | {
            "a",
            "",
            ".",
            "..",
            "/",
            "/a",
            "../b",
            "a b",
            "a=b",
            "0-1",
            "rbind",
            "idmap",
            "net.a",
            "\0",
            "\ud800",
        }
    )
)
_LEAVES = st.one_of(
    st.none(), st.booleans(), _LANDMARKS, st.integers(), st.floats(), _WORDS, st.text(max_size=8)
)
_JSON = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_WORDS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)


def _paths(value: Any, path: Path = ()) -> Iterator[Path]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _paths(item, (*path, key))


_ALL_PATHS = sorted((path for path in _paths(full_config()) if path), key=str)


def _at(config: Any, path: Path) -> Any:
    for step in path:
        config = config[step]
    return config


def _replace(config: Any, path: Path, value: Any) -> None:
    _at(config, path[:-1])[path[-1]] = value


def _delete(config: Any, path: Path, _value: Any) -> None:
    del _at(config, path[:-1])[path[-1]]


def _repeat(config: Any, path: Path, value: Any) -> None:
    place = _at(config, path)
    if isinstance(place, list) and place:
        place.append(copy.deepcopy(place[0]))
    elif isinstance(place, dict):
        place["more" if not isinstance(value, str) else value] = value


def _exchange(config: Any, path: Path, value: Any) -> None:
    """The value of another place of the configuration, picked by `value`."""
    other = _ALL_PATHS[zlib.crc32(json.dumps(value).encode()) % len(_ALL_PATHS)]
    try:
        _replace(config, path, copy.deepcopy(_at(config, other)))
    except (KeyError, IndexError, TypeError):  # an earlier change took it away
        return


_CHANGES: list[Callable[[Any, Path, Any], None]] = [_replace, _delete, _repeat, _exchange]


@st.composite
def any_config(draw: st.DrawFn) -> dict[str, Any]:
    config = draw(st.sampled_from([small_config, full_config]))()
    for _ in range(draw(st.integers(1, 4))):
        paths = [path for path in _paths(config) if path]
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        draw(st.sampled_from(_CHANGES))(config, path, draw(_JSON))
    return config


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_config())
def test_any_config_is_right_or_named_wrong(config: dict[str, Any]) -> None:
    try:
        validate(config)
    except (InvalidArgument, Unsupported) as error:
        assert str(error)  # noqa: PT017 - any other kind is the failure
        if isinstance(error, InvalidArgument) and config:
            assert error.field  # noqa: PT017


@settings(max_examples=100, deadline=None)
@given(_JSON)
def test_any_json_is_right_or_named_wrong(document: object) -> None:
    for check in (validate, validate_process, validate_resources):
        try:
            check(document)
        except (InvalidArgument, Unsupported):
            continue


_BY_THE_TEXT = re.compile(
    r"""
    # what the specification's text requires and its schema does not
    root | process | process\.cwd | process\.args (\[0\])? | root\.path | (hostname | domainname)
    | process\.env\[\d+\] | process\.consoleSize\.(height | width) | process\.oomScoreAdj
    | process\.(rlimits\[\d+\]\.(type | soft)) | process\.scheduler\.\w+ | process\.ioPriority\.priority
    | process\.execCPUAffinity\.\w+
    | mounts\[\d+\](\.(destination | type | source | options) | \.[ug]idMappings (\[\d+\]\.\w+)?)
    | hooks\.\w+\[\d+\]\.(path | timeout) | annotations\[""\]
    | linux\.namespaces\[\d+\]\.(type | path) | linux\.[ug]idMappings (\[\d+\]\.\w+)?
    | linux\.timeOffsets (\W.*)? | linux\.devices\[\d+\]\.\w+ | linux\.netDevices (\W.*)?
    | linux\.cgroupsPath | linux\.intelRdt\.(closID | memBwSchema) | linux\.memoryPolicy\.(mode | nodes | flags)
    | linux\.sysctl (\W.*)? | linux\.rootfsPropagation | linux\.(masked | readonly)Paths\[\d+\]
    | linux\.personality\.domain
    | linux\.seccomp\.(defaultErrnoRet | listenerPath | listenerMetadata | syscalls\[\d+\]\.errnoRet)
    | linux\.seccomp\.syscalls\[\d+\]\.args\[\d+\]\.index
    | linux\.resources\.devices\[\d+\]\.(type | access) | linux\.resources\.memory\.\w+
    | linux\.resources\.cpu\.(burst | idle | cpus | mems)
    | linux\.resources\.blockIO\.\w+\[\d+\](\.rate)? | linux\.resources\.network\.priorities\[\d+\]\.name
    | linux\.resources\.(rdma | unified)\W.*
    | ociVersion
    """,
    re.VERBOSE | re.DOTALL,
)
_NO_TEXT = re.compile(r" has a NUL in it| is half a surrogate pair")


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_config())
@example(full_config())
def test_config_is_held_to_the_schema_and_to_the_text(config: dict[str, Any]) -> None:
    """Right by the schema: accepted, but for the rules of the text. Wrong by the schema: refused."""
    valid = json_schema("config-schema.json").is_valid(config)
    try:
        validate(config)
    except Unsupported:
        return  # by name: test_property_that_is_refused_is_named_with_the_reason
    except InvalidArgument as error:
        if valid:
            assert _BY_THE_TEXT.fullmatch(error.field) or _NO_TEXT.search(str(error))  # noqa: PT017
        return
    except Error as error:
        pytest.fail(f"{type(error).__name__}: {error}")
    if (
        not valid
    ):  # one place is more lenient than the schema: what a device's mode has beside the permissions
        for device in config.get("linux", {}).get("devices", ()):
            device.pop("fileMode", None)
        assert [error.message for error in json_schema("config-schema.json").iter_errors(config)] == []
