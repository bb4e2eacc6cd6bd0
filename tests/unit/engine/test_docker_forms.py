"""Forms that docker takes and this library does not: the error has the right one."""

from __future__ import annotations

import re

import pytest

import containerlib as cl
from containerlib.engine import words, words_networks
from containerlib.spec.reference import Reference


@pytest.mark.parametrize(
    ("given", "form"),
    [
        ("80", "publish(80)"),
        ("8080:80", "publish(80, host=8080)"),
        ("53:53/udp", 'publish(53, host=53, protocol="udp")'),
        ("127.0.0.1:8080:80", 'publish(80, host=8080, address="127.0.0.1")'),
    ],
)
def test_published_port_in_dockers_form_gets_the_words_for_it(given: str, form: str) -> None:
    with pytest.raises(cl.InvalidArgument, match=re.escape(form)):
        words_networks.ports(given, "tcp", 0, None)  # type: ignore[arg-type]


def test_reference_that_is_a_url_gets_the_reference() -> None:
    with pytest.raises(cl.InvalidArgument, match=r"without https://, 'ghcr.io/acme/app:1'"):
        Reference.parse("https://ghcr.io/acme/app:1")


def test_driver_docker_gets_the_drivers_that_there_are() -> None:
    with pytest.raises(cl.InvalidArgument, match='write "native", or "runc"'):
        words.driver("docker")
