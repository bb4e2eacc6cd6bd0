"""Files of names, and what a resolv.conf says."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path

import pytest

from containerlib.errors import StageError
from containerlib.networking.names import Line, NameFiles, Server, servers_of

WEB = Line("cl1", (ip_address("172.16.0.2"), ip_address("fd00::2")), ("Web.backend", "Web", "web", "www"))
DB = Line("cl12", (ip_address("172.16.0.3"),), ("db.backend", "db"))


@pytest.fixture
def files(tmp_path: Path) -> NameFiles:
    return NameFiles(str(tmp_path / "networks"))


def text(files: NameFiles, name: str) -> str:
    return Path(files.directory, name).read_text()


def test_line_of_each_address_has_all_names_once_in_lower_case() -> None:
    names = "web.backend web www"
    assert WEB.text().decode() == f"ac100002 cl1 {names}\nfd00{'0' * 27}2 cl1 {names}\n"


def test_added_lines_take_the_place_of_the_devices_own(files: NameFiles) -> None:
    files.add("n", WEB)
    files.add("n", DB)
    files.add("n", Line("cl1", WEB.addresses[:1], ("new",)))
    assert text(files, "n") == "ac100003 cl12 db.backend db\nac100002 cl1 new\n"
    files.remove("n", "cl1")
    files.remove("n", "cl9")
    assert text(files, "n") == DB.text().decode()


def test_file_that_stays_as_it_is_is_not_written(files: NameFiles) -> None:
    """Every resolver of the network would read it again."""
    files.replace("n", [WEB, DB])
    before = Path(files.directory, "n").stat().st_ino
    files.replace("n", [WEB, DB])
    assert Path(files.directory, "n").stat().st_ino == before
    files.replace("n", [DB])
    assert text(files, "n") == DB.text().decode()


def test_view_has_networks_and_a_few_servers(files: NameFiles) -> None:
    servers = [Server(ip_address(f"10.0.0.{number}")) for number in range(1, 9)]
    assert files.show("c", ["n", "m"], [Server(ip_address("fe80::1"), scope=3), *servers]) == "c.view"
    lines = text(files, "c.view").splitlines()
    assert lines[:3] == ["network n", "network m", "server fe80" + "0" * 27 + "1 53 3"]
    assert lines[3:] == [f"server 0a00000{number} 53 0" for number in (1, 2, 3)]


def test_files_can_be_read_by_nobody_whatever_the_umask(files: NameFiles) -> None:
    before = os.umask(0o077)
    try:
        files.add("n", WEB)
    finally:
        os.umask(before)
    assert Path(files.directory, "n").stat().st_mode & 0o777 == 0o644
    assert Path(files.directory).stat().st_mode & 0o777 == 0o755


def test_others_are_forgotten(files: NameFiles) -> None:
    assert not files.any()
    files.forget_others([], [])
    assert not files.any()
    for name in ("n", "m"):
        files.add(name, WEB)
    files.show("c", ["n"], [])
    files.show("d", ["n"], [])
    Path(files.directory, "n.77").touch()
    Path(files.directory).chmod(0o700)  # of who was killed while making it
    files.forget_others(["n"], ["c"])
    assert sorted(path.name for path in Path(files.directory).iterdir()) == ["c.view", "n"]
    assert Path(files.directory).stat().st_mode & 0o777 == 0o755
    files.forget_container("c")
    files.forget("n")
    files.forget("n")
    assert list(Path(files.directory).iterdir()) == []


def test_disk_that_refuses_is_a_stage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StageError, match="network"):
        NameFiles(str(tmp_path / "file")).add("n", WEB)


def test_servers_of_a_resolv_conf() -> None:
    read = servers_of(
        b"# nameserver 1.1.1.1\nnameserver 127.0.0.53\nsearch a\nnameserver  ::1 # x\nnameserver\nnameserver x\n"
        b"nameserver fe80::1%lo\nnameserver fe80::1%none0\n\xff\n"
    )
    assert read == [
        Server(ip_address("127.0.0.53")),
        Server(ip_address("::1")),
        Server(ip_address("fe80::1%lo"), 53, 1),
    ]


def test_view_is_written_while_another_process_forgets_the_others(files: NameFiles) -> None:
    """Who does so sees a file that is half written, and cannot know whose it is."""
    known = "1" * 64
    files.show(known, [], [])
    written = threading.Event()

    def forget() -> None:
        while not written.is_set():
            files.forget_others([], [known])

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(forget)
        try:
            for _ in range(2000):
                files.show(known, ["2" * 64], [])
        finally:
            written.set()
        other.result()
    assert [path.name for path in Path(files.directory).iterdir()] == [f"{known}.view"]


def test_line_of_a_device_that_the_host_does_not_see_is_replaced_all_the_same(files: NameFiles) -> None:
    unseen = Line("cl1", (ip_address("10.0.0.2"),), ("web.lan", "web"), is_seen=False)
    files.add("1" * 64, DB)
    files.add("1" * 64, unseen)
    assert text(files, "1" * 64).splitlines()[1] == "0a000002 - web.lan cl1 web"
    files.remove("1" * 64, "cl1")
    assert text(files, "1" * 64).encode() == DB.text()
