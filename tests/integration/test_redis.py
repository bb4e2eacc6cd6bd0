"""A real service from a real registry: pulled, run detached, used by 10,000 keys, and stopped as it should be."""

from __future__ import annotations

from pathlib import Path

import pytest

import containerlib as cl
from rig.registry import Registry
from rig.snapshotters import EACH

pytestmark = [*EACH, pytest.mark.privileged("CAP_SYS_ADMIN: makes containers")]

KEYS = 10_000


@pytest.fixture
def redis(engine: cl.Engine, registry: Registry, redis_image: Path) -> cl.Image:
    return engine.image(registry.push(redis_image, "redis", "7")).pull()


def test_redis_detached_keeps_ten_thousand_keys_and_stops_on_sigterm(
    engine: cl.Engine, redis: cl.Image
) -> None:
    server = engine.container(redis).name("redis").limit(memory="256MiB", pids=50).start(detach=True)
    server.wait_for(log="Ready to accept connections", timeout=30.0)

    set_all = "".join(f"SET key:{number} value:{number}\n" for number in range(KEYS))
    assert server.exec("redis-cli", input=set_all.encode()).text == "OK\n" * KEYS
    get_all = "".join(f"GET key:{number}\n" for number in range(KEYS))
    answers = server.exec("redis-cli", input=get_all.encode()).text.splitlines()
    assert answers == [f"value:{number}" for number in range(KEYS)]
    assert server.exec("redis-cli", "dbsize").text.strip() == str(KEYS)

    status = server.stop(timeout=10.0)
    assert (status.exit_code, status.signal) == (0, None)
    log = [record.text for record in server.logs()]
    assert any("Received SIGTERM scheduling shutdown" in line for line in log)
    assert "bye bye" in log[-1]
    server.remove()


def test_redis_runs_as_the_images_user_in_its_own_directory(engine: cl.Engine, redis: cl.Image) -> None:
    recipe = engine.container(redis).entrypoint("sh", "-c", "id -u; id -g; pwd; touch made && ls -ln made")
    uid, gid, directory, made = recipe.run().text.splitlines()
    assert (uid, gid, directory) == ("999", "999", "/data")
    assert made.split()[2:4] == ["999", "999"]


def test_redis_and_busybox_images_share_the_layer_below(
    engine: cl.Engine, registry: Registry, redis: cl.Image, busybox_image: Path
) -> None:
    engine.image(registry.push(busybox_image, "busybox", "1")).pull()
    assert len(list(Path(engine.root, "snapshots").iterdir())) == 2
