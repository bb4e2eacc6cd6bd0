from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containerlib.errors import AlreadyExists, Conflict, InvalidArgument, NotFound, StageError
from containerlib.store import Store
from containerlib.volumes import VolumeStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path)
    yield store
    store.close()


@pytest.fixture
def volumes(tmp_path: Path, store: Store) -> VolumeStore:
    return VolumeStore(tmp_path, store)


def test_volume_is_an_empty_directory_with_a_record(tmp_path: Path, volumes: VolumeStore) -> None:
    volume = volumes.create("www", labels={"team": "web"})
    assert volume.path == str(tmp_path / "volumes" / "www")
    assert list(Path(volume.path).iterdir()) == []
    assert volume.labels == (("team", "web"),)
    assert volumes.get("www") == volume
    assert volumes.path("www") == volume.path
    assert volumes.list() == [volume]


def test_volume_is_every_users_whatever_the_umask(volumes: VolumeStore) -> None:
    before = os.umask(0o077)
    try:
        volume = volumes.create("www")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(volume.path).stat().st_mode) == 0o755


def test_name_is_taken_once(volumes: VolumeStore) -> None:
    Path(volumes.create("www").path, "kept").touch()
    with pytest.raises(AlreadyExists):
        volumes.create("www")
    assert Path(volumes.path("www"), "kept").exists()


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", ".lock", "-x", "a\n", "ü", "a" * 256])
def test_name_that_is_no_plain_file_name_is_refused(name: str, volumes: VolumeStore) -> None:
    for verb in (volumes.create, volumes.get, volumes.ensure, volumes.remove):
        with pytest.raises(InvalidArgument) as caught:
            verb(name)
        assert caught.value.field == "volume"


def test_removed_volume_is_gone_with_its_content(tmp_path: Path, volumes: VolumeStore) -> None:
    Path(volumes.create("www").path, "file").write_text("x")
    volumes.remove("www")
    assert [path.name for path in (tmp_path / "volumes").iterdir()] == [".lock"]
    for verb in (volumes.get, volumes.remove):
        with pytest.raises(NotFound):
            verb("www")


def test_volume_in_use_is_not_removed(volumes: VolumeStore) -> None:
    path = volumes.create("www").path
    with pytest.raises(Conflict, match="web") as caught:
        volumes.remove("www", in_use=lambda name: ["web"] if name == "www" else [])
    assert caught.value.state == "in use"
    assert Path(path).is_dir()


def test_ensure_makes_a_volume_once(volumes: VolumeStore) -> None:
    made = volumes.ensure("www", {"team": "web"})
    Path(made.path, "kept").touch()
    assert volumes.ensure("www", {"team": "other"}) == made
    assert made.labels == (("team", "web"),)
    assert Path(made.path, "kept").exists()


def test_directory_of_a_killed_process_never_becomes_part_of_a_volume(
    tmp_path: Path, volumes: VolumeStore
) -> None:
    (tmp_path / "volumes" / "www").mkdir(parents=True)
    (tmp_path / "volumes" / "www" / "stale").write_text("another's data")
    assert list(Path(volumes.create("www").path).iterdir()) == []


def test_prune_removes_what_no_record_knows(tmp_path: Path, volumes: VolumeStore) -> None:
    kept = volumes.create("www").path
    for name in ("left", ".removed-0123"):
        (tmp_path / "volumes" / name / "deep").mkdir(parents=True)
    assert volumes.prune() == [".removed-0123", "left"]
    assert volumes.prune() == []
    assert Path(kept).is_dir()


def test_link_in_place_of_a_volume_is_not_followed(tmp_path: Path, volumes: VolumeStore) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").touch()
    (tmp_path / "volumes").mkdir()
    (tmp_path / "volumes" / "www").symlink_to(victim)
    path = Path(volumes.create("www").path)
    assert path.is_dir()
    assert not path.is_symlink()
    assert (victim / "file").exists()


def test_many_at_once_make_one_volume(tmp_path: Path, store: Store) -> None:
    paths: list[str] = []
    threads = [
        threading.Thread(target=lambda: paths.append(VolumeStore(tmp_path, store).ensure("www").path))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(paths) == 8
    assert len(set(paths)) == 1
    assert len(VolumeStore(tmp_path, store).list()) == 1


def test_root_without_room_is_a_stage_error(tmp_path: Path, store: Store) -> None:
    (tmp_path / "volumes").write_text("a file")
    with pytest.raises(StageError) as caught:
        VolumeStore(tmp_path, store).create("www")
    assert caught.value.stage == "volume"


def put(name: str) -> Callable[[str], bool]:
    def write(directory: str) -> bool:
        Path(directory, name).touch()
        return True

    return write


def test_volume_that_is_empty_is_filled_once(volumes: VolumeStore) -> None:
    path = Path(volumes.create("www").path)
    assert volumes.fill("www", put("first"))
    assert not volumes.fill("www", put("second"))
    assert [entry.name for entry in path.iterdir()] == ["first"]


def test_volume_that_is_filled_stays_the_same_directory_for_those_who_have_it(volumes: VolumeStore) -> None:
    place = os.open(volumes.create("www").path, os.O_RDONLY)
    try:
        assert volumes.fill("www", put("first"))
        assert os.listdir(place) == ["first"]  # noqa: PTH208 - a descriptor
    finally:
        os.close(place)


def test_volume_gets_owner_mode_and_time_of_what_fills_it(volumes: VolumeStore) -> None:
    def write(directory: str) -> bool:
        Path(directory).chmod(0o2750)
        os.utime(directory, (1, 1))
        return True

    path = Path(volumes.create("www").path)
    assert volumes.fill("www", write)
    assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_mtime) == (0o2750, 1.0)


def test_many_that_fill_one_volume_at_once_find_it_full_in_the_end(
    tmp_path: Path, store: Store, volumes: VolumeStore
) -> None:
    path, filled = Path(volumes.create("www").path), []

    def fill() -> None:
        own = VolumeStore(tmp_path, store)
        filled.append(own.fill("www", put("first")))
        assert list(path.iterdir()) == [path / "first"]

    threads = [threading.Thread(target=fill) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filled) == [False] * 7 + [True]


def test_volume_is_replaced_as_a_whole_or_not_at_all(tmp_path: Path, volumes: VolumeStore) -> None:
    path = Path(volumes.create("www").path)
    Path(path, "old").touch()

    def fail(directory: str) -> bool:
        Path(directory, "half").touch()
        raise ValueError("no archive")

    with pytest.raises(ValueError, match="no archive"):
        volumes.replace("www", fail)
    assert [entry.name for entry in path.iterdir()] == ["old"]
    with pytest.raises(Conflict, match="web"):
        volumes.replace("www", put("new"), lambda _: ["web"])
    volumes.replace("www", put("new"))
    assert [entry.name for entry in path.iterdir()] == ["new"]
    assert sorted(entry.name for entry in (tmp_path / "volumes").iterdir()) == [".lock", "www"]


def test_volume_that_nests_deeper_than_python_does_is_removed(tmp_path: Path, volumes: VolumeStore) -> None:
    place = os.open(volumes.create("www").path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = below
    os.close(place)
    volumes.remove("www")
    assert [path.name for path in (tmp_path / "volumes").iterdir()] == [".lock"]


def test_volume_whose_filling_fails_stays_empty(volumes: VolumeStore, tmp_path: Path) -> None:
    def fail(directory: str) -> bool:
        Path(directory, "half").touch()
        raise ValueError("no space")

    path = Path(volumes.create("www").path)
    with pytest.raises(ValueError, match="no space"):
        volumes.fill("www", fail)
    assert list(path.iterdir()) == []
    assert sorted(entry.name for entry in (tmp_path / "volumes").iterdir()) == [".lock", "www"]


def test_who_wants_another_volume_does_not_wait(tmp_path: Path, store: Store) -> None:
    volumes, others = VolumeStore(tmp_path, store), VolumeStore(tmp_path, store)
    for name in ("slow", "quick"):
        volumes.create(name)
    begun, ended = threading.Event(), threading.Event()

    def hang(directory: str) -> bool:
        begun.set()
        return ended.wait(20.0)

    slow = threading.Thread(target=volumes.fill, args=("slow", hang))
    slow.start()
    try:
        assert begun.wait(60.0)
        assert others.fill("quick", put("first"))
        others.create("other")
        others.remove("other")
        others.release()
        assert slow.is_alive(), "they waited for it"
    finally:
        ended.set()
        slow.join()
