from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from jsonschema import Draft7Validator
from jsonschema.protocols import Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from containerlib.bundles.capabilities import ALL, DEFAULT
from containerlib.bundles.config import make_config
from containerlib.bundles.host import HostFacts, host_devices
from containerlib.bundles.users import ResolvedUser
from containerlib.errors import InvalidArgument, Unsupported
from containerlib.spec.image import ImageConfig
from containerlib.spec.options import ContainerOptions, Limits, MountOption
from containerlib.spec.runtime import Mount, Spec

SCHEMA = Path(__file__).parents[2] / "data" / "runtime-spec-schema"
ID = "0123456789abcdef" * 4
HOST = HostFacts(bounding=frozenset(ALL), architecture="amd64", kernel=(6, 1))
IMAGE = ImageConfig(cmd=("sh",), env=("LANG=C",))
HOSTS: Mount = {"destination": "/etc/hosts", "type": "bind", "source": "/c/hosts", "options": ["rbind"]}


def config(
    options: ContainerOptions | None = None,
    image: ImageConfig = IMAGE,
    user: ResolvedUser | None = None,
    host: HostFacts = HOST,
    argv: tuple[str, ...] = (),
) -> Spec:
    return make_config(
        image,
        options or ContainerOptions(),
        user=user or ResolvedUser(),
        extra_mounts=[HOSTS],
        cgroups_path=f"/containerlib/{ID}",
        container_id=ID,
        host=host,
        argv=argv,
    )


@pytest.fixture(scope="module")
def schema() -> Validator:
    registry: Registry[Any] = Registry()
    for path in SCHEMA.glob("*.json"):
        resource = Resource(contents=json.loads(path.read_text()), specification=DRAFT7)
        registry = registry.with_resource(path.name, resource)
    root = json.loads((SCHEMA / "config-schema.json").read_text())
    return Draft7Validator({**root, "$id": "config-schema.json"}, registry=registry)


@pytest.mark.parametrize(
    "options",
    [
        ContainerOptions(),
        ContainerOptions(privileged=True, tty=True),
        ContainerOptions(network="host", read_only=True, no_new_privileges=True),
        ContainerOptions(seccomp="unconfined", cap_drop=("ALL",)),
        ContainerOptions(
            limits=Limits(memory_bytes=1 << 28, swap_bytes=0, cpus=1.5, pids=100),
            rlimits=(("RLIMIT_NOFILE", 1024, 2048),),
            sysctls=(("net.core.somaxconn", "1024"),),
            mounts=(
                MountOption("bind", "/srv", "/data", read_only=True),
                MountOption("tmpfs", "/run", size_bytes=1),
            ),
        ),
    ],
    ids=["default", "privileged", "host", "unconfined", "limits"],
)
def test_config_of_any_options_is_valid_by_the_schema(options: ContainerOptions, schema: Validator) -> None:
    spec = json.loads(json.dumps(config(options, user=ResolvedUser(1000, 1000, (1000, 44)))))
    assert [error.message for error in schema.iter_errors(spec)] == []


def test_schema_refuses_a_wrong_config(schema: Validator) -> None:
    spec = json.loads(json.dumps(config()))
    spec["linux"]["namespaces"][0]["type"] = "no such"
    assert list(schema.iter_errors(spec))


def test_default_config_isolates_as_docker_does() -> None:
    spec = config()
    linux, process = spec["linux"], spec["process"]
    assert {n["type"] for n in linux["namespaces"]} == {"pid", "mount", "uts", "ipc", "cgroup", "network"}
    assert process["capabilities"] == {k: list(DEFAULT) for k in ("bounding", "effective", "permitted")}
    assert len(DEFAULT) == 14
    assert "/proc/kcore" in linux["maskedPaths"]
    assert "/proc/sys" in linux["readonlyPaths"]
    assert linux["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"
    assert linux["resources"]["devices"][0] == {"allow": False, "access": "rwm"}
    assert spec["hostname"] == ID[:12]
    assert spec["root"] == {"path": "rootfs", "readonly": False}
    assert linux["sysctl"]["net.ipv4.ip_unprivileged_port_start"] == "0"


def test_default_mounts_come_in_order_with_dockers_options() -> None:
    mounts = {m["destination"]: m for m in config()["mounts"]}
    assert list(mounts) == [
        *("/proc", "/dev", "/dev/pts", "/sys", "/sys/fs/cgroup", "/dev/mqueue", "/dev/shm"),
        "/etc/hosts",
    ]
    assert "ro" in mounts["/sys"]["options"]
    assert "ro" in mounts["/sys/fs/cgroup"]["options"]
    assert "size=67108864" in mounts["/dev/shm"]["options"]


def test_user_other_than_root_starts_without_capabilities() -> None:
    process = config(user=ResolvedUser(1000, 100, (100, 7), "/home/me"))["process"]
    assert process["capabilities"] == {"bounding": list(DEFAULT)}
    assert process["user"] == {"uid": 1000, "gid": 100, "umask": 0o022, "additionalGids": [100, 7]}
    assert "HOME=/home/me" in process["env"]


def test_privileged_container_has_all_that_the_host_can_give() -> None:
    bounding = frozenset(ALL) - {"CAP_SYS_RESOURCE"}
    spec = config(ContainerOptions(privileged=True), host=evolve(HOST, bounding=bounding))
    linux = spec["linux"]
    assert set(spec["process"]["capabilities"]["bounding"]) == bounding
    assert not {"maskedPaths", "readonlyPaths", "seccomp"} & set(linux)
    assert linux["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert {"path": "/dev/null", "type": "c", "major": 1, "minor": 3}.items() <= linux["devices"][
        [device["path"] for device in linux["devices"]].index("/dev/null")
    ].items()
    assert not any("ro" in mount["options"] for mount in spec["mounts"])


def test_privileged_container_is_not_given_terminals() -> None:
    assert not [d["path"] for d in host_devices() if d["path"].startswith(("/dev/pts", "/dev/console"))]


def test_host_network_has_no_namespace_and_the_hosts_name() -> None:
    import os

    spec = config(ContainerOptions(network="host"))
    assert "network" not in {n["type"] for n in spec["linux"]["namespaces"]}
    assert spec["hostname"] == os.uname().nodename
    assert "sysctl" not in spec["linux"]


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, None, ["/entry", "-x", "cmd"]),
        (None, ("ls", "-l"), ["/entry", "-x", "ls", "-l"]),
        (("/other",), None, ["/other"]),
        (("/other",), ("a",), ["/other", "a"]),
        ((), ("a",), ["a"]),
    ],
)
def test_arguments_follow_dockers_rules(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, expected: list[str]
) -> None:
    image = ImageConfig(entrypoint=("/entry", "-x"), cmd=("cmd",))
    options = ContainerOptions(entrypoint=entrypoint, command=command)
    assert config(options, image)["process"]["args"] == expected


@pytest.mark.parametrize(
    ("entrypoint", "command", "expected"),
    [
        (None, None, ["/entry", "verb's"]),
        (None, ("recipe's",), ["/entry", "verb's"]),
        (("/other",), ("recipe's",), ["/other", "verb's"]),
    ],
)
def test_argv_of_a_verb_replaces_each_command_and_no_entrypoint(
    entrypoint: tuple[str, ...] | None, command: tuple[str, ...] | None, expected: list[str]
) -> None:
    image = ImageConfig(entrypoint=("/entry",), cmd=("cmd",))
    options = ContainerOptions(entrypoint=entrypoint, command=command)
    assert config(options, image, argv=("verb's",))["process"]["args"] == expected


def test_image_without_command_needs_one() -> None:
    with pytest.raises(InvalidArgument) as caught:
        config(image=ImageConfig())
    assert caught.value.field == "command"


def test_environment_is_dockers_then_the_images_then_the_recipes() -> None:
    image = ImageConfig(cmd=("sh",), env=("PATH=/bin", "A=image", "EMPTY="))
    options = ContainerOptions(env=(("A", "mine"), ("B", "x=y")), tty=True)
    env = config(options, image, ResolvedUser(home="/root"))["process"]["env"]
    assert env == [
        *("PATH=/bin", f"HOSTNAME={ID[:12]}", "TERM=xterm", "A=mine", "EMPTY=", "B=x=y"),
        "HOME=/root",
    ]


def test_home_of_the_environment_is_kept() -> None:
    env = config(ContainerOptions(env=(("HOME", "/tmp"),)), user=ResolvedUser(home="/root"))["process"]["env"]
    assert [item for item in env if item.startswith("HOME=")] == ["HOME=/tmp"]


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_environment_with_an_impossible_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        config(ContainerOptions(env=((name, "x"),)))
    assert caught.value.field == "env"


def test_working_directory_is_the_recipes_then_the_images_then_root() -> None:
    image = evolve(IMAGE, working_dir="/app")
    assert config(ContainerOptions(workdir="/mine"), image)["process"]["cwd"] == "/mine"
    assert config(image=image)["process"]["cwd"] == "/app"
    assert config()["process"]["cwd"] == "/"
    with pytest.raises(InvalidArgument):
        config(ContainerOptions(workdir="relative"))


def test_limits_become_resources() -> None:
    resources = config(ContainerOptions(limits=Limits(memory_bytes=100, swap_bytes=50, cpus=0.5, pids=7)))
    assert {k: v for k, v in resources["linux"]["resources"].items() if k != "devices"} == {
        "memory": {"limit": 100, "swap": 150},
        "cpu": {"quota": 50_000, "period": 100_000},
        "pids": {"limit": 7},
    }


def test_memory_limit_alone_allows_as_much_swap_as_docker() -> None:
    resources = config(ContainerOptions(limits=Limits(memory_bytes=100)))["linux"]["resources"]
    assert resources["memory"] == {"limit": 100, "swap": 200}


@pytest.mark.parametrize("limits", [Limits(swap_bytes=1), Limits(cpus=0.0), Limits(cpus=-1.0)])
def test_impossible_limits_are_refused(limits: Limits) -> None:
    with pytest.raises(InvalidArgument) as caught:
        config(ContainerOptions(limits=limits))
    assert caught.value.field == "limits"


def test_capabilities_are_added_and_dropped_by_any_spelling() -> None:
    options = ContainerOptions(cap_add=("net_admin",), cap_drop=("CAP_CHOWN", "mknod"))
    bounding = config(options)["process"]["capabilities"]["bounding"]
    assert set(bounding) == (set(DEFAULT) | {"CAP_NET_ADMIN"}) - {"CAP_CHOWN", "CAP_MKNOD"}


@pytest.mark.parametrize(
    ("add", "drop", "expected"),
    [
        (("ALL",), ("SYS_ADMIN",), set(ALL) - {"CAP_SYS_ADMIN"}),
        (("KILL",), ("ALL",), {"CAP_KILL"}),
        ((), ("ALL",), set()),
    ],
)
def test_all_stands_for_every_capability(
    add: tuple[str, ...], drop: tuple[str, ...], expected: set[str]
) -> None:
    capabilities = config(ContainerOptions(cap_add=add, cap_drop=drop))["process"]["capabilities"]
    assert set(capabilities["bounding"]) == expected


def test_unknown_capability_is_refused_by_name() -> None:
    with pytest.raises(InvalidArgument, match="'FLY'") as caught:
        config(ContainerOptions(cap_add=("FLY",)))
    assert caught.value.field == "cap_add"


def test_capability_that_the_host_lacks_is_refused_when_asked_for_by_name() -> None:
    host = evolve(HOST, bounding=frozenset(DEFAULT))
    with pytest.raises(Unsupported, match="CAP_SYS_ADMIN"):
        config(ContainerOptions(cap_add=("SYS_ADMIN",)), host=host)
    assert set(
        config(ContainerOptions(cap_add=("ALL",)), host=host)["process"]["capabilities"]["bounding"]
    ) == set(DEFAULT)


def test_mounts_replace_default_ones_and_go_from_parents_to_children() -> None:
    options = ContainerOptions(
        mounts=(
            MountOption("bind", "/a/b/c", "/deep"),
            MountOption("bind", "/a", "/top"),
            MountOption("tmpfs", "/dev/shm"),
            MountOption("bind", "/etc/hosts", "/my-hosts", read_only=True),
        )
    )
    mounts = config(options)["mounts"]
    assert [m["destination"] for m in mounts[-4:]] == ["/a", "/dev/shm", "/etc/hosts", "/a/b/c"]
    assert len({m["destination"] for m in mounts}) == len(mounts)
    assert {"ro", "rro"} <= set(mounts[-2]["options"])


def test_mount_on_dev_replaces_all_below_it() -> None:
    mounts = config(ContainerOptions(mounts=(MountOption("bind", "/dev", "/dev"),)))["mounts"]
    assert [m["destination"] for m in mounts if m["destination"].startswith("/dev")] == ["/dev"]


def test_read_only_bind_on_an_old_kernel_is_not_recursive() -> None:
    options = ContainerOptions(mounts=(MountOption("bind", "/a", "/x", read_only=True),))
    assert "rro" not in config(options, host=evolve(HOST, kernel=(5, 11)))["mounts"][-1]["options"]


@pytest.mark.parametrize(
    ("option", "options"),
    [
        (MountOption("bind", "/x", "/srv", recursive=False), ["bind", "rprivate"]),
        (MountOption("bind", "/x", "/srv", True, recursive=False), ["bind", "rprivate", "ro"]),
        (MountOption("bind", "/x", "/srv", True, recursive="writable"), ["rbind", "rprivate", "ro"]),
        (MountOption("bind", "/x", "/srv", True, recursive="readonly"), ["rbind", "rprivate", "ro", "rro"]),
        (MountOption("bind", "/x", "/srv", propagation="rslave"), ["rbind", "rslave"]),
        (MountOption("bind", "/x", "/srv", id_map=()), ["rbind", "rprivate", "idmap"]),
    ],
)
def test_bind_words_are_the_specs(option: MountOption, options: list[str]) -> None:
    assert config(ContainerOptions(mounts=(option,)))["mounts"][-1]["options"] == options


def test_bind_read_only_throughout_on_an_old_kernel_is_refused() -> None:
    options = ContainerOptions(mounts=(MountOption("bind", "/x", "/srv", True, recursive="readonly"),))
    with pytest.raises(Unsupported, match=r"Linux 5\.12"):
        config(options, host=evolve(HOST, kernel=(5, 11)))


def test_bind_with_ids_of_its_own_maps_users_and_groups() -> None:
    mount = config(ContainerOptions(mounts=(MountOption("bind", "/x", "/srv", id_map=((0, 7, 2),)),)))[
        "mounts"
    ][-1]
    assert mount["uidMappings"] == mount["gidMappings"] == [{"containerID": 0, "hostID": 7, "size": 2}]


def test_shared_bind_makes_the_root_shared() -> None:
    options = ContainerOptions(mounts=(MountOption("bind", "/x", "/srv", propagation="rshared"),))
    assert config(options)["linux"]["rootfsPropagation"] == "shared"
    assert "rootfsPropagation" not in config()["linux"]


@pytest.mark.parametrize(
    "mounts",
    [
        (MountOption("bind", "relative", "/x"),),
        (MountOption("bind", "/", "/x"),),
        (MountOption("bind", "/a/..", "/x"),),
        (MountOption("bind", "/a", "x"),),
        (MountOption("tmpfs", "/a"), MountOption("tmpfs", "/a/")),
        (MountOption("volume", "/a", "name"),),
    ],
)
def test_impossible_mounts_are_refused(mounts: tuple[MountOption, ...]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        config(ContainerOptions(mounts=mounts))
    assert caught.value.field == "mounts"


def test_one_config_does_not_change_another() -> None:
    first = config(ContainerOptions(privileged=True))
    before = json.dumps(config())
    first["mounts"][0]["options"].append("ro")
    assert json.dumps(config()) == before


def test_container_of_a_process_that_the_oom_killer_spares_is_not_spared() -> None:
    assert "oomScoreAdj" not in config()["process"]
    assert config(host=evolve(HOST, shielded=True))["process"]["oomScoreAdj"] == 0


def test_identity_and_process_words_are_the_specs() -> None:
    options = ContainerOptions(
        domainname="example.org",
        annotations=(("a", "b"),),
        umask=0o77,
        personality="LINUX32",
        oom_score_adj=7,
        memory_policy=("MPOL_BIND", "0", ()),
    )
    spec = config(options, host=evolve(HOST, shielded=True))
    assert (spec["domainname"], spec["annotations"]) == ("example.org", {"a": "b"})
    assert (spec["process"]["user"]["umask"], spec["process"]["oomScoreAdj"]) == (0o77, 7)
    assert spec["linux"]["personality"] == {"domain": "LINUX32"}
    assert spec["linux"]["memoryPolicy"] == {"mode": "MPOL_BIND", "nodes": "0", "flags": []}


def test_security_words_are_the_specs() -> None:
    spec = config(
        ContainerOptions(apparmor="mine", selinux="u:r:t:s0", mount_label="u:o:f:s0", masked=("/proc/x",))
    )
    assert (spec["process"]["apparmorProfile"], spec["process"]["selinuxLabel"]) == ("mine", "u:r:t:s0")
    assert spec["linux"]["mountLabel"] == "u:o:f:s0"
    assert spec["linux"]["maskedPaths"][-1] == "/proc/x"


@pytest.mark.parametrize(
    ("unmasked", "masked", "read_only"),
    [
        (("ALL",), set(), set()),
        (("/proc/kcore",), {"/proc/acpi"}, {"/proc/sys"}),
        (("/proc/sys", "/sys"), {"/proc/kcore"}, {"/proc/fs"}),
    ],
)
def test_unmasked_paths_are_seen_and_written(
    unmasked: tuple[str, ...], masked: set[str], read_only: set[str]
) -> None:
    linux = config(ContainerOptions(unmasked=unmasked))["linux"]
    paths = {*linux["maskedPaths"], *linux["readonlyPaths"]}
    assert masked | read_only <= paths
    assert not paths & set(unmasked)
    assert ("/sys/firmware" in paths) is not bool({"/sys", "ALL"} & set(unmasked))
