"""A volume driver as a package that is installed: an entry point, and the module that it names.

    place = install_driver(tmp_path / "site", name="shelf", state=tmp_path / "shelf")
    # on sys.path from now on:  docker volume create -d shelf www

Its volumes are directories under `state`; `state`/calls has each call as a line. What it is told in `options` it obeys:
`fail` is the verb in which it raises.
"""

from __future__ import annotations

from pathlib import Path

MODULE = """
import json, os, pathlib, shutil

STATE = pathlib.Path({state!r})

class Driver:
    def __init__(self):
        STATE.mkdir(exist_ok=True)

    def create(self, name, options):
        self._note("create", name, options)
        (STATE / name).mkdir(exist_ok=True)

    def mount(self, name):
        self._note("mount", name)
        (STATE / f"{{name}}.mounted").touch()
        return str(STATE / name)

    def unmount(self, name):
        self._note("unmount", name)
        (STATE / f"{{name}}.mounted").unlink(missing_ok=True)

    def remove(self, name):
        self._note("remove", name)
        shutil.rmtree(STATE / name, ignore_errors=True)

    def _note(self, verb, name, options=None):
        with open(STATE / "calls", "a") as file:
            file.write(f"{{verb}} {{name}}{{' ' + json.dumps(options) if options else ''}}\\n")
        if (STATE / f"fail-{{verb}}").exists():
            raise RuntimeError("the shelf is broken")

class Half:
    def create(self, name, options): ...
"""


def install_driver(site: Path, *, name: str, state: Path) -> Path:
    """Makes the package in the directory `site`, which the caller puts on sys.path; returns that."""
    module = f"containerlib_rig_{name}"
    info = site / f"{module}-1.dist-info"
    info.mkdir(parents=True)
    (site / f"{module}.py").write_text(MODULE.format(state=str(state)))
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        f"[containerlib.volume_drivers]\n{name} = {module}:Driver\n{name}-half = {module}:Half\n"
        f"{name}-none = {module}:nothing\n"
    )
    return site
