"""What the options of a volume of the driver "local" are taken for."""

from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument, NotFound
from containerlib.volumes.options import Local, local_options, resolved

BIND, REC, RDONLY, NODEV, NOATIME = 4096, 16384, 1, 4, 1024


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, Local()),
        ({"size": "1.5GiB"}, Local(size_bytes=3 << 29)),
        (
            {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=1000,nodev"},
            Local("tmpfs", "tmpfs", NODEV, "size=64m,uid=1000"),
        ),
        ({"type": "none", "device": "/srv", "o": "bind"}, Local("none", "/srv", BIND)),
        ({"type": "none", "device": "/srv", "o": "rbind,ro"}, Local("none", "/srv", BIND | REC | RDONLY)),
        ({"type": "ext4", "device": "/dev/vdb1", "o": "ro,noatime,rw"}, Local("ext4", "/dev/vdb1", NOATIME)),
        (
            {"type": "overlay", "device": "overlay", "o": "lowerdir=/a:/b,upperdir=/u,workdir=/w"},
            Local("overlay", "overlay", 0, "lowerdir=/a:/b,upperdir=/u,workdir=/w"),
        ),
    ],
)
def test_options_are_taken_as_docker_takes_them(options: dict[str, str], expected: Local) -> None:
    assert local_options(options) == expected


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"color": "red"}, "'color' is no option"),
        ({"type": "tmpfs"}, "'device' is missing"),
        ({"o": "ro"}, "'device' is missing"),
        ({"type": "tmpfs", "device": "tmpfs", "size": "1m"}, "size bounds a directory"),
        ({"size": "much"}, "'much' is not a size"),
        ({"type": "none", "device": "srv", "o": "bind"}, "absolute"),
        ({"type": "none", "device": "/srv", "o": "bind,uid=1"}, "'uid=1'"),
        ({"type": "none", "device": "/srv", "o": "bind,shared"}, "'shared'"),
        ({"type": "none", "device": "/s\0rv", "o": "bind"}, "NUL"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, str], what: str) -> None:
    with pytest.raises(InvalidArgument, match=what) as caught:
        local_options(options)
    assert caught.value.field == "option"


def test_server_of_a_network_file_system_is_handed_to_the_kernel_by_its_address() -> None:
    nfs = local_options({"type": "nfs", "device": ":/data", "o": "addr=localhost,rw,vers=4"})
    assert resolved(nfs).data in ("addr=127.0.0.1,vers=4", "addr=::1,vers=4")
    numbers = local_options({"type": "nfs4", "device": ":/data", "o": "addr=10.0.0.1"})
    assert resolved(numbers) == numbers
    other = local_options({"type": "ext4", "device": "/dev/vdb", "o": "addr=localhost"})
    assert resolved(other) == other


def test_server_that_nobody_knows_is_not_found() -> None:
    nfs = local_options({"type": "nfs", "device": ":/data", "o": "addr=no-such-host.invalid"})
    with pytest.raises(NotFound, match=r"no-such-host\.invalid"):
        resolved(nfs)
