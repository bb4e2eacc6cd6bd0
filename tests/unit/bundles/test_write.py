from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from containerlib.bundles.seccomp import resolve
from containerlib.bundles.write import encode, write
from containerlib.errors import StageError
from containerlib.spec.runtime import Spec
from containerlib.spec.seccomp import SeccompSection

SECTION = SeccompSection({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})


@pytest.mark.parametrize(
    "spec",
    [
        {"linux": {"seccomp": SECTION, "cgroupsPath": "/x"}, "ociVersion": "1.1.0", "hostname": "ü"},
        {"linux": {"seccomp": SECTION}},
        {"linux": {"cgroupsPath": "/x"}},
        {"linux": {"seccomp": dict(SECTION)}},
        {"ociVersion": "1.1.0"},
    ],
)
def test_encoded_config_reads_back_the_same(spec: Spec) -> None:
    assert json.loads(encode(spec)) == spec


def test_resolved_section_goes_into_the_file_with_the_text_that_it_brings(tmp_path: Path) -> None:
    section = resolve(None, frozenset(), "amd64", (6, 1))
    write(str(tmp_path), {"linux": {"seccomp": section}})
    assert section.encoded in (tmp_path / "config.json").read_bytes()


def test_config_is_for_its_owner_only_and_can_be_written_again(tmp_path: Path) -> None:
    write(str(tmp_path), {"hostname": "a" * 100})
    write(str(tmp_path), {"hostname": "b"})
    assert json.loads((tmp_path / "config.json").read_text()) == {"hostname": "b"}
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_missing_directory_is_a_stage_error_that_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"gone/config\.json") as caught:
        write(str(tmp_path / "gone"), {})
    assert caught.value.stage == "bundle"


@pytest.mark.parametrize("before", [{}, {"config.json": '{"hostname":"old"}'}])
def test_config_is_read_whole_at_each_step_of_its_writing(tmp_path: Path, before: dict[str, str]) -> None:
    found = []
    for name, text in before.items():
        (tmp_path / name).write_text(text)

    def look(*_: object) -> None:
        with suppress(FileNotFoundError):
            found.append((tmp_path / "config.json").read_text())

    sys.setprofile(look)
    try:
        write(str(tmp_path), {"hostname": "new"})
    finally:
        sys.setprofile(None)
    assert set(found) == {'{"hostname":"new"}', *before.values()}
