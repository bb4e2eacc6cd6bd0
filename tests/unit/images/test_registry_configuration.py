"""registries.conf and certs.d: which registries a name is asked of, and with which certificates."""

from __future__ import annotations

from pathlib import Path

import pytest

from containerlib.errors import InvalidArgument, StageError
from containerlib.images.registry.configuration import Configuration, ConfigurationFiles, Location, parse
from containerlib.images.registry.tls import TlsFiles
from containerlib.spec.reference import Reference

DIGEST = "sha256:" + "a" * 64
MANUAL = b"""
unqualified-search-registries = ["example.com"]
short-name-mode = "enforcing"

[aliases]
"fedora" = "registry.fedoraproject.org/fedora"

[[registry]]
prefix = "example.com/foo"
insecure = false
blocked = false
location = "internal-registry-for-example.com/bar"

[[registry.mirror]]
location = "example-mirror-0.local/mirror-for-foo"

[[registry.mirror]]
location = "example-mirror-1.local/mirrors/foo"
insecure = true

[[registry]]
location = "registry.com"

[[registry.mirror]]
location = "mirror.registry.com"
"""


def read(text: str | bytes) -> Configuration:
    return parse(text if isinstance(text, bytes) else text.encode(), "registries.conf")


def places(text: str | bytes, reference: str) -> list[str]:
    """Where it is read from; "!" behind what is insecure."""
    locations = read(text).locations(Reference.parse(reference))
    assert [location.is_mirror for location in locations] == [True] * (len(locations) - 1) + [False]
    return [f"{at.registry}/{at.repository}{'!' * bool(at.insecure)}" for at in locations]


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        (
            "example.com/foo/image:latest",
            [
                "example-mirror-0.local/mirror-for-foo/image",
                "example-mirror-1.local/mirrors/foo/image!",
                "internal-registry-for-example.com/bar/image",
            ],
        ),
        (
            "example.com/foo",
            [
                "example-mirror-0.local/mirror-for-foo",
                "example-mirror-1.local/mirrors/foo!",
                "internal-registry-for-example.com/bar",
            ],
        ),
        ("example.com/foobar", ["example.com/foobar"]),
        ("registry.com/image", ["mirror.registry.com/image", "registry.com/image"]),
        ("redis", ["docker.io/library/redis"]),
    ],
)
def test_locations_are_those_of_the_manual(reference: str, expected: list[str]) -> None:
    assert places(MANUAL, reference) == expected


def test_longest_prefix_is_the_one_that_counts() -> None:
    text = """
        [[registry]]
        prefix = "docker.io"
        location = "cache:5000/hub"
        [[registry]]
        prefix = "docker.io/library"
        location = "cache:5000/official"
        [[registry]]
        prefix = "docker.io/library/redis:7"
        location = "cache:5000/pinned:7"
    """
    assert places(text, "docker.io/acme/app") == ["cache:5000/hub/acme/app"]
    assert places(text, "alpine") == ["cache:5000/official/alpine"]
    assert places(text, "redis:6") == ["cache:5000/official/redis"]
    assert places(text, "redis:7") == ["cache:5000/pinned"]


def test_rule_that_moves_to_another_tag_is_refused_by_name() -> None:
    text = '[[registry]]\nprefix = "docker.io/library/redis:7"\nlocation = "cache/redis:8"'
    with pytest.raises(InvalidArgument, match="redis:8") as caught:
        read(text).locations(Reference.parse("redis:7"))
    assert caught.value.field == "registries.conf"


def test_wildcard_matches_subdomains_alone() -> None:
    text = """
        [[registry]]
        prefix = "*.example.com"
        insecure = true
        [[registry.mirror]]
        location = "mirror:5000/all"
    """
    moved = ["mirror:5000/all/app", "a.b.example.com:444/app!"]
    assert places(text, "a.b.example.com:444/app") == moved
    assert places(text, "example.com/app") == ["example.com/app"]
    assert places(text, "badexample.com/app") == ["badexample.com/app"]


@pytest.mark.parametrize(
    ("setting", "by_tag", "by_digest"),
    [
        ("", True, True),
        ('pull-from-mirror = "all"', True, True),
        ('pull-from-mirror = "digest-only"', False, True),
        ('pull-from-mirror = "tag-only"', True, False),
    ],
)
def test_mirror_serves_what_it_is_set_to(setting: str, by_tag: bool, by_digest: bool) -> None:
    text = f'[[registry]]\nlocation = "a.io"\n[[registry.mirror]]\nlocation = "m.io"\n{setting}'
    assert (len(places(text, "a.io/app:1")) == 2) is by_tag
    assert (len(places(text, f"a.io/app@{DIGEST}")) == 2) is by_digest


def test_mirrors_by_digest_only_do_not_serve_tags() -> None:
    text = '[[registry]]\nlocation = "a.io"\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = "m.io"'
    assert places(text, "a.io/app:1") == ["a.io/app"]
    assert places(text, f"a.io/app@{DIGEST}") == ["m.io/app", "a.io/app"]


def test_blocked_name_is_refused_with_the_file_that_says_so() -> None:
    text = '[[registry]]\nlocation = "a.io/bad"\nblocked = true\n[[registry]]\nprefix = "*.evil.io"\nblocked = true'
    for name in ("a.io/bad", "a.io/bad/app", f"a.io/bad@{DIGEST}", "x.evil.io/app"):
        with pytest.raises(InvalidArgument, match=r"blocked by registries\.conf") as caught:
            read(text).locations(Reference.parse(name))
        assert caught.value.field == "reference"
    assert places(text, "a.io/good") == ["a.io/good"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("[[registry", "registries.conf"),
        (b"\xff", "registries.conf"),
        ("[registries.search]\nregistries = []", "registries.conf"),
        ("registry = 5", "registries.conf.registry"),
        ("registry = [5]", "registries.conf.registry[0]"),
        ("[[registry]]", "registries.conf.registry[0]"),
        ('[[registry]]\nlocation = "a"\ninsecure = "yes"', "registries.conf.registry[0].insecure"),
        ('[[registry]]\nlocation = "https://a.io"', "registries.conf.registry[0].location"),
        ('[[registry]]\nlocation = "*.a.io"', "registries.conf.registry[0].location"),
        ('[[registry]]\nprefix = "a.*.io"', "registries.conf.registry[0].prefix"),
        ('[[registry]]\nprefix = "*.a.io/app"', "registries.conf.registry[0].prefix"),
        ('[[registry]]\nlocation = "a/../b c"', "registries.conf.registry[0].location"),
        ('[[registry]]\nlocation = "a"\n[[registry.mirror]]', "registries.conf.registry[0].mirror[0]"),
        ('[[registry]]\nlocation = "a"\n[[registry]]\nlocation = "a"', "registries.conf"),
        (
            '[[registry]]\nlocation = "a"\n[[registry.mirror]]\nlocation = "b"\npull-from-mirror = "some"',
            "registries.conf.registry[0].mirror[0].pull-from-mirror",
        ),
    ],
)
def test_malformed_file_is_refused_with_where_it_is(text: str | bytes, field: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        read(text)
    assert caught.value.field == field


def test_explicit_mirrors_are_the_only_ones_of_their_registry() -> None:
    text = (
        MANUAL + b'[[registry]]\nlocation = "registry.com/team"\n[[registry.mirror]]\nlocation = "old.io"\n'
    )
    configuration = read(text).with_mirrors("registry.com", ["new.io:5000/r"])
    found = configuration.locations(Reference.parse("registry.com/app"))
    assert [at.registry for at in found] == ["new.io:5000", "registry.com"]
    found = configuration.locations(Reference.parse("example.com/foo"))
    assert len(found) == 3
    with pytest.raises(InvalidArgument, match="mirrors"):
        configuration.with_mirrors("registry.com", ["https://new.io"])


class Machine:
    """The files of a machine with one user."""

    def __init__(self, directory: Path) -> None:
        self.system = directory / "system"
        self.home = directory / "home"
        self.environ = {"HOME": str(self.home)}

    def write(self, path: Path, text: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @property
    def files(self) -> ConfigurationFiles:
        return ConfigurationFiles(self.environ, root=str(self.system))

    def location(self, reference: str) -> Location:
        return self.files.configuration().locations(Reference.parse(reference))[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def to(location: str) -> str:
    return f'[[registry]]\nprefix = "a.io"\nlocation = "{location}"\n'


def test_no_files_mean_no_rules(machine: Machine) -> None:
    assert machine.location("a.io/app") == Location("a.io", "app")


def test_later_files_replace_rules_of_the_same_prefix(machine: Machine) -> None:
    etc, own = machine.system / "etc/containers", machine.home / ".config/containers"
    machine.write(etc / "registries.conf", to("main.io") + '[[registry]]\nprefix="b.io"\nlocation="kept.io"')
    assert machine.location("a.io/app").registry == "main.io"
    machine.write(etc / "registries.conf.d/10.conf", to("ten.io"))
    machine.write(etc / "registries.conf.d/05.conf", to("five.io"))
    machine.write(etc / "registries.conf.d/99.conf.bak", to("bak.io"))
    assert machine.location("a.io/app").registry == "ten.io"
    machine.write(own / "registries.conf.d/01.conf", to("user.io"))
    assert machine.location("a.io/app").registry == "user.io"
    assert machine.location("b.io/app").registry == "kept.io"


def test_file_of_the_user_stands_for_the_systems(machine: Machine) -> None:
    machine.write(
        machine.system / "etc/containers/registries.conf", '[[registry]]\nlocation="b.io"\nblocked=true'
    )
    machine.write(machine.system / "etc/containers/registries.conf.d/1.conf", to("system.io"))
    machine.write(machine.home / ".config/containers/registries.conf", to("mine.io"))
    assert machine.location("a.io/app").registry == "mine.io"
    assert machine.location("b.io/app").registry == "b.io"


def test_directory_of_settings_is_where_the_environment_says(machine: Machine, tmp_path: Path) -> None:
    machine.write(machine.home / ".config/containers/registries.conf", to("home.io"))
    machine.write(tmp_path / "settings/containers/registries.conf", to("settings.io"))
    machine.write(tmp_path / "settings/containers/certs.d/a.io/ca.crt")
    machine.environ["XDG_CONFIG_HOME"] = str(tmp_path / "settings")
    assert machine.location("a.io/app").registry == "settings.io"
    assert [Path(path).name for path in machine.files.tls("a.io").authorities] == ["ca.crt"]


def test_environment_names_the_only_file(machine: Machine, tmp_path: Path) -> None:
    machine.write(machine.home / ".config/containers/registries.conf", to("mine.io"))
    machine.environ["CONTAINERS_REGISTRIES_CONF"] = str(machine.write(tmp_path / "named", to("named.io")))
    assert machine.location("a.io/app").registry == "named.io"


def test_file_that_cannot_be_read_is_a_stage_error(machine: Machine) -> None:
    (machine.home / ".config/containers/registries.conf").mkdir(parents=True)
    with pytest.raises(StageError, match="EISDIR"):
        machine.files.configuration()


def test_certificates_are_those_of_the_first_directory(machine: Machine) -> None:
    assert machine.files.tls("a.io:5000") == TlsFiles()
    docker = machine.system / "etc/docker/certs.d/a.io:5000"
    machine.write(docker / "ca.crt")
    assert machine.files.tls("a.io:5000") == TlsFiles((str(docker / "ca.crt"),))
    assert machine.files.tls("a.io") == TlsFiles()
    system = machine.system / "etc/containers/certs.d/a.io:5000"
    for name in ("one.crt", "two.crt", "client.cert", "client.key", "README"):
        machine.write(system / name)
    assert machine.files.tls("a.io:5000") == TlsFiles(
        (str(system / "one.crt"), str(system / "two.crt")),
        str(system / "client.cert"),
        str(system / "client.key"),
    )
    machine.write(machine.home / ".config/containers/certs.d/a.io:5000/mine.crt")
    assert [Path(path).name for path in machine.files.tls("a.io:5000").authorities] == ["mine.crt"]


@pytest.mark.parametrize("alone", ["client.cert", "client.key"])
def test_half_of_a_clients_certificate_is_refused_by_name(alone: str, machine: Machine) -> None:
    machine.write(machine.system / "etc/containers/certs.d/a.io" / alone)
    with pytest.raises(InvalidArgument, match=r"client\.cert and client\.key"):
        machine.files.tls("a.io")


@pytest.mark.parametrize("name", ["", ".", "..", "../../secrets"])
def test_certificates_are_not_looked_for_elsewhere(name: str, machine: Machine) -> None:
    for place in ("etc/containers/ca.crt", "etc/containers/certs.d/ca.crt", "etc/secrets/ca.crt"):
        machine.write(machine.system / place)
    assert machine.files.tls(name) == TlsFiles()


def test_configuration_that_is_nested_without_an_end_is_no_toml() -> None:
    with pytest.raises(InvalidArgument, match="not TOML"):
        parse(b"a = " + b"[" * 50_000, "registries.conf")
