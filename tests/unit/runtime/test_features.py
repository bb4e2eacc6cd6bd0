from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from containerlib.runtime.config.features import features
from containerlib.runtime.config.validate import validate
from containerlib.runtime.plan import capabilities
from containerlib.spec import vocabulary
from rig.configs import json_schema, small_config


@cache
def document() -> dict[str, Any]:
    return features()


def test_document_is_right_by_the_schema() -> None:
    written = json.loads(json.dumps(document()))
    assert [error.message for error in json_schema("features-schema.json").iter_errors(written)] == []
    assert json_schema("features-schema.json").is_valid({**written, "hooks": "none"}) is False


def test_versions_are_read() -> None:
    """Spec: runtime-spec features.md#specification-version: both must be accepted."""
    for name in ("ociVersionMin", "ociVersionMax"):
        validate({**small_config(), "ociVersion": document()[name]})


def test_hooks_are_all_of_them_in_the_order_in_which_they_run() -> None:
    assert document()["hooks"] == list(vocabulary.HOOKS)


def test_mount_options_are_the_specifications_and_no_file_systems() -> None:
    options = set(document()["mountOptions"])
    assert vocabulary.MOUNT_OPTIONS - options == set()
    assert options - vocabulary.MOUNT_OPTIONS == {"copy-symlink"}


@pytest.mark.parametrize("word", ["size", "mode", "newinstance", "no-such-option"])
def test_mount_option_of_a_file_system_is_not_listed(word: str) -> None:
    assert word not in document()["mountOptions"]


def test_namespaces_are_the_specifications() -> None:
    assert set(document()["linux"]["namespaces"]) == vocabulary.NAMESPACES


def test_capabilities_are_those_that_a_config_may_name() -> None:
    assert document()["linux"]["capabilities"] == list(capabilities.NAMES)


def test_seccomp_words_are_the_specifications() -> None:
    seccomp = document()["linux"]["seccomp"]
    assert seccomp["enabled"] is True
    assert set(seccomp["actions"]) == vocabulary.SECCOMP_ACTIONS
    assert set(seccomp["operators"]) == vocabulary.SECCOMP_OPERATORS
    assert set(seccomp["archs"]) == vocabulary.SECCOMP_ARCHITECTURES
    assert set(seccomp["knownFlags"]) == vocabulary.SECCOMP_FLAGS


@pytest.mark.parametrize(
    ("release", "lacking"),
    [
        ((6, 1), set()),
        ((5, 19), set()),
        ((5, 18), {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}),
        ((4, 16), {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"}),
    ],
)
def test_supported_flags_are_those_of_the_kernel(release: tuple[int, int], lacking: set[str]) -> None:
    seccomp = features(release)["linux"]["seccomp"]
    assert set(seccomp["knownFlags"]) - set(seccomp["supportedFlags"]) == lacking


def test_memory_policies_are_the_specifications() -> None:
    policy = document()["linux"]["memoryPolicy"]
    assert set(policy["modes"]) == vocabulary.MEMORY_POLICY_MODES
    assert set(policy["flags"]) == vocabulary.MEMORY_POLICY_FLAGS


@pytest.mark.parametrize("name", ["apparmor", "selinux", "intelRdt", "netDevices"])
def test_what_the_table_has_as_implemented_is_enabled(name: str) -> None:
    assert document()["linux"][name]["enabled"] is True


def test_cgroup_managers_are_named() -> None:
    assert document()["linux"]["cgroup"] == dict.fromkeys(
        ("v1", "v2", "systemd", "systemdUser", "rdma"), True
    )


def test_annotations_are_strings_with_the_versions() -> None:
    annotations = document()["annotations"]
    assert all(isinstance(value, str) for value in annotations.values())
    assert set(annotations) == {"io.containerlib.version"}
