from __future__ import annotations

import pytest

from containerlib.errors import Unsupported
from containerlib.runtime.mount_options import MountOptions, parse

MS_PRIVATE, MS_SLAVE = 1 << 18, 1 << 19


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], MountOptions()),
        (["rw", "suid", "dev", "exec", "relatime", "defaults"], MountOptions()),
        (["ro", "nosuid", "nodev", "noexec"], MountOptions(attributes=0xF)),
        (["noatime"], MountOptions(attributes=0x10)),
        (["rro"], MountOptions(attributes=0x1, recursive_attributes=True)),
        (["bind"], MountOptions(bind=True)),
        (["rbind", "rprivate"], MountOptions(0, True, MS_PRIVATE, bind=True, recursive=True)),
        (["slave"], MountOptions(propagation=MS_SLAVE)),
        (
            ["size=64k", "mode=755", "newinstance"],
            MountOptions(data=(("size", "64k"), ("mode", "755"), ("newinstance", ""))),
        ),
        (["lowerdir=/a=b"], MountOptions(data=(("lowerdir", "/a=b"),))),
    ],
)
def test_parse_sorts_words_into_what_the_kernel_takes(words: list[str], expected: MountOptions) -> None:
    assert parse(words) == expected


@pytest.mark.parametrize("word", ["idmap", "ridmap", "tmpcopyup", "idmap=a"])
def test_parse_of_a_word_that_is_not_there_yet_names_it(word: str) -> None:
    with pytest.raises(Unsupported, match=word):
        parse([word])
