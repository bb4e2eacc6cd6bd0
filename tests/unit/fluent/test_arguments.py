"""What no word and no verb takes: refused with the argument's name, and before anything is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

import containerlib as cl

Use = Callable[[Any], object]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "never-made"


@pytest.fixture
def recipe(root: Path) -> cl.ContainerRecipe:
    return cl.Engine(root=root).container("redis:7")


WORDS: Sequence[tuple[str, Use]] = (
    ("cpus", lambda r: r.limit(cpus="2")),
    ("cpus", lambda r: r.limit(cpus=True)),
    ("cpus", lambda r: r.limit(cpus=1e30)),
    ("pids", lambda r: r.limit(pids="5")),
    ("pids", lambda r: r.limit(pids=1.5)),
    ("pids", lambda r: r.limit(pids=2**31)),
    ("memory", lambda r: r.limit(memory=True)),
    ("memory", lambda r: r.limit(memory=1.5)),
    ("memory", lambda r: r.limit(memory=b"1MiB")),
    ("memory", lambda r: r.limit(memory="99999999P")),
    ("memory", lambda r: r.limit(memory="9" * 5000)),
    ("swap", lambda r: r.limit(swap=2**63)),
    ("name", lambda r: r.name(None)),
    ("name", lambda r: r.name(5)),
    ("source", lambda r: r.mount(5, at="/x")),
    ("source", lambda r: r.mount(None, at="/x")),
    ("at", lambda r: r.mount("/a", at=5)),
    ("at", lambda r: r.mount("/a", at="/")),
    ("at", lambda r: r.mount("/a", at="/proc")),
    ("at", lambda r: r.mount("/a", at="/x/../proc/self/attr/")),
    ("read_only", lambda r: r.mount("/a", at="/x", read_only="no")),
    ("size", lambda r: r.mount(cl.tmpfs(size=1.5), at="/x")),  # type: ignore[arg-type]
    ("rlimit", lambda r: r.rlimit("nofile", "5")),
    ("rlimit", lambda r: r.rlimit("nofile", -5)),
    ("rlimit", lambda r: r.rlimit("nofile", 5, 2**64)),
    ("rlimit", lambda r: r.rlimit(5, 5)),
    ("env", lambda r: r.env("A=1")),
    ("env", lambda r: r.env({"A": None})),
    ("label", lambda r: r.label(5)),
    ("sysctl", lambda r: r.sysctl("a=1")),
    ("user", lambda r: r.user(None)),
    ("user", lambda r: r.user(-1)),
    ("user", lambda r: r.user(True)),
    ("workdir", lambda r: r.workdir(None)),
    ("hostname", lambda r: r.hostname(5)),
    ("tty", lambda r: r.tty("no")),
    ("stop_signal", lambda r: r.stop_signal(1.5)),
    ("stop_signal", lambda r: r.stop_signal(None)),
    ("stop_timeout", lambda r: r.stop_timeout("5")),
    ("stop_timeout", lambda r: r.stop_timeout(1e300)),
    ("seccomp", lambda r: r.seccomp({})),
    ("log", lambda r: r.log("json-file")),
    ("log", lambda r: r.log(None, full="drop")),
    ("max_size", lambda r: r.log(max_size="1KiB")),
    ("max_files", lambda r: r.log(max_files=3)),
    ("max_files", lambda r: r.log(max_size="1MiB", max_files=0)),
    ("max_files", lambda r: r.log(max_size="1MiB", max_files=101)),
    ("full", lambda r: r.log(full="wait")),
    ("env_file", lambda r: r.env_file(5)),
    ("label_file", lambda r: r.label_file(None)),
    ("annotate", lambda r: r.annotate(5)),
    ("group_add", lambda r: r.group_add(None)),
    ("init", lambda r: r.init("no")),
    ("umask", lambda r: r.umask("022")),
    ("personality", lambda r: r.personality("windows")),
    ("cpuset", lambda r: r.limit(cpuset=-1)),
    ("cgroup", lambda r: r.cgroup("memory.high=1")),
    ("device", lambda r: r.device_limit("sda", read_bps=1)),
    ("score_adj", lambda r: r.oom(score_adj=1001)),
    ("kill", lambda r: r.oom(kill="no")),
    ("shm_size", lambda r: r.shm_size(0)),
    ("volumes_from", lambda r: r.volumes_from(5)),
    ("pid", lambda r: r.pid("mine")),
    ("ipc", lambda r: r.ipc(None)),
    ("uts", lambda r: r.uts("none")),
    ("cgroupns", lambda r: r.cgroupns("none")),
    ("device", lambda r: r.device("fuse")),
    ("at", lambda r: r.device("nvidia.com/gpu=0", at="/dev/x")),
    ("access", lambda r: r.device("nvidia.com/gpu=0", access="r")),
    ("cdi", lambda r: r.cdi("cdi")),
    ("gpus", lambda r: r.gpus(0)),
    ("mask", lambda r: r.mask("x")),
    ("userns", lambda r: r.userns("mine")),
    ("secret", lambda r: r.secret("key", "value")),
    ("name", lambda r: r.engine.volume(5)),
    ("image", lambda r: r.engine.image(5)),
    ("root", lambda r: type(r.engine)(root=5)),
    ("root", lambda r: type(r.engine)("unix:///var/run/docker.sock")),
    ("kinds", lambda r: r.engine.events(kinds="container")),
)

VERBS: Sequence[tuple[str, Use]] = (
    ("timeout", lambda r: r.run("true", timeout="5")),
    ("timeout", lambda r: r.run("true", timeout=-1)),
    ("timeout", lambda r: r.run("true", timeout=float("nan"))),
    ("input", lambda r: r.run("cat", input="text")),
    ("input", lambda r: r.run("cat", input=5)),
    ("check", lambda r: r.run("true", check="no")),
    ("stream", lambda r: r.run("true", stream=None)),
    ("argv", lambda r: r.run("echo", 5)),
    ("argv", lambda r: r.spawn("echo", None)),
    ("detach", lambda r: r.start("true", detach="no")),
    ("argv", lambda r: r.create(["true"])),
)

CONTAINER: Sequence[tuple[str, Use]] = (
    ("timeout", lambda c: c.wait("5")),
    ("timeout", lambda c: c.wait(-1)),
    ("timeout", lambda c: c.stop("5")),
    ("timeout", lambda c: c.stop(-1)),
    ("timeout", lambda c: c.wait_for(log="x", timeout="5")),
    ("timeout", lambda c: c.wait_for(log="x", timeout=None)),
    ("exec", lambda c: c.wait_for(exec="true")),
    ("exec", lambda c: c.wait_for(exec=5)),
    ("exec", lambda c: c.wait_for(exec=())),
    ("log", lambda c: c.wait_for()),
    ("log", lambda c: c.wait_for(log=5)),
    ("since", lambda c: c.logs(since=datetime(2026, 1, 1))),  # noqa: DTZ001 - what is tested
    ("since", lambda c: c.logs(since=5)),
    ("follow", lambda c: c.logs(follow="no")),
    ("until", lambda c: c.logs(until=datetime(2026, 1, 1))),  # noqa: DTZ001 - what is tested
    ("tail", lambda c: c.logs(tail=-1)),
    ("tail", lambda c: c.logs(tail="all")),
    ("stream", lambda c: c.logs(stream="both")),
    ("timeout", lambda c: c.exec("true", timeout="5")),
    ("timeout", lambda c: c.exec("true", timeout=-1)),
    ("input", lambda c: c.exec("cat", input="text")),
    ("stream", lambda c: c.exec("true", stream="yes")),
    ("user", lambda c: c.exec("true", user=1.5)),
    ("workdir", lambda c: c.exec("true", workdir=5)),
    ("env", lambda c: c.exec("true", env="A=1")),
    ("tty", lambda c: c.spawn("true", tty="no")),
    ("signal", lambda c: c.kill(None)),
    ("signal", lambda c: c.kill(True)),
    ("force", lambda c: c.remove(force="no")),
    ("text", lambda c: c.path("/x").write_text(b"bytes")),
    ("data", lambda c: c.path("/x").write_bytes("text")),
    ("data", lambda c: c.path("/x").write_bytes(None)),
)

PROCESS: Sequence[tuple[str, Use]] = (
    ("timeout", lambda p: p.wait("5")),
    ("timeout", lambda p: p.wait(-1)),
    ("signal", lambda p: p.send_signal(1.5)),
    ("rows", lambda p: p.resize(rows="5", columns=5)),
    ("columns", lambda p: p.resize(rows=5, columns=-1)),
)


def refused(use: Use, subject: object) -> cl.InvalidArgument:
    with pytest.raises(cl.InvalidArgument) as caught:
        use(subject)
    return caught.value


@pytest.mark.parametrize(("field", "use"), [*WORDS, *VERBS])
def test_recipe_nonsense_names_its_field_and_does_no_io(
    recipe: cl.ContainerRecipe, root: Path, field: str, use: Use
) -> None:
    assert refused(use, recipe).field == field
    assert not root.exists()


@pytest.mark.parametrize(("field", "use"), CONTAINER)
def test_container_nonsense_names_its_field_before_the_container_is_looked_at(
    recipe: cl.ContainerRecipe, field: str, use: Use
) -> None:
    nothing: Any = object()
    assert refused(use, cl.Container(recipe.engine, nothing)).field == field


@pytest.mark.parametrize(("field", "use"), PROCESS)
def test_process_nonsense_names_its_field(field: str, use: Use) -> None:
    attached: Any = MagicMock()
    assert refused(use, cl.Process(attached)).field == field


@pytest.mark.parametrize(
    ("use", "advice"),
    [
        (lambda r: r.run("cat", input="text"), "encode"),
        (lambda r: r.rlimit("nofile", -5), "-1 for none"),
        (lambda r: r.limit(memory=1.5), '"256MiB"'),
        (lambda r: r.env(PORT=8080), "'8080'"),
        (lambda r: r.run(["echo", "a"]), "put a * before it"),
        (lambda r: r.engine.events(kinds="image"), "write kinds=('image',)"),
        (lambda r: type(r.engine)("unix:///var/run/docker.sock"), "give a directory"),
    ],
)
def test_recipe_refusal_says_what_to_write(recipe: cl.ContainerRecipe, use: Use, advice: str) -> None:
    assert advice in str(refused(use, recipe))


def test_wait_for_str_as_command_shows_the_argv(recipe: cl.ContainerRecipe) -> None:
    nothing: Any = object()
    error = refused(lambda c: c.wait_for(exec="test -e /x"), cl.Container(recipe.engine, nothing))
    assert "exec=('test', '-e', '/x')" in str(error)


def test_mount_on_a_figure_of_proc_is_taken_as_runc_takes_it(recipe: cl.ContainerRecipe) -> None:
    (mount,) = recipe.mount("/a", at="/proc/meminfo").options.mounts
    assert mount.target == "/proc/meminfo"
