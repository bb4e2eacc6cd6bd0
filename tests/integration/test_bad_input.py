"""Whatever is wrong has its typed error with what to do about it; nothing is left behind, and a second try works."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.images import Image, busybox_layer

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


@pytest.fixture(autouse=True)
def nothing_is_left_and_a_second_try_works(
    box: cl.ContainerRecipe, left_nothing: Callable[[], None]
) -> Iterator[None]:
    yield
    left_nothing()
    assert box.run("echo", "works").text == "works\n"
    left_nothing()


@pytest.mark.parametrize("verb", ["run", "start", "spawn"])
def test_missing_command_is_127_and_named(box: cl.ContainerRecipe, verb: str) -> None:
    with pytest.raises(cl.StageError, match="no-such-program") as caught:
        getattr(box, verb)("no-such-program")
    assert (caught.value.stage, caught.value.exit_code) == ("exec", 127)


def test_missing_interpreter_is_127(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text("#!/no/such/interpreter\n")
    script.chmod(0o755)
    with pytest.raises(cl.StageError, match="interpreter") as caught:
        box.mount(script, at="/script").run("/script")
    assert caught.value.exit_code == 127


def test_command_that_is_not_executable_is_126(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.StageError, match="/etc/passwd") as caught:
        box.run("/etc/passwd")
    assert caught.value.exit_code == 126


def test_command_that_is_a_directory_is_126(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.StageError) as caught:
        box.run("/etc")
    assert caught.value.exit_code == 126


def test_unknown_user_is_named_with_its_file(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match=r"nosuchuser.*/etc/passwd"):
        box.user("nosuchuser").run("true")


def test_unknown_group_is_named_with_its_file(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match=r"nosuchgroup.*/etc/group"):
        box.user("root:nosuchgroup").run("true")


def test_missing_mount_source_is_named(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.NotFound, match=r"/no/such/source.*/data"):
        box.mount("/no/such/source", at="/data").run("true")


def test_mount_of_a_directory_on_a_file_is_a_stage_error(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    with pytest.raises(cl.StageError, match=r"/etc/passwd.*a directory cannot be mounted on a file"):
        box.mount(tmp_path, at="/etc/passwd").run("true")


def test_volume_of_an_image_whose_place_cannot_be_is_refused(engine: cl.Engine, tmp_path: Path) -> None:
    for number, place in enumerate(("/a\0b", "//proc", "///")):
        image = Image((busybox_layer(),), {"Cmd": ["true"], "Volumes": {place: {}}})
        (loaded,) = engine.images.load(image.write_layout(tmp_path / str(number)))
        with pytest.raises(cl.InvalidArgument) as caught:
            engine.container(loaded).run()
        assert caught.value.field == "image"


def test_root_that_is_relative_to_a_directory_that_is_gone_is_a_stage_error(tmp_path: Path) -> None:
    code = "import os, sys; os.chdir(sys.argv[1]); os.rmdir(sys.argv[1]); import containerlib as cl\n"
    code += "try: cl.Engine(root='here')\nexcept cl.StageError as error: print(error)"
    gone = tmp_path / "gone"
    gone.mkdir()
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, str(gone)], capture_output=True, text=True, check=False
    )
    assert "absolute path" in done.stdout, done.stderr


def test_missing_image_never_pulled_says_pull(engine: cl.Engine) -> None:
    with pytest.raises(cl.NotFound, match=r"localhost:1/nothing.*pull"):
        engine.container("localhost:1/nothing").pull("never").run("true")


def test_missing_image_without_registry_is_unavailable(engine: cl.Engine) -> None:
    with pytest.raises(cl.Unavailable, match="localhost:1"):
        engine.container("localhost:1/nothing").run("true")


def test_unknown_sysctl_is_a_typed_error(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.Error, match=r"net\.no_such|net/no_such"):
        box.sysctl({"net.no_such": "1"}).run("true")


def test_sysctl_of_the_whole_host_refused(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.Error, match="vm"):
        box.sysctl({"vm.overcommit_memory": "1"}).run("true")


def test_malformed_seccomp_profile_refused(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.InvalidArgument):
        box.seccomp("{not json").run("true")


def test_argument_list_too_long_is_a_typed_error(box: cl.ContainerRecipe) -> None:
    with pytest.raises(cl.Error):
        box.run("echo", "x" * 10_000_000)


def test_full_disk_is_a_stage_error(small_disk: Path, busybox_image: Path) -> None:
    with cl.Engine(root=small_disk / "root") as engine:
        (image,) = engine.images.load(busybox_image)
        filler = small_disk / "filler"
        fill(filler)
        with pytest.raises(cl.StageError, match="ENOSPC"):
            engine.container(image).run("true")
        filler.unlink()
        assert engine.prune().failures == ()
        assert engine.containers.list() == []
        assert engine.container(image).run("echo", "works").text == "works\n"


def test_state_directory_on_a_read_only_file_system_is_a_stage_error() -> None:
    with pytest.raises(cl.StageError, match=r"Engine\(root=") as caught:
        cl.Engine(root="/proc/no-state-here").containers.list()
    assert caught.value.stage == "state"


def test_without_privilege_starting_is_unsupported_and_listing_works(engine: cl.Engine) -> None:
    code = f"""
import containerlib as cl
with cl.Engine(root={engine.root!r}) as engine:
    assert len(engine.images.list()) == 1
    try:
        engine.container(engine.host_image()).run("true")
    except cl.Unsupported as error:
        print("root" in str(error))
"""
    done = unprivileged("sys_admin", "-c", code)
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_out_of_memory_is_told_from_other_ends(box: cl.ContainerRecipe) -> None:
    greedy = ("dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1")
    with pytest.raises(cl.ExitError, match=r"was killed: .* memory limit; raise limit\(memory=") as caught:
        box.limit(memory="16MiB").run(*greedy)
    assert (caught.value.signal, caught.value.oom_killed) == (9, True)


def test_killed_command_is_told_by_its_signal(box: cl.ContainerRecipe) -> None:
    with (
        box.start("sleep", "600") as container,
        pytest.raises(cl.ExitError, match="killed by SIGTERM") as caught,
    ):
        container.exec("sh", "-c", "kill -TERM $$")
    assert (caught.value.signal, caught.value.oom_killed) == (15, False)


def test_program_that_ends_without_a_word_leaves_no_empty_log_in_the_message(box: cl.ContainerRecipe) -> None:
    with box.start("true") as container, pytest.raises(cl.Conflict) as caught:
        container.wait_for(log="ready", timeout=10.0)
    assert "\n" not in str(caught.value)


def test_image_without_layers_has_no_programs(engine: cl.Engine, tmp_path: Path) -> None:
    (image,) = engine.images.load(Image(()).write_layout(tmp_path / "empty"))
    with pytest.raises(cl.StageError, match="nosuch") as caught:
        engine.container(image).run("/nosuch")
    assert caught.value.stage == "exec"


def test_directory_that_is_no_image_is_named(engine: cl.Engine) -> None:
    with pytest.raises(cl.InvalidArgument, match=r"'/etc' is no image.*index\.json") as caught:
        engine.images.load("/etc")
    assert caught.value.field == "source"


def test_without_privilege_images_are_refused_before_anything_is_fetched(
    engine: cl.Engine, busybox_image: Path
) -> None:
    code = f"""
import containerlib as cl
with cl.Engine(root={engine.root!r}) as engine:
    for use in (engine.image("localhost:1/nothing").pull, lambda: engine.images.load({str(busybox_image)!r})):
        try:
            use()
        except cl.Unsupported as error:
            print(error)
"""
    lines = unprivileged("chown", "-c", code).stdout.splitlines()
    assert len(lines) == 2
    assert all("unpacking an image need root" in line and "rootless.enter()" in line for line in lines)


def test_without_privilege_the_demo_says_what_it_needs() -> None:
    done = unprivileged("sys_admin", str(Path(__file__).parents[2] / "examples" / "demo.py"))
    assert done.returncode == 1
    assert done.stderr.startswith("starting a container")
    assert "Traceback" not in done.stderr


def unprivileged(capability: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs Python as root without the capability."""
    drop = ["setpriv", f"--bounding-set=-{capability}", "--inh-caps=-all"]
    return subprocess.run([*drop, sys.executable, *arguments], capture_output=True, text=True, check=False)


def fill(path: Path) -> None:
    """Writes to `path` until its disk is full."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096):
            pass
