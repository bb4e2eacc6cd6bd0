"""What CRIU has found out of the kernel: kept for this boot, and given to each that starts."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from containerlib._sys.filesystem import type_of
from containerlib.errors import Unsupported
from containerlib.runtime.checkpoint.kernel_facts import kept, shown
from rig.bundles import Bundled, Rack
from rig.checkpoints import checkpoint, restore
from rig.mounts import mounted_tmpfs

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: mounts for a thread alone")

LOADED = "Loaded kdat cache"
BOOT = Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A /run on a disk."""
    path = tmp_path / "run"
    path.mkdir()
    if type_of(str(path)) == "tmpfs":
        pytest.skip("temporary files are in memory here")
    return path


def look(run: Path, seen: list[str]) -> Callable[[], object]:
    """CRIU's part."""

    def write() -> None:
        seen.append("looked")
        assert not list(run.iterdir())
        (run / "criu.kdat").write_text("facts")

    return write


def test_what_is_found_is_kept_for_this_boot(run: Path) -> None:
    seen: list[str] = []
    files = {kept(look(run, seen), str(run)) for _ in range(2)}
    assert files == {f"{run}/containerlib/criu-{BOOT}"}
    assert Path(files.pop() or "").read_text() == "facts"
    assert seen == ["looked"]
    assert [path.name for path in run.iterdir()] == ["containerlib"]  # the rest was in the thread's mounts
    assert (run / "containerlib").stat().st_mode & 0o777 == 0o700


def test_what_an_earlier_boot_has_found_is_not_used_and_gone(run: Path) -> None:
    (run / "containerlib").mkdir()
    (run / "containerlib" / "criu-other").write_text("of another kernel")
    file = kept(look(run, []), str(run))
    assert [str(path) for path in (run / "containerlib").iterdir()] == [file]


def test_nothing_is_kept_where_criu_finds_nothing(run: Path) -> None:
    def fail() -> None:
        raise Unsupported("no")

    assert kept(fail, str(run)) is None
    assert kept(lambda: None, str(run)) is None
    assert not list(run.iterdir())


def test_nothing_is_kept_where_criu_keeps_it_itself(run: Path) -> None:
    with mounted_tmpfs(run, size="1m"):
        assert kept(look(run, []), str(run)) is None


def test_process_finds_it_in_criu_s_place_and_others_do_not(run: Path) -> None:
    place = run / "criu.kdat"
    (run / "facts").write_text("facts")

    def read() -> bytes:
        return subprocess.run(["cat", place], check=True, capture_output=True).stdout

    assert shown(str(run / "facts"), read, str(place)) == b"facts"
    assert place.read_text() == ""
    assert shown(None, read, str(place)) == b""


@pytest.mark.usefixtures("needs_criu")
def test_criu_is_told_what_it_has_found_before(rack: Rack, counter: Bundled, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    checkpoint(counter, tmp_path / "first", leave_running=True)
    images = checkpoint(counter, tmp_path / "images", work=work, leave_running=True)
    assert LOADED in (work / "dump.log").read_text(errors="replace")
    again = restore(rack, counter, images)
    assert LOADED in Path(f"{again.directory}/restore.log").read_text(errors="replace")
