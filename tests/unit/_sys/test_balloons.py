from __future__ import annotations

from pathlib import Path

from containerlib._sys.balloons import takes_back


def device(directory: Path, name: str, features: str) -> None:
    (directory / name).mkdir(parents=True)
    (directory / name / "features").write_text(f"{features}\n")


def test_balloon_that_reports_free_pages_takes_memory_back(tmp_path: Path) -> None:
    device(tmp_path, "virtio0", "01100101" + "0" * 56)
    (tmp_path / "bind").write_text("")  # what a driver has beside its devices
    assert takes_back(str(tmp_path))


def test_balloon_without_reports_and_no_balloon_leave_memory_here(tmp_path: Path) -> None:
    device(tmp_path, "virtio0", "01100001" + "0" * 56)
    (tmp_path / "bind").write_text("")
    assert not takes_back(str(tmp_path))
    assert not takes_back(str(tmp_path / "none"))
