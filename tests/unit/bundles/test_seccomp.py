from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from containerlib.bundles.capabilities import DEFAULT
from containerlib.bundles.seccomp import resolve
from containerlib.errors import InvalidArgument
from containerlib.spec.seccomp import canonical

DOCKER = Path(__file__).parents[2] / "data" / "docker-seccomp-default.json"
KERNEL = (6, 1)
CAPABILITY_SETS = [
    frozenset(DEFAULT),
    frozenset(),
    frozenset({*DEFAULT, "CAP_SYS_ADMIN"}),
    frozenset({*DEFAULT, "CAP_SYS_PTRACE", "CAP_SYSLOG", "CAP_BPF", "CAP_SYS_TIME", "CAP_DAC_READ_SEARCH"}),
    frozenset(
        {"CAP_SYS_BOOT", "CAP_SYS_MODULE", "CAP_SYS_PACCT", "CAP_SYS_RAWIO", "CAP_SYS_NICE", "CAP_PERFMON"}
    ),
]


def effect(section: dict[str, Any]) -> set[tuple[str, str, Any, str]]:
    """A section as a set of facts: what is done with which call, under which comparisons."""
    return {
        (name, rule["action"], rule.get("errnoRet"), json.dumps(rule.get("args", []), sort_keys=True))
        for rule in section["syscalls"]
        for name in rule["names"]
    }


@pytest.mark.parametrize("architecture", ["amd64", "arm64", "s390x", "riscv64", "ppc64le"])
@pytest.mark.parametrize("capabilities", CAPABILITY_SETS, ids=range(len(CAPABILITY_SETS)))
@pytest.mark.parametrize("kernel", [KERNEL, (4, 4)])
def test_default_profile_resolves_as_dockers_does(
    architecture: str, capabilities: frozenset[str], kernel: tuple[int, int]
) -> None:
    ours = resolve(None, capabilities, architecture, kernel)
    theirs = resolve(DOCKER.read_text(), capabilities, architecture, kernel)
    # whose first argument may ask for a socket of any family, out of the filter's sight
    socketcall = ("socketcall", "SCMP_ACT_ALLOW", None, "[]")
    assert effect(ours) == effect(theirs) - {socketcall}
    assert {k: v for k, v in ours.items() if k != "syscalls"} == {
        k: v for k, v in theirs.items() if k != "syscalls"
    }


def test_default_profile_resolves_to_the_known_result() -> None:
    section = resolve(None, frozenset(DEFAULT), "amd64", KERNEL)
    text = json.dumps(sorted(effect(section), key=str))
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "5d69e8c1694252d1"


def test_docker_conditions_are_all_decided() -> None:
    section = resolve(None, frozenset(DEFAULT), "amd64", KERNEL)
    assert section["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]
    assert not any({"includes", "excludes", "comment"} & set(rule) for rule in section["syscalls"])


def test_clone3_is_enosys_until_the_container_may_make_namespaces() -> None:
    def rule(capabilities: frozenset[str]) -> dict[str, Any]:
        section = resolve(None, capabilities, "amd64", KERNEL)
        return next(rule for rule in section["syscalls"] if "clone3" in rule["names"])

    assert (rule(frozenset(DEFAULT))["action"], rule(frozenset(DEFAULT))["errnoRet"]) == (
        "SCMP_ACT_ERRNO",
        38,
    )
    assert rule(frozenset({"CAP_SYS_ADMIN"}))["action"] == "SCMP_ACT_ALLOW"


def test_profile_in_the_runtime_specs_form_passes_through() -> None:
    section = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            {
                "names": ["mkdir"],
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 5,
                "args": [{"index": 1, "value": 7, "valueTwo": 3, "op": "SCMP_CMP_MASKED_EQ"}],
            }
        ],
    }
    assert resolve(json.dumps(section), frozenset(), "amd64", KERNEL) == section


def test_dockers_old_form_with_one_name_is_taken() -> None:
    profile = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"name": "mkdir", "action": "SCMP_ACT_KILL", "args": None}],
    }
    section = resolve(json.dumps(profile), frozenset(), "amd64", KERNEL)
    assert section["syscalls"] == [{"names": ["mkdir"], "action": "SCMP_ACT_KILL"}]


@pytest.mark.parametrize(
    "profile",
    [
        "strict",
        "[]",
        "{}",
        '{"defaultAction": "SCMP_ACT_SMILE"}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"action": "SCMP_ACT_ALLOW"}]}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": {"names": []}}',
        '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "allow"}]}',
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_LOG", '
            '"args": [{"index": 6, "value": 1, "op": "SCMP_CMP_EQ"}]}]}'
        ),
        '{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "archMap": [{}]}',
        (
            '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": '
            '[{"names": ["a"], "action": "SCMP_ACT_LOG", "includes": {"minKernel": "x"}}]}'
        ),
    ],
)
def test_what_is_no_profile_is_refused(profile: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(profile, frozenset(), "amd64", KERNEL)
    assert caught.value.field == "seccomp"


def test_same_question_has_the_same_answer_without_work() -> None:
    first = resolve(None, frozenset(DEFAULT), "amd64", KERNEL)
    assert resolve(None, frozenset(DEFAULT), "amd64", KERNEL) is first
    assert first.encoded == canonical(dict(first))
