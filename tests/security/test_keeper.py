"""The program that takes a container's checkpoints is the host's: a container is not to have a say in what it loads."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import containerlib as cl
from rig.bundles import until

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers, and CRIU dumps them"),
    pytest.mark.usefixtures("criu_on_path"),
]

SCRIPT = """
    import sys
    from pathlib import Path
    import containerlib as cl
    with cl.Engine(sys.argv[1]) as engine:
        (image,) = engine.images.load(sys.argv[2])
        recipe = engine.container(image).name("kept").mount(Path.cwd(), at="/project").checkpoint_every(0.5)
        recipe.start("sh", "-c", sys.argv[3], detach=True)
"""
EVIL = "import os; os.close(os.open(os.path.dirname(__file__) + '/loaded', os.O_CREAT))"
NAMES = ("signal", "contextlib", "attrs", "attr", "zstandard", "isal", "sitecustomize", "usercustomize")


def test_modules_beside_the_script_that_started_it_are_not_loaded(
    tmp_path: Path, busybox_image: Path
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "start.py").write_text(textwrap.dedent(SCRIPT))
    writes = "".join(f'echo "{EVIL}" >/project/{name}.py; ' for name in NAMES)
    words = [
        sys.executable,
        "start.py",
        str(tmp_path / "root"),
        str(busybox_image),
        f"{writes} exec sleep 600",
    ]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    subprocess.run(words, cwd=project, env=environment, check=True)
    with cl.Engine(tmp_path / "root") as engine:
        container = engine.containers.get("kept")
        try:
            until(lambda: len(container.checkpoints()) > 1)
        finally:
            container.remove(force=True)
    assert {f"{name}.py" for name in NAMES} <= {path.name for path in project.iterdir()}
    assert not (project / "loaded").exists()
