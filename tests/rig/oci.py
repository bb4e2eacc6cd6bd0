"""An OCI runtime's command, ours or another's, and bundles for it.

    bundle = make_bundle(tmp_path / "b", rootfs, "echo", "hello")
    with Command.ours(tmp_path / "state") as command:
        command("run", "--bundle", bundle, "c1").text

What is still there at the end of the block is deleted by force.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from containerlib.oci_cli.verb_spec import example

Bundle = Callable[..., str]
"""As the fixture `bundle` makes one: `bundle("echo", "hello", change=...)`."""
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit status."""

    status: int
    stdout: str
    stderr: str

    def ok(self) -> Answer:
        """Itself, of a command that must not fail."""
        assert self.status == 0, (self.status, self.stdout, self.stderr)
        return self

    @property
    def text(self) -> str:
        """What was written, of a command that must not fail."""
        return self.ok().stdout

    @property
    def message(self) -> str:
        """The message of the log's last line, which runc and we write alike."""
        line = self.stderr.strip().splitlines()[-1]
        return str(json.loads(line[line.index("msg=") + 4 :]))


SCRIPT = Path(sys.executable).with_name("containerlib-oci")
"""The command as it is installed beside the interpreter."""


class Command:
    """`words` are the program; `root` is the place of its containers' state."""

    def __init__(self, words: Sequence[str], root: Path) -> None:
        self.words = tuple(words)
        self.root = root
        self._with_root = (*self.words, "--root", str(root))

    @classmethod
    def ours(cls, root: Path) -> Command:
        return cls((str(SCRIPT),), root)

    def __call__(self, *arguments: str | Path, env: Mapping[str, str] | None = None, **words: Any) -> Answer:
        """Waits for the command, and for all that holds its output open."""
        words = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **words}
        environment = None if env is None else {**os.environ, **env}
        done = subprocess.run(self.line(*arguments), check=False, timeout=PATIENCE, env=environment, **words)
        return Answer(done.returncode, done.stdout, done.stderr)

    def create(self, bundle: str, container_id: str, *options: str, **words: Any) -> Answer:
        """Makes a container that says nothing: its streams are /dev/null and not the caller's pipes."""
        return self.silently("create", "--bundle", bundle, *options, container_id, **words)

    def detach(self, bundle: str, container_id: str, *options: str, **words: Any) -> Answer:
        return self.silently("run", "--detach", "--bundle", bundle, *options, container_id, **words)

    def silently(self, *arguments: str, **words: Any) -> Answer:
        """A command whose container keeps its standard streams: what it says of itself goes to a log."""
        log = self.root.with_name(f"log-{uuid.uuid4().hex}")
        words = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            **words,
        }
        line = [*self._with_root, "--log", str(log), *arguments]
        status = subprocess.run(line, check=False, timeout=PATIENCE, **words).returncode
        return Answer(status, "", log.read_text() if log.exists() else "")

    def start(self, *arguments: str | Path, **words: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(self.line(*arguments), text=True, **words)

    def line(self, *arguments: str | Path) -> list[str]:
        return [*self._with_root, *map(str, arguments)]

    def state(self, container_id: str) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(self("state", container_id).text)
        return state

    def __enter__(self) -> Command:
        return self

    def __exit__(self, *_: object) -> None:
        for container in self.root.iterdir() if self.root.is_dir() else ():
            self("delete", "--force", container.name)


def make_bundle(
    directory: Path, rootfs: Path, *argv: str, change: Callable[[dict[str, Any]], None] | None = None
) -> str:
    """A bundle of `rootfs` that runs `argv`; `change` may edit its config.json."""
    spec = example(unified=False)
    spec["ociVersion"] = "1.0.2"
    spec["root"] = {"path": str(rootfs), "readonly": True}
    spec["process"].update(terminal=False, args=list(argv))
    spec["linux"]["cgroupsPath"] = f"/containerlib-oci-{uuid.uuid4().hex[:12]}"
    if change is not None:
        change(spec)
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(spec))
    return str(directory)


def status_of(oci: Command, container_id: str) -> str:
    return str(oci.state(container_id)["status"])


def group_of(bundle: str) -> str:
    spec = json.loads(Path(bundle, "config.json").read_text())
    return str(spec["linux"]["cgroupsPath"])


def groups_left(bundle: str) -> list[Path]:
    """On v1 one for each hierarchy, on v2 one."""
    root, group = Path("/sys/fs/cgroup"), group_of(bundle).removeprefix("/")
    return [path for path in (root / group, *root.glob(f"*/{group}")) if path.is_dir()]
