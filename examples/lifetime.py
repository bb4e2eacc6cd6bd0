"""A container that is started again when it fails, is checked for its health, and is removed when it has ended.

All of that is its supervisor's work: this program could end after each `start(detach=True)`.
Run as root: `python examples/lifetime.py`
"""

from __future__ import annotations

import tempfile

import containerlib as cl

SCRIPT = """
echo run >>/mnt/runs
[ "$(wc -l </mnt/runs)" = 3 ] || exit 1
touch /mnt/ready
exec sleep 600
"""

with (
    tempfile.TemporaryDirectory(prefix="lifetime-") as root,
    tempfile.TemporaryDirectory() as work,
    cl.Engine(root=root) as engine,
):
    recipe = (
        engine.container(engine.host_image())
        .mount(work, at="/mnt")
        .restart("on-failure", retries=5)
        .healthy_when(cl.command("test", "-e", "/mnt/ready"), every=1.0, retries=30)
    )
    with recipe.start("sh", "-c", SCRIPT) as container:
        container.wait_healthy(timeout=60.0)
        print("healthy after", container.restart_count, "restarts")

    job = engine.container(engine.host_image()).start("sh", "-c", "exit 3", detach=True, remove=True)
    try:
        print("the job exited with", job.wait(timeout=60.0).exit_code)
    except cl.NotFound:
        print("the job was faster, and is gone")
    print("left:", engine.containers.list())
