"""What the tests of the face stand on: recipes of a small image and of the host's own files."""

from __future__ import annotations

import gc
import subprocess
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from sys import executable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from typing import Any

    import containerlib as cl
    from containerlib.images import ImageStore
    from containerlib.spec.options import SnapshotterName
    from rig.bundles import Bundled, Rack
    from rig.cni import Plugins
    from rig.networks import Machine
    from rig.oci import Bundle, Command


@pytest.fixture
def network() -> Iterator[None]:
    """A host's network of the test's own, with loopback alone; files that need it say so by a mark."""
    from rig.networks import own_network

    with own_network():
        yield


@pytest.fixture
def outside(network: None) -> Iterator[Machine]:
    """Another machine, 198.51.100.2, to which this one is 198.51.100.1."""
    from rig.networks import Machine

    with Machine("198.51.100.2/24", host="198.51.100.1/24") as machine:
        yield machine


@pytest.fixture
def plugins(tmp_path: Path) -> Plugins:
    """CNI plugins of the test's own: "first" and "second"."""
    from rig.cni import Plugins

    made = Plugins(tmp_path / "plugins")
    made.make("first", "second")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An engine's or an image store's root, which is not there yet."""
    return tmp_path / "root"


@pytest.fixture
def images(root: Path, snapshotter: SnapshotterName) -> Iterator[ImageStore]:
    """An image store without an engine; it asks a registry that fails four times, without delay."""
    from containerlib.images import ImageStore
    from containerlib.images.registry.retry import Retry
    from containerlib.store import Store

    store = Store(root)
    retry = Retry(attempts=4, first_delay=0.001, max_delay=0.002)
    yield ImageStore(root, store, retry=retry, snapshotter=snapshotter)
    store.close()


@pytest.fixture
def connect(tmp_path: Path) -> Callable[..., cl.Registry]:
    """A registry by itself, on a machine whose own files are in `system`; with little patience."""
    import containerlib as cl
    from containerlib.images.registry.configuration import ConfigurationFiles
    from containerlib.images.registry.retry import Retry

    files = ConfigurationFiles({"HOME": str(tmp_path / "nobody")}, root=str(tmp_path / "system"))

    def connect(address: str, **options: Any) -> cl.Registry:
        patience = {"retry": Retry(attempts=4, first_delay=0.01), "timeout": 5.0}
        return cl.Registry(address, **{"files": files, **patience, **options})

    return connect


@pytest.fixture
def box(engine: cl.Engine, busybox_image: Path) -> cl.ContainerRecipe:
    """A container of busybox."""
    (image,) = engine.images.load(busybox_image)
    return engine.container(image)


@pytest.fixture
def host(engine: cl.Engine) -> cl.ContainerRecipe:
    """A container of the host's own files."""
    return engine.container(engine.host_image())


@pytest.fixture
def left_nothing(engine: cl.Engine) -> Callable[[], None]:
    """Fails where the engine's root still holds anything of a container."""

    def check() -> None:
        assert engine.containers.list() == []
        assert list(Path(engine.root, "containers").iterdir()) == []
        report = engine.prune()
        assert (report.containers, report.directories, report.cgroups, report.failures) == ((), (), (), ())

    return check


@pytest.fixture
def script(engine: cl.Engine) -> Callable[[str], Popen[str]]:
    """Starts another Python process with `engine` (the same root) and `box` (a recipe of the host) at hand."""

    def start(code: str) -> Popen[str]:
        prelude = f"import containerlib as cl\nengine = cl.Engine({engine.root!r})\n"
        prelude += "box = engine.container(engine.host_image())\n"
        return Popen([executable, "-c", prelude + textwrap.dedent(code)], stdin=PIPE, stdout=PIPE, text=True)

    return start


@pytest.fixture
def no_garbage() -> Iterator[None]:
    """Nothing is collected: Python loses an interrupt that comes in the callback of a weak reference."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def rack(tmp_path: Path, busybox_rootfs: Path) -> Iterator[Rack]:
    """Containers at the runtime layer, without an engine."""
    from rig.bundles import Rack

    with Rack(tmp_path / "containers", (busybox_rootfs,)) as rack:
        yield rack


@pytest.fixture
def needs_criu() -> None:
    """Skips with the reason where no CRIU works."""
    from rig.checkpoints import criu

    criu()


@pytest.fixture
def redis(engine: cl.Engine, redis_image: Path) -> Iterator[cl.Container]:
    """redis-server on a network of the test's own, with a key and a file that its image has not."""
    from rig.networks import own_network

    (image,) = engine.images.load(redis_image)
    with own_network():
        recipe = engine.container(image).user("0").name("redis").publish(6379)
        with recipe.start("--save", "", "--bind", "0.0.0.0", "--protected-mode", "no") as container:  # noqa: S104
            container.wait_for(log="Ready to accept", timeout=30.0)
            container.exec("redis-cli", "set", "key", "value")
            container.exec("sh", "-c", "echo changed >/etc/changed; rm /etc/group")
            yield container


@pytest.fixture
def counter(rack: Rack) -> Bundled:
    """A container whose program counts on its standard output."""
    from rig.bundles import until
    from rig.checkpoints import COUNT, numbers

    container = rack.create("sh", "-c", COUNT)
    until(lambda: len(numbers(container)) > 2)
    return container


@pytest.fixture
def oci(tmp_path: Path) -> Iterator[Command]:
    """The runc-compatible command with a state directory of its own."""
    from rig.oci import Command

    with Command.ours(tmp_path / "state") as command:
        yield command


@pytest.fixture
def bundle(tmp_path: Path, busybox_rootfs: Path) -> Bundle:
    """Makes a bundle that runs what it is given."""

    def make(*argv: str, **words: Any) -> str:
        from rig.oci import make_bundle

        directory = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        return make_bundle(directory, busybox_rootfs, *argv, **words)

    return make


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of the host's with another below it, at `below`; whoever mounts more in it leaves that to us."""
    from rig.mounts import mount, mounted_tmpfs

    with mounted_tmpfs(tmp_path / "source", size="1m") as path:
        path.joinpath("below").mkdir()
        mount("-t", "tmpfs", "below", path / "below")
        try:
            yield path
        finally:
            own = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
            for point in sorted((p for p in own if p.startswith(f"{path}/")), reverse=True):
                subprocess.run(["umount", point], check=True)


@pytest.fixture
def strict(source: Path) -> Path:
    """A source whose mounts, both, forbid what can be forbidden."""
    from rig.mounts import FORBIDDEN, mount

    for path in (source, source / "below"):
        mount("-o", f"remount,bind,ro,{FORBIDDEN}", path)
    return source


@pytest.fixture
def running(oci: Command, bundle: Bundle) -> str:
    """The id of a container that runs."""
    oci.detach(bundle("sleep", "100"), "c1").ok()
    return "c1"
