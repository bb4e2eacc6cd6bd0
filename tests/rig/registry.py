"""A real registry on a free loopback port, which ends with its owner's `with`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType

CONFIG = """\
version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {storage}}}
  delete: {{enabled: true}}
http: {{addr: "{address}"}}
"""


class Registry:
    """`docker-registry serve` over plain HTTP, with storage of its own under `directory`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Registry:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config.yml"
        config.write_text(CONFIG.format(storage=self.directory / "storage", address=self.address))
        with self.directory.joinpath("log").open("wb") as log:
            command = ["docker-registry", "serve", str(config)]
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def reference(self, repository: str, tag: str = "latest") -> str:
        return f"{self.address}/{repository}:{tag}"

    def push(self, layout: Path, repository: str, tag: str = "latest", *options: str) -> str:
        """Copies the OCI layout's image to the registry by skopeo. Returns its reference."""
        if shutil.which("skopeo") is None:
            raise FileNotFoundError("no skopeo: install skopeo")
        reference = self.reference(repository, tag)
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", *options]
        variables = {
            **os.environ,
            "HOME": str(self.directory),
        }  # no settings and credentials of the user's own
        argv = [*command, f"oci:{layout}", f"docker://{reference}"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=variables)
        if done.returncode != 0:
            raise RuntimeError(f"skopeo could not push {reference}: {done.stderr}")
        return reference

    def tags(self, repository: str) -> list[str]:
        with urllib.request.urlopen(f"{self.url}/v2/{repository}/tags/list", timeout=10) as answer:  # noqa: S310
            return list(json.load(answer)["tags"])

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with urllib.request.urlopen(f"{self.url}/v2/", timeout=2):  # noqa: S310
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"docker-registry did not come up: {self.directory.joinpath('log').read_text()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
