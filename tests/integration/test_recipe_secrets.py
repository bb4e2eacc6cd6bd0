"""Secrets: files that a container has, and nobody else."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest

import containerlib as cl

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

VALUE = b"correct horse battery staple \0\xff"


def files_with(directory: Path, value: bytes) -> list[Path]:
    """Every file below `directory` that holds `value`."""
    return [
        path
        for path in directory.rglob("*")
        if path.is_file() and not path.is_symlink() and value in path.read_bytes()
    ]


def test_secret_is_a_file_that_nobody_can_write(box: cl.ContainerRecipe) -> None:
    recipe = box.secret("key", VALUE).secret(
        "other", b"x", at="/run/secrets/app/token", mode=0o440, uid=5, gid=6
    )
    assert recipe.run("cat", "/run/secrets/key").stdout == VALUE
    show = "stat -c %a:%u:%g /run/secrets/key /run/secrets/app/token; cat /run/secrets/app/token"
    assert recipe.run("sh", "-c", show).text.split() == ["400:0:0", "440:5:6", "x"]
    done = recipe.run(
        "sh", "-c", "echo > /run/secrets/key; rm /run/secrets/key; touch /run/secrets/x", check=False
    )
    assert done.stderr.count(b"Read-only file system") == 3


def test_secret_of_any_path_is_a_mount_of_its_own_on_memory(box: cl.ContainerRecipe) -> None:
    recipe = box.secret("key", VALUE, at="/etc/deep/down/key").secret(
        "passwd", b"root:x:0:0::/:/bin/sh", at="/etc/passwd"
    )
    with recipe.start("sleep", "1000") as container:
        assert container.exec("cat", "/etc/deep/down/key").stdout == VALUE
        assert container.exec("cat", "/etc/passwd").text.startswith("root:x:0")
        mounts = container.exec("grep", "/etc/deep/down/key", "/proc/mounts").text.split()
        assert mounts[2] == "tmpfs"
        assert set(mounts[3].split(",")) >= {"ro", "nosuid", "nodev", "noexec"}
        assert container.exec("sh", "-c", "grep -c /run/secrets /proc/mounts", check=False).text == "0\n"
        assert files_with(Path(container.engine.root), VALUE) == []
        document = str(container.inspect().document())
        assert "correct horse" not in document
        assert container.inspect().secrets == ("key", "passwd")


def test_secret_of_any_path_stays_above_a_volume_and_leaves_it_an_empty_file(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("v").create()
    recipe = box.mount(volume, at="/data").secret("key", VALUE, at="/data/key")
    assert recipe.run("cat", "/data/key").stdout == VALUE
    assert (volume.path / "key").read_bytes() == b""


def test_secret_behind_a_link_of_the_image_is_where_that_leads_in_the_container(
    box: cl.ContainerRecipe,
) -> None:
    volume = box.engine.volume("v").create()
    (volume.path / "out").symlink_to("/../../etc/inside")
    recipe = box.mount(volume, at="/data").secret("key", VALUE, at="/data/out")
    assert recipe.run("cat", "/etc/inside").stdout == VALUE
    assert not Path("/etc/inside").exists()


def test_secret_in_a_user_namespace_has_the_containers_ids_in_all_its_directories(
    box: cl.ContainerRecipe,
) -> None:
    recipe = (
        box.userns("auto")
        .secret("a", b"", at="/run/secrets/sub/a", uid=7)
        .secret("b", b"", at="/etc/b", gid=9)
    )
    show = "stat -c %u:%g /run/secrets /run/secrets/sub /run/secrets/sub/a /etc/b"
    assert recipe.run("sh", "-c", show).text.split() == ["0:0", "0:0", "7:0", "0:9"]
    with pytest.raises(cl.InvalidArgument, match="no user 70000"):
        box.userns("auto").secret("a", b"", uid=70_000).run("true")


def test_secret_variable_is_the_first_processes_and_in_no_file(box: cl.ContainerRecipe) -> None:
    recipe = box.env(KEY="old").secret("key", b"correct horse \xff", env="KEY")
    show = ("sh", "-c", 'printf %s "$KEY"')
    assert recipe.run(*show).stdout == b"correct horse \xff"
    with recipe.init().start("sleep", "1000") as container:
        assert files_with(Path(container.engine.root), b"correct horse") == []
        assert "correct horse" not in str(container.inspect().document()) + repr(recipe)
        assert container.exec(*show).text == "old"
        container.stop(timeout=0.0)
        with pytest.raises(cl.Conflict, match="secrets any more"):
            container.start()


def test_secret_below_an_image_that_is_mounted_is_refused(box: cl.ContainerRecipe) -> None:
    (image,) = box.engine.images.list()
    with pytest.raises(cl.InvalidArgument, match="would hide"):
        box.mount(image, at="/data").secret("key", b"", at="/data/key").run("true")


def test_secret_of_a_file_is_read_when_the_container_is_made(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    recipe = box.secret("key", tmp_path / "key")
    with pytest.raises(cl.NotFound, match="there is no file"):
        recipe.run("true")
    (tmp_path / "key").write_bytes(VALUE)
    assert recipe.run("cat", "/run/secrets/key").stdout == VALUE


def test_secret_is_on_no_disk_and_in_no_record(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    recipe = box.secret("key", VALUE)
    with recipe.start("sleep", "1000") as container:
        assert container.exec("cat", "/run/secrets/key").stdout == VALUE
        assert files_with(Path(container.engine.root), VALUE) == []
        assert container.exec("grep", " /run/secrets ", "/proc/mounts").text.split()[2] == "tmpfs"
    assert VALUE in pickle.dumps(recipe)


def test_secret_is_in_no_text(box: cl.ContainerRecipe) -> None:
    recipe = box.secret("key", b"battery-staple")
    assert "key" in repr(recipe)
    assert "battery" not in repr(recipe) + repr(recipe.options)
    with recipe.start("sleep", "1000") as container:
        assert "battery" not in repr(container) + repr(container._instance)
    with pytest.raises(cl.StageError) as caught:
        recipe.run("nonesuch")
    assert "battery" not in str(caught.value)


def test_secret_that_is_gone_keeps_its_container_from_starting_again(box: cl.ContainerRecipe) -> None:
    container = box.secret("key", VALUE).start("true", detach=True)
    container.wait(30.0)
    with pytest.raises(cl.Conflict, match=r"its secrets any more \(key\)"):
        container.start()
    container.remove()


def test_secret_of_a_created_container_is_there_when_it_starts(box: cl.ContainerRecipe) -> None:
    with box.secret("key", b"value").create("cat", "/run/secrets/key") as container:
        container.start()
        container.wait(30.0)
        assert [record.text for record in container.logs()] == ["value"]


def test_secret_in_a_user_namespace_is_its_roots(box: cl.ContainerRecipe) -> None:
    recipe = box.userns("auto").secret("key", b"value", uid=7, gid=8)
    assert recipe.run("stat", "-c", "%u:%g", "/run/secrets/key").text == "7:8\n"


def test_secret_where_something_else_is_mounted_is_refused(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.InvalidArgument, match="/run/secrets"):
        box.secret("key", b"").mount(cl.tmpfs(), at="/run/secrets").run("true")


def test_secret_is_above_what_is_mounted_on_run(box: cl.ContainerRecipe) -> None:
    assert (
        box.secret("key", b"value").mount(cl.tmpfs(), at="/run").run("cat", "/run/secrets/key").text
        == "value"
    )


def test_secret_behind_the_images_link_stays_in_memory(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("v").create()
    (volume.path / "secrets").symlink_to("elsewhere")
    recipe = box.mount(volume, at="/run").secret("key", VALUE)
    recipe.run("true", check=False)
    assert files_with(Path(box.engine.root), VALUE) == []
    assert [path for path in volume.path.rglob("*") if path.is_file()] == []


def test_secret_of_another_kind_is_refused_unseen(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        box.secret("key", "battery-staple")  # type: ignore[arg-type]
    assert caught.value.field == "secret"
    assert "battery" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "words"),
    [("at", {"at": "/proc/self/attr/exec"}), ("at", {"at": "key"}), ("mode", {"mode": 0o4000})],
)
def test_secret_where_none_can_be_is_refused(
    box: cl.ContainerRecipe, field: str, words: dict[str, object]
) -> None:
    with pytest.raises(cl.InvalidArgument) as caught:
        box.secret("key", b"", **words)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_secret_is_not_swapped_where_the_kernel_can_tell(box: cl.ContainerRecipe) -> None:
    if tuple(map(int, os.uname().release.split(".")[:2])) < (6, 4):
        pytest.skip("noswap takes Linux 6.4")
    assert "noswap" in box.secret("key", b"").run("grep", " /run/secrets ", "/proc/mounts").text
