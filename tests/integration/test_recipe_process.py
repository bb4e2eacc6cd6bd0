"""What a program finds around it: names, environment, groups, and its own manners."""

from __future__ import annotations

from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def test_domainname_is_the_kernels(box: cl.ContainerRecipe) -> None:
    assert box.domainname("example.org").run("cat", "/proc/sys/kernel/domainname").text == "example.org\n"


def test_env_file_is_read_when_the_container_is_made(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    recipe = box.env_file(tmp_path / "env").env(B="recipe")
    (tmp_path / "env").write_text("A=file\nB=file\n")
    assert recipe.run("sh", "-c", "echo $A $B").text == "file recipe\n"


def test_env_file_that_is_missing_leaves_no_container(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with pytest.raises(cl.NotFound, match="there is no file"):
        box.env_file(tmp_path / "none").run("true")
    assert box.engine.containers.list() == []


def test_label_file_labels_the_container(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("team=web\nalone\n")
    with box.label_file(tmp_path / "labels").label(own="1").start("sleep", "100") as container:
        assert container.labels == {"team": "web", "alone": "", "own": "1"}


def test_hosts_and_resolver_have_the_recipes_lines(box: cl.ContainerRecipe) -> None:
    recipe = box.add_host("db", "10.1.2.3").dns("10.9.9.9", search=("example.org",), options=("ndots:2",))
    done = recipe.run("cat", "/etc/hosts", "/etc/resolv.conf")
    lines = done.text.splitlines()
    assert {"10.1.2.3\tdb", "nameserver 10.9.9.9", "search example.org", "options ndots:2"} <= set(lines)
    assert [line for line in lines if line.startswith("nameserver")] == ["nameserver 10.9.9.9"]


def test_groups_are_added_to_the_users(box: cl.ContainerRecipe) -> None:
    assert box.user("4000:4001").group_add(44, "4242").run("id", "-G").text.split() == ["4001", "44", "4242"]


def test_umask_is_that_of_new_files(box: cl.ContainerRecipe) -> None:
    assert box.umask(0o77).run("sh", "-c", "touch /x; stat -c %a /x").text == "600\n"


def test_personality_is_told_by_uname(box: cl.ContainerRecipe) -> None:
    machine = box.run("uname", "-m").text
    assert box.personality("linux32").run("uname", "-m").text != machine


def test_timezone_is_the_programs(box: cl.ContainerRecipe) -> None:
    zone = Path("/usr/share/zoneinfo/Asia/Tokyo")
    if not zone.exists():
        pytest.skip("no time zones here: install tzdata")
    recipe = box.timezone("Asia/Tokyo")
    assert recipe.run("cat", "/etc/localtime").stdout == zone.read_bytes()
    with pytest.raises(cl.ExitError):
        recipe.run("sh", "-c", "echo > /etc/localtime")


def test_annotations_are_in_the_configuration(box: cl.ContainerRecipe) -> None:
    with box.annotate({"org.example": "x"}).start("sleep", "100") as container:
        text = Path(container.engine.core.directory(container.id), "config.json").read_text()
    assert '"annotations":{"org.example":"x"}' in text
