"""What the words about mounts take."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import containerlib as cl
from containerlib.engine import words_mounts as words
from containerlib.errors import InvalidArgument
from containerlib.fluent.mounts import mount_option
from containerlib.spec.options import MountOption

NO_NUMBERS = {"mode": None, "uid": None, "gid": None, "inodes": None}


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("propagation", lambda: words.propagation("rpublic")),
        ("recursive", lambda: words.recursion("all", read_only=True, propagation="rprivate")),  # type: ignore[arg-type]
        ("recursive", lambda: words.recursion("writable", read_only=False, propagation="rprivate")),
        ("recursive", lambda: words.recursion("readonly", read_only=True, propagation="rshared")),
        ("id_map", lambda: words.id_map([])),
        ("id_map", lambda: words.id_map([(0, 1)])),  # type: ignore[list-item]
        ("id_map", lambda: words.id_map([(0, -1, 1)])),
        ("subpath", lambda: words.subpath("/x")),
        ("subpath", lambda: words.subpath("a/../../x")),
        ("subpath", lambda: words.subpath(".")),
        ("mode", lambda: words.tmpfs_options(**{**NO_NUMBERS, "mode": 0o10000})),
        ("inodes", lambda: words.tmpfs_options(**{**NO_NUMBERS, "inodes": -1})),
        ("exec", lambda: cl.tmpfs(exec="yes")),  # type: ignore[arg-type]
        ("propagation", lambda: mount_option(cl.tmpfs(), at="/x", propagation="rslave")),
        ("subpath", lambda: mount_option("/srv", at="/x", subpath="y")),
        ("copy", lambda: mount_option("/srv", at="/x", copy=False)),
    ],
)
def test_word_that_cannot_be_is_refused_by_name(field: str, use: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        use()
    assert caught.value.field == field


def test_tmpfs_options_are_the_kernels() -> None:
    assert cl.tmpfs(mode=0o1770, uid=5, inodes=9, exec=True).options == (
        "mode=1770",
        "uid=5",
        "nr_inodes=9",
        "exec",
    )


def test_mount_words_of_a_host_path_are_kept() -> None:
    option = mount_option(
        "/srv", at="/x", read_only=True, propagation="rslave", recursive="writable", id_map=[(0, 1000, 1)]
    )
    assert option == MountOption(
        "bind", "/x", "/srv", True, propagation="rslave", recursive="writable", id_map=((0, 1000, 1),)
    )
