"""Images without a registry: made of files, run, changed, committed, compared, saved, loaded, and verified.

Run as root: `python examples/images.py`
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import containerlib as cl


def make_root(root: Path, *programs: str) -> Path:
    """A root file system of programs of this machine, with the libraries that they need."""
    for program in programs:
        listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for file in (program, *re.findall(r"(/\S+)", listed)):
            target = root / file.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    return root


with tempfile.TemporaryDirectory(prefix="images-") as folder, cl.Engine(root=f"{folder}/root") as engine:
    files = make_root(Path(folder, "files"), "/bin/sh", "/bin/cat")
    files.joinpath("app").mkdir()
    files.joinpath("app/greeting").write_text("hello from hello:1\n")

    # docker import
    image = engine.images.import_(files, "hello:1", cmd=["cat", "/app/greeting"], labels={"team": "web"})
    print(engine.container(image).run().text)
    print(image.digest, image.config.cmd, dict(image.config.labels))

    # docker diff, docker commit
    with engine.container("hello:1").start(
        "sh", "-c", "echo hello from hello:2 > /app/greeting"
    ) as container:
        container.wait()
        for change in container.diff():
            print(change)
        second = container.commit("hello:2")
    print(engine.container("hello:2").run().text)

    # docker save, docker rmi, docker load
    second.save(f"{folder}/hello.tar")
    second.remove()
    (back,) = engine.images.load(f"{folder}/hello.tar")
    print("back:", back.references)

    # to a registry and from one: `auth=` or the result of a `docker login`, and bars with rich
    #     back.push("ghcr.io/acme/hello:2", auth=cl.BasicAuth("ci", token), progress=bars)
    #     engine.image("ghcr.io/acme/hello:2").pull(all_platforms=True)

    # every blob against its digest, every layer on disk against its blob
    report = engine.images.verify(repair=True)
    print("whole:", report.is_whole, report.damaged)

    # docker image prune -a
    print("removed:", len(engine.images.prune(named=True).images))
