"""Every job of the repository: `nox -l` lists them, `nox -s tests` runs the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nox
from nox.command import CommandFailed

nox.options.sessions = ["tests"]
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml("pyproject.toml")["project"]
TYPED = [
    "containerlib",
    "noxfile.py",
    "tests/conftest.py",
    "tests/rig",
    "tests/benchmarks",
    "tests/fuzz",
    "tests/typing",
    "examples",
]

# `python -c` and `python -m` find the installed package, not the sources in the current directory
INSTALLED = {"PYTHONSAFEPATH": "1"}

# Debian's names: what the tests run for real, and the compiler. Where a package has another name it is
# missed, and the tests that need it skip and say so.
TEST_PACKAGES = [
    "bind9-dnsutils", "buildah", "busybox-static", "clang", "conmon", "containerd", "containernetworking-plugins",
    "crun", "dnsmasq-base", "docker-registry", "docker.io", "erofs-utils", "gcc", "iperf3", "iproute2", "iptables",
    "libc6-dev", "libclang-rt-dev", "libseccomp2", "musl-tools", "nftables", "openssl", "passt", "podman",
    "redis-server", "runc", "skopeo", "uidmap", "umoci", "xfsprogs",
]  # fmt: skip
SANITIZED = [
    f"tests/integration/test_{name}.py"
    for name in (
        "runtime",
        "run",
        "exec",
        "attach",
        "lifecycle",
        "logs",
        "owner",
        "names",
        "connecting",
        "checkpoint",
        "checkpoint_programs",
        "checkpoint_faults",
    )
]
VM_PACKAGES = ["busybox-static", "dbus", "kmod", "qemu-system-x86", "systemd", "xfsprogs", "xz-utils"]


@nox.session
def demo(session: nox.Session) -> None:
    """Builds the package and shows the main job: no registry and no image needed, but root."""
    session.install(".")
    session.run("python", "examples/demo.py")


@nox.session
def tests(session: nox.Session) -> None:
    """Installs what the tests need, then runs all of them with coverage: `nox -s tests -- -k redis`."""
    debian_packages(session, TEST_PACKAGES)
    session.install(".[tests]", "mypy")
    options = ["--cov", "--cov-report=term:skip-covered", "--durations=5"]
    session.run("pytest", *options, *session.posargs, env={**INSTALLED, **criu(session)})


@nox.session
def native(session: nox.Session) -> None:
    """Builds the helper with ASan and UBSan, and makes containers with it; a report of theirs fails the container."""
    debian_packages(session, TEST_PACKAGES)
    session.install(".[tests]", "--config-settings=cmake.define.CONTAINERLIB_SANITIZE=ON")
    targets = session.posargs or ["tests/native", "tests/security", *SANITIZED]
    session.run("pytest", "--no-cov", "--timeout=60", *targets, env={**INSTALLED, **criu(session)})


@nox.session
def bench(session: nox.Session) -> None:
    """Prints each figure as a ratio against its peers in the same run: `nox -s bench -- run exec`."""
    debian_packages(session, TEST_PACKAGES)
    session.install(".")
    session.run(
        "python", "-m", "benchmarks", *session.posargs, env={"PYTHONPATH": "tests", "PYTHONSAFEPATH": "1"}
    )


@nox.session
def fuzz(session: nox.Session) -> None:
    """Input that is nearly right: `nox -s fuzz -- --target images --count 1000000`, or `-- --engine atheris`."""
    session.install(".[tests,fuzz]" if "atheris" in session.posargs else ".[tests]")
    session.run("python", "-m", "fuzz", *session.posargs, env={"PYTHONPATH": "tests", "PYTHONSAFEPATH": "1"})


@nox.session
def lint(session: nox.Session) -> None:
    """ruff check, ruff format and clang-format, none of which changes a file."""
    session.install("ruff==0.17.6", "clang-format==14.0.6")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    sources = sorted(str(path) for kind in ("*.c", "*.h") for path in c_sources(kind))
    session.run("clang-format", "--dry-run", "-Werror", *sources)


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict over the package, the rig and the promises in tests/typing."""
    session.install("mypy", "nox", "pytest", "rich", *PROJECT["dependencies"])
    targets = [name for name in TYPED if any(ROOT.joinpath(name).rglob("*.py")) or name.endswith(".py")]
    session.run("mypy", "--strict", *targets, env={"MYPYPATH": "tests"})


@nox.session
def layers(session: nox.Session) -> None:
    """import-linter: imports point down only."""
    session.install("import-linter")
    session.run("lint-imports", env={"PYTHONPATH": str(ROOT)})


@nox.session
def docs(session: nox.Session) -> None:
    """Builds docs/_build/html, warnings as errors. Its code is that of examples/, which the tests run."""
    session.install(".[docs]")
    session.run("sphinx-build", "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "docs/_build/html")
    session.log("docs/_build/html/index.html")


@nox.session
def vm(session: nox.Session) -> None:
    """Runs the tests marked `vm` on another kernel: with cgroup v2 alone, and with systemd; emulated, and slow."""
    debian_packages(session, VM_PACKAGES)
    session.install(".[tests]")
    cache = os.environ.get("VMRUN_CACHE", str(Path.home() / ".cache" / "containerlib" / "vmrun"))
    Path(cache).mkdir(parents=True, exist_ok=True)
    environment = {**INSTALLED, "VMRUN_CACHE": cache}
    guest = ["tests/rig/vmrun", "--timeout", "1200"]
    try:
        session.run(*guest, "--", "true", env=environment, external=True)
    except CommandFailed:
        session.skip("the guest does not start here: does the network give its kernel?")
    plugins = [
        option for name in ("anyio", "cacheprovider", "hypothesispytest") for option in ("-p", f"no:{name}")
    ]
    pytest = [str(Path(session.bin) / "pytest"), "-m", "vm", "--timeout=600", *plugins, *session.posargs]
    marked = [
        path for path in sorted(ROOT.glob("tests/**/test_*.py")) if "pytest.mark.vm" in path.read_text()
    ]
    plain, systemd = ([str(p) for p in marked if ("systemd" in p.stem) is wanted] for wanted in (False, True))
    criu_words = [f"{name}={value}" for name, value in criu(session).items()]
    session.run(*guest, "--", "env", *criu_words, *pytest, *plain, env=environment, external=True)
    # systemd itself mounts what it likes meanwhile, its own /tmp among it
    own = ["--leaks=report", "--basetemp=/dev/shm/pytest"]
    session.run(*guest, "--systemd", "--", *pytest, *own, *systemd, env=environment, external=True)


def c_sources(pattern: str) -> Iterator[Path]:
    for folder in ("_native", "tests"):
        yield from ROOT.joinpath(folder).rglob(pattern)


def criu(session: nox.Session) -> dict[str, str]:
    """A CRIU that works on kernels of today, for the tests of checkpoints: Debian's newest, which is not installed."""
    directory = Path.home() / ".cache" / "containerlib" / "criu"
    program = directory / "criu"
    if "CRIU" in os.environ or shutil.which("apt-get") is None:
        return {}
    if not program.exists():
        session.run("tests/rig/criu-fetch", str(directory), external=True, success_codes=range(256))
    return {"CRIU": str(program)} if program.exists() else {}


def debian_packages(session: nox.Session, packages: list[str]) -> None:
    """Installs the missing ones of `packages`; without root or apt-get, says what to run and goes on."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        session.warn(f"not a Debian system: tests that miss one of these will skip: {' '.join(packages)}")
        return
    missing = [name for name in packages if not installed(session, name)]
    if not missing:
        return
    if os.geteuid() != 0:
        session.warn("tests that miss these packages will skip; to have them, run:")
        session.warn(f"  sudo apt-get install --no-install-recommends {' '.join(missing)}")
        return
    apt = {"DEBIAN_FRONTEND": "noninteractive"}
    session.run("apt-get", "-qq", "update", env=apt, external=True, success_codes=[0, 100])
    with no_services():
        for name in missing:  # one at a time: a release that lacks one of them still gets the others
            # nothing is removed for it: Debian's Docker would displace another vendor's
            command = ["apt-get", "-qq", "-y", "install", "--no-install-recommends", "--no-remove", name]
            session.run(*command, env=apt, external=True, success_codes=[0, 100])


def installed(session: nox.Session, package: str) -> bool:
    status = session.run(
        "dpkg-query",
        "-W",
        "-f=${Status}",
        package,
        external=True,
        silent=True,
        log=False,
        success_codes=[0, 1],
    )
    return "install ok installed" in str(status)


@contextmanager
def no_services() -> Iterator[None]:
    """Keeps the packages' services (a registry, a redis) from being started on their ordinary ports."""
    policy = Path("/usr/sbin/policy-rc.d")
    if policy.exists():
        yield
        return
    policy.write_text("#!/bin/sh\nexit 101\n")
    policy.chmod(0o755)
    try:
        yield
    finally:
        policy.unlink()


if sys.platform != "linux":
    raise SystemExit("containerlib runs on Linux only")
