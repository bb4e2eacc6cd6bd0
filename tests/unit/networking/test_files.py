from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.networking import HostNetwork, Names, Network, NoNetwork, contents, network, write_files
from containerlib.networking.files import read_host_file, rewrite_hosts

HOST = {"hosts": b"10.0.0.1 machine\n", "resolv.conf": b"nameserver 9.9.9.9\n"}


def read(name: str) -> bytes:
    return HOST[name]


def test_no_network_knows_localhost_only() -> None:
    files = contents(NoNetwork(), "web", read)
    assert b"127.0.0.1\tlocalhost" in files["hosts"]
    assert b"machine" not in files["hosts"]
    assert files["hostname"] == b"web\n"
    assert files["resolv.conf"] == HOST["resolv.conf"]


def test_host_network_has_the_hosts_own_files() -> None:
    assert contents(HostNetwork(), "machine", read)["hosts"] == HOST["hosts"]


def test_host_without_files_still_has_localhost() -> None:
    files = contents(HostNetwork(), "x", lambda _: b"")
    assert b"localhost" in files["hosts"]
    assert files["resolv.conf"] == b""


def test_names_of_its_own_follow_those_of_the_network() -> None:
    files = contents(HostNetwork(), "x", lambda _: b"10.0.0.1 machine", Names(hosts=(("db", "10.0.0.2"),)))
    assert files["hosts"] == b"10.0.0.1 machine\n10.0.0.2\tdb\n"


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (Names(servers=("1.1.1.1",)), b"search x\noptions a\nnameserver 1.1.1.1\n"),
        (Names(search=("y", "z")), b"nameserver 9.9.9.9\noptions a\nsearch y z\n"),
        (Names(search=(".",)), b"nameserver 9.9.9.9\noptions a\n"),
        (Names(options=("b", "c")), b"nameserver 9.9.9.9\nsearch x\noptions b c\n"),
    ],
)
def test_resolver_lines_that_are_given_replace_the_hosts(names: Names, text: bytes) -> None:
    host = b"nameserver 9.9.9.9\nsearch x\noptions a\n"
    assert contents(NoNetwork(), "x", lambda _: host, names)["resolv.conf"] == text


@pytest.mark.parametrize(
    ("name", "value", "namespace"), [("none", NoNetwork(), "network"), ("host", HostNetwork(), None)]
)
def test_word_of_the_option_says_which_namespace(name: str, value: Network, namespace: str | None) -> None:
    found = network(name)  # type: ignore[arg-type]
    assert found == value
    assert (found.namespace or {}).get("type") == namespace


def test_unknown_network_is_refused() -> None:
    with pytest.raises(InvalidArgument) as caught:
        network("bridge")  # type: ignore[arg-type]
    assert caught.value.field == "network"


def test_files_are_written_for_every_user_and_bound_into_etc(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        mounts = write_files(str(tmp_path), NoNetwork(), "web", read)
    finally:
        os.umask(old)
    assert [m["destination"] for m in mounts] == ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"]
    for mount in mounts:
        assert mount["type"] == "bind"
        assert Path(mount["source"]).stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "hostname").read_text() == "web\n"


def test_files_are_not_written_through_links(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "hosts").symlink_to(victim)
    with pytest.raises(StageError) as caught:
        write_files(str(tmp_path / "c"), NoNetwork(), "web", read)
    assert caught.value.stage == "network"
    assert victim.read_text() == "mine"


def test_host_file_that_is_missing_or_endless_is_no_obstacle(tmp_path: Path) -> None:
    assert read_host_file("hosts", str(tmp_path)) == b""
    os.mkfifo(tmp_path / "hosts")
    assert read_host_file("hosts", str(tmp_path)) == b""
    (tmp_path / "resolv.conf").mkdir()
    assert read_host_file("resolv.conf", str(tmp_path)) == b""


def test_own_addresses_are_replaced_and_other_lines_stay(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1\tlocalhost\n10.0.0.2\tweb\n10.0.0.2  other\n# 10.0.0.2 web")
    rewrite_hosts(str(tmp_path), "web", {"10.0.0.2"}, ["10.0.0.3", "fd00::3"])
    assert hosts.read_text() == (
        "127.0.0.1\tlocalhost\n10.0.0.2  other\n# 10.0.0.2 web\n10.0.0.3\tweb\nfd00::3\tweb\n"
    )
