"""The program and the image by which networks are measured: traffic.c and iperf3, on this machine and in containers."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from benchmarks.measure import Skip
from rig.images import Image, Layer, busybox_image, libraries

__all__ = ["TAG", "bits_per_second", "iperf3", "seconds", "traffic_archive", "traffic_program"]

TAG = "localhost/traffic:latest"


def traffic_program(directory: Path) -> Path:
    """Built once. Raises: Skip."""
    program = directory / "traffic"
    if program.exists():
        return program
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Skip("no C compiler: install gcc")
    source = Path(__file__).with_suffix(".c")
    subprocess.run([compiler, "-O2", "-static", "-o", f"{program}.new", str(source)], check=True)
    return Path(f"{program}.new").rename(program)


def traffic_archive(directory: Path) -> Path:
    """What `docker load` takes: busybox with both programs. Raises: Skip."""
    archive = directory / "traffic.tar"
    if archive.exists():
        return archive
    iperf3 = shutil.which("iperf3")
    if iperf3 is None:
        raise Skip("no iperf3: install iperf3")
    layer = Layer()
    for path in ("lib", "lib64", "usr/lib"):
        layer.directory(path)
    layer.copy(iperf3, to="usr/bin/iperf3").copy(str(traffic_program(directory)), to="usr/bin/traffic")
    for library in libraries(iperf3):
        layer.copy(library)
    base = busybox_image()
    return Image((*base.layers, layer.finish()), base.config).write_docker_archive(archive, tag=TAG)


def iperf3(address: str, port: int, duration: float) -> tuple[str, ...]:
    """The command of a client that sends for so many seconds, and that `bits_per_second` reads."""
    return ("iperf3", "--client", address, "--port", str(port), "--time", f"{duration:g}", "--json")


def bits_per_second(text: str) -> float:
    """What arrived."""
    report = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return float(report["end"]["sum_received"]["bits_per_second"])


def seconds(text: str) -> float:
    """What traffic.c prints."""
    return int(text.rsplit(maxsplit=1)[-1]) / 1e9
