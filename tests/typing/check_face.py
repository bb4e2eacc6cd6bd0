"""What a type checker must know of the face. Run by mypy --strict, never executed."""

from __future__ import annotations

import io
import re
import socket
import sys
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path
from typing import BinaryIO, assert_type

import containerlib as cl


def recipes(engine: cl.Engine) -> None:
    recipe = engine.container("redis:7")
    assert_type(recipe, cl.ContainerRecipe)
    assert_type(recipe.name("a").env(A="b").limit(memory="1MiB", cpus=1.5), cl.ContainerRecipe)
    assert_type(recipe.mount(Path("/a"), at="/b").mount(cl.tmpfs(), at="/c"), cl.ContainerRecipe)
    assert_type(recipe.mount(engine.volume("www"), at="/www"), cl.ContainerRecipe)
    assert_type(recipe.apply(with_memory, "1MiB"), cl.ContainerRecipe)
    assert_type(recipe.env_file(Path("env")).init().group_add("audio", 44), cl.ContainerRecipe)
    assert_type(recipe.limit(cpuset="0-3", hugepages={"2MB": 0}).numa("bind", 0), cl.ContainerRecipe)
    assert_type(recipe.mount(engine.image("data:1"), at="/data").volumes_from("db"), cl.ContainerRecipe)
    assert_type(recipe.device("/dev/fuse").gpus("all").userns("auto", size=1000), cl.ContainerRecipe)
    assert_type(recipe.secret("key", b"value").pid("host").network("none"), cl.ContainerRecipe)
    assert_type(recipe.network(engine.containers.get("db")), cl.ContainerRecipe)
    assert_type(engine.container(engine.host_image()), cl.ContainerRecipe)
    assert_type(engine.container(engine.image("redis:7")), cl.ContainerRecipe)
    assert_type(cl.container("redis:7"), cl.ContainerRecipe)
    assert_type(recipe.restart("on-failure", retries=3), cl.ContainerRecipe)
    assert_type(recipe.healthy_when(cl.http(80), every=1.0, on_failure="kill"), cl.ContainerRecipe)
    assert_type(recipe.healthy_when(None), cl.ContainerRecipe)


def with_memory(recipe: cl.ContainerRecipe, memory: str) -> cl.ContainerRecipe:
    return recipe.limit(memory=memory)


def verbs(recipe: cl.ContainerRecipe) -> None:
    assert_type(recipe.run("true", check=False), cl.Completed)
    assert_type(recipe.run("cat", input=b"x", timeout=1.0).text, str)
    assert_type(recipe.run("cat").stdout, bytes)
    assert_type(recipe.run("make", stream=True), cl.Completed)
    assert_type(recipe.run("make", stream=heard), cl.Completed)
    recipe.run("make", stream=len)  # type: ignore[arg-type]
    assert_type(recipe.start(detach=True), cl.Container)
    assert_type(recipe.create(), cl.Container)
    with recipe.spawn("cat") as process:
        assert_type(process, cl.Process)
        assert_type(process.stdin, BinaryIO)
        assert_type(process.poll(), cl.ExitStatus | None)
        assert_type(process.wait(1.0), cl.ExitStatus)


def heard(name: str, data: bytes) -> None: ...


def version() -> None:
    assert_type(cl.__version__, str)


def containers(engine: cl.Engine, recipe: cl.ContainerRecipe) -> None:
    with recipe.start() as container:
        assert_type(container, cl.Container)
        assert_type(container.state, cl.State)
        assert_type(container.exec("true"), cl.Completed)
        assert_type(container.spawn("true"), cl.Process)
        assert_type(container.spawn("true", detach=True), cl.Process)
        assert_type(container.attach(stdin=False), cl.Process)
        assert_type(container.stop(1.0), cl.ExitStatus)
        assert_type(container.wait(), cl.ExitStatus)
        assert_type(container.wait(condition="next-exit"), cl.ExitStatus)
        assert_type(container.health, cl.Health | None)
        assert_type(container.restart_count, int)
        container.wait_for(log=re.compile("ready"), count=2)
        container.wait_for(log=re.compile(b"ready"))  # type: ignore[arg-type]
        assert_type(container.port(80), cl.HostAddress)
        socket.create_connection(container.port(80, protocol="tcp")).close()
        assert_type(container.logs(follow=True), Iterator[cl.LogRecord])
        assert_type(container.logs(tail=10, stream="stderr"), Iterator[cl.LogRecord])
        assert_type(container.stats(), cl.Stats)
        assert_type(container.stats(stream=True, every=0.5), Iterator[cl.Stats])
        assert_type(container.top(), tuple[cl.ProcessInfo, ...])
        assert_type(container.inspect(), cl.ContainerInfo)
        assert_type(container.path("/etc") / "hosts", cl.ContainerPath)
        assert_type(container.path("/etc/hosts").read_text(), str)
        assert_type(container.path("/etc").iterdir(), Iterator[cl.ContainerPath])
    assert_type(engine.events(follow=True), Iterator[cl.Event])
    assert_type(engine.disk_usage(), cl.DiskUsage)
    assert_type(engine.containers.get("a"), cl.Container)
    assert_type(engine.containers.list(), list[cl.Container])
    assert_type(engine.containers.list(state="running", ancestor=engine.host_image()), list[cl.Container])
    engine.containers.list(network=engine.networks.list(dangling=False)[0], before=engine.containers.get("a"))
    engine.containers.list(health="well")  # type: ignore[arg-type]


def images(engine: cl.Engine) -> None:
    assert_type(engine.image("redis:7").pull(auth=cl.BasicAuth("a", "b")), cl.Image)
    assert_type(engine.images.get("redis:7").push("ghcr.io/a/b", auth=cl.IdentityToken("t")), str)
    assert_type(engine.images.push("redis:7", engine.images.get("b"), to="ghcr.io/a/b"), str)
    assert_type(engine.images.load("image.tar"), list[cl.Image])
    assert_type(engine.images.load(sys.stdin.buffer), list[cl.Image])
    assert_type(engine.images.load(socket.socket().makefile("rb", buffering=0)), list[cl.Image])
    assert_type(engine.images.import_(HTTPResponse(socket.socket())), cl.Image)
    engine.images.save("app:1", to=io.FileIO("image.tar", "w"))
    assert_type(engine.images.import_("files.tar", "app:1", cmd=("a",)), cl.Image)
    assert_type(engine.images.get("app:1").squash("app:2"), cl.Image)
    assert_type(engine.containers.get("a").commit("app:3", env={"A": "1"}), cl.Image)
    assert_type(engine.containers.get("a").diff(), list[cl.Change])
    assert_type(engine.images.list(), list[cl.Image])
    assert_type(engine.prune(), cl.PruneReport)
    volume = engine.volume("www").driver("shelf").option(tier="fast").label(team="web").create()
    assert_type(volume, cl.Volume)
    assert_type(volume.options, dict[str, str])
    volume.backup("www.tar")
    volume.restore(b"")  # type: ignore[arg-type]


def registry() -> None:
    with cl.Registry(
        "ghcr.io", auth=cl.BasicAuth("a", "b"), mirrors=["mirror:5000"], ca=Path("ca.pem")
    ) as registry:
        assert_type(registry, cl.Registry)
        descriptor = registry.resolve("acme/app:1.0")
        assert_type(descriptor.size, int)
        assert_type(registry.manifest("acme/app:1.0").data, bytes)
        assert_type(registry.blob("acme/app", descriptor), Iterator[bytes])
        assert_type(registry.save("acme/app", "sha256:...", Path("layer.tar")).media_type, str)
    cl.Registry("ghcr.io", auth=cl.IdentityToken("a")).close()
    cl.Registry("ghcr.io", auth=cl.RegistryToken("a"), client_certificate=("c.pem", "k.pem")).stop()


def refused(engine: cl.Engine, recipe: cl.ContainerRecipe) -> None:
    recipe.run(["a", "list"])  # type: ignore[arg-type]
    recipe.run("cat", input="text")  # type: ignore[arg-type]
    recipe.mount(5, at="/x")  # type: ignore[arg-type]
    recipe.network("bridge")  # type: ignore[arg-type]
    recipe.env(PORT=80)  # type: ignore[arg-type]
    engine.container(1)  # type: ignore[arg-type]
    engine.host_image().pull()  # type: ignore[attr-defined]
    cl.Registry("ghcr.io", auth=("a", "b"))  # type: ignore[arg-type]
    cl.nonsense  # type: ignore[attr-defined]  # noqa: B018
