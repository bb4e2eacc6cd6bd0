"""A real registry, on a free loopback port unless told otherwise, which ends with its owner's `with`."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError

from rig.certificates import Certificate


class Registry:
    """`docker-registry serve` with storage of its own under `directory`: over plain HTTP, or TLS with `certificate`.

    `enter` is a command in front of it: what brings it to where `address` is. `passwords`: an htpasswd file. `client`:
    the certificate that a client has to have.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "",
        enter: tuple[str, ...] = (),
        certificate: Certificate | None = None,
        passwords: Path | None = None,
        deletes: bool = True,
        client: Certificate | None = None,
    ) -> None:
        self.directory = directory
        self.address = address or f"127.0.0.1:{free_port()}"
        self._enter = enter
        self._certificate = certificate
        self._passwords = passwords
        self._deletes = deletes
        self._client = client
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Registry:
        self.directory.mkdir(parents=True, exist_ok=True)
        config = self.directory / "config.yml"
        config.write_text(json.dumps(self._configuration()))  # JSON is YAML
        with self.directory.joinpath("log").open("wb") as log:
            command = [*self._enter, "docker-registry", "serve", str(config)]
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
        return f"{'https' if self._certificate else 'http'}://{self.address}"

    def reference(self, repository: str, tag: str = "latest") -> str:
        return f"{self.address}/{repository}:{tag}"

    def push(self, layout: Path, repository: str, tag: str = "latest", *options: str) -> str:
        """Copies the OCI layout's image to the registry by skopeo. Returns its reference."""
        if shutil.which("skopeo") is None:
            raise FileNotFoundError("no skopeo: install skopeo")
        reference = self.reference(repository, tag)
        tls = (
            f"--dest-cert-dir={self._certificate.directory}"
            if self._certificate
            else "--dest-tls-verify=false"
        )
        command = ["skopeo", "--insecure-policy", "copy", "--quiet", tls, *options]
        variables = {
            **without_proxies(),
            "HOME": str(self.directory),
        }  # no settings and credentials of the user's own
        argv = [*command, f"oci:{layout}", f"docker://{reference}"]
        done = subprocess.run(argv, check=False, capture_output=True, text=True, env=variables)
        if done.returncode != 0:
            raise RuntimeError(f"skopeo could not push {reference}: {done.stderr}")
        return reference

    def tags(self, repository: str) -> list[str]:
        """None of a repository that has not got beyond its first blobs."""
        try:
            with self._opener().open(f"{self.url}/v2/{repository}/tags/list", timeout=10) as answer:
                return list(json.load(answer)["tags"])
        except HTTPError as error:
            if error.code == 404:
                return []
            raise

    def manifest(self, repository: str, tag: str = "latest") -> dict[str, Any]:
        """An image's."""
        opener = self._opener()
        opener.addheaders = [("Accept", "application/vnd.oci.image.manifest.v1+json")]
        with opener.open(f"{self.url}/v2/{repository}/manifests/{tag}", timeout=10) as answer:
            return dict(json.load(answer))

    def repositories(self) -> list[str]:
        with self._opener().open(f"{self.url}/v2/_catalog?n=1000", timeout=10) as answer:
            return list(json.load(answer)["repositories"])

    def _configuration(self) -> dict[str, object]:
        http: dict[str, object] = {"addr": self.address}
        if self._certificate is not None:
            http["tls"] = {
                "certificate": str(self._certificate.file),
                "key": str(self._certificate.key),
                **({"clientcas": [str(self._client.file)]} if self._client else {}),
            }
        configuration: dict[str, object] = {
            "version": 0.1,
            "log": {"level": "error"},
            "storage": {
                "filesystem": {"rootdirectory": str(self.directory / "storage")},
                "delete": {"enabled": self._deletes},
            },
            "http": http,
        }
        if self._passwords is not None:
            configuration["auth"] = {"htpasswd": {"realm": "test", "path": str(self._passwords)}}
        return configuration

    def _opener(self) -> urllib.request.OpenerDirector:
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self._certificate is not None:
            context = ssl.create_default_context(cafile=self._certificate.file)
            context.check_hostname = False  # a test may want a certificate of another name
            if self._client is not None:
                context.load_cert_chain(self._client.file, self._client.key)
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        opener = self._opener()
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            try:
                with opener.open(f"{self.url}/v2/", timeout=2):
                    return
            except urllib.error.HTTPError as answer:
                answer.close()
                if answer.code == 401:
                    return
                time.sleep(0.02)
            except (urllib.error.URLError, OSError):
                time.sleep(0.02)
        raise RuntimeError(f"docker-registry did not come up: {self.directory.joinpath('log').read_text()}")


def without_proxies() -> dict[str, str]:
    """The environment, for a command that talks to a registry of the test's own."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
