"""Lists that are narrowed down."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def names(engine: cl.Engine, **given: Any) -> set[str]:
    return {one.name for one in engine.containers.list(**given)}


def test_containers_are_listed_by_each_filter(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    web = box.name("web").label(team="a").mount(engine.volume("www"), at="/www").mount(tmp_path, at="/srv")
    with (
        web.healthy_when(cl.command("true"), start_period=600.0, every=600.0).create("true") as created,
        box.name("db").label(team="b", tier="1").start("sh", "-c", "exit 3") as ended,
        box.name("db-copy").network("host").start("sleep", "600") as running,
    ):
        ended.wait(30.0)
        committed = ended.commit("child:1")
        with engine.container(committed).name("child").create("true") as child:
            (parent,) = [one for one in engine.images.list() if one.id != committed.id]
            expected: list[tuple[dict[str, Any], set[str]]] = [
                ({}, {"web", "db", "db-copy", "child"}),
                ({"labels": {"team": None}}, {"web", "db"}),
                ({"labels": {"team": "b", "tier": "1"}}, {"db"}),
                ({"name": "db"}, {"db", "db-copy"}),
                ({"name": re.compile("^db$")}, {"db"}),
                ({"id": running.id[:12]}, {"db-copy"}),
                ({"state": "running"}, {"db-copy"}),
                ({"state": [cl.State.CREATED, "stopped"]}, {"web", "db", "child"}),
                ({"exit_code": 3}, {"db"}),
                ({"exit_code": (0, 1)}, set()),
                ({"health": "none"}, {"web", "db", "db-copy", "child"}),
                ({"ancestor": parent}, {"web", "db", "db-copy", "child"}),
                ({"ancestor": "child:1"}, {"child"}),
                ({"ancestor": engine.host_image()}, set()),
                ({"before": ended}, {"web"}),
                ({"since": "db"}, {"db-copy", "child"}),
                ({"volume": "www"}, {"web"}),
                ({"volume": engine.volumes.get("www")}, {"web"}),
                ({"volume": str(tmp_path)}, {"web"}),
                ({"network": "host"}, {"db-copy"}),
                ({"network": "none", "state": "created"}, {"web", "child"}),
                ({"publish": 80}, set()),
                ({"expose": "1-65535/udp"}, set()),
            ]
            for given, found in expected:
                assert names(engine, **given) == found, given
            assert child.state is cl.State.CREATED
            assert created.state is cl.State.CREATED


@pytest.mark.usefixtures("network")
def test_containers_are_listed_by_their_network_and_ports(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("backend").label(team="a").create() as backend:
        recipe = box.name("web").join(backend).publish(80).publish(53, protocol="udp")
        with recipe.create("true"), box.name("other").create("true"):
            assert names(engine, network=backend) == names(engine, network="backend") == {"web"}
            assert names(engine, publish=80) == names(engine, expose=range(79, 82)) == {"web"}
            assert names(engine, publish="53/udp") == {"web"}
            assert names(engine, publish=53) == set()
            assert engine.networks.list(dangling=True) == []
            assert engine.networks.list(labels={"team": "a"}, name="back", dangling=False) == [backend]
        assert engine.networks.list(dangling=True, id=backend.id[:12], driver="bridge") == [backend]


def test_images_and_volumes_are_listed_by_each_filter(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    (first,) = engine.images.list()
    first.tag("ghcr.io/acme/tools/box:2")
    first.tag("box:1")
    for pattern in (
        "box",
        "box:*",
        "docker.io/library/b?x",
        "ghcr.io/acme/*/box",
        "ghcr.io/acme/tools/box:2",
    ):
        assert [one.id for one in engine.images.list(reference=pattern)] == [first.id], pattern
    for pattern in ("bo", "box:9", "ghcr.io/*", "*/box:2"):
        assert engine.images.list(reference=pattern) == [], pattern
    with box.start("touch", "/new") as container:
        container.wait(30.0)
        second = container.commit(labels={"team": "a"})
    assert [one.id for one in engine.images.list(dangling=True)] == [second.id]
    assert [one.id for one in engine.images.list(labels={"team": "a"})] == [second.id]
    assert [one.id for one in engine.images.list(since=first)] == [second.id]
    assert [one.id for one in engine.images.list(before=second)] == [first.id]
    assert engine.images.list(older_than=3600.0) == []
    used, free = engine.volume("used").create(), engine.volume("free").label(team="a").create()
    with box.mount(used, at="/used").create("true"):
        assert engine.volumes.list(dangling=True) == engine.volumes.list(labels={"team": "a"}) == [free]
        assert (
            engine.volumes.list(dangling=False) == engine.volumes.list(name="use", driver="local") == [used]
        )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"state": "exited"}, "state"),
        ({"health": "well"}, "health"),
        ({"exit_code": "0"}, "exit_code"),
        ({"publish": "80/icmp"}, "publish"),
        ({"expose": 0}, "expose"),
        ({"name": re.compile(b"x")}, "name"),
        ({"labels": ["a"]}, "labels"),
        ({"volume": 5}, "volume"),
    ],
)
def test_filter_that_cannot_be_is_refused_by_name(
    engine: cl.Engine, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        engine.containers.list(**given)
    assert caught.value.field == field


def test_filter_by_what_is_not_there_is_an_error(engine: cl.Engine) -> None:
    for given in ({"since": "nobody"}, {"ancestor": "nothing:1"}, {"network": "nowhere"}):
        with pytest.raises(cl.NotFound):
            names(engine, **given)
