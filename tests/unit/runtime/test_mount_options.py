"""Each word of a mount's options: one row, and no word of the specification without one."""

from __future__ import annotations

from typing import Any

import pytest

from containerlib.runtime.plan.mount_options import Attributes, MountOptions, parse
from containerlib.spec import vocabulary

RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW = 0x1, 0x2, 0x4, 0x8, 0x80, 0x200000
NOATIME, STRICTATIME, RELATIME, ATIME = 0x10, 0x20, 0x0, 0x70
MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED = 1 << 17, 1 << 18, 1 << 19, 1 << 20

ATTRIBUTES = {
    "ro": Attributes(RDONLY, 0),
    "rw": Attributes(0, RDONLY),
    "nosuid": Attributes(NOSUID, 0),
    "suid": Attributes(0, NOSUID),
    "nodev": Attributes(NODEV, 0),
    "dev": Attributes(0, NODEV),
    "noexec": Attributes(NOEXEC, 0),
    "exec": Attributes(0, NOEXEC),
    "nodiratime": Attributes(NODIRATIME, 0),
    "diratime": Attributes(0, NODIRATIME),
    "nosymfollow": Attributes(NOSYMFOLLOW, 0),
    "symfollow": Attributes(0, NOSYMFOLLOW),
    "noatime": Attributes(NOATIME, ATIME),
    "atime": Attributes(RELATIME, ATIME),
    "relatime": Attributes(RELATIME, ATIME),
    "norelatime": Attributes(),
    "strictatime": Attributes(STRICTATIME, ATIME),
    "nostrictatime": Attributes(RELATIME, ATIME),
}
OTHERS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "async": {},
    "sync": {"superblock": ("sync",)},
    "dirsync": {"superblock": ("dirsync",)},
    "lazytime": {"superblock": ("lazytime",)},
    "nolazytime": {},
    "mand": {"superblock": ("mand",)},
    "nomand": {},
    "iversion": {"superblock": ("iversion",)},
    "noiversion": {},
    "silent": {"superblock": ("silent",)},
    "loud": {},
    "bind": {"bind": True},
    "rbind": {"bind": True, "recursive": True},
    "remount": {"remount": True},
    "private": {"propagation": MS_PRIVATE},
    "rprivate": {"propagation": MS_PRIVATE, "propagation_recursive": True},
    "slave": {"propagation": MS_SLAVE},
    "rslave": {"propagation": MS_SLAVE, "propagation_recursive": True},
    "shared": {"propagation": MS_SHARED},
    "rshared": {"propagation": MS_SHARED, "propagation_recursive": True},
    "unbindable": {"propagation": MS_UNBINDABLE},
    "runbindable": {"propagation": MS_UNBINDABLE, "propagation_recursive": True},
    "idmap": {"mapped": True},
    "ridmap": {"mapped": True, "mapped_recursive": True},
    "tmpcopyup": {"copy_up": True},
    "copy-symlink": {"copy_symlink": True},
}
WORDS = {
    **{word: MountOptions(attributes=attributes) for word, attributes in ATTRIBUTES.items()},
    **{f"r{word}": MountOptions(attributes, attributes) for word, attributes in ATTRIBUTES.items()},
    **{word: MountOptions(**fields) for word, fields in OTHERS.items()},
}


@pytest.mark.parametrize("word", sorted(WORDS))
def test_word_alone_means_what_its_row_says(word: str) -> None:
    assert parse([word]) == WORDS[word]


def test_every_word_of_the_specification_has_a_row() -> None:
    assert vocabulary.MOUNT_OPTIONS - WORDS.keys() == set()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], MountOptions()),
        (["ro", "nosuid", "nodev", "noexec"], MountOptions(Attributes(0xF, 0))),
        (["ro", "rw"], MountOptions(Attributes(0, RDONLY))),
        (["rw", "ro"], MountOptions(Attributes(RDONLY, 0))),
        (["noatime", "strictatime"], MountOptions(Attributes(STRICTATIME, ATIME))),
        (["noatime", "atime"], MountOptions(Attributes(RELATIME, ATIME))),
        (["strictatime", "atime"], MountOptions(Attributes(STRICTATIME, ATIME))),
        (["noatime", "norelatime"], MountOptions(Attributes(NOATIME, ATIME))),
        (["relatime", "norelatime"], MountOptions()),
        (["strictatime", "nostrictatime"], MountOptions(Attributes(RELATIME, ATIME))),
        (["rro", "rw"], MountOptions(Attributes(0, RDONLY), Attributes(RDONLY, 0))),
        (["ro", "rrw"], MountOptions(Attributes(0, RDONLY), Attributes(0, RDONLY))),
        (["nosuid", "rro"], MountOptions(Attributes(RDONLY | NOSUID, 0), Attributes(RDONLY, 0))),
        (["rbind", "bind"], MountOptions(bind=True, recursive=True)),
        (["private", "rshared"], MountOptions(propagation=MS_SHARED, propagation_recursive=True)),
        (["rshared", "private"], MountOptions(propagation=MS_PRIVATE)),
        (["ridmap", "idmap"], MountOptions(mapped=True)),
        (["dirsync", "sync", "async"], MountOptions(superblock=("dirsync",))),
        (["silent", "loud", "iversion", "noiversion"], MountOptions()),
    ],
)
def test_words_together_are_taken_in_their_order(words: list[str], expected: MountOptions) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (
            ["size=64k", "mode=755", "newinstance"],
            (("size", "64k"), ("mode", "755"), ("newinstance", "")),
        ),
        (["lowerdir=/a=b"], (("lowerdir", "/a=b"),)),
        (["size=64k,mode=755", "uid=1"], (("size", "64k"), ("mode", "755"), ("uid", "1"))),
        (["lowerdir=/with\\,comma:/b"], (("lowerdir", "/with\\,comma:/b"),)),
        (['context="u:r:t:s0:c1,c2"'], (("context", "u:r:t:s0:c1,c2"),)),
        ([""], ()),
        (["rbindx", "r", "rsize=4096", "ro2"], (("rbindx", ""), ("r", ""), ("rsize", "4096"), ("ro2", ""))),
        (["rdefaults", "rsync", "rbindable"], (("rdefaults", ""), ("rsync", ""), ("rbindable", ""))),
    ],
)
def test_what_is_no_known_word_is_the_file_systems_own(
    words: list[str], data: tuple[tuple[str, str], ...]
) -> None:
    assert parse(words) == MountOptions(data=data)
