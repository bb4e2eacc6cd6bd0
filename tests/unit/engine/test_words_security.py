"""What the words about confinement and ids take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.engine import words_security as words
from containerlib.errors import InvalidArgument
from containerlib.spec.options import UserNamespace
from containerlib.spec.secret import Secret

FILE: dict[str, Any] = {"at": None, "env": None, "mode": None, "uid": None, "gid": None}
NOTHING: dict[str, Any] = {"size": None, "uids": None, "gids": None}


def userns(kind: str, **given: Any) -> UserNamespace:
    return words.user_namespace(kind, **{**NOTHING, **given})


@pytest.mark.parametrize(
    ("field", "use"),
    [
        ("seccomp", lambda: words.seccomp({})),
        ("seccomp", lambda: words.seccomp(5)),  # type: ignore[arg-type]
        ("apparmor", lambda: words.apparmor("a b")),
        ("selinux", lambda: words.label("container_t", field="selinux")),
        ("mask", lambda: words.paths(("ALL",), field="mask")),
        ("unmask", lambda: words.paths(("proc",), field="unmask")),
        ("secret", lambda: words.secret("a/b", b"", **FILE)),
        ("secret", lambda: words.secret("a", b"x" * (words.MAX_SECRET + 1), **FILE)),
        ("secret", lambda: words.secret("a", "text", **FILE)),  # type: ignore[arg-type]
        ("mode", lambda: words.secret("a", b"", **{**FILE, "mode": 0o1000})),
        ("uid", lambda: words.secret("a", b"", **{**FILE, "uid": 2**32 - 1})),
        ("gid", lambda: words.secret("a", b"", **{**FILE, "gid": -1})),
        ("env", lambda: words.secret("a", b"", **{**FILE, "env": ""})),
        ("at", lambda: words.secret("a", b"", **{**FILE, "at": "/run/secrets"})),
        ("at", lambda: words.secret("a", b"", **{**FILE, "at": "/run"})),
        ("at", lambda: words.secret("a", b"", **{**FILE, "at": "/proc/self/attr/exec"})),
        ("at", lambda: words.secret("a", b"", **{**FILE, "at": "relative"})),
        ("env", lambda: words.secret("a", b"", **{**FILE, "env": "A=B"})),
        ("secret", lambda: words.secret("a", b"\0", **{**FILE, "env": "A"})),
        ("at", lambda: words.secret("a", b"", **{**FILE, "env": "A", "at": "/x"})),
        ("uid", lambda: words.secret("a", b"", **{**FILE, "env": "A", "uid": 0})),
        ("userns", lambda: userns("private")),
        ("uids", lambda: userns("maps")),
        ("uids", lambda: userns("auto", uids=[(0, 1, 1)])),
        ("uids", lambda: userns("maps", uids=[(1, 1, 1)])),
        ("uids", lambda: userns("maps", uids=[(0, 1, 5), (4, 10, 1)])),
        ("uids", lambda: userns("maps", uids=[(0, 1, 5), (5, 4, 1)])),
        ("gids", lambda: userns("maps", uids=[(0, 1, 1)], gids=[(0, 1)])),
        ("gids", lambda: userns("auto", gids=[(0, 1, 1)])),
        ("size", lambda: userns("host", size=1)),
        ("size", lambda: userns("auto", size=0)),
    ],
)
def test_word_that_cannot_be_is_refused_by_name(field: str, use: Callable[[], object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        use()
    assert caught.value.field == field


def test_seccomp_is_a_text_a_value_or_a_file(tmp_path: Path) -> None:
    assert words.seccomp("unconfined") == {"seccomp": "unconfined", "seccomp_file": None}
    assert words.seccomp({"defaultAction": "X"})["seccomp"] == '{"defaultAction": "X"}'
    assert words.seccomp(tmp_path / "x")["seccomp_file"] == str(tmp_path / "x")


def test_user_namespace_gids_are_the_uids_unless_given() -> None:
    ids = ((0, 1000, 5), (5, 2000, 1))
    assert userns("maps", uids=ids) == UserNamespace("maps", uids=ids, gids=ids)
    assert userns("maps", uids=ids, gids=[(0, 1, 1)]).gids == ((0, 1, 1),)
    assert userns("auto", size=10).size == 10


def test_user_namespace_refused_says_what_its_kind_needs() -> None:
    with pytest.raises(InvalidArgument, match="needs uids"):
        userns("maps")
    with pytest.raises(InvalidArgument, match="takes no uids"):
        userns("auto", uids=[(0, 1, 1)])


def test_user_namespace_has_dockers_size_and_no_map_where_none_is_given() -> None:
    assert userns("auto") == UserNamespace("auto", size=65_536)
    assert userns("auto", size=2**30).size == 2**30
    assert userns("host") == UserNamespace("host")
    assert userns("keep-id") == UserNamespace("keep-id")


def test_secret_has_the_facts_that_it_was_given(tmp_path: Path) -> None:
    assert words.secret("a", b"x", **FILE) == Secret("a", "/run/secrets/a", b"x")
    given = {**FILE, "at": "/etc/key", "mode": 0o777, "uid": 5, "gid": 6}
    assert words.secret("a", b"", **given) == Secret("a", "/etc/key", b"", mode=0o777, uid=5, gid=6)
    file = words.secret("a", tmp_path / "x", **FILE)
    assert (file.value, file.source) == (b"", str(tmp_path / "x"))
    assert words.secret("a", b"\0" * words.MAX_SECRET, **FILE).value == b"\0" * words.MAX_SECRET
    assert words.secret("a", b"x", **{**FILE, "env": "A"}).variable == "A"


def test_apparmor_unconfined_is_no_profile() -> None:
    assert words.apparmor("unconfined") is None
    assert words.apparmor("docker-default") == "docker-default"


def test_paths_to_show_are_all_or_each_once() -> None:
    assert words.paths(("ALL",), field="unmask") == ("ALL",)
    assert words.paths(("/proc//sys", "/proc/sys/"), field="mask") == ("/proc/sys",)
