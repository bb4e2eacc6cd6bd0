"""Namespaces that are the container's own, the host's, or another one's."""

from __future__ import annotations

import pytest

from containerlib.bundles.mounts import mounts_of
from containerlib.bundles.namespaces import check_sharing, namespaces_of
from containerlib.errors import InvalidArgument
from containerlib.spec.options import ContainerOptions

OWN = {"pid", "mount", "uts", "ipc", "cgroup", "network"}


def kinds(options: ContainerOptions) -> set[str]:
    return {namespace["type"] for namespace in namespaces_of(options)}


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        (ContainerOptions(), set()),
        (ContainerOptions(ipc="none"), set()),
        (ContainerOptions(pid="host"), {"pid"}),
        (ContainerOptions(uts="host", ipc="host"), {"uts", "ipc"}),
        (ContainerOptions(cgroupns="host", network="host"), {"cgroup", "network"}),
    ],
)
def test_namespace_of_the_host_is_not_made(options: ContainerOptions, missing: set[str]) -> None:
    assert OWN - kinds(options) == missing


def test_namespace_of_another_container_is_joined() -> None:
    options = ContainerOptions(pid="container:a", network="container:b")
    joined = {each["type"]: each["path"] for each in namespaces_of(options) if "path" in each}
    assert joined == {"pid": "container:a", "network": "container:b"}
    assert options.joined == (("network", "b"), ("pid", "a"))


@pytest.mark.parametrize(
    ("field", "options"),
    [
        ("hostname", ContainerOptions(uts="host", hostname="x")),
        ("domainname", ContainerOptions(uts="container:a", domainname="x")),
        ("hostname", ContainerOptions(network="container:a", hostname="x")),
        ("hosts", ContainerOptions(network="container:a", hosts=(("x", "10.0.0.1"),))),
        ("dns", ContainerOptions(network="container:a", dns=("10.0.0.1",))),
        ("shm_size", ContainerOptions(ipc="host", shm_bytes=1)),
    ],
)
def test_what_is_shared_cannot_be_chosen(field: str, options: ContainerOptions) -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_sharing(options)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("options", "sources"),
    [
        (ContainerOptions(), ["shm"]),
        (ContainerOptions(ipc="host"), ["/dev/shm"]),
        (ContainerOptions(ipc="none"), []),
        (ContainerOptions(ipc="container:a"), ["container:a"]),
    ],
)
def test_shared_memory_is_where_the_messages_are(options: ContainerOptions, sources: list[str]) -> None:
    mounts = mounts_of(options, (), (6, 1))
    assert [mount["source"] for mount in mounts if mount["destination"] == "/dev/shm"] == sources
