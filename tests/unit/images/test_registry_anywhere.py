"""A registry alone needs no Linux, no privilege, no extension and no database."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys

LINUX = ("fcntl", "pwd", "grp", "termios", "resource", "containerlib._native", "sqlite3", "_sqlite3")
for name in LINUX:
    sys.modules[name] = None  # importing it is an ImportError

import containerlib as cl
import httpx

data = b"{}"
digest = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
headers = {"Docker-Content-Digest": digest, "Content-Type": "application/vnd.oci.image.manifest.v1+json"}

def serve(request):
    if "Authorization" not in request.headers:
        return httpx.Response(401, headers={"WWW-Authenticate": "Basic"})
    if request.method == "HEAD":
        return httpx.Response(200, headers={**headers, "Content-Length": "2"}, content=iter(()))
    return httpx.Response(200, headers=headers, content=iter([data]))

auth = cl.BasicAuth("ci", "secret")
with cl.Registry("ghcr.io", auth=auth, transport=httpx.MockTransport(serve)) as registry:
    assert str(registry.resolve("acme/app:1.0").digest) == digest
    assert registry.manifest("acme/app:1.0").data == data
    assert b"".join(registry.blob("acme/app", digest)) == data
print("went well")
"""


def test_registry_works_where_nothing_of_linux_can_be_imported() -> None:
    command = [sys.executable, "-P", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("went well\n", "")


def test_registry_imports_neither_the_store_nor_the_runtime() -> None:
    program = "import sys, containerlib.images.registry.client\nprint(*sys.modules)"
    command = [sys.executable, "-P", "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    own = {name for name in loaded if name.startswith("containerlib.")}
    allowed = (
        "containerlib.boundary",
        "containerlib.errors",
        "containerlib.spec",
        "containerlib.units",
        "containerlib.images.registry",
    )
    assert {name for name in own if not name.startswith(allowed)} == {"containerlib.images"}
