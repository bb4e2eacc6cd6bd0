"""Recipes: values without I/O."""

from __future__ import annotations

import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve, fields

import containerlib as cl
from containerlib.engine.sources import HostSource, StoredSource
from containerlib.images import ImageRecord
from containerlib.spec.image_config import ImageConfig
from containerlib.spec.log import LogOptions
from containerlib.spec.options import ContainerOptions, Limits, MountOption


@pytest.fixture
def recipe(tmp_path: Path) -> cl.ContainerRecipe:
    return cl.Engine(root=tmp_path / "never-made").container("redis:7")


def test_recipe_every_word_does_no_io(tmp_path: Path) -> None:
    engine = cl.Engine(root=tmp_path / "never-made")
    everything(engine.container("redis:7").mount(engine.volume("www"), at="/www"))
    assert not (tmp_path / "never-made").exists()


def test_recipe_words_describe_options(recipe: cl.ContainerRecipe) -> None:
    assert everything(recipe).options == ContainerOptions(
        name="web",
        entrypoint=("/bin/x", "-y"),
        env=(("A", "1"), ("b-c", "2")),
        workdir="/srv",
        user="1000:www",
        hostname="box",
        labels=(("org.example", "x"),),
        tty=True,
        stdin=True,
        read_only=True,
        cap_add=("CAP_NET_ADMIN",),
        cap_drop=("ALL",),
        privileged=True,
        network="host",
        mounts=(
            MountOption("bind", "/etc/x", "/srv/x", read_only=True),
            MountOption("tmpfs", "/tmp", size_bytes=64 << 20),
        ),
        limits=Limits(256 << 20, 0, 1.5, 100),
        sysctls=(("net.core.somaxconn", "1024"),),
        rlimits=(("RLIMIT_NOFILE", 1024, 1024),),
        seccomp="unconfined",
        no_new_privileges=True,
        stop_signal="3",
        stop_timeout=2.0,
        log=LogOptions(10 << 20, 5, "block"),
    )


def more(recipe: cl.ContainerRecipe) -> cl.ContainerRecipe:
    """Words that Docker's users have beside those of `everything`."""
    return (
        recipe.join("backend", alias="db", address="10.9.0.5", mac="02:42:00:00:00:01")
        .publish(80, host=8080, address="127.0.0.1")
        .domainname("example.org")
        .label_file("/none/labels")
        .annotate(a="b")
        .add_host("db", "10.0.0.1")
        .dns("10.0.0.2", search=("x",), options=("ndots:1",))
        .env_file("/none/env")
        .group_add("audio", 44)
        .init()
        .umask(0o77)
        .timezone("local")
        .personality("linux32")
        .limit(cpuset="0-3", swappiness=0)
        .device_limit("/dev/none", read_bps="1MiB")
        .cgroup({"memory.high": "1"})
        .numa("bind", "0-1", static=True)
        .oom(score_adj=5, kill=False)
        .shm_size("1MiB")
        .volumes_from("other", read_only=True)
        .pid("host")
        .ipc("shareable")
        .uts("host")
        .cgroupns("host")
        .device("/dev/none", at="/dev/x", access="r")
        .device("vendor.com/gpu=0")
        .device_cgroup_rule("c 1:2 r")
        .gpus("all")
        .cdi("/none")
        .seccomp(Path("/none/profile"))
        .apparmor("profile")
        .selinux("u:r:t:s0", mount_label="u:o:f:s0")
        .mask("/x")
        .unmask("ALL")
        .userns("auto", size=10)
        .secret("key", b"value")
        .secret("other", Path("/none/secret"))
    )


def test_recipe_words_of_docker_do_no_io_and_are_values(recipe: cl.ContainerRecipe) -> None:
    first, second = more(recipe), more(recipe)
    assert first == second == pickle.loads(pickle.dumps(first))  # noqa: S301
    assert len({first, second}) == 1
    assert not Path(recipe.engine.root).exists()


def test_recipe_words_of_docker_each_change_something(recipe: cl.ContainerRecipe) -> None:
    """But for those that `everything` has, and what only a test of its own can say."""
    made = more(recipe).options
    same = {
        f.name for f in fields(ContainerOptions) if getattr(made, f.name) == getattr(recipe.options, f.name)
    }
    elsewhere = {
        "name",
        "command",
        "entrypoint",
        "env",
        "workdir",
        "user",
        "hostname",
        "labels",
        "tty",
        "stdin",
    }
    elsewhere |= {
        "read_only",
        "cap_add",
        "cap_drop",
        "privileged",
        "network",
        "mounts",
        "sysctls",
        "rlimits",
        "log",
    }
    elsewhere |= {"restart", "health", "checkpoints"}
    assert same - elsewhere == {"seccomp", "no_new_privileges", "stop_signal", "stop_timeout"}


def test_recipe_word_leaves_the_first_as_it_was(recipe: cl.ContainerRecipe) -> None:
    changed = recipe.env(A="1")
    assert recipe.options.env == ()
    assert changed.options.env == (("A", "1"),)


def test_recipe_equal_hashed_and_pickled_by_value(recipe: cl.ContainerRecipe) -> None:
    first, second = everything(recipe), everything(recipe)
    copy = pickle.loads(pickle.dumps(first))  # noqa: S301
    assert first == second == copy
    assert len({first, second, copy}) == 1
    assert copy.engine.root == recipe.engine.root


def test_recipe_log_keeps_what_is_not_given(recipe: cl.ContainerRecipe) -> None:
    assert recipe.log().options.log == LogOptions()
    bounded = recipe.log(max_size="1MiB", max_files=3)
    assert bounded.log(full="block").options.log == LogOptions(1 << 20, 3, "block")
    assert bounded.log(max_size="2MiB").options.log == LogOptions(2 << 20, 3)
    assert recipe.log("none").options.log == bounded.log(None).options.log == LogOptions(max_files=0)


def test_recipe_apply_passes_arguments(recipe: cl.ContainerRecipe) -> None:
    def tuned(recipe: cl.ContainerRecipe, memory: str, *, mode: str) -> cl.ContainerRecipe:
        return recipe.limit(memory=memory).env(MODE=mode)

    assert recipe.apply(tuned, "1MiB", mode="x") == recipe.limit(memory="1MiB").env(MODE="x")


def test_recipe_second_mount_on_a_path_replaces_the_first(recipe: cl.ContainerRecipe) -> None:
    mounted = recipe.mount("/a", at="/x").mount("/b", at="/x/")
    assert [mount.source for mount in mounted.options.mounts] == ["/b"]


def test_recipe_volume_is_mounted_by_name(recipe: cl.ContainerRecipe) -> None:
    mounted = recipe.mount(recipe.engine.volume("www"), at="/www")
    assert mounted.options.mounts == (MountOption("volume", "/www", "www"),)


def test_recipe_flag_words_take_their_opposite(recipe: cl.ContainerRecipe) -> None:
    assert recipe.tty().tty(False) == recipe


@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("name", lambda r: r.name("a/b")),
        ("env", lambda r: r.env({"A=": ""})),
        ("at", lambda r: r.mount("/a", at="x")),
        ("source", lambda r: r.mount("a", at="/x")),
        ("size", lambda r: r.mount(cl.tmpfs(size="huge"), at="/x")),
        ("memory", lambda r: r.limit(memory="-1")),
        ("cap_add", lambda r: r.cap_add("EVERYTHING")),
        ("network", lambda r: r.network("bridge")),
        ("publish", lambda r: r.publish(0)),
        ("host", lambda r: r.publish(80, host=65536)),
        ("address", lambda r: r.publish(80, address="localhost")),
        ("protocol", lambda r: r.publish(80, protocol="icmp")),
        ("alias", lambda r: r.join("backend", alias="a b")),
        ("address6", lambda r: r.join("backend", address6="10.0.0.1")),
        ("mac", lambda r: r.join("backend", mac="01:00:5e:00:00:01")),
        ("subnet", lambda r: r.engine.network("backend").subnet("10.0.0.1/8")),
        ("gateway", lambda r: r.engine.network("backend").subnet("10.0.0.0/8", gateway="11.0.0.1")),
        ("ip_range", lambda r: r.engine.network("backend").subnet("10.0.0.0/8", ip_range="11.0.0.0/24")),
        ("mtu", lambda r: r.engine.network("backend").mtu(10)),
        ("pull", lambda r: r.pull("sometimes")),
        ("workdir", lambda r: r.workdir("x")),
        ("hostname", lambda r: r.hostname("a b")),
        ("stop_signal", lambda r: r.stop_signal("SIGNOPE")),
        ("rlimit", lambda r: r.rlimit("files", 1)),
    ],
)
def test_recipe_bad_value_names_its_field(recipe: cl.ContainerRecipe, field: str, word: object) -> None:
    assert callable(word)
    with pytest.raises(cl.InvalidArgument) as caught:
        word(recipe)
    assert caught.value.field == field


def test_recipe_pull_policy_belongs_to_the_image(recipe: cl.ContainerRecipe) -> None:
    assert recipe.pull("never").image == StoredSource("redis:7", "never")


def test_recipe_host_image_is_never_pulled(recipe: cl.ContainerRecipe) -> None:
    host = recipe.engine.container(recipe.engine.host_image())
    assert host.image == HostSource()
    with pytest.raises(cl.InvalidArgument, match="never pulled"):
        host.pull("always")


def test_recipe_bad_reference_refused_at_once(recipe: cl.ContainerRecipe) -> None:
    for make in (recipe.engine.container, recipe.engine.image):
        with pytest.raises(cl.InvalidArgument):
            make("Not A Reference")


def test_recipe_repr_has_what_was_said_and_no_more(recipe: cl.ContainerRecipe) -> None:
    assert repr(recipe) == "<ContainerRecipe of redis:7>"
    assert repr(recipe.name("web").tty()) == "<ContainerRecipe of redis:7 name='web' tty=True>"


def test_repr_of_images_and_volumes_names_them(tmp_path: Path) -> None:
    engine = cl.Engine(root=tmp_path / "never-made")
    assert repr(engine.image("redis:7")) == "<ImageRecipe redis:7>"
    assert repr(engine.host_image()) == "<HostImage>"
    assert repr(engine.volume("www")) == "<VolumeRecipe www>"
    assert repr(engine.images) == f"<ImageCollection of {engine!r}>"
    assert repr(engine.volumes) == f"<VolumeCollection of {engine!r}>"


def test_repr_of_an_image_has_the_start_of_its_id_and_its_references(tmp_path: Path) -> None:
    record = ImageRecord(
        id=f"sha256:{'5e29f13d62ae':0<64}",
        references=("docker.io/library/alpine:3.20",),
        config=ImageConfig(),
        size_bytes=1,
        created_at=datetime.now(UTC),
        layers=(),
    )
    image = cl.Image(cl.Engine(root=tmp_path / "never-made"), record)
    assert repr(image) == "<Image sha256:5e29f13d62ae docker.io/library/alpine:3.20>"
    assert repr(cl.Image(image.engine, evolve(record, references=()))) == "<Image sha256:5e29f13d62ae>"


def test_image_in_a_notebook_is_a_row_of_what_docker_images_shows_and_escaped(tmp_path: Path) -> None:
    record = ImageRecord(
        id=f"sha256:{'5e29f13d62ae':0<64}",
        references=("docker.io/library/alpine:3.20", "<b>"),
        config=ImageConfig.from_bytes(b'{"os": "linux", "architecture": "arm64"}'),
        size_bytes=3 * 2**20,
        created_at=datetime(2024, 5, 6, 7, 8, tzinfo=UTC),
        layers=(),
    )
    html = cl.Image(cl.Engine(root=tmp_path / "never-made"), record)._repr_html_()
    cells = re.findall(r"<td>(.*?)</td>", html)
    assert cells[:4] == [
        "docker.io/library/alpine:3.20, &lt;b&gt;",
        "5e29f13d62ae",
        "linux/arm64",
        "3.0 MiB",
    ]
    assert cells[4].startswith("2024-05-0")


def test_repr_of_a_volume_has_its_name_and_place(tmp_path: Path) -> None:
    engine = cl.Engine(root=tmp_path / "root")
    volume = engine.volume("www").create()
    engine.close()
    assert repr(volume) == f"<Volume www at {volume.path}>"


def everything(recipe: cl.ContainerRecipe) -> cl.ContainerRecipe:
    return (
        recipe.name("web")
        .entrypoint("/bin/x", "-y")
        .env(A="1")
        .env({"b-c": "2"})
        .workdir("/srv/")
        .user("1000:www")
        .hostname("box")
        .label({"org.example": "x"})
        .tty()
        .stdin()
        .read_only()
        .cap_add("net_admin")
        .cap_drop("all")
        .privileged()
        .network("host")
        .mount(Path("/srv/x"), at="/etc/x", read_only=True)
        .mount(cl.tmpfs(size="64MiB"), at="/tmp")
        .limit(memory="256MiB", swap=0)
        .limit(cpus=1.5, pids=100)
        .sysctl({"net.core.somaxconn": "1024"})
        .rlimit("nofile", 1024)
        .seccomp("unconfined")
        .no_new_privileges()
        .stop_signal("QUIT")
        .stop_timeout(2)
        .log(max_size="10MiB", full="block")
    )


def test_recipe_network_by_its_name_names_the_word_that_joins_it() -> None:
    recipe = cl.Engine("/nowhere").container("redis:7")
    with pytest.raises(cl.InvalidArgument, match=r"network: 'bridge' is neither .* write \.join\('bridge'\)"):
        recipe.network("bridge")  # type: ignore[arg-type]
