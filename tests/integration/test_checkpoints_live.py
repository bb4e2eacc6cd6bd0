"""Live copies of an engine's containers, what a killed process leaves, and the way to another machine."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import containerlib as cl
from containerlib._sys.filesystem import type_of
from rig.bundles import until
from rig.checkpoints import COUNT, ask, counted
from rig.networks import Machine
from rig.registry import Registry, free_port

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
]


# ---- live copies ----


def test_fork_makes_live_copies_that_are_apart(redis: cl.Container) -> None:
    copies = redis.fork(3)
    try:
        for copy in copies:
            assert ask(copy, "GET", "key") == "$5\r\nvalue\r\n"
            assert copy.exec("cat", "/etc/changed").text == "changed\n"
            ask(copy, "SET", "key", copy.name)
            copy.exec("sh", "-c", f"echo {copy.name} >/etc/changed")
        for copy in copies:
            assert copy.name in ask(copy, "GET", "key")
            assert copy.exec("cat", "/etc/changed").text == f"{copy.name}\n"
        assert ask(redis, "GET", "key") == "$5\r\nvalue\r\n"
        everybody = [redis, *copies]
        assert len({each.id for each in everybody}) == len({each.ports for each in everybody}) == 4
        assert len({each.inspect().addresses["bridge"] for each in everybody}) == 4
    finally:
        for copy in copies:
            copy.remove(force=True)


def test_fork_that_fails_leaves_no_copy(engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with box.mount(shared, at="/shared").start("sh", "-c", COUNT) as container:
        until(lambda: len(counted(container)) > 1)
        shared.rename(tmp_path / "elsewhere")
        with pytest.raises(cl.NotFound, match="/shared"):
            container.fork(2)
        assert [each.name for each in engine.containers.list()] == [container.name]
        seen = len(counted(container))
        until(lambda: len(counted(container)) > seen)
        assert [path.name for path in Path(container.inspect().directory).glob("checkpoint-*")] == []


def killed_while_it_works(code: str, delay: float) -> None:
    """Another process runs `code`, and is killed `delay` seconds after it has said that it is at it."""
    words = [sys.executable, "-P", "-c", textwrap.dedent(code)]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(delay)
        process.kill()


def test_checkpoint_of_a_killed_process_leaves_the_container_and_what_it_left_goes(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    with box.start("sh", "-c", COUNT) as container:
        directory = Path(container.inspect().directory)
        left = directory / "checkpoint-0123456789abcdef"
        (left / "layer").mkdir(parents=True)
        (left / "layer" / "secret").write_text("x")
        container.checkpoint(leave_running=True)
        assert not left.exists()
        code = f"""
            import containerlib as cl
            print("at it", flush=True)
            while True:
                cl.Engine({engine.root!r}).containers.get({container.id!r}).checkpoint(leave_running=True)
        """
        for delay in (0.05, 0.2, 0.3):
            killed_while_it_works(code, delay)
            seen = len(counted(container))
            until(lambda seen=seen: len(counted(container)) > seen)
        container.checkpoint(leave_running=True)
        assert list(directory.glob("checkpoint-*")) == []
    engine.images.prune()


def test_restore_of_a_killed_process_leaves_nothing(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", COUNT) as container:
        checkpoint = container.checkpoint()
    code = f"""
        import containerlib as cl
        engine = cl.Engine({engine.root!r})
        print("at it", flush=True)
        while True:
            engine.images.get({checkpoint.id!r}).restore().remove(force=True)
    """
    for delay in (0.02, 0.05, 0.08, 0.11, 0.14, 0.2):
        killed_while_it_works(code, delay)
    engine.reconcile()
    until(lambda: engine.containers.list() == [])
    until(lambda: list(Path(engine.root, "containers").iterdir()) == [])
    report = engine.prune()
    assert (report.directories, report.cgroups, report.failures) == ((), (), ())


@pytest.mark.parametrize("key", [None, bytes(32)], ids=["open", "encrypted"])
def test_memory_is_written_to_a_disk_only_where_it_stays_there_as_it_is(
    box: cl.ContainerRecipe, key: bytes | None
) -> None:
    with box.start("sleep", "600") as container, ThreadPoolExecutor(1) as pool:
        directory = Path(container.inspect().directory)
        if type_of(str(directory)) not in ("ext4", "xfs"):
            pytest.skip("the page cache of this file system may be slower than memory: choose another TMPDIR")
        made = pool.submit(container.checkpoint, leave_running=True, key=key)
        seen = set[str]()
        while not made.done():
            seen.update(path.name for path in directory.glob("checkpoint-*"))
        made.result()
        assert bool(seen) is (key is None)
        assert list(directory.glob("checkpoint-*")) == []


# ---- two machines ----

RESTORES = """
import json, sys
import containerlib as cl
words = json.loads(sys.argv[1])
with cl.Engine(words["root"]) as engine:
    image = engine.image(words["reference"]).pull()
    redis = image.restore(name="redis-master", ports={6379: words["port"]}, detach=True)
    print(image.digest, *redis.inspect().addresses["bridge"])
"""
REMOVES = """
import sys
import containerlib as cl
with cl.Engine(sys.argv[1]) as engine:
    engine.containers.get("redis-master").remove(force=True)
"""


def test_redis_goes_on_at_another_machine_with_its_keys(
    redis: cl.Container, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a network and a store of its own; a registry is all that they share."""
    redis.exec("redis-cli", "eval", "for i=1,100000 do redis.call('set', 'key:'..i, i) end", "0")
    with (
        Machine("198.51.100.2/24", host="198.51.100.1/24") as other,
        Registry(tmp_path / "registry", address=f"198.51.100.1:{free_port()}") as registry,
    ):
        plain = tmp_path / "registries.conf"
        plain.write_text(f'[[registry]]\nlocation = "{registry.address}"\ninsecure = true\n')
        monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(plain))
        reference = f"{registry.address}/checkpoints/redis:master"
        (port,) = redis.ports
        with socket.create_connection(("127.0.0.1", port.host), timeout=10.0) as client:
            checkpoint = redis.checkpoint(leave_running=True, tcp="close")
            digest = checkpoint.push(reference)
            client.sendall(b"DBSIZE\r\n")
            assert client.recv(100) == b":100001\r\n"
        before = redis.inspect().addresses["bridge"]
        root = str(tmp_path / "elsewhere")
        words = json.dumps({"root": root, "reference": reference, "port": 16379})
        done = other.run(sys.executable, "-P", "-c", RESTORES, words, timeout=60.0)
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == [digest, *before]  # which are free in a network of its own
        try:
            with socket.create_connection(("198.51.100.2", 16379), timeout=10.0) as client:
                client.sendall(b"GET key:77777\r\n")
                assert client.recv(100) == b"$5\r\n77777\r\n"
        finally:
            gone = other.run(sys.executable, "-P", "-c", REMOVES, root, timeout=60.0)
            assert gone.returncode == 0, gone.stderr
