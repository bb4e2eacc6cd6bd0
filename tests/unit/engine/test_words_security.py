"""What the words about confinement and ids take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.engine import words_security as words
from containerlib.errors import InvalidArgument
from containerlib.spec.options import UserNamespace

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
