"""The code on the pages runs as it stands: a registry on loopback is what Docker Hub is to who copies it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from rig import images
from rig.registry import Registry, without_proxies

if TYPE_CHECKING:
    from rig.oci import Bundle

ROOT = Path(__file__).parents[2]
EXPECTED: dict[str, list[list[str]]] = {
    "README.md": [["Linux ", "PONG", "Redis is starting", r"b'a\nb\n'"]],
    "docs/registries.md": [[]],
    "docs/snapshotters.md": [[]],
    "docs/python-users.md": [
        ["1 passed"],
        [r"b'+PONG\r\n'"],
        ["stdout: sentinel", "stderr: building", "3"],
        ["20"],
        [" job 3"],
        ["PruneReport(", "ContainersPruned(", "VolumesPruned(", "ImagesPruned("],
    ],
}
PROLOGUES = {"docs/registries.md": 'token = "secret"\n'}
EPILOGUES = {"docs/registries.md": '\nassert __import__("os").path.getsize("layer.tar.gz")\n'}
EACH = [(page, number) for page, blocks in EXPECTED.items() for number in range(len(blocks))]
ENTRYPOINT = '#!/bin/sh\nset -e\nexec "$@"\n'
OWN_PLACES = 'mount --bind "$1" /srv && mount --bind "$2" /var/lib && shift 2 && exec "$@"'

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", ROOT.joinpath(page).read_text(), re.DOTALL)


def redis_as_on_the_hub() -> images.Image:
    """Its entrypoint is a script that executes what it is given."""
    plain = images.redis_image()
    script = images.Layer().file("usr/local/bin/docker-entrypoint.sh", ENTRYPOINT, 0o755)
    script.directory("data", 0o777)
    config = {**plain.config, "Entrypoint": ["docker-entrypoint.sh"], "Cmd": ["redis-server"], "User": ""}
    return images.Image((*plain.layers, script.finish()), {**config, "Volumes": {"/data": {}}})


@pytest.fixture
def hub(registry: Registry, redis_image: Path, busybox_image: Path, tmp_path: Path) -> Path:
    """A registries.conf by which the names on the pages lead to loopback."""
    del redis_image  # skips where one cannot be made
    registry.push(busybox_image, "library/alpine", "3.20")
    registry.push(busybox_image, "acme/app", "1.0")
    registry.push(redis_as_on_the_hub().write_layout(tmp_path / "redis"), "library/redis", "7")
    rules = (
        f'[[registry]]\nprefix = "{prefix}"\nlocation = "{registry.address}"\ninsecure = true\n'
        for prefix in ("docker.io", "ghcr.io")
    )
    conf = tmp_path / "registries.conf"
    conf.write_text("".join(rules))
    return conf


def run(code: str, hub: Path, tmp_path: Path) -> str:
    """What it prints, on a machine whose /srv and /var/lib are its own."""
    places = [tmp_path / "srv", tmp_path / "lib", tmp_path / "work"]
    for place in places:
        place.mkdir()
    places[0].joinpath("redis.conf").write_text('save ""\n')
    places[2].joinpath("sentinel").touch()
    program = tmp_path / "test_program.py"
    program.write_text(code)
    start = ["-m", "pytest", "-q", "-p", "no:cacheprovider"] if "import pytest" in code else []
    own = ["unshare", "--mount", "--propagation", "private", "sh", "-c", OWN_PLACES, "sh", *places[:2]]
    variables = {
        **without_proxies(),
        "CONTAINERS_REGISTRIES_CONF": str(hub),
        "HOME": str(tmp_path / "nobody"),
    }
    done = subprocess.run(
        [*own, sys.executable, *start, program],
        check=False,
        capture_output=True,
        text=True,
        cwd=places[2],
        env=variables,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_block_of_these_pages_is_run() -> None:
    assert {page: len(blocks(page)) for page in EXPECTED} == {
        page: len(lines) for page, lines in EXPECTED.items()
    }


@pytest.mark.parametrize(("page", "number"), EACH)
def test_page_code_runs_as_it_stands(page: str, number: int, hub: Path, tmp_path: Path) -> None:
    code = PROLOGUES.get(page, "") + blocks(page)[number] + EPILOGUES.get(page, "")
    output = run(code, hub, tmp_path)
    assert [line for line in EXPECTED[page][number] if line not in output] == []


def test_page_of_the_runtime_has_calls_that_work(bundle: Bundle, tmp_path: Path) -> None:
    first, _, second = blocks("docs/oci-runtime.md")
    made, _, ended = first.partition("kill(container")
    code = f"{made}\n{second}\nprint(container.status().value)\nkill(container{ended}"
    code = code.replace("/run/mine", f"{tmp_path}/state").replace("/path/to/bundle", bundle("sleep", "60"))
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, check=False, stdout=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "running\n")
    assert list(tmp_path.joinpath("state").iterdir()) == []
