from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib.bundles.users import ResolvedUser, resolve_user
from containerlib.errors import InvalidArgument, NotFound

PASSWD = """\
root:x:0:0:root:/root:/bin/sh

# a comment
broken line
daemon:x:1:1::/usr/sbin:/bin/false
redis:x:999:1000::/data:/bin/sh
nohome:x:7:7
1234:x:55:55::/numeric:/bin/sh
huge:x:99999999999999999999:1::/:/bin/sh
exponent:x:²:1::/:/bin/sh
groupless:x:8:²::/:/bin/sh
:x:66:66::/nobodys:/bin/sh
"""
GROUP = """\
root:x:0:
bin:x:1:root,daemon
redis:x:1000:
video:x:44:redis,other
audio:x:29:redis
4243:x:45:
alone:x:46
exponent:x:²:redis
huge:x:99999999999999999999:redis
"""


def layer(directory: Path, passwd: str | None = PASSWD, group: str | None = GROUP) -> str:
    (directory / "etc").mkdir(parents=True)
    if passwd is not None:
        (directory / "etc" / "passwd").write_text(passwd)
    if group is not None:
        (directory / "etc" / "group").write_text(group)
    return str(directory)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, ResolvedUser(0, 0, (0, 1), "/root")),
        ("", ResolvedUser(0, 0, (0, 1), "/root")),
        ("0", ResolvedUser(0, 0, (0, 1), "/root")),
        ("redis", ResolvedUser(999, 1000, (1000, 44, 29), "/data")),
        ("999", ResolvedUser(999, 1000, (1000, 44, 29), "/data")),
        ("redis:", ResolvedUser(999, 1000, (1000, 44, 29), "/data")),
        ("redis:video", ResolvedUser(999, 44, (44,), "/data")),
        ("redis:4242", ResolvedUser(999, 4242, (4242,), "/data")),
        ("redis:4243", ResolvedUser(999, 4243, (4243,), "/data")),
        ("redis:alone", ResolvedUser(999, 46, (46,), "/data")),
        ("66", ResolvedUser(66, 0, (0,), "/")),
        ("8", ResolvedUser(8, 0, (0,), "/")),
        ("2147483647:2147483647", ResolvedUser(2**31 - 1, 2**31 - 1, (2**31 - 1,), "/")),
        ("4000", ResolvedUser(4000, 0, (0,), "/")),
        ("4000:4001", ResolvedUser(4000, 4001, (4001,), "/")),
        ("nohome", ResolvedUser(7, 7, (7,), "/")),
        ("1234", ResolvedUser(1234, 0, (0,), "/")),
        ("55", ResolvedUser(55, 55, (55,), "/numeric")),
    ],
)
def test_user_is_resolved_by_dockers_rules(text: str | None, expected: ResolvedUser, tmp_path: Path) -> None:
    assert resolve_user(text, [layer(tmp_path)]) == expected


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("nobody", "user 'nobody'.*passwd"),
        ("root:nogroup", "group 'nogroup'.*group"),
        ("-1", "-1"),
        ("huge", "user 'huge'"),
        ("exponent", "user 'exponent'"),
        ("groupless", "user 'groupless'"),
        ("root:huge", "group 'huge'"),
        ("root:exponent", "group 'exponent'"),
    ],
)
def test_unknown_name_is_not_found_and_named_with_its_file(text: str, named: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=named):
        resolve_user(text, [layer(tmp_path)])


@pytest.mark.parametrize("text", ["2147483648", "0:99999999999999999999"])
def test_id_beyond_the_kernels_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve_user(text, [layer(tmp_path)])
    assert caught.value.field == "user"


def test_image_without_files_knows_numbers_only(tmp_path: Path) -> None:
    assert resolve_user("5", [str(tmp_path)]) == ResolvedUser(5, 0, (0,), "/")
    with pytest.raises(NotFound):
        resolve_user("root", [str(tmp_path)])


def test_file_of_the_top_layer_wins_and_is_read_anew(tmp_path: Path) -> None:
    lower = layer(tmp_path / "lower")
    upper = layer(tmp_path / "upper", "app:x:5:6::/app:\n", None)
    assert resolve_user("app", [upper, lower]) == ResolvedUser(5, 6, (6,), "/app")
    (tmp_path / "upper" / "etc" / "passwd").write_text("app:x:8:6::/app:\n")
    assert resolve_user("app", [upper, lower]).uid == 8


def test_links_are_resolved_inside_the_image_and_through_its_layers(tmp_path: Path) -> None:
    lower, upper = tmp_path / "lower", tmp_path / "upper"
    (lower / "usr" / "lib").mkdir(parents=True)
    (lower / "usr" / "lib" / "passwd").write_text("app:x:5:6::/app:\n")
    (upper / "etc").mkdir(parents=True)
    (upper / "etc" / "passwd").symlink_to("../../../../usr/lib/passwd")
    assert resolve_user("app", [str(upper), str(lower)]).uid == 5
    (upper / "etc" / "passwd").unlink()
    (upper / "etc" / "passwd").symlink_to("/usr/lib/passwd")
    assert resolve_user("app", [str(upper), str(lower)]).uid == 5


@pytest.mark.parametrize(
    "target", ["/etc/passwd", "{outside}", "../../../../../../../../etc/passwd", "passwd"]
)
def test_link_never_leads_to_the_hosts_files(target: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("evil:x:0:0::/:\n")
    image = tmp_path / "image"
    (image / "etc").mkdir(parents=True)
    (image / "etc" / "passwd").symlink_to(target.format(outside=outside))
    for name in ("evil", "daemon"):
        with pytest.raises(NotFound):
            resolve_user(name, [str(image)])


def test_directory_link_of_a_hostile_image_never_leads_out(tmp_path: Path) -> None:
    layer(tmp_path / "outside", "evil:x:0:0::/:\n")
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "etc").symlink_to(tmp_path / "outside" / "etc")
    with pytest.raises(NotFound):
        resolve_user("evil", [str(tmp_path / "image")])


def test_fifo_in_place_of_a_file_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    assert resolve_user("0", [str(tmp_path)]).home == "/"


def test_file_in_a_lower_layer_is_hidden_by_a_file_above_its_directory(tmp_path: Path) -> None:
    lower = layer(tmp_path / "lower")
    (tmp_path / "upper").mkdir()
    (tmp_path / "upper" / "etc").write_text("not a directory")
    with pytest.raises(NotFound):
        resolve_user("redis", [str(tmp_path / "upper"), lower])


def test_no_descriptor_is_left_open(tmp_path: Path) -> None:
    image = layer(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    resolve_user("redis", [image, image])
    with pytest.raises(NotFound):
        resolve_user("nobody", [image, image])
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.privileged("CAP_MKNOD: makes whiteouts")
def test_whiteout_hides_the_file_of_a_lower_layer(tmp_path: Path) -> None:
    lower = layer(tmp_path / "lower")
    (tmp_path / "upper" / "etc").mkdir(parents=True)
    os.mknod(tmp_path / "upper" / "etc" / "passwd", 0o600 | 0o020000, os.makedev(0, 0))
    with pytest.raises(NotFound):
        resolve_user("redis", [str(tmp_path / "upper"), lower])
    assert resolve_user("1:video", [str(tmp_path / "upper"), lower]).gid == 44


@pytest.mark.privileged("CAP_SYS_ADMIN: sets trusted attributes")
def test_opaque_directory_hides_lower_layers(tmp_path: Path) -> None:
    lower = layer(tmp_path / "lower")
    (tmp_path / "upper" / "etc").mkdir(parents=True)
    os.setxattr(tmp_path / "upper" / "etc", "trusted.overlay.opaque", b"y")
    with pytest.raises(NotFound):
        resolve_user("redis", [str(tmp_path / "upper"), lower])


def test_groups_beside_the_users_own_are_added(tmp_path: Path) -> None:
    layers = [layer(tmp_path)]
    assert resolve_user("redis", layers, ("4242", "bin", "video")).additional_gids == (1000, 44, 29, 4242, 1)
    assert resolve_user("redis:video", layers, ("audio",)).additional_gids == (44, 29)


def test_group_that_the_image_lacks_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no group 'wheel'"):
        resolve_user("redis", [layer(tmp_path)], ("wheel",))
