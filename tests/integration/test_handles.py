"""What can be changed of a container while it is there, and what it tells of its recipe."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from attrs import fields

import containerlib as cl
from containerlib.engine.inspection import ContainerInfo
from containerlib.spec.lifetime import Health, RestartOption
from containerlib.spec.options import ContainerOptions
from rig.bundles import until
from rig.lifetime import quick

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")

HEALTH = Health("starting", 0)


# ---- update ----


@pytest.mark.vm
def test_update_changes_a_running_container_and_each_start_to_come(box: cl.ContainerRecipe) -> None:
    container = box.limit(memory="64MiB").start("sleep", "1000", detach=True)
    try:
        container.update(memory="96MiB", pids=77)
        stats = container.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (96 << 20, 77)
        again = box.engine.containers.get(container.id)
        container.stop(timeout=0)
        again.start()
        stats = again.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (96 << 20, 77)
        assert again.inspect().limits.pids == 77
    finally:
        container.remove(force=True)


def test_update_of_a_stopped_container_counts_at_its_start(box: cl.ContainerRecipe) -> None:
    container = box.start("sleep", "1000", detach=True)
    try:
        container.stop(timeout=0)
        container.update(pids=33)
        container.start()
        assert container.stats().pids.limit == 33
    finally:
        container.remove(force=True)


@pytest.mark.vm
def test_update_that_is_refused_changes_nothing(box: cl.ContainerRecipe) -> None:
    fill = "dd if=/dev/zero of=/dev/shm/full bs=1M count=30 2> /dev/null; touch /full; exec sleep 1000"
    with box.limit(memory="64MiB", swap=0, pids=20).start("sh", "-c", fill) as container:
        container.wait_for(exec=("test", "-e", "/full"))
        with pytest.raises(cl.Conflict, match="more than a limit"):
            container.update(memory="8MiB", pids=10)
        stats = container.stats()
        assert (stats.memory.limit_bytes, stats.pids.limit) == (64 << 20, 20)
        assert container.inspect().limits.pids == 20


@pytest.mark.vm
def test_update_of_each_limit_of_docker_reaches_a_running_container(box: cl.ContainerRecipe) -> None:
    with box.limit(memory="64MiB").start("sleep", "1000") as container:
        container.update(cpus=0.5, memory_reservation="32MiB", pids=20)
        container.update(cpu_shares=512, pids=-1)
        container.update(cpuset="0", mems=0)
        limits = container.inspect().limits
        assert (limits.cpus, limits.memory_reservation_bytes, limits.pids) == (0.5, 32 << 20, None)
        assert (limits.cpu_shares, limits.cpuset, limits.mems) == (512, "0", "0")
        assert container.stats().pids.limit is None
        allowed = container.exec("grep", "Cpus_allowed_list", "/proc/1/status").text.split()
        assert allowed[-1] == "0"


def test_update_of_the_restart_policy_counts_while_it_runs(box: cl.ContainerRecipe) -> None:
    recipe = quick(box)
    with recipe.start("sh", "-c", "while [ ! -e /go ]; do sleep 0.01; done; exit 1") as container:
        container.update(restart="on-failure", retries=3)
        assert container.exec("touch", "/go").exit_code == 0
        assert container.wait(30.0).exit_code == 1
        assert container.restart_count == 3
        assert container.inspect().restart == RestartOption("on-failure", 3, pause=0.001, longest=0.001)


def test_update_of_the_restart_policy_is_refused_where_it_is_removed_at_its_end(
    box: cl.ContainerRecipe,
) -> None:
    container = box.start("sleep", "600", detach=True, remove=True)
    try:
        with pytest.raises(cl.InvalidArgument, match="not started again"):
            container.update(restart="always", pids=7)
        assert container.inspect().limits.pids is None, "all or nothing"
        with pytest.raises(cl.InvalidArgument, match="for a policy"):
            container.update(retries=3)
    finally:
        container.remove(force=True)


def test_update_of_the_restart_policy_counts_for_one_in_anothers_namespaces(box: cl.ContainerRecipe) -> None:
    with box.start("sleep", "600") as other:
        with quick(box.network(other)).start("sh", "-c", "sleep 0.5; exit 1") as container:
            container.update(restart="on-failure", retries=2)
            assert container.wait(30.0).exit_code == 1
            assert container.restart_count == 2


def test_update_of_nothing_is_refused(box: cl.ContainerRecipe) -> None:
    with (
        box.start("sleep", "1000") as container,
        pytest.raises(cl.InvalidArgument, match="nothing to change"),
    ):
        container.update()


# ---- rename, inspect ----


def test_rename_is_seen_by_everybody(box: cl.ContainerRecipe) -> None:
    with box.name("before").start("sleep", "1000") as container, box.name("taken").start("sleep", "1000"):
        container.rename("after")
        assert container.name == "after"
        assert box.engine.containers.get("after") == container
        with pytest.raises(cl.NotFound):
            box.engine.containers.get("before")
        with pytest.raises(cl.AlreadyExists, match="taken"):
            container.rename("taken")
        with pytest.raises(cl.InvalidArgument):
            container.rename("not a name")


def test_inspect_says_what_was_asked_for(box: cl.ContainerRecipe) -> None:
    recipe = (
        box.name("web").env(MODE="prod").label(team="web").workdir("/tmp").limit(memory="64MiB", pids=9)
    ).mount(box.engine.volume("www"), at="/srv", read_only=True)
    with recipe.mount(cl.tmpfs(size="1MiB"), at="/scratch").start("sleep", "1000") as container:
        info = container.inspect()
        assert (info.name, info.state, info.network, info.detached) == (
            "web",
            cl.State.RUNNING,
            "none",
            False,
        )
        assert (info.argv, info.workdir, info.user) == (("sleep", "1000"), "/tmp", "0:0")
        assert (info.env["MODE"], info.labels, info.limits.pids) == ("prod", {"team": "web"}, 9)
        assert [(m.kind, m.target, m.volume, m.read_only) for m in info.mounts] == [
            ("volume", "/srv", "www", True),
            ("tmpfs", "/scratch", None, False),
        ]
        assert info.pid == container.top()[0].pid
        assert info.started_at is not None
        assert info.created_at <= info.started_at
        assert (info.exit, info.finished_at) == (None, None)
        document = json.loads(json.dumps(info.document()))
        assert (document["state"], document["mounts"][0]["volume"]) == ("running", "www")
        assert document["limits"]["memory_bytes"] == 64 << 20


def test_inspect_of_a_stopped_container_has_its_end(box: cl.ContainerRecipe) -> None:
    container = box.start("sh", "-c", "exit 3", detach=True)
    try:
        container.wait()
        info = container.inspect()
        assert (info.state, info.pid, info.detached) == (cl.State.STOPPED, None, True)
        assert info.exit is not None
        assert (info.exit.exit_code, info.oom_killed) == (3, False)
        assert info.started_at is not None
        assert info.finished_at is not None
        assert info.started_at <= info.finished_at
        json.dumps(info.document())
    finally:
        container.remove()


def test_inspect_in_created_state_has_not_started(box: cl.ContainerRecipe) -> None:
    with box.create("sleep", "1000") as container:
        info = container.inspect()
    assert (info.state, info.started_at, info.exit) == (cl.State.CREATED, None, None)


IN_INSPECT = {
    "command": "argv",
    "entrypoint": "argv",
    "label_files": "labels",
    "env_files": "env",
    "group_add": "groups",
    "cap_add": "capabilities",
    "cap_drop": "capabilities",
    "seccomp_file": "seccomp",
    "unmasked": "read_only_paths",
    "pid": "namespaces",
    "ipc": "namespaces",
    "uts": "namespaces",
    "cgroupns": "namespaces",
    "userns": "uids",
    "volumes_from": "mounts",
    "checkpoints": "checkpointing",
}
"""Words of a recipe that have another name where a container tells what came of them."""
NOT_IN_INSPECT = {"cdi_directories": "where specifications were looked for says nothing of the container"}


def test_inspect_has_each_word_of_a_recipe_or_a_reason() -> None:
    known = {each.name for each in fields(ContainerInfo)}
    words = {each.name for each in fields(ContainerOptions)} - NOT_IN_INSPECT.keys()
    assert {IN_INSPECT.get(word, word) for word in words | {"health_check"}} - known == set()


def test_inspect_has_what_each_word_of_a_recipe_came_to(box: cl.ContainerRecipe, tmp_path: Path) -> None:
    recipe = (
        box.domainname("example.org").group_add(44).umask(0o027).init().stdin().timezone("UTC")
        .personality("linux32").secret("token", b"hidden").add_host("db", "10.0.0.5")
        .dns("10.0.0.1", search=("example.org",), options=("ndots:2",)).shm_size("1MiB").oom(score_adj=500)
        .rlimit("nofile", 77).sysctl({"net.core.somaxconn": "1024"}).device("/dev/null", at="/dev/nothing")
        .device_cgroup_rule("c 10:200 rwm").seccomp("unconfined").no_new_privileges().mask("/proc/x")
        .unmask("/proc/sys").restart("on-failure", retries=2).log(max_size="1MiB")
        .healthy_when(cl.tcp(80), every=1000.0).limit(cpu_shares=512)
    )  # fmt: skip
    with recipe.start("sleep", "1000") as container:
        info = container.inspect()
    assert (info.domainname, info.groups, info.umask, info.init, info.stdin) == (
        "example.org",
        (0, 44),
        0o027,
        True,
        True,
    )
    assert (info.timezone, info.personality, info.secrets) == ("UTC", "LINUX32", ("token",))
    assert (info.hosts, info.dns, info.dns_search) == ((("db", "10.0.0.5"),), ("10.0.0.1",), ("example.org",))
    assert (info.dns_options, info.shm_bytes, info.oom_score_adj) == (("ndots:2",), 1 << 20, 500)
    assert (info.rlimits, info.sysctls["net.core.somaxconn"]) == ((("RLIMIT_NOFILE", 77, 77),), "1024")
    assert [(each.path, each.target) for each in info.devices] == [("/dev/null", "/dev/nothing")]
    assert (info.device_rules, info.seccomp) == ((("c", 10, 200, "rwm"),), "unconfined")
    assert info.no_new_privileges
    assert "/proc/x" in info.masked
    assert "/proc/sys" not in info.read_only_paths
    assert (info.restart.policy, info.restart.retries, info.restart_count) == ("on-failure", 2, 0)
    assert (info.log.max_size_bytes, info.limits.cpu_shares) == (1 << 20, 512)
    assert info.health_check is not None
    assert (info.health_check.check, info.mounts) == (cl.tcp(80), ())
    text = json.dumps(info.document())
    assert "hidden" not in text
    assert json.loads(text)["health"]["status"] == "starting"
    assert json.loads(text)["health_check"]["check"] == {"port": 80}


def test_inspect_has_who_and_where_a_container_is(engine: cl.Engine, busybox_image: Path) -> None:
    (image,) = engine.images.load(busybox_image)
    image.tag("box:1")
    recipe = (
        engine.container("box:1").name("web").label(a="b").hostname("its-own").annotate(x="y").tty()
        .stop_signal("INT").stop_timeout(2.5).read_only().cap_drop("ALL").cap_add("CHOWN").numa("bind", 0)
        .userns(uids=[(0, 300_000, 1000)], gids=[(0, 400_000, 2000)])
    )  # fmt: skip
    with recipe.start("sleep", "1000") as container:
        info = container.inspect()
    assert (info.id, info.name, info.labels, info.created_at) == (
        container.id,
        "web",
        {"a": "b"},
        container.created_at,
    )
    assert (info.image, info.image_id) == ("box:1", image.id)
    assert (info.driver, info.layers in ("erofs", "overlay")) == ("native", True)
    assert (info.detached, info.auto_remove, info.owner_pid) == (False, False, os.getpid())
    assert (info.hostname, info.annotations, info.tty) == ("its-own", {"x": "y"}, True)
    assert (info.stop_signal, info.stop_timeout) == ("2", 2.5)
    assert (info.read_only, info.privileged, info.capabilities) == (True, False, ("CAP_CHOWN",))
    assert info.memory_policy == ("MPOL_BIND", "0", ())
    assert (info.uids, info.gids) == (((0, 300_000, 1000),), ((0, 400_000, 2000),))
    assert info.directory == f"{engine.root}/containers/{container.id}"
    assert (info.log_path, info.cgroup_path.endswith(container.id)) == (f"{info.directory}/log", True)


def test_inspect_has_what_confines_it_and_what_does_not(box: cl.ContainerRecipe) -> None:
    with box.create("true") as container:
        config = Path(container.inspect().directory, "config.json")
        spec = json.loads(config.read_text())
        spec["process"] |= {"apparmorProfile": "some-profile", "selinuxLabel": "u:r:t:s0"}
        spec["linux"]["mountLabel"] = "u:o:f:s0"
        config.write_text(json.dumps(spec))
        info = container.inspect()
    assert (info.apparmor, info.selinux, info.mount_label) == ("some-profile", "u:r:t:s0", "u:o:f:s0")
    with box.privileged().start("sleep", "1000", remove=True) as container:
        info = container.inspect()
    assert (info.privileged, info.auto_remove, info.masked) == (True, True, ())


def test_inspect_has_mounts_of_every_kind_and_the_namespaces_that_are_shared(
    engine: cl.Engine, box: cl.ContainerRecipe, busybox_image: Path, tmp_path: Path
) -> None:
    volume = engine.volume("www").create()
    box.mount(volume, at="/srv").run("mkdir", "/srv/part")
    image = engine.images.load(busybox_image)[0]
    image.tag("data:1")
    with box.ipc("shareable").start("sleep", "1000") as other:
        recipe = box.mount(volume, at="/part", subpath="part").mount(tmp_path, at="/host", read_only=True)
        recipe = recipe.mount(engine.image("data:1"), at="/image").mount(cl.tmpfs(), at="/scratch")
        recipe = recipe.network(other).ipc(other).pid("host")
        with recipe.mount(cl.tmpfs(), at="/dev/shm/own").start("sleep", "1000") as container:
            info = container.inspect()
    found = {mount.target: mount for mount in info.mounts}
    assert {at: mount.kind for at, mount in found.items()} == {
        "/part": "volume",
        "/host": "bind",
        "/image": "image",
        "/scratch": "tmpfs",
        "/dev/shm/own": "tmpfs",
    }
    assert (found["/part"].volume, found["/part"].subpath) == ("www", "part")
    assert (found["/host"].source, found["/host"].read_only) == (str(tmp_path), True)
    assert found["/image"].source == image.id
    assert info.namespaces == {
        "network": f"container:{other.id}",
        "ipc": f"container:{other.id}",
        "pid": "host",
        "uts": "private",
        "cgroup": "private",
        "user": "host",
    }
    json.dumps(info.document())


def test_inspect_has_health_and_restarts_as_they_are(box: cl.ContainerRecipe) -> None:
    recipe = quick(box.restart("on-failure", retries=1)).healthy_when(
        cl.command("sh", "-c", "echo so; exit 3"), every=0.01, start_every=0.01, retries=2
    )
    with recipe.start("sh", "-c", "[ -e /again ] && exec sleep 600; touch /again; exit 1") as container:
        until(lambda: container.restart_count == 1 and (container.health or HEALTH).status == "unhealthy")
        info = container.inspect()
    assert info.health is not None
    assert (info.restart_count, info.health.status) == (1, "unhealthy")
    assert info.health.failing_streak >= 2
    assert (info.health.log[-1].exit_code, info.health.log[-1].output) == (3, "so\n")
    assert json.loads(json.dumps(info.document()))["health"]["log"][-1]["exit_code"] == 3


def test_image_in_use_names_its_containers(engine: cl.Engine, busybox_image: Path) -> None:
    (image,) = engine.images.load(busybox_image)
    first, second = (engine.container(image).name(name).create("true") for name in ("first", "second"))
    with first, second, pytest.raises(cl.Conflict, match="in use by first, second: remove them first"):
        image.remove()
