"""Each action that Docker has, and ours: who does it is told of, with what."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.registry import Registry

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture
def running(box: cl.ContainerRecipe) -> Iterator[cl.Container]:
    with box.start("sleep", "600") as container:
        yield container


def actions(engine: cl.Engine, *, kinds: tuple[str, ...] = ("container",), after: int = 0) -> list[str]:
    return [event.action for event in engine.events(kinds=kinds, after=after)]


def facts(engine: cl.Engine, action: str) -> list[dict[str, str]]:
    """What each event of that action says, beside the image."""
    found = engine.events(actions=[action])
    return [{name: text for name, text in event.attributes.items() if name != "image"} for event in found]


# ---- containers ----


def test_events_of_each_verb(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    container = box.name("one").start("sleep", "1000", detach=True)
    container.exec("true")
    container.wait_for(exec=("true",))
    container.pause()
    container.resume()
    container.update(pids=100)
    container.rename("two")
    container.stop(timeout=0)
    container.start()
    container.kill("KILL")
    container.wait()
    container.remove()
    verbs = "create start exec exec_die pause resume update rename die stop start kill die remove"
    assert actions(engine) == verbs.split()
    renamed = next(engine.events(actions=["rename"]))
    assert (renamed.name, renamed.attributes["old_name"]) == ("two", "one")
    assert {event.name for event in engine.events(subject="two")} == {"two"}


def test_events_of_a_container_have_the_volumes_that_it_was_made_with(
    engine: cl.Engine, box: cl.ContainerRecipe
) -> None:
    box.mount(engine.volume("www"), at="/www").mount(engine.volume("data"), at="/data").run("true")
    assert facts(engine, "create") == [{"volumes": "www,data"}, {}, {}], "before those of the volumes"


def test_events_of_commands_have_their_end(
    engine: cl.Engine, box: cl.ContainerRecipe, running: cl.Container
) -> None:
    running.exec("sh", "-c", "exit 3", check=False)
    with pytest.raises(cl.StageError):
        running.exec("no-such-program")
    with pytest.raises(cl.Timeout):
        running.exec("sleep", "60", timeout=0.2)
    with running.spawn("sh", "-c", "exit 4") as process:
        process.wait(30.0)
    with running.spawn("sleep", "60"):
        pass
    with running.spawn("true", detach=True) as process:
        process.wait(30.0)
    with running.spawn("sleep", "0.01", detach=True):
        pass  # nobody sees its end
    began, ended = facts(engine, "exec"), facts(engine, "exec_die")
    assert [each["exit_code"] for each in ended] == ["3", "127", "137", "4", "137", "0"]
    assert [(each["program"], each["exec_id"]) for each in ended] == [
        (each["program"], each["exec_id"]) for each in began[:-1]
    ]
    assert len({each["exec_id"] for each in began}) == 7


def test_events_of_looks_whether_it_is_ready_are_none(engine: cl.Engine, running: cl.Container) -> None:
    running.wait_for(exec=("true",))
    assert actions(engine) == ["create", "start"]


def test_events_of_who_attaches_and_lets_go(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.tty().stdin().start("sh") as container:
        with container.attach() as first:
            first.resize(rows=41, columns=123)
        first.close()
        assert actions(engine) == ["create", "start", "attach", "resize", "detach"]
        assert facts(engine, "resize") == [{"rows": "41", "columns": "123"}]
        with container.attach() as second:
            second.stdin.write(b"exit\n")
            second.wait(30.0)
        assert actions(engine)[5:] == ["attach", "die"], "it ended, and nobody let go of it"


def test_events_of_a_size_without_a_terminal_are_none(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with box.spawn("cat") as process:
        process.resize(rows=1, columns=1)
    assert actions(engine) == ["create", "start", "die", "remove"]


def test_events_of_looks_and_copies(
    engine: cl.Engine, running: cl.Container, tmp_path: Path, busybox_image: Path
) -> None:
    (tmp_path / "file").write_text("text")
    running.path("/etc").copy_in(tmp_path / "file")
    running.path("/etc/file").copy_out(tmp_path / "back")
    with pytest.raises(cl.NotFound):
        running.path("/missing").copy_out(tmp_path / "back")
    running.top()
    running.export(io.BytesIO())
    image = running.commit("made:1")
    assert actions(engine)[2:] == ["copy", "copy", "top", "export", "pause", "resume", "commit"]
    assert facts(engine, "copy") == [
        {"direction": "in", "path": "/etc"},
        {"direction": "out", "path": "/etc/file"},
    ]
    assert facts(engine, "commit") == [{"image_id": image.id, "reference": "made:1"}]


def test_events_of_a_restart_are_those_of_its_parts(engine: cl.Engine, running: cl.Container) -> None:
    running.restart(timeout=0)
    assert actions(engine) == ["create", "start", "die", "stop", "start", "restart"]


def test_events_of_a_prune_have_what_it_freed(engine: cl.Engine, busybox_image: Path) -> None:
    for each in (engine.containers, engine.volumes, engine.images):
        each.prune()
    assert facts(engine, "prune") == [{"reclaimed_bytes": "0"}] * 3
    (image,) = engine.images.load(busybox_image)
    engine.container(image).start("sh", "-c", "echo text >/file", detach=True).wait()
    report = engine.containers.prune()
    found = list(engine.events(kinds=["container"]))[-2:]
    assert [event.action for event in found] == ["remove", "prune"]
    assert found[1].attributes == {"reclaimed_bytes": str(report.reclaimed_bytes)}
    assert (found[1].subject, found[1].name) == ("", "")


# ---- images and volumes ----


def test_events_of_an_image_have_each_of_its_names(
    engine: cl.Engine, busybox_image: Path, tmp_path: Path
) -> None:
    (image,) = engine.images.load(busybox_image)
    first = "docker.io/library/first:1"
    image.tag("first:1")
    image.tag("second:1")
    engine.images.save("second:1", to=tmp_path / "saved.tar")
    engine.images.get("second:1").remove()
    assert [(event.action, event.name) for event in engine.events(kinds=["image"])] == [
        ("load", ""),
        ("tag", first),
        ("tag", "docker.io/library/second:1"),
        ("save", first),
        ("untag", first),
        ("untag", "docker.io/library/second:1"),
        ("remove", first),
    ]
    assert {event.subject for event in engine.events(kinds=["image"])} == {image.id}


def test_events_of_images_have_their_labels(
    engine: cl.Engine, box: cl.ContainerRecipe, tmp_path: Path
) -> None:
    (tmp_path / "files").mkdir()
    before = [*engine.events()][-1].id
    image = engine.images.import_(tmp_path / "files", "made:1", labels={"team": "web"})
    image.squash("flat:1")
    image.tag("made:2")
    engine.images.prune(named=True, labels={"team": "web"})
    told = ["import", "build", "tag", "untag", "remove", "untag", "untag", "remove"]
    assert sorted(actions(engine, kinds=("image",), after=before)) == sorted([*told, "prune"])
    assert sorted(event.action for event in engine.events(labels={"team": "web"})) == sorted(told)
    assert list(engine.events(labels={"team": "db"})) == []


def test_events_of_more_labels_than_are_worth_keeping_have_none(engine: cl.Engine, tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    engine.images.import_(tmp_path / "files", "made:1", labels={"text": "x" * (1 << 20)})
    (made,) = engine.events(actions=["import"])
    assert made.labels == {}


def test_events_of_a_registry_have_the_name_there(
    engine: cl.Engine, box: cl.ContainerRecipe, registry: Registry
) -> None:
    (image,) = engine.images.list()
    name = registry.reference("box", "1")
    image.push(name)
    engine.image(name).pull()
    assert [event.name for event in engine.events(actions=["push", "pull"])] == [name, name]


def test_events_of_volumes(engine: cl.Engine) -> None:
    engine.volume("www").create().remove()
    assert actions(engine, kinds=("volume",)) == ["create", "remove"]


# ---- which ----


def test_events_by_image_are_of_it_and_its_containers(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    (image,) = engine.images.list()
    image.tag("app:1")
    image.tag("other:1")
    engine.container("app:1").name("one").run("true")
    engine.container("other:1").name("two").run("true")
    engine.container(image).name("three").run("true")
    found = list(engine.events(image="app"))
    assert {(event.kind, event.name) for event in found} == {
        ("image", "docker.io/library/app:1"),
        ("container", "one"),
    }
    assert list(engine.events(image="docker.io/library/app:1")) == found
    assert list(engine.events(image="app:2")) == []
    by_id = {event.name for event in engine.events(image=image.id[:19])}
    assert by_id == {"", "docker.io/library/app:1", "docker.io/library/other:1", "three"}


def test_events_of_what_never_happens_are_refused(engine: cl.Engine) -> None:
    with pytest.raises(cl.InvalidArgument, match="contaner"):
        engine.events(kinds=["contaner"])
    with pytest.raises(cl.InvalidArgument, match="destroy"):
        engine.events(actions=["destroy"])


def test_events_by_label_are_of_containers_and_volumes(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    engine.volume("labelled").label(team="web").create()
    engine.volume("other").label(team="db").create().remove()
    box.name("one").label(team="web").run("true")
    box.name("two").run("true")
    found = list(engine.events(labels={"team": "web"}))
    assert {(event.kind, event.name) for event in found} == {("volume", "labelled"), ("container", "one")}
    assert [event.action for event in found] == ["create", "create", "start", "die", "remove"]
    assert dict(found[-1].labels) == {"team": "web"}
    assert {event.name for event in engine.events(labels={"team": None})} == {"labelled", "other", "one"}
    with pytest.raises(cl.InvalidArgument, match="label"):
        engine.events(labels={"team": 1})  # type: ignore[dict-item]
