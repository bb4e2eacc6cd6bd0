"""Containers by id, as far as no container is needed: what is written of them, and what the kernel is asked."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from containerlib._sys.wire import Kind, Message
from containerlib.errors import Conflict, InvalidArgument, NotFound
from containerlib.runtime.containers.bundle import load_bundle, rootfs_of
from containerlib.runtime.containers.containers import Container, Containers
from containerlib.runtime.containers.create import create
from containerlib.runtime.containers.delete import delete
from containerlib.runtime.containers.groups import resources_of
from containerlib.runtime.containers.home import add_home
from containerlib.runtime.containers.ids import check_id
from containerlib.runtime.containers.kill import kill, signal_number
from containerlib.runtime.containers.lock import Lock, is_locked
from containerlib.runtime.containers.process import facts
from containerlib.runtime.containers.record import Record, now, read_process, read_record
from containerlib.runtime.containers.rootless import mapper_of_caller
from containerlib.runtime.containers.subgroups import below
from containerlib.spec.lifecycle import State
from containerlib.spec.runtime import Process
from rig.configs import json_schema, small_config

STARTED = 12345


def record(pid: int = 0, start_time: int = 0, **words: object) -> Record:
    return Record(
        "c1",
        "/bundle",
        "/bundle/rootfs",
        created="2026-01-02T03:04:05.6Z",
        annotations={"a": "b"},
        cgroup=None,
        pid=pid,
        start_time=start_time,
        **words,  # type: ignore[arg-type]
    )


@pytest.fixture
def containers(tmp_path: Path) -> Containers:
    return Containers(str(tmp_path / "state"))


def written(containers: Containers, made: Record) -> Container:
    """A container as a command of long ago has left it."""
    directory = Path(containers.directory("c1"))
    directory.mkdir(parents=True)
    made.write(str(directory))
    return containers.get("c1")


def test_repr_names_the_container_and_its_place(containers: Containers) -> None:
    assert repr(containers) == f"Containers({containers.root!r})"
    assert repr(written(containers, record())) == f"<Container 'c1' in '{containers.root}/c1'>"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def of_process(process: subprocess.Popen[bytes], **words: object) -> Record:
    known = facts(process.pid)
    assert known is not None
    return record(process.pid, known.start_time, **words)


# ---- ids ----


@pytest.mark.parametrize("container_id", ["a", "A-b_c+d.e,f", "0", "...", "-x", "x" * 255])
def test_check_id_takes_what_runc_takes(container_id: str) -> None:
    assert check_id(container_id) == container_id


@pytest.mark.parametrize(
    "container_id", ["", ".", "..", "a/b", "a b", "a\n", "ü", "a:b", "x" * 256, "a\0", ".seccomp"]
)
def test_check_id_refuses_what_is_no_name_of_a_directory(container_id: str) -> None:
    with pytest.raises(InvalidArgument):
        check_id(container_id)


# ---- the record ----


def test_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    before = record(5, STARTED, freezer="/f", own_pids=False, notify=True, adopted=["/x"])
    before.write(str(tmp_path))
    after = read_record(str(tmp_path))
    assert after is not None
    assert {name: getattr(after, name) for name in Record.__slots__} == {
        name: getattr(before, name) for name in Record.__slots__
    }
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "{}", '{"id": 1, "bundle": "", "rootfs": "", "strange": 1}']
)
def test_record_that_is_not_ours_is_a_conflict_that_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(Conflict, match="delete the container by force"):
        read_record(str(tmp_path))


def test_record_that_is_written_in_part_takes_no_place(tmp_path: Path) -> None:
    """write(2) takes what there is room for, and only the next one fails: with RLIMIT_FSIZE as on a full disk."""
    code = """
import resource, sys
from containerlib.runtime.containers.record import write_aside

write_aside(sys.argv[1], b"whole")
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (5, hard))
try:
    write_aside(sys.argv[1], b"in part")
except OSError as error:
    print(error.errno)
"""
    path = tmp_path / "state.json"
    argv = [sys.executable, "-P", "-c", code, str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.stdout, path.read_bytes()) == (f"{errno.EFBIG}\n", b"whole"), done.stderr


def test_record_of_a_process_that_the_helper_has_written_down_is_not_written_again(tmp_path: Path) -> None:
    helpers = Message(Kind.CREATED, (5, 0, 0, 0), (STARTED, 0)).pack()
    (tmp_path / "init").write_bytes(helpers)
    made = record()
    made.note_process(str(tmp_path), 5, STARTED)
    assert (made.pid, made.start_time) == read_process(str(tmp_path)) == (5, STARTED)
    assert not (tmp_path / "state.json").exists()


@pytest.mark.parametrize("helpers", [None, b"", Message(Kind.CREATED, (4, 0, 0, 0), (STARTED, 0)).pack()])
def test_record_of_a_process_that_the_helper_could_not_write_down_is_written(
    tmp_path: Path, helpers: bytes | None
) -> None:
    if helpers is not None:
        (tmp_path / "init").write_bytes(helpers)
    record().note_process(str(tmp_path), 5, STARTED)
    written = read_record(str(tmp_path))
    assert written is not None
    assert (written.pid, written.start_time) == (5, STARTED)


def test_spec_is_read_once_until_somebody_replaces_it(containers: Containers) -> None:
    made = written(containers, record())
    made.write_spec({"hostname": "a"}, first=True)
    other = containers.get("c1")
    assert other.spec() is other.spec()
    made.write_spec({"hostname": "b"})
    assert (made.spec(), other.spec()) == ({"hostname": "b"}, {"hostname": "b"})


def test_now_is_as_go_writes_it() -> None:
    moment = now()
    assert moment.endswith("Z")
    assert not moment.removesuffix("Z").endswith("0")
    assert len(moment) <= len("2026-01-02T03:04:05.123456789Z")


# ---- the process ----


@pytest.mark.parametrize(
    ("state", "flags", "answer"),
    [
        ("S", 0, (STARTED, True)),
        ("S", 0x40, (STARTED, False)),
        ("Z", 0, None),
        ("X", 0, None),
        ("T", 0, (STARTED, True)),
    ],
)
def test_facts_from_the_kernel(
    tmp_path: Path, state: str, flags: int, answer: tuple[int, bool] | None
) -> None:
    (tmp_path / "7").mkdir()
    stat = f"7 (a) b) {state} 1 7 7 0 -1 {flags} {'0 ' * 12}{STARTED} 0\n"
    (tmp_path / "7" / "stat").write_text(stat)
    known = facts(7, proc=str(tmp_path))
    assert (known and (known.start_time, known.has_execed)) == answer


def test_facts_of_nobody(tmp_path: Path) -> None:
    assert facts(7, proc=str(tmp_path)) is None
    assert facts(0) is None


# ---- states ----


def test_status_of_a_process_that_lives(containers: Containers, sleeper: subprocess.Popen[bytes]) -> None:
    container = written(containers, of_process(sleeper))
    assert container.status() is State.RUNNING
    sleeper.kill()
    sleeper.wait()
    assert container.status() is State.STOPPED
    assert container.pid == 0


def test_status_of_a_number_that_is_another_process_s_by_now(
    containers: Containers, sleeper: subprocess.Popen[bytes]
) -> None:
    made = of_process(sleeper)
    made.start_time -= 1
    assert written(containers, made).status() is State.STOPPED


@pytest.mark.parametrize(
    ("text", "state"),
    [("THAWED", "running"), ("FROZEN", "paused"), ("FREEZING", "paused"), ("0", "running"), ("1", "paused")],
)
def test_status_asks_the_freezer(
    containers: Containers, sleeper: subprocess.Popen[bytes], tmp_path: Path, text: str, state: str
) -> None:
    (tmp_path / "freezer").write_text(f"{text}\n")
    container = written(containers, of_process(sleeper, freezer=str(tmp_path / "freezer")))
    assert container.status().value == state


def test_status_without_a_process_yet(containers: Containers) -> None:
    """Who is making it has the lock; who was killed over it has not."""
    container = written(containers, record())
    with Lock(container.directory):
        assert container.status() is State.CREATING
    assert container.status() is State.STOPPED


def test_status_of_one_that_was_made_meanwhile(
    containers: Containers, sleeper: subprocess.Popen[bytes]
) -> None:
    container = written(containers, record())
    with Lock(container.directory):
        of_process(sleeper).write(container.directory)
        assert container.status() is State.RUNNING


def test_describe_is_a_state_of_the_specification(
    containers: Containers, sleeper: subprocess.Popen[bytes]
) -> None:
    text = written(containers, of_process(sleeper)).describe()
    assert [error.message for error in json_schema("state-schema.json").iter_errors(text)] == []
    assert (text["pid"], text["status"], text["annotations"]) == (sleeper.pid, "running", {"a": "b"})
    sleeper.kill()
    sleeper.wait()
    assert containers.get("c1").describe()["pid"] == 0


def test_list_passes_over_what_is_no_container(containers: Containers) -> None:
    assert containers.list() == ([], [])
    written(containers, record())
    Path(containers.root, "half").mkdir()
    Path(containers.root, ".seccomp").mkdir()
    Path(containers.root, "file").touch()
    Path(containers.root, "broken").mkdir()
    Path(containers.root, "broken", "state.json").write_text("{")
    found, errors = containers.list()
    assert [container.id for container in found] == ["c1"]
    assert [type(error) for error in errors] == [Conflict, NotFound]


# ---- the lock ----


def test_lock_keeps_others_out_and_says_so(tmp_path: Path) -> None:
    with Lock(str(tmp_path)):
        assert is_locked(str(tmp_path))
        with pytest.raises(Conflict, match="another command works on"), Lock(str(tmp_path), patience=0.05):
            pass
    assert not is_locked(str(tmp_path))


def test_lock_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="container does not exist"), Lock(str(tmp_path / "c1")):
        pass


def test_lock_leaves_no_descriptor(tmp_path: Path) -> None:
    before = list(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with Lock(str(tmp_path)):
            pass
        is_locked(str(tmp_path))
    assert len(list(Path("/proc/self/fd").iterdir())) == len(before)


# ---- kill and delete ----


@pytest.mark.parametrize(
    ("word", "number"),
    [("9", 9), ("KILL", 9), ("sigkill", 9), ("SIGTERM", 15), ("0", 0), ("usr1", 10), ("RTMIN", 34),
     ("SIGRTMIN+3", 37), ("RTMAX", 64)],
)  # fmt: skip
def test_signal_number_of_every_way_to_write_it(word: str, number: int) -> None:
    assert signal_number(word) == number


@pytest.mark.parametrize("word", ["FOO", "", "SIG_DFL", "_IGN", "KILL+1", "RTMIN+x", "-9", "SIG"])
def test_signal_number_refuses_what_is_none(word: str) -> None:
    with pytest.raises(InvalidArgument, match=f'unknown signal "{word.replace("+", "[+]")}"'):
        signal_number(word)


def test_kill_reaches_the_process(containers: Containers, sleeper: subprocess.Popen[bytes]) -> None:
    kill(written(containers, of_process(sleeper)), signal.SIGTERM)
    assert sleeper.wait(5) == -signal.SIGTERM


def test_kill_never_hits_a_process_with_the_same_number(
    containers: Containers, sleeper: subprocess.Popen[bytes]
) -> None:
    made = of_process(sleeper)
    made.start_time -= 1
    with pytest.raises(Conflict) as caught:
        kill(written(containers, made), signal.SIGKILL)
    assert caught.value.state == "stopped"
    assert sleeper.poll() is None


@pytest.mark.parametrize("number", [-1, 65, 99])
def test_kill_with_a_number_that_is_no_signal(containers: Containers, number: int) -> None:
    with pytest.raises(InvalidArgument, match="unable to signal init: invalid argument"):
        kill(written(containers, record()), number)


def test_delete_refuses_one_that_lives(containers: Containers, sleeper: subprocess.Popen[bytes]) -> None:
    written(containers, of_process(sleeper))
    with pytest.raises(Conflict, match="it is running, and must be stopped"):
        delete(containers, "c1")
    assert sleeper.poll() is None
    assert Path(containers.directory("c1"), "state.json").exists()


def test_delete_by_force_ends_it_first(containers: Containers, sleeper: subprocess.Popen[bytes]) -> None:
    written(containers, of_process(sleeper))
    delete(containers, "c1", force=True)
    assert sleeper.wait(5) == -signal.SIGKILL
    assert list(Path(containers.root).iterdir()) == []


def test_delete_a_stopped_one(containers: Containers) -> None:
    made = written(containers, record())
    Path(made.directory, "notify").mkdir()
    Path(made.directory, "notify", "notify.sock").touch()
    delete(containers, "c1")
    assert list(Path(containers.root).iterdir()) == []


def test_delete_what_a_killed_command_left(containers: Containers) -> None:
    """Killed between the directory and the record: by force alone, since nobody can say what it was."""
    Path(containers.directory("c1")).mkdir(parents=True)
    with pytest.raises(NotFound, match="delete --force"):
        delete(containers, "c1")
    delete(containers, "c1", force=True)
    assert list(Path(containers.root).iterdir()) == []
    delete(containers, "c1", force=True)


# ---- create, as far as it is refused ----


def test_create_says_what_to_do_about_an_id_that_is_taken(
    containers: Containers, tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    bundle = a_bundle(tmp_path)
    written(containers, of_process(sleeper))
    words = "container with given ID already exists: 'c1' is running; take another id, or delete it first"
    with pytest.raises(Exception, match=words):
        create(containers, "c1", bundle)
    assert containers.get("c1").status() is State.RUNNING


def test_create_over_what_a_killed_command_left(containers: Containers, tmp_path: Path) -> None:
    bundle = a_bundle(tmp_path)
    Path(containers.directory("c1")).mkdir(parents=True)
    with pytest.raises(
        Exception, match="was never made whole; remove what is left of it with delete --force"
    ):
        create(containers, "c1", bundle)


def a_bundle(tmp_path: Path, **changes: object) -> str:
    bundle = tmp_path / "bundle"
    (bundle / "rootfs").mkdir(parents=True)
    (bundle / "config.json").write_text(json.dumps({**small_config(), **changes}))
    return str(bundle)


def test_load_bundle_makes_sources_of_binds_absolute(tmp_path: Path) -> None:
    mounts = [
        {"destination": "/a", "type": "bind", "source": "data/a", "options": []},
        {"destination": "/b", "source": "../b", "options": ["rbind"]},
        {"destination": "/c", "type": "bind", "source": "/c", "options": []},
        {"destination": "/d", "type": "tmpfs", "source": "tmpfs"},
    ]
    bundle = a_bundle(tmp_path, mounts=mounts)
    spec = load_bundle(bundle)
    sources = [mount["source"] for mount in spec["mounts"]]
    assert sources == [f"{bundle}/data/a", f"{tmp_path}/b", "/c", "tmpfs"]


def test_rootfs_is_below_the_bundle_or_absolute() -> None:
    assert rootfs_of({"root": {"path": "r/../x"}}, "/b") == "/b/x"
    assert rootfs_of({"root": {"path": "/r"}}, "/b") == "/r"
    with pytest.raises(InvalidArgument, match=r"root\.path"):
        rootfs_of({}, "/b")


def test_resources_allow_the_devices_that_every_container_has() -> None:
    rules = [{"allow": False, "access": "rwm"}]
    found = resources_of({"linux": {"resources": {"devices": rules, "pids": {"limit": 5}}}})["devices"]  # type: ignore[list-item]
    assert found[0] == rules[0]
    assert {"allow": True, "type": "c", "major": 1, "minor": 3, "access": "rwm"} in found
    assert all(rule["allow"] for rule in found[1:])
    assert resources_of({"linux": {}}) == {}


# ---- $HOME ----

PASSWD = (
    "root:x:0:0::/root:/bin/sh\nweb:x:5:5:a:b:c\nwww:x:7:7:Web:/srv/www:/bin/false\nnone:x:8:8:::/bin/sh\n"
)


@pytest.mark.parametrize(("uid", "home"), [(0, "/root"), (7, "/srv/www"), (8, "/"), (9, "/"), (5, "b")])
def test_home_is_the_user_s_in_the_container(tmp_path: Path, uid: int, home: str) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(PASSWD)
    process: Process = {"user": {"uid": uid, "gid": 0}, "env": ["A=1"]}
    add_home(process, str(tmp_path))
    assert process["env"] == ["A=1", f"HOME={home}"]


@pytest.mark.parametrize("env", [["HOME="], ["HOME=/mine", "HOME="]])
def test_home_that_is_empty_is_the_user_s_in_the_container(tmp_path: Path, env: list[str]) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "passwd").write_text(PASSWD)
    process: Process = {"user": {"uid": 7, "gid": 0}, "env": [*env, "A=1"]}
    add_home(process, str(tmp_path))
    assert process["env"] == ["A=1", "HOME=/srv/www"]


def test_home_that_is_given_last_stays(tmp_path: Path) -> None:
    process: Process = {"env": ["HOME=", "HOME=/mine"]}
    add_home(process, str(tmp_path))
    assert process["env"] == ["HOME=", "HOME=/mine"]


def test_home_that_is_given_stays(tmp_path: Path) -> None:
    process: Process = {"env": ["HOME=/mine"]}
    add_home(process, str(tmp_path))
    assert process["env"] == ["HOME=/mine"]


def test_home_is_not_sought_outside_of_the_container(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "passwd"
    (root / "etc").mkdir(parents=True)
    outside.write_text(PASSWD)
    (root / "etc" / "passwd").symlink_to(outside)
    process: Process = {}
    add_home(process, str(root))
    assert process["env"] == ["HOME=/"]


def test_home_does_not_wait_for_a_pipe_in_the_file_s_place(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    os.mkfifo(tmp_path / "etc" / "passwd")
    process: Process = {}
    add_home(process, str(tmp_path))
    assert process["env"] == ["HOME=/"]


# ---- groups below a container's, and who maps ids ----


@pytest.mark.parametrize(
    ("words", "places"),
    [
        ([], {}),
        (["a/b"], {"": "a/b"}),
        (["/a"], {"": "/a"}),
        (["cpu,memory:a", "b"], {"cpu": "a", "memory": "a", "": "b"}),
        (["pids:/"], {"pids": "/"}),
    ],
)
def test_below_reads_places_by_controller(words: list[str], places: dict[str, str]) -> None:
    assert below(words) == places


@pytest.mark.parametrize("words", [["../x"], ["a/.."], ["a//b"], ["."], ["a", "b"], ["pids:a", "pids:b"]])
def test_below_refuses_what_leads_out_or_says_it_twice(words: list[str]) -> None:
    with pytest.raises(InvalidArgument, match="--cgroup"):
        below(words)


def test_mapper_is_none_for_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("runs as an ordinary user")
    assert mapper_of_caller("/nonexistent") is None
