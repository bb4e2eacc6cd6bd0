"""One suite over every driver: what a container has from another one, from a volume and from memory alone.

Each of these is found, or made, anew at each start, also by the supervisor when nobody else is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import containerlib as cl
from rig.lifetime import quick, until

OWN_COMMAND = "containerlib-oci"
SANDBOX = "runsc"
pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
    pytest.mark.parametrize("driver", ["native", "runc", "crun", SANDBOX, OWN_COMMAND], indirect=True),
]
NAMESPACES = ("sh", "-c", "cd /proc/self/ns; for n in ipc uts net; do readlink $n; done")
VALUE = b"correct horse battery staple \0\xff"


@pytest.fixture
def donor(box: cl.ContainerRecipe, driver: str) -> Iterator[cl.Container]:
    if driver == SANDBOX:
        pytest.skip(f"{SANDBOX}: its namespaces are inside its own kernel")
    with box.name("donor").ipc("shareable").start("sleep", "600", detach=True) as container:
        yield container
        container.remove(force=True)


def test_sandbox_refuses_what_is_another_containers(box: cl.ContainerRecipe, driver: str) -> None:
    if driver != SANDBOX:
        pytest.skip(f"{driver}: can")
    with box.ipc("shareable").start("sleep", "600") as donor:
        for recipe in (box.ipc(donor), box.network(donor)):
            with pytest.raises(cl.Unsupported, match=r"'runsc' cannot do .* another container's"):
                recipe.run("true")


def texts(container: cl.Container) -> list[str]:
    return [record.text for record in container.logs()]


# ---- another container's ----


def test_namespaces_and_shared_memory_are_the_others(box: cl.ContainerRecipe, donor: cl.Container) -> None:
    donor.exec("sh", "-c", "echo hello >/dev/shm/word")
    recipe = box.ipc(donor).uts(donor).network(donor)
    assert recipe.run(*NAMESPACES).text == donor.exec(*NAMESPACES).text
    assert recipe.run("sh", "-c", "cat /dev/shm/word; echo there >/dev/shm/back").text == "hello\n"
    assert donor.exec("cat", "/dev/shm/back").text == "there\n"


def test_shared_memory_is_lent_on_and_on(box: cl.ContainerRecipe, donor: cl.Container) -> None:
    with box.ipc(donor).start("sleep", "600") as second:
        box.ipc(second).run("touch", "/dev/shm/third")
    assert donor.exec("ls", "/dev/shm").text == "third\n"


def test_container_of_others_namespaces_starts_again_by_its_policy(
    box: cl.ContainerRecipe, donor: cl.Container
) -> None:
    donor.exec("touch", "/dev/shm/first")
    code = "readlink /proc/self/ns/net; ls /dev/shm; exit 7"
    with quick(box.ipc(donor).network(donor).restart("on-failure", retries=2)).start(
        "sh", "-c", code
    ) as member:
        assert member.wait(60.0).exit_code == 7
        network = donor.exec("readlink", "/proc/self/ns/net").text.strip()
        assert texts(member) == [network, "first"] * 3


def test_container_whose_other_is_gone_fails_and_joins_the_next_one(
    box: cl.ContainerRecipe, donor: cl.Container
) -> None:
    code = "readlink /proc/self/ns/net; ls /dev/shm; while test ! -e /end; do sleep 0.05; done; rm /end"
    recipe = quick(box.ipc(donor).network(donor).restart("always"), pause=0.05)
    with recipe.start("sh", "-c", code) as member:
        until(lambda: len(texts(member)) == 1)
        donor.stop(timeout=0.0)
        member.exec("touch", "/end")
        until(lambda: member.inspect().error is not None)
        error = member.inspect().error
        assert error is not None
        assert "does not run" in error
        failed = member.restart_count
        until(lambda: member.restart_count > failed + 1)
        donor.start()
        donor.exec("touch", "/dev/shm/second")
        until(lambda: member.state is cl.State.RUNNING)
        until(
            lambda: texts(member)[-2:] == [donor.exec("readlink", "/proc/self/ns/net").text.strip(), "second"]
        )
        assert member.inspect().error is None


# ---- a part of a volume ----


def test_part_of_a_volume_is_found_again_at_each_start(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("www").create()
    for name in ("a", "b"):
        (volume.path / name).mkdir()
        (volume.path / name / "file").write_text(name)
    (volume.path / "part").symlink_to("a")
    recipe = quick(
        box.mount(volume, at="/whole").mount(volume, at="/part", subpath="part").restart("on-failure")
    )
    code = "cat /part/file; echo; ln -sfn /b /whole/part; test $(cat /part/file) = b"
    with recipe.start("sh", "-c", code) as container:
        assert container.wait(60.0).exit_code == 0
        assert texts(container) == ["a", "b"]
        assert container.path("/part/file").read_text() == "b", "also of one that has stopped"


# ---- memory ----


def test_secrets_are_files_wherever_they_are_wanted(box: cl.ContainerRecipe) -> None:
    recipe = (
        box.secret("key", VALUE)
        .secret("token", b"t", at="/run/secrets/app/token", mode=0o440, uid=5, gid=6)
        .secret("conf", b"c", at="/etc/app/conf", mode=0o444, uid=7, gid=8)
    )
    show = "stat -c %a:%u:%g /run/secrets/key /run/secrets/app/token /etc/app/conf; cat /etc/app/conf"
    with recipe.start("sleep", "600") as container:
        assert container.exec("cat", "/run/secrets/key").stdout == VALUE
        assert container.exec("sh", "-c", show).text.split() == ["400:0:0", "440:5:6", "444:7:8", "c"]
        for path in ("/run/secrets/key", "/run/secrets/new", "/etc/app/conf"):
            assert container.exec("sh", "-c", f"echo > {path}", check=False).exit_code != 0
        root = Path(container.engine.root)
        found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [path for path in found if VALUE in path.read_bytes()] == []


def test_secrets_are_there_again_when_its_supervisor_starts_it(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.secret("key", b"value").secret("conf", b"c", at="/etc/conf"))
    recipe = recipe.restart("on-failure", retries=1)
    with quick(recipe).start("sh", "-c", "cat /run/secrets/key /etc/conf; echo; exit 3") as container:
        assert container.wait(60.0).exit_code == 3
        assert texts(container) == ["valuec"] * 2


def test_secret_variables_are_the_first_processes_whoever_makes_it(box: cl.ContainerRecipe) -> None:
    recipe = (
        box.env(KEY="old", KEY_TOO="kept")
        .secret("key", b"battery \xff=", env="KEY")
        .secret("b", b"", env="B")
    )
    show = ("sh", "-c", 'printf %s "$KEY"; env | grep -c ^KEY=; env | grep -cE "^(KEY_TOO=kept|B=)$"')
    for each in (recipe, recipe.user("5:6"), recipe.init(), recipe.userns("keep-id").user("5:6")):
        assert each.run(*show).stdout == b"battery \xff=1\n2\n"
    code = 'while [ ! -e /go ]; do sleep 0.05; done; printf %s "$KEY" | wc -c; exit 1'
    with quick(recipe.restart("on-failure", retries=1)).start("sh", "-c", code) as container:
        root = Path(container.engine.root)
        found = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
        assert [path for path in found if b"battery" in path.read_bytes()] == []
        assert "battery" not in str(container.inspect().document())
        container.exec("touch", "/go")
        assert container.wait(60.0).exit_code == 1
        assert texts(container) == ["10", "10"]


def test_secret_variable_in_a_file_is_its_users_alone(box: cl.ContainerRecipe, driver: str) -> None:
    if driver == "native":
        pytest.skip("native: there is no file")
    with box.user("5:6").secret("key", b"x", env="KEY").start("sleep", "600") as container:
        show = "stat -c %a:%u:%g /dev/containerlib-env; cat /dev/containerlib-env"
        assert container.exec("sh", "-c", show, user="7", check=False).text == "400:5:6\n"


def test_program_that_our_first_one_cannot_execute_is_a_shells_exit_code(
    box: cl.ContainerRecipe, driver: str
) -> None:
    if driver == "native":
        pytest.skip("native: has no program before it")
    for name, code in (("nonesuch", 127), ("/etc", 126)):
        with pytest.raises(cl.ExitError) as caught:
            box.init().run(name)
        assert caught.value.exit_code == code
        assert name.encode() in caught.value.stderr


def test_container_with_all_of_these_is_removed_by_its_supervisor(box: cl.ContainerRecipe) -> None:
    volume = box.engine.volume("www").create()
    (volume.path / "part").mkdir()
    recipe = box.mount(volume, at="/part", subpath="part").secret("key", VALUE).init()
    recipe.start("sh", "-c", "test -e /run/secrets/key", detach=True, remove=True)
    until(lambda: list(Path(box.engine.root, "containers").iterdir()) == [])
    assert box.engine.containers.list() == []
    assert (volume.path / "part").is_dir()


# ---- an init ----


def test_init_is_first_hands_signals_on_and_reaps(box: cl.ContainerRecipe) -> None:
    code = (
        "trap 'echo term; exit 5' TERM; (sleep 0.1 & exit); echo $PPID $(ps -o comm | grep -c init); "
        "sleep 1; ps -o stat | grep -c Z; while :; do sleep 0.05; done"
    )
    with box.init().start("sh", "-c", code) as container:
        container.wait_for(log="0")
        assert container.stop(timeout=30.0).exit_code == 5
        assert texts(container) == ["1 1", "0", "term"]


def test_init_has_the_programs_user_and_exit_code(box: cl.ContainerRecipe) -> None:
    recipe = box.init().user("1000:1000")
    assert recipe.run("sh", "-c", "id -u; exit 9", check=False).exit_code == 9
    assert recipe.run("sh", "-c", "kill -9 $$", check=False).exit_code == 137


def test_init_leaves_nothing_in_the_containers_files(box: cl.ContainerRecipe, driver: str) -> None:
    if driver == SANDBOX:
        pytest.skip(f"{SANDBOX}: makes the places of mounts on /dev in the files below that, too")
    with box.init().start("sh", "-c", "exit 0") as container:
        container.wait(30.0)
        assert container.diff() == []
