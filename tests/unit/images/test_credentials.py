"""Credentials that a login left: which file comes first, which entry of it, and what a helper program says."""

from __future__ import annotations

import base64
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from containerlib.errors import InvalidArgument, NotFound, StageError, Timeout, Unavailable
from containerlib.images.registry.credentials import StoredCredentials, credentials_of
from containerlib.images.registry.credentials.files import AuthFile
from containerlib.images.registry.session import Given
from containerlib.spec.auth import Auth, BasicAuth, IdentityToken, RegistryToken

NAMED = {"username": "named", "password": "in a field"}


def encoded(pair: str) -> dict[str, str]:
    text = pair if ":" in pair else f"{pair}:pw"
    return {"auth": base64.b64encode(text.encode()).decode()}


def config(auths: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"auths": auths, **more}).encode()


def find(auths: dict[str, Any], registry: str, repository: str = "acme/app") -> Auth | None:
    return AuthFile.parse(config(auths), "file").auth(registry, repository)


class Home:
    """A home directory, and the environment that names it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.environ = {
            "HOME": str(path),
            "PATH": f"{path}/bin:{os.environ['PATH']}",
            "XDG_RUNTIME_DIR": f"{path}/run",
        }

    def write(self, name: str, auths: dict[str, Any], **more: Any) -> str:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(config(auths, **more))
        return str(file)

    def helper(self, name: str, script: str) -> Path:
        """A helper program; it writes down what it was asked."""
        program = self.path / "bin" / f"docker-credential-{name}"
        program.parent.mkdir(exist_ok=True)
        asked = self.path / "asked"
        program.write_text(f'#!/bin/sh\nread -r server || true\necho "$1 $server" >>{asked}\n{script}\n')
        program.chmod(0o755)
        return asked

    def get(self, registry: str = "ghcr.io", repository: str = "acme/app", **words: Any) -> Auth | None:
        return StoredCredentials(self.environ, **words).get(registry, repository)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.mark.parametrize(
    ("entry", "auth"),
    [
        (encoded("ci"), BasicAuth("ci", "pw")),
        (encoded("ci:with:colon\0\0"), BasicAuth("ci", "with:colon")),
        (NAMED, BasicAuth("named", "in a field")),
        ({"identitytoken": "refresh"}, IdentityToken("refresh")),
        ({**encoded("ci"), "identitytoken": "refresh"}, IdentityToken("refresh")),
        ({"registrytoken": "bearer", "identitytoken": "refresh"}, RegistryToken("bearer")),
        ({}, None),
        ({"email": "somebody@example.com"}, None),
    ],
)
def test_entry_gives_its_kind_of_credentials(entry: dict[str, str], auth: Auth | None) -> None:
    assert find({"ghcr.io": entry}, "ghcr.io") == auth


@pytest.mark.parametrize(
    ("key", "registry", "repository", "found"),
    [
        ("ghcr.io", "ghcr.io", "acme/app", True),
        ("https://ghcr.io", "ghcr.io", "acme/app", True),
        ("https://ghcr.io/v2/", "ghcr.io", "acme/app", True),
        ("http://localhost:5000", "localhost:5000", "app", True),
        ("ghcr.io", "ghcr.io:443", "acme/app", False),
        ("ghcr.io", "docker.io", "acme/app", False),
        ("ghcr.io/acme", "ghcr.io", "acme/app", True),
        ("ghcr.io/acme/app", "ghcr.io", "acme/app", True),
        ("ghcr.io/acme/app", "ghcr.io", "acme/app2", False),
        ("ghcr.io/ac", "ghcr.io", "acme/app", False),
        ("https://index.docker.io/v1/", "docker.io", "library/redis", True),
        ("index.docker.io/v1/", "docker.io", "library/redis", True),
        ("docker.io", "docker.io", "library/redis", True),
        ("registry-1.docker.io", "docker.io", "library/redis", True),
        ("docker.io/library/redis", "docker.io", "library/redis", True),
    ],
)
def test_entry_is_found_by_every_form_of_its_key(
    key: str, registry: str, repository: str, found: bool
) -> None:
    assert find({key: encoded("ci")}, registry, repository) == (BasicAuth("ci", "pw") if found else None)


def test_narrowest_entry_is_the_one() -> None:
    auths = {
        "quay.io": encoded("host"),
        "quay.io/acme": encoded("namespace"),
        "quay.io/acme/app": encoded("repository"),
        "quay.io/acme/empty": {},
    }
    names = {
        repository: find(auths, "quay.io", repository)
        for repository in ("acme/app", "acme/other", "acme/app/deep", "acme/empty", "other")
    }
    assert [auth.username for auth in names.values() if isinstance(auth, BasicAuth)] == [
        "repository",
        "namespace",
        "repository",
        "namespace",
        "host",
    ]


@pytest.mark.parametrize("text", ["!", "bm8gY29sb24=", "//8=", "YTpi\n"])
def test_entry_that_is_malformed_is_named_and_spoils_no_other(text: str) -> None:
    auths = {"bad.example": {"auth": text}, "ghcr.io": encoded("ci")}
    assert find(auths, "ghcr.io") == BasicAuth("ci", "pw")
    with pytest.raises(InvalidArgument) as caught:
        find(auths, "bad.example")
    assert caught.value.field == "file.auths.bad.example.auth"
    assert text not in str(caught.value)
    assert caught.value.__cause__ is None


def test_files_are_asked_in_their_order(home: Home) -> None:
    """Each is removed once it has been the first."""
    elsewhere = home.write("elsewhere.json", {"ghcr.io": encoded("REGISTRY_AUTH_FILE")})
    home.write("docker/config.json", {"ghcr.io": encoded("DOCKER_CONFIG")})
    runtime = home.write("run/containers/auth.json", {"ghcr.io": encoded("runtime")})
    settings = home.write(".config/containers/auth.json", {"ghcr.io": encoded("settings")})
    docker = home.write(".docker/config.json", {"ghcr.io": encoded("docker")})
    home.path.joinpath(".dockercfg").write_text(json.dumps({"https://ghcr.io/v1/": encoded("legacy")}))
    home.environ |= {
        "DOCKER_AUTH_CONFIG": config({"ghcr.io": encoded("DOCKER_AUTH_CONFIG")}).decode(),
        "REGISTRY_AUTH_FILE": elsewhere,
        "DOCKER_CONFIG": f"{home.path}/docker",
    }
    order = []
    for remove in (
        *(lambda name=name: home.environ.pop(name) for name in ("DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE")),
        lambda: home.environ.pop("DOCKER_CONFIG"),
        Path(runtime).unlink,
        Path(settings).unlink,
        Path(docker).unlink,
        lambda: None,
    ):
        auth = home.get()
        assert isinstance(auth, BasicAuth)
        order.append(auth.username)
        remove()
    named = ["DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "DOCKER_CONFIG"]
    assert order == [*named, "runtime", "settings", "docker", "legacy"]


@pytest.mark.parametrize("content", [b"[]", b'"secret"', b'{"ghcr.io": "ci:secret"}'])
def test_legacy_file_that_is_malformed_is_named_without_what_is_in_it(home: Home, content: bytes) -> None:
    path = home.path / ".dockercfg"
    path.write_bytes(content)
    with pytest.raises(InvalidArgument) as caught:
        home.get()
    assert caught.value.field.startswith(str(path))
    assert "secret" not in str(caught.value)


def test_file_that_is_nowhere_means_anonymous(home: Home) -> None:
    assert home.get() is None


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"auths": []}', b'{"auths": {"ghcr.io": "ci:secret"}}'])
def test_file_that_is_malformed_is_named_without_what_is_in_it(home: Home, content: bytes) -> None:
    path = Path(home.write(".docker/config.json", {}))
    path.write_bytes(content)
    with pytest.raises(InvalidArgument) as caught:
        home.get()
    assert caught.value.field.startswith(str(path))
    assert "secret" not in str(caught.value)


def test_file_that_the_environment_names_must_be_there(home: Home) -> None:
    home.environ["REGISTRY_AUTH_FILE"] = "/nowhere/auth.json"
    with pytest.raises(NotFound, match="REGISTRY_AUTH_FILE"):
        home.get()


def test_file_that_cannot_be_read_is_a_stage_error(home: Home) -> None:
    home.path.joinpath(".docker/config.json").mkdir(parents=True)
    with pytest.raises(StageError, match=r"config\.json"):
        home.get()


@pytest.mark.parametrize(
    ("answer", "auth"),
    [
        ({"ServerURL": "ghcr.io", "Username": "ci", "Secret": "s3"}, BasicAuth("ci", "s3")),
        ({"ServerURL": "ghcr.io", "Username": "<token>", "Secret": "refresh"}, IdentityToken("refresh")),
        ({"ServerURL": "", "Username": "", "Secret": ""}, None),
    ],
)
@pytest.mark.parametrize("setting", [{"credsStore": "keys"}, {"credHelpers": {"ghcr.io": "keys"}}])
def test_helper_is_asked_by_its_protocol(
    home: Home, answer: dict[str, str], auth: Auth | None, setting: dict[str, Any]
) -> None:
    asked = home.helper("keys", f"echo '{json.dumps(answer)}'")
    home.write(".docker/config.json", {"ghcr.io": {}}, **setting)
    assert home.get() == auth
    assert asked.read_text() == "get ghcr.io\n"


def test_helper_of_one_registry_comes_before_that_of_all(home: Home) -> None:
    home.helper("all", 'echo \'{"Username": "all", "Secret": "s"}\'')
    home.helper("one", 'echo \'{"Username": "one", "Secret": "s"}\'')
    home.write(".docker/config.json", {}, credsStore="all", credHelpers={"https://gcr.io": "one"})
    assert home.get("gcr.io") == BasicAuth("one", "s")
    assert home.get("quay.io") == BasicAuth("all", "s")


def test_helper_knows_docker_hub_by_its_old_name(home: Home) -> None:
    asked = home.helper("keys", 'echo "credentials not found in native keychain"; exit 1')
    home.write(".docker/config.json", {}, credsStore="keys")
    assert home.get("docker.io", "library/redis") is None
    assert asked.read_text() == "get https://index.docker.io/v1/\nget docker.io\n"


@pytest.mark.parametrize(
    "said",
    [
        "credentials not found in native keychain",
        "Credentials not found in native keychain: it is empty",
        "no credentials server URL",
        "no credentials username",
    ],
)
def test_helper_that_keeps_nothing_is_no_failure(home: Home, said: str) -> None:
    home.helper("keys", f"echo '{said}'; exit 1")
    home.write(".docker/config.json", {}, credsStore="keys")
    assert home.get() is None


def test_helper_has_the_environment_that_names_it(home: Home) -> None:
    """And not that of the process, which may be another."""
    home.helper("keys", 'echo "{\\"Username\\": \\"$KEYCHAIN\\", \\"Secret\\": \\"s\\"}"')
    home.write(".docker/config.json", {}, credsStore="keys")
    home.environ["KEYCHAIN"] = "mine"
    assert home.get() == BasicAuth("mine", "s")


def test_helper_is_asked_after_every_file_and_once(home: Home) -> None:
    asked = home.helper("keys", 'echo \'{"Username": "kept", "Secret": "s"}\'')
    home.write("run/containers/auth.json", {}, credsStore="keys")
    home.write(".docker/config.json", {"ghcr.io": encoded("file")})
    stored = StoredCredentials(home.environ)
    assert stored.get("ghcr.io", "acme/app") == BasicAuth("file", "pw")
    assert not asked.exists()
    for _ in range(3):
        assert stored.get("quay.io", "acme/app") == BasicAuth("kept", "s")
    assert asked.read_text() == "get quay.io\n"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'the keychain is locked'; exit 1", "the keychain is locked"),
        ('echo \'{"Username": "ci", "Secret": "s3cret"}\'; exit 1', "ended with 1"),
        ("echo s3cret", "no credentials"),
        ('echo \'{"Username": "ci", "Secret": ["s3cret"]}\'', "no credentials"),
        ("printf 'a\\033[2Jb'; exit 1", r"a\\x1b\[2Jb"),
        ("kill -9 $$", "ended with -9"),
    ],
)
def test_helper_that_fails_is_named_without_secrets(home: Home, script: str, said: str) -> None:
    home.helper("keys", script)
    home.write(".docker/config.json", {}, credsStore="keys")
    with pytest.raises(Unavailable, match=said) as caught:
        home.get()
    assert "docker-credential-keys" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_helper_that_writes_without_an_end_is_ended(home: Home) -> None:
    home.helper("keys", "exec cat /dev/zero")
    home.write(".docker/config.json", {}, credsStore="keys")
    with pytest.raises(Unavailable, match="wrote more than 1048576 bytes"):
        home.get()


@pytest.mark.parametrize("token", ["secret\n", "sec\r\nX-Evil: ret", " secret", "sécret", "", "\udcff"])
def test_token_that_no_header_can_have_is_refused_without_it(token: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RegistryToken(token)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    "make", [IdentityToken, lambda text: BasicAuth("a", text), lambda text: BasicAuth(text, "")]
)
def test_credentials_that_have_no_bytes_are_refused_without_them(make: Callable[[str], Auth]) -> None:
    with pytest.raises(InvalidArgument, match="not text") as caught:
        make("secret\udcff")
    assert "secret" not in str(caught.value)


def test_helper_that_does_not_answer_ends_with_all_it_started(home: Home) -> None:
    home.helper("keys", f"sleep 1000 & echo $! >{home.path}/child; sleep 1000")
    home.write(".docker/config.json", {}, credsStore="keys")
    start = time.monotonic()
    with pytest.raises(Timeout, match=r"no answer in 0\.5 s"):
        home.get(timeout=0.5)
    assert time.monotonic() - start < 5
    child = Path("/proc", home.path.joinpath("child").read_text().strip(), "stat")
    while child.exists() and child.read_text().split()[2] != "Z":
        assert time.monotonic() - start < 5
        time.sleep(0.01)


def test_helper_that_closes_its_output_and_stays_ends(home: Home) -> None:
    home.helper("keys", 'echo "{}"; exec >&- 2>&-; exec sleep 20')
    home.write(".docker/config.json", {}, credsStore="keys")
    with pytest.raises(Timeout, match=r"no answer in 0\.5 s"):
        home.get(timeout=0.5)


@pytest.mark.parametrize("name", ["../../bin/sh", "a/b", "a b", "-x", "a\nb"])
def test_helper_whose_name_is_a_path_is_never_run(home: Home, name: str) -> None:
    home.write(".docker/config.json", {}, credsStore=name)
    with pytest.raises(InvalidArgument) as caught:
        home.get()
    assert caught.value.field == "credHelpers"


def test_helper_that_is_missing_says_what_to_do(home: Home) -> None:
    home.write(".docker/config.json", {}, credsStore="desktop.exe")
    with pytest.raises(Unavailable, match=r"docker-credential-desktop\.exe is not on PATH"):
        home.get()


def test_helper_is_not_run_by_a_shell(home: Home) -> None:
    asked = home.helper("keys", 'echo \'{"Username": "ci", "Secret": "s"}\'')
    home.write(".docker/config.json", {}, credsStore="keys")
    assert home.get("evil.example/$(touch x);`id`") == BasicAuth("ci", "s")
    assert asked.read_text() == "get evil.example/$(touch x);`id`\n"


def test_credentials_that_are_given_come_before_all_others(home: Home) -> None:
    assert credentials_of(BasicAuth("me", "pw")).get("ghcr.io", "app") == BasicAuth("me", "pw")
    assert credentials_of(Given(None)).get("ghcr.io", "app") is None
    assert isinstance(credentials_of(None), StoredCredentials)
