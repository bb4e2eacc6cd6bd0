"""Which snapshotter works on which ground."""

from __future__ import annotations

from typing import Any

import pytest

from containerlib.errors import Unsupported
from containerlib.images.snapshots.choice import Ground, find_snapshotter
from containerlib.spec.options import SnapshotterName


def ground(**changes: Any) -> Ground:
    """One on which all work."""
    facts = {
        "state": "ext4",
        "lacks_files": lambda: None,
        "user_namespace": False,
        "knows": lambda _: True,
        "program": lambda: "/bin/fuse-overlayfs",
        **changes,
    }
    return Ground(**facts)


NO_FILES = {"lacks_files": lambda: "no EROFS"}
NO_OVERLAY = {"knows": lambda kind: kind != "overlay"}
NO_PROGRAM = {"program": lambda: None}


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "erofs"),
        (NO_FILES, "overlay"),
        ({"user_namespace": True}, "overlay-userxattr"),
        (NO_OVERLAY, "fuse-overlayfs"),
        ({"state": "overlay"}, "fuse-overlayfs"),
        ({"state": "nfs4"}, "fuse-overlayfs"),
        ({"state": "fuse.sshfs"}, "fuse-overlayfs"),
        ({**NO_OVERLAY, **NO_PROGRAM}, "copy"),
        ({"knows": lambda _: False}, "copy"),
    ],
)
def test_auto_is_the_first_that_works(changes: dict[str, Any], kind: str) -> None:
    assert find_snapshotter("auto", ground(**changes)).kind == kind


@pytest.mark.parametrize(
    ("name", "changes", "word"),
    [
        ("erofs", NO_FILES, "no EROFS"),
        ("erofs", {"user_namespace": True}, "only the host's root"),
        ("erofs", {"state": "overlay"}, "choose another root"),
        ("overlay", NO_OVERLAY, "modprobe overlay"),
        ("overlay", {"state": "nfs"}, "cannot write to nfs"),
        ("fuse-overlayfs", NO_PROGRAM, "apt-get install fuse-overlayfs"),
        ("fuse-overlayfs", {"knows": lambda _: False}, "modprobe fuse"),
    ],
)
def test_named_that_cannot_work_is_refused_with_what_it_lacks(
    name: SnapshotterName, changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(Unsupported, match=f"'{name}' cannot work here.*{word}"):
        find_snapshotter(name, ground(**changes))


def test_named_is_taken_though_another_would_do_better() -> None:
    assert find_snapshotter("copy", ground()).kind == "copy"
    assert find_snapshotter("overlay", ground()).kind == "overlay"


def test_try_leaves_nothing(tmp_path: Any) -> None:
    find_snapshotter("auto", Ground.of(str(tmp_path / "try")))
    assert list(tmp_path.iterdir()) == []
