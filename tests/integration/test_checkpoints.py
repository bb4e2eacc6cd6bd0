"""Checkpoints of an engine's containers: as images, through a registry, on another machine, and as live copies."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zstandard
from attrs import evolve

import containerlib as cl
from containerlib.engine.checkpoints import capture
from containerlib.engine.checkpoints.document import Machine as Facts
from containerlib.engine.checkpoints.outside import Begun
from containerlib.engine.checkpoints.restoring import Restoration, begin
from containerlib.engine.sources import resolve_again
from containerlib.images.archives.compression import compressed
from containerlib.runtime.checkpoint import Options
from rig.bundles import until
from rig.checkpoints import COUNT, ask, counted
from rig.networks import own_network
from rig.registry import Registry

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
]


def blob(engine: cl.Engine, digest: str) -> bytes:
    return Path(engine.root, "content", "blobs", *digest.split(":")).read_bytes()


# ---- as an image ----


def test_container_goes_on_in_another_store_after_push_and_pull(
    redis: cl.Container, registry: Registry, tmp_path: Path
) -> None:
    reference = f"{registry.address}/checkpoints/redis:master"
    checkpoint = redis.checkpoint(tcp="close")
    assert redis.state is cl.State.STOPPED
    digest = checkpoint.push(reference)
    with cl.Engine(tmp_path / "other") as other:
        image = other.image(reference).pull()
        assert image.digest == digest == checkpoint.digest
        with image.restore(name="redis-master") as again:
            assert (again.name, again.state) == ("redis-master", cl.State.RUNNING)
            assert ask(again, "GET", "key") == "$5\r\nvalue\r\n"
            assert again.exec("sh", "-c", "cat /etc/changed; ls /etc /").text.split("\n")[0] == "changed"
            assert "group" not in again.exec("ls", "/etc").text.split()
            assert "checkpoint" not in again.exec("ls", "/").text.split()
        image.remove()
        assert other.containers.list() == []


def test_checkpoint_that_leaves_it_running_is_of_that_moment(redis: cl.Container) -> None:
    checkpoint = redis.checkpoint("kept:1", leave_running=True, tcp="close")
    assert "docker.io/library/kept:1" in checkpoint.references
    redis.exec("redis-cli", "set", "key", "later")
    redis.exec("sh", "-c", "echo later >/etc/changed")
    with checkpoint.restore() as one, checkpoint.restore() as other:
        for each in (one, other):
            assert ask(each, "GET", "key") == "$5\r\nvalue\r\n"
            assert each.exec("cat", "/etc/changed").text == "changed\n"
        assert len({redis.name, one.name, other.name}) == 3
        assert len({each.inspect().addresses["bridge"] for each in (redis, one, other)}) == 3
    assert ask(redis, "GET", "key") == "$5\r\nlater\r\n"


def test_layers_of_the_base_are_referenced_and_the_image_runs_as_its_files(
    redis: cl.Container, engine: cl.Engine
) -> None:
    base = engine.images.get(redis.inspect().image_id)
    checkpoint = redis.checkpoint(leave_running=True, tcp="close")
    assert checkpoint.record.layers[1:] == base.record.layers
    assert checkpoint.record.processes is not None
    box = engine.container(checkpoint).user("0").entrypoint()
    assert box.run("cat", "/etc/changed").text == "changed\n"
    assert "checkpoint" not in box.run("ls", "/").text.split()
    with checkpoint.restore() as again:
        squashed, committed = checkpoint.squash(), again.commit()
        for image in (squashed, committed):
            assert image.record.processes is None
            found = engine.container(image).user("0").entrypoint().run("ls", "/", "/etc").text.split()
            assert "changed" in found
            assert "checkpoint" not in found


def test_memory_is_compressed_soon_rather_than_small(redis: cl.Container, engine: cl.Engine) -> None:
    checkpoint = redis.checkpoint(leave_running=True, tcp="close")
    manifest = json.loads(blob(engine, checkpoint.digest))
    memory = blob(engine, manifest["layers"][-1]["digest"])
    content = zstandard.ZstdDecompressor().decompressobj().decompress(memory)
    assert memory == b"".join(compressed([content], "zstd", fast=True))


def test_annotations_say_what_it_is_to_other_tools(
    redis: cl.Container, registry: Registry, tmp_path: Path
) -> None:
    if shutil.which("skopeo") is None:
        pytest.skip("needs skopeo")
    checkpoint = redis.checkpoint(leave_running=True, tcp="close")
    reference = f"{registry.address}/checkpoints/redis:1"
    checkpoint.push(reference)
    layout = tmp_path / "layout"
    source = f"docker://{reference}"
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{layout}:a"], check=True)
    index = json.loads((layout / "index.json").read_text())
    digest = index["manifests"][0]["digest"].partition(":")[2]
    manifest = json.loads((layout / "blobs" / "sha256" / digest).read_text())
    assert manifest["annotations"]["org.criu.checkpoint.container.name"] == "redis"
    assert manifest["annotations"]["org.criu.checkpoint.engine.name"] == "containerlib"


def test_container_starts_anew_from_its_files_after_it_went_on(redis: cl.Container) -> None:
    with redis.checkpoint(tcp="close").restore() as again:
        again.restart(timeout=5.0)
        again.wait_for(log="Ready to accept", timeout=30.0)
        assert ask(again, "GET", "key") == "$-1\r\n"  # it was in memory
        assert again.exec("cat", "/etc/changed").text == "changed\n"


def test_limits_ports_and_the_log_are_the_new_containers(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with own_network(), box.publish(80).limit(memory="64MiB").start("sh", "-c", COUNT) as container:
        until(lambda: len(counted(container)) > 3)
        checkpoint = container.checkpoint()
        before = counted(container)
        with checkpoint.restore(memory="48MiB", pids=50, ports={80: 18_080}) as again:
            until(lambda: len(counted(again)) > 3)
            first = counted(again)[0]
            assert before[-1] <= first <= before[-1] + 2
            assert again.inspect().limits.memory_bytes == 48 << 20
            assert again.exec(
                "cat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", check=False
            ).exit_code in (0, 1)
            assert [(each.container, each.host) for each in again.ports] == [(80, 18_080)]


# ---- what was outside ----


def test_volumes_and_paths_are_found_by_name_or_given(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for directory in (here, there):
        directory.mkdir()
        (directory / "name").write_text(directory.name)
    recipe = box.mount(engine.volume("data"), at="/data").mount(here, at="/shared")
    with recipe.start("sh", "-c", "echo old >/data/file; exec sleep 600") as container:
        until(lambda: container.exec("ls", "/data").text != "")
        checkpoint = container.checkpoint()
    with checkpoint.restore() as again:
        assert again.exec("cat", "/data/file", "/shared/name").text.split() == ["old", "here"]
        again.exec("sh", "-c", "echo new >/data/file")
    engine.volume("other").create()
    with checkpoint.restore(mounts={"/data": "other", "/shared": str(there)}) as again:
        assert again.exec("cat", "/shared/name").text == "there"
        assert again.exec("ls", "/data").text == ""
        assert again.inspect().mounts
    engine.volumes.get("other").remove()
    engine.volumes.get("data").remove()
    with pytest.raises(cl.NotFound, match=r"the volume 'data' mounted on /data"):
        checkpoint.restore()
    with pytest.raises(cl.InvalidArgument, match="no mount on /nowhere"):
        checkpoint.restore(mounts={"/nowhere": "x"})
    assert engine.containers.list() == []


def test_paths_of_another_machine_have_to_be_given(
    engine: cl.Engine, box: cl.ContainerRecipe, registry: Registry, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    with box.mount(shared, at="/shared").start("sleep", "600") as container:
        container.checkpoint().push(f"{registry.address}/c:1")
    with cl.Engine(tmp_path / "other") as other:
        image = other.image(f"{registry.address}/c:1").pull()
        with pytest.raises(cl.InvalidArgument, match=r"mounts=\{\"/shared\": \.\.\.\}"):
            image.restore()
        with image.restore(mounts={"/shared": str(shared)}) as again:
            assert again.exec("ls", "-d", "/shared").text == "/shared\n"


def test_network_that_is_not_there_is_named(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    with own_network(), engine.network("own").create() as network:
        with box.join(network, alias="one").start("sleep", "600") as container:
            address = container.inspect().addresses["own"]
            checkpoint = container.checkpoint()
            checkpoint.save(tmp_path / "archive.tar")
            with checkpoint.restore() as beside:
                assert beside.inspect().addresses["own"] != address
        with checkpoint.restore() as again:
            assert again.inspect().addresses["own"] == address
            assert box.join(network).run("ping", "-c", "1", "-w", "5", "one").text
        with cl.Engine(tmp_path / "other") as other:
            (image,) = other.images.load(tmp_path / "archive.tar")
            with pytest.raises(cl.NotFound, match="the network 'own', which is not here"):
                image.restore(trusted=True)
            other.network("new").create()
            with image.restore(networks=["new"], trusted=True) as again:
                assert list(again.inspect().addresses) == ["new"]
            other.networks.get("new").remove()


# ---- what is refused ----


def test_checkpoint_from_an_archive_is_refused_unless_trusted(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    with box.start("sleep", "600") as container:
        container.checkpoint().save(tmp_path / "archive.tar")
    with cl.Engine(tmp_path / "other") as other:
        (image,) = other.images.load(tmp_path / "archive.tar")
        with pytest.raises(cl.InvalidArgument, match="came as an archive"):
            image.restore()
        assert other.containers.list() == []
        with image.restore(trusted=True) as again:
            assert again.exec("echo", "here").text == "here\n"


def test_image_without_processes_is_refused(engine: cl.Engine, busybox_image: Path) -> None:
    (image,) = engine.images.load(busybox_image)
    with pytest.raises(cl.InvalidArgument, match="it is no checkpoint"):
        image.restore()


def test_machine_that_lacks_something_is_refused_with_that(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with box.start("sleep", "600") as container:
        instance = container._instance
        with capture.captured(instance, Options(leave_running=True)) as found:
            image = resolve_again(engine.core, instance.record.image_id, "", instance.memo.layers)
            begun = Begun.of(found.layer, image)
            newer = evolve(begun, document=evolve(begun.document, machine=Facts.here((9, 9, 9))))
            with pytest.raises(cl.Unsupported, match=r"made with CRIU 9\.9\.9, and here is 4\."):
                begin(engine.core, newer, Restoration(image.id))
        assert [each.id for each in engine.containers.list()] == [container.id]


def test_what_a_checkpoint_would_not_have_is_refused(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.secret("token", b"x").start("sleep", "600") as container:
        with pytest.raises(cl.Unsupported, match=r"it has secrets \(token\)"):
            container.checkpoint()
        with box.network(container).start("sleep", "600") as other:
            with pytest.raises(cl.Unsupported, match="shares namespaces"):
                other.fork()
        assert container.state is cl.State.RUNNING
    with pytest.raises(cl.Conflict, match="must be running"):
        box.create("true").checkpoint()


def test_connection_that_is_not_to_be_saved_fails_and_it_runs_on(redis: cl.Container) -> None:
    (port,) = redis.ports
    with socket.create_connection(("127.0.0.1", port.host)) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        with pytest.raises((cl.StageError, cl.Conflict), match=r"redis-server|tcp"):
            redis.checkpoint()
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
    assert redis.state is cl.State.RUNNING


def test_container_whose_image_cannot_be_made_goes_on(small_disk: Path, busybox_image: Path) -> None:
    """Its end is the last step: a name that is none, or a full disk, comes before it."""
    program = "x=$(dd if=/dev/urandom bs=1M count=5 2>/dev/null | base64 | sed p); " + COUNT
    with cl.Engine(root=small_disk / "root") as engine:
        (image,) = engine.images.load(busybox_image)
        with engine.container(image).start("sh", "-c", program) as container:
            until(lambda: len(counted(container)) > 1)
            before = engine.images.list()
            for reference, error in (
                ("UPPER", cl.InvalidArgument),
                (5, cl.InvalidArgument),
                ("a", cl.StageError),
            ):
                with pytest.raises(error):
                    container.checkpoint(reference)  # type: ignore[arg-type]
                seen = len(counted(container))
                until(lambda seen=seen: len(counted(container)) > seen)
            assert engine.images.list() == before
        assert engine.prune().failures == ()


def test_words_of_other_kinds_are_refused(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as container:
        checkpoint = container.checkpoint(leave_running=True)
        wrong: tuple[dict[str, Any], ...] = (
            {"ports": [80]},
            {"networks": "bridge"},
            {"networks": 5},
            {"mounts": 5},
        )
        for words in wrong:
            with pytest.raises(cl.InvalidArgument) as caught:
                checkpoint.restore(**words)
            assert caught.value.field in words


def test_input_waits_for_those_who_attach(box: cl.ContainerRecipe) -> None:
    with box.stdin().start("cat") as container:
        checkpoint = container.checkpoint()
    with checkpoint.restore() as again, again.attach(stdin=True) as process:
        assert process.stdin is not None
        process.stdin.write(b"here\n")
        process.stdin.flush()
        until(lambda: [record.text for record in again.logs()] == ["here"])


def test_several_at_once_take_turns(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.start("sh", "-c", COUNT) as container, ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: container.checkpoint(leave_running=True), range(4)))
        copies = [copy for some in pool.map(lambda _: container.fork(2), range(2)) for copy in some]
        restored = list(pool.map(lambda image: image.restore(), made))
        for each in (*copies, *restored):
            assert each.exec("echo", "here").text == "here\n"
            each.remove(force=True)
        assert [each.id for each in engine.containers.list()] == [container.id]


def test_container_that_is_removed_at_its_end_is_in_its_checkpoint(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    container = box.start("sh", "-c", COUNT, remove=True)
    checkpoint = container.checkpoint()
    until(lambda: engine.containers.list() == [])
    again = checkpoint.restore()
    (copy,) = again.fork()
    for each in (again, copy):
        assert each.exec("echo", "here").text == "here\n"
        each.stop(0.0)
    until(lambda: engine.containers.list() == [])


def test_damaged_checkpoint_is_refused_before_anything_starts(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    with box.start("sleep", "600") as container:
        checkpoint = container.checkpoint()
    blob = max(Path(engine.root, "content/blobs/sha256").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert blob.stat().st_size
    report = engine.images.verify()
    assert report.damaged == ()
    engine.images.get(checkpoint.id).remove()
    with pytest.raises(cl.NotFound):
        checkpoint.restore()


def test_encrypted_checkpoint_takes_its_key(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    key, secret = os.urandom(32), "as-yet-unspoken"
    with box.start("sh", "-c", f"word={secret}; {COUNT}") as container:
        until(lambda: len(counted(container)) > 1)
        checkpoint = container.checkpoint(key=key, compression="none")
    for blob in Path(engine.root, "content/blobs/sha256").iterdir():
        assert secret.encode() not in blob.read_bytes()
    for wrong, words in (
        (None, "is encrypted"),
        (os.urandom(32), "another key, or is damaged"),
        (b"short", "32 random bytes"),
    ):
        with pytest.raises(cl.InvalidArgument, match=words):
            checkpoint.restore(key=wrong)
    assert engine.containers.list() == []
    with checkpoint.restore(key=key) as again:
        until(lambda: len(counted(again)) > 1)
        assert counted(again)[0] > 1
    with box.start("sleep", "600") as container, pytest.raises(cl.InvalidArgument, match="32 random bytes"):
        container.checkpoint(key="a" * 32)  # type: ignore[arg-type]
