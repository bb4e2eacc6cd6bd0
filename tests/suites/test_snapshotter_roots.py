"""What containers have of their images' layers, whatever keeps these: test_snapshotters.py has the rest."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import tarfile
from pathlib import Path

import pytest

import containerlib as cl
from containerlib.spec.options import SnapshotterName
from rig import images
from rig.bundles import until
from rig.groups import running_in
from rig.images import Image, Layer
from rig.layers import BASE, MERGED, TOP, shown

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_CHOWN, CAP_MKNOD: unpacks and mounts layers"),
    pytest.mark.usefixtures("snapshotter"),
    pytest.mark.parametrize("snapshotter", ["overlay", "erofs", "fuse-overlayfs", "copy"], indirect=True),
]


@pytest.fixture
def image(engine: cl.Engine, tmp_path: Path) -> cl.Image:
    """busybox below the two layers."""
    return load(engine, tmp_path, images.busybox_layer(), BASE, TOP)


def load(engine: cl.Engine, tmp_path: Path, *layers: bytes, **config: object) -> cl.Image:
    number = len(list(tmp_path.glob("layout-*")))
    layout = Image(layers, {"Env": ["PATH=/bin:/usr/bin"], **config}).write_layout(
        tmp_path / f"layout-{number}"
    )
    (loaded,) = engine.images.load(layout)
    return loaded


def setuid_layer() -> bytes:
    layer = Layer().directory("lib").directory("lib64").directory("usr/lib")
    layer.file("bin/whoami-really", Path("/usr/bin/id").read_bytes(), 0o4755)
    for library in images.libraries("/usr/bin/id"):
        layer.copy(library)
    return layer.finish()


def device_layer(*devices: tuple[str, int]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.TarFile(fileobj=buffer, mode="w") as archive:
        for name, minor in devices:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.devmajor, info.devminor = tarfile.CHRTYPE, 0o666, 1, minor
            archive.addfile(info)
    return buffer.getvalue()


def test_container_sees_what_the_layers_show_together(engine: cl.Engine, image: cl.Image) -> None:
    paths = " ".join(path for path in MERGED if path)
    code = f"for f in {paths}; do stat -c '%n %a %u %g' $f; test -f $f && cat $f; done; ls -d gone etc/hidden dir/old"
    done = engine.container(image).run("sh", "-c", f"cd /; {code}", check=False)
    expected = ""
    for path, (_, mode, uid, gid, *content) in MERGED.items():
        if path:
            expected += f"{path} {mode:o} {uid} {gid}\n"
            text = content[0] if content else ""
            expected += str(MERGED["dir/new"][4] if text == "dir/new" else text)
    assert done.text == expected
    assert done.stderr.count(b"No such file") == 3


def test_container_has_its_layers_stacked_by_what_the_snapshotter_is_for(
    engine: cl.Engine, image: cl.Image, snapshotter: SnapshotterName
) -> None:
    mounts = engine.container(image).run("cat", "/proc/self/mountinfo").text.splitlines()
    (kind,) = [line.partition(" - ")[2].split()[0] for line in mounts if line.split()[4] == "/"]
    stacks = {"overlay": "overlay", "erofs": "overlay", "fuse-overlayfs": "fuse"}
    assert kind == stacks.get(snapshotter, kind)
    assert kind != "overlay" or snapshotter in stacks


def test_container_runs_as_a_user_of_the_image(engine: cl.Engine, image: cl.Image) -> None:
    assert engine.container(image).user("app").run("sh", "-c", "id -u; id -g").text == "7\n8\n"


def test_container_writes_to_nothing_but_its_own(engine: cl.Engine, image: cl.Image) -> None:
    before = shown(image.record.layers)
    code = "cd /; rm -r dir etc/passwd link; echo changed > linked; chmod 777 was-file; mkdir dir; echo new > dir/file"
    recipe = engine.container(image)
    with recipe.start("sh", "-c", f"{code}; echo done; exec sleep 600") as container:
        container.wait_for(log="done")
        assert container.exec("cat", "/linked", "/dir/file").text == "changed\nnew\n"
    assert shown(image.record.layers) == before
    assert recipe.run("cat", "/linked", "/dir/new").text == "78"


def test_container_stopped_and_started_keeps_what_it_wrote(engine: cl.Engine, image: cl.Image) -> None:
    code = "echo x >> /kept; wc -l < /kept; trap 'exit 0' TERM; while :; do sleep 0.05; done"
    with engine.container(image).start("sh", "-c", code) as container:
        container.wait_for(log="1")
        container.stop(timeout=20.0)
        container.start()
        container.wait_for(log="2")


def test_container_leaves_no_mount_and_no_process(engine: cl.Engine, image: cl.Image) -> None:
    with engine.container(image).start("sleep", "600"):
        assert engine.root not in Path("/proc/self/mountinfo").read_text()
    engine.container(image).run("true")
    assert engine.root not in Path("/proc/self/mountinfo").read_text()
    assert processes_with(engine.root) == []


def test_container_does_not_see_its_layers_mounts(engine: cl.Engine, image: cl.Image) -> None:
    mounts = engine.container(image).run("cat", "/proc/self/mountinfo").text
    assert "erofs" not in mounts
    assert "snapshots" not in mounts
    assert len([line for line in mounts.splitlines() if line.split()[4] == "/"]) == 1


def test_supervisor_killed_takes_all_of_the_root_along(engine: cl.Engine, image: cl.Image) -> None:
    with engine.container(image).start("sleep", "600") as container:
        first = running_in(container.id)[0]
        os.kill(int(Path(f"/proc/{first}/stat").read_text().rpartition(")")[2].split()[1]), signal.SIGKILL)
        assert container.wait(10.0).exit_code == 137
        until(lambda: not processes_with(engine.root))


def processes_with(word: str) -> list[str]:
    """Command lines that have it."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            lines.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return [line for line in lines if word in line]


def test_setuid_program_of_a_layer_works(engine: cl.Engine, tmp_path: Path) -> None:
    image = load(engine, tmp_path, images.busybox_layer(), setuid_layer())
    assert engine.container(image).user("7:8").run("/bin/whoami-really", "-u").text == "0\n"


def test_device_of_a_layer_works_where_the_container_may_use_it(engine: cl.Engine, tmp_path: Path) -> None:
    layer = device_layer(("zero", 5), ("kmsg", 11))
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), layer))
    assert recipe.run("sh", "-c", "head -c 3 /zero | wc -c").text.strip() == "3"
    assert b"not permitted" in recipe.run("head", "-c", "1", "/kmsg", check=False).stderr


def test_image_of_many_layers_shows_the_top_ones(engine: cl.Engine, tmp_path: Path) -> None:
    more = [Layer().file("top", str(number)).file(f"f{number}", "").finish() for number in range(20)]
    image = load(engine, tmp_path, images.busybox_layer(), *more)
    done = engine.container(image).run("sh", "-c", "cat /top; ls -d /f* | wc -l")
    assert done.text == "1920\n"


# ---- ids of its own ----

OWNED = (
    Layer()
    .directory("kept", uid=3)
    .file("kept/file", "old", 0o640, uid=7, gid=8)
    .file("foreign", "", uid=70_000)
)
SHOW = "stat -c %n:%u:%g:%a / /bin/busybox /kept /kept/file /foreign"
SEEN = "/:0:0:755 /bin/busybox:0:0:755 /kept:3:0:755 /kept/file:7:8:640 /foreign:65534:0:644"


def test_container_with_ids_of_its_own_sees_the_images(engine: cl.Engine, tmp_path: Path) -> None:
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), OWNED.finish())).userns("auto")
    assert recipe.run("sh", "-c", SHOW).text.split() == SEEN.split()
    assert (
        recipe.user("7:8").run("sh", "-c", "cat /kept/file; echo x > /kept/file; cat /kept/file").text
        == "oldx\n"
    )


def test_container_with_ids_of_its_own_keeps_what_it_wrote_under_them(
    engine: cl.Engine, tmp_path: Path
) -> None:
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), OWNED.finish())).userns("auto")
    code = "echo new >/made; chown 9:10 /made; chown 11 /kept; mkdir -p /d; chmod 4711 /made; "
    code += "echo $(stat -c %u:%g:%a /made /kept /d)"
    with recipe.start("sh", "-c", code) as container:
        container.wait(30.0)
        for _ in range(2):
            seen = [
                container.path(path).stat() for path in ("/made", "/kept", "/d", "/bin/busybox", "/kept/file")
            ]
            assert [(each.st_uid, each.st_gid) for each in seen] == [(9, 10), (11, 0), (0, 0), (0, 0), (7, 8)]
            container.start()
            container.wait(30.0)
        assert {record.text for record in container.logs()} == {"9:10:4711 11:0:755 0:0:755"}
        archive = io.BytesIO()
        container.export(archive)
    with tarfile.open(fileobj=io.BytesIO(archive.getvalue())) as tar:
        owners = {each.name.lstrip("./"): (each.uid, each.gid, each.mode) for each in tar.getmembers()}
    assert owners["made"] == (9, 10, 0o4711)
    assert (owners["kept"], owners["kept/file"], owners["bin/busybox"]) == (
        *((11, 0, 0o755), (7, 8, 0o640)),
        (0, 0, 0o755),
    )


def test_container_with_ids_of_its_own_has_no_device_of_the_image(engine: cl.Engine, tmp_path: Path) -> None:
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), device_layer(("zero", 5))))
    done = recipe.userns("auto").run("head", "-c", "1", "/zero", check=False)
    assert b"Permission denied" in done.stderr


def test_container_with_ids_of_its_own_has_setuid_programs_of_them(engine: cl.Engine, tmp_path: Path) -> None:
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), setuid_layer())).userns("auto")
    assert recipe.user("7:8").run("/bin/whoami-really", "-u").text == "0\n"


def test_container_in_another_ones_user_namespace_has_the_same_ids(engine: cl.Engine, tmp_path: Path) -> None:
    recipe = engine.container(load(engine, tmp_path, images.busybox_layer(), OWNED.finish()))
    with recipe.userns("auto").start("sleep", "600") as first:
        second = recipe.userns(first)
        assert second.run("sh", "-c", SHOW).text.split() == SEEN.split()
        with second.start("sh", "-c", "touch /made") as container:
            container.wait(30.0)
            assert container.path("/made").stat().st_uid == 0
            assert container.path("/kept/file").stat().st_uid == 7


# ---- several kinds in one root ----


def test_image_pulled_again_with_another_snapshotter_is_used_in_the_new_form(
    engine: cl.Engine, image: cl.Image, tmp_path: Path, snapshotter: SnapshotterName
) -> None:
    other: SnapshotterName = "copy" if snapshotter == "overlay" else "overlay"
    old = image.record.layers
    with engine.container(image).start("sleep", "600") as container:
        with cl.Engine(engine.root, snapshotter=other) as second:
            (again,) = second.images.load(tmp_path / "layout-0")
            assert {layer.kind for layer in again.record.layers} == {other}
            assert second.container(again).run("cat", "/linked").text == "7"
        assert container.exec("cat", "/linked").text == "7"
        assert all(Path(layer.path).exists() for layer in old), "a container has them"
        container.kill("KILL")
        container.wait(10.0)
        container.start()
        assert container.exec("cat", "/linked").text == "7"
    engine.images.get(image.id).remove()
    assert list(Path(engine.root, "snapshots").iterdir()) == []
