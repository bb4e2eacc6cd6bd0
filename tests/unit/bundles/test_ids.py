"""Where the ids of user namespaces come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib.bundles.ids import DEFAULT, IdMaps, identity, joined_spec, mapped_spec, ranges, root_place
from containerlib.errors import Unsupported
from containerlib.spec.runtime import Spec

SPEC: Spec = {
    "root": {"path": "rootfs", "readonly": True},
    "linux": {
        "namespaces": [{"type": "pid"}],
        "sysctl": {"net.ipv4.ping_group_range": "0 2147483647", "net.core.somaxconn": "5"},
    },
}


def files(subuid: str, subgid: str) -> Callable[[str], str]:
    return {"/etc/subuid": subuid, "/etc/subgid": subgid}.__getitem__


@pytest.mark.parametrize(
    ("subuid", "subgid", "expected"),
    [
        ("", "", [DEFAULT]),
        ("containers:100:50\n", "containers:100:50\n", [(100, 50)]),
        ("containers:100:50\n", "containers:120:50\n", [(120, 30)]),
        ("containers:100:50\n", "", [DEFAULT]),
        ("root:5:5\ncontainers:100:50", "root:5:5\ncontainers:100:50", [(100, 50)]),
        ("root:5:5\nme:100:50", "root:5:5\nme:100:50", [(5, 5)]),
        ("root:x:5\nroot:1", "root:1:5", [DEFAULT]),
    ],
)
def test_ids_are_those_of_both_files(subuid: str, subgid: str, expected: list[tuple[int, int]]) -> None:
    assert ranges(files(subuid, subgid)) == expected


def test_ids_that_stay_are_all_that_this_process_has() -> None:
    maps = identity(lambda _: "         0     100000      65536\n     70000  5  1\n")
    assert maps.uids == maps.gids == ((0, 0, 65536), (70000, 70000, 1))


def test_id_on_the_host_of_one_that_is_not_mapped_is_roots() -> None:
    maps = IdMaps(((0, 1000, 10), (20, 5000, 5)), ((0, 2000, 10),))
    assert maps.on_host(3, 3) == (1003, 2003)
    assert maps.on_host(21, 99) == (5001, 2000)


def test_spec_of_a_user_namespace_has_maps_and_a_place_and_no_unmapped_groups() -> None:
    made = mapped_spec(SPEC, IdMaps(((0, 7, 8),), ((0, 9, 8),)), "/mnt")
    assert made["root"] == {"path": "/mnt", "readonly": True}
    assert made["linux"] == {
        "namespaces": [{"type": "pid"}, {"type": "user"}],
        "uidMappings": [{"containerID": 0, "hostID": 7, "size": 8}],
        "gidMappings": [{"containerID": 0, "hostID": 9, "size": 8}],
        "sysctl": {"net.core.somaxconn": "5"},
    }
    assert joined_spec(SPEC, "container:x", "/mnt")["linux"]["namespaces"][-1] == {
        "type": "user",
        "path": "container:x",
    }


def test_place_of_the_root_is_open_to_all(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o700)
    (tmp_path / "open").mkdir(mode=0o755)
    assert root_place([str(tmp_path / name) for name in ("none", "closed", "open")]) == str(tmp_path / "open")
    with pytest.raises(Unsupported, match="make one of them"):
        root_place([str(tmp_path / "closed")])
