"""Which token servers may see the credentials of a registry.

    check_realm("registry.gitlab.com", "https://gitlab.com/jwt/auth")         # passes: the registry's own domain
    check_realm("ghcr.io", "https://evil.example/token")                      # RegistryError
    check_realm("ghcr.io", "https://sso.example/token", "sso.example")        # passes: the caller named it

The realm of a Bearer challenge is text that the registry wrote. A registry that is compromised, or that a mistyped name
leads to, would otherwise have the password sent to any host (CVE-2026-48978). Requests without credentials are not
checked here.

Own domain: the registry's host, hosts below it, and the domain that is left without the first label of its host, with
the hosts below that. A domain in which anybody can have a name, such as co.uk or azurecr.io, is nobody's own.
"""

from __future__ import annotations

import ipaddress
import re

import httpx

from containerlib.errors import RegistryError
from containerlib.images.registry.hosts import is_loopback, origin, split_url

__all__ = ["check_realm"]

_COUNTRY_CATEGORIES = frozenset(
    """
    ac asn co com ed edu firm gen gob gouv gov go govt gv id idv ind info ltd me mil ne net nhs nic nom or org plc
    police pro res sch school web
    """.split()  # noqa: SIM905 - it is long
)
"""Second labels below a country's, as in co.uk, where anybody registers a domain. Source: publicsuffix.org"""

_SHARED = frozenset(
    """
    appspot.com azurecontainer.io azurecr.cn azurecr.io azurecr.us azurewebsites.net blogspot.com br.com cloudapp.net
    cloudfront.net cloudsmith.io cn.com code.run codeberg.page co.com co.de ddns.net de.com deno.dev duckdns.org
    dyndns.org eu.com eu.org firebaseapp.com fly.dev github.dev github.io gitlab.io gr.com herokuapp.com hf.space
    hopto.org jfrog.io jpn.com koyeb.app lhr.life loca.lt localhost.run lovable.app netlify.app ngrok-free.app
    ngrok-free.dev ngrok.app ngrok.dev ngrok.io nip.io no-ip.org on-aws.com onrender.com pages.dev pythonanywhere.com
    r2.dev railway.app render.com replit.app replit.dev repl.co ru.com run.app sa.com serveo.net sslip.io
    surge.sh sytes.net traefik.me trycloudflare.com ts.net uk.com uk.net up.railway.app us.com vercel.app web.app
    webhop.me wixsite.com workers.dev xip.io za.com zapto.org
    """.split()  # noqa: SIM905 - it is long
)
"""Domains of providers whose customers choose the names in them. Source: publicsuffix.org, the private section."""

_SHARED_BELOW = ("aliyuncs.com", "amazonaws.com", "amazonaws.com.cn", "azure.com", "scw.cloud", "windows.net")
"""Domains that are shared at every depth: only the registry's own host is its own there."""

_KNOWN = (
    (r"registry\.hub\.docker\.com", r"auth\.docker\.io"),
    (r"rg\.[a-z0-9-]+\.scw\.cloud", r"api\.scaleway\.com"),
    (
        r"[a-z0-9-]+\.([a-z0-9-]+)(?:(?:\.personal)?\.cr)?\.aliyuncs\.com",
        r"dockerauth(?:-ee)?(?:-vpc)?[.-]{0}\.aliyuncs\.com",
    ),
)
"""Registries and, of the same provider, token servers elsewhere: patterns, the second with the groups of the first."""


def check_realm(registry: str, realm: str, *token_servers: str) -> None:
    """Raises RegistryError where `realm`, a URL, may not see the credentials of `registry`, a host.

    `token_servers` are those that the caller named, host[:port] or empty.
    """
    # Two parsers read the URL. A host that only one of them sees must not pass.
    hosts = {_plain(split_url(realm).hostname or ""), _plain(httpx.URL(realm).raw_host.decode("ascii"))}
    host = hosts.pop()
    named = any(_is_named(realm, server) for server in token_servers)
    if hosts or not (named or _is_own(_plain(registry), host)):
        raise RegistryError(
            f"{registry} asks for its credentials to be sent to {host!r:.200}, which is not in the registry's own "
            f"domain: if you trust that host, name it with BasicAuth(..., token_server={host!r:.200}), or as "
            "token-server in registries.conf",
            code="DENIED",
        )


def _is_own(registry: str, host: str) -> bool:
    if host == registry or (is_loopback(registry) and is_loopback(host)):
        return True
    if _is_address(registry) or _is_address(host):
        return False
    domains = [registry, registry.partition(".")[2]]
    if any(_is_in(host, domain) for domain in domains if not _is_shared(domain)):
        return True
    return any(
        (match := re.fullmatch(pattern, registry)) is not None
        and re.fullmatch(servers.format(*map(re.escape, match.groups())), host) is not None
        for pattern, servers in _KNOWN
    )


def _is_named(realm: str, server: str) -> bool:
    if not server:
        return False
    scheme, host, port = origin(realm)
    named = split_url(f"{scheme}://{server}")
    return _plain(host) == _plain(named.hostname or "") and named.port in (None, port)


def _is_shared(domain: str) -> bool:
    """Whether anybody can have a name in `domain`."""
    labels = domain.split(".")
    if len(labels) < 2 or domain in _SHARED or any(_is_in(domain, shared) for shared in _SHARED_BELOW):
        return True
    return len(labels) == 2 and len(labels[1]) == 2 and labels[0] in _COUNTRY_CATEGORIES


def _is_in(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _is_address(host: str) -> bool:
    """Whether `host` is an IP address, also in the short and the numeric forms that resolvers take."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return bool(re.fullmatch(r"(?:0x[0-9a-f]*|[0-9]+)", host.rpartition(".")[2]))
    return True


def _plain(host: str) -> str:
    return host.lower().strip("[]").removesuffix(".")
