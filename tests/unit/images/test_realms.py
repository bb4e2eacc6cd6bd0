"""Which hosts may be sent a registry's credentials because it says so."""

from __future__ import annotations

import pytest

from containerlib.errors import InvalidArgument, RegistryError
from containerlib.images.registry.realms import check_realm
from containerlib.spec.auth import BasicAuth, IdentityToken


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("registry-1.docker.io", "https://auth.docker.io/token"),
        ("registry.hub.docker.com", "https://auth.docker.io/token"),
        ("ghcr.io", "https://ghcr.io/token"),
        ("quay.io", "https://quay.io/v2/auth"),
        ("gcr.io", "https://gcr.io/v2/token"),
        ("us.gcr.io", "https://gcr.io/v2/token"),
        ("us-docker.pkg.dev", "https://us-docker.pkg.dev/v2/token"),
        ("nvcr.io", "https://nvcr.io/proxy_auth"),
        ("registry.gitlab.com", "https://gitlab.com/jwt/auth"),
        ("registry.example.co.uk", "https://gitlab.example.co.uk/jwt/auth"),
        ("registry.redhat.io", "https://registry.redhat.io/auth/realms/rhcc/protocol/redhat-docker-v2/auth"),
        ("public.ecr.aws", "https://public.ecr.aws/token/"),
        ("acme.azurecr.io", "https://acme.azurecr.io/oauth2/token"),
        ("registry.digitalocean.com", "https://api.digitalocean.com/v2/registry/auth"),
        ("docker.elastic.co", "https://docker-auth.elastic.co/auth"),
        ("us.icr.io", "https://icr.io/oauth/token"),
        ("rg.fr-par.scw.cloud", "https://api.scaleway.com/registry-internal/v1/regions/fr-par/tokens"),
        ("registry.cn-hangzhou.aliyuncs.com", "https://dockerauth.cn-hangzhou.aliyuncs.com/auth"),
        ("acme-registry.cn-hangzhou.cr.aliyuncs.com", "https://dockerauth-ee.cn-hangzhou.aliyuncs.com/auth"),
        ("Registry.Example.org", "https://AUTH.example.ORG./token"),
        ("example.org", "https://auth.example.org/token"),
        ("example.org", "https://example.org:8443/token"),
        ("registry", "https://registry:5001/token"),
        ("localhost", "http://127.0.0.1:5001/token"),
        ("192.0.2.7", "https://192.0.2.7:5001/token"),
        ("::1", "http://[::1]:5001/token"),
    ],
)
def test_realm_of_the_registrys_own_domain_may_see_credentials(registry: str, realm: str) -> None:
    check_realm(registry, realm)


@pytest.mark.parametrize(
    ("registry", "realm"),
    [
        ("ghcr.io", "https://evil.io/token"),
        ("ghcr.io", "https://evilghcr.io/token"),
        ("registry.example.org", "https://evil-example.org/token"),
        ("registry.example.org", "https://example.org.evil.net/token"),
        ("registry.example.org", "https://registry.example.net/token"),
        ("registry.example.org", "https://org/token"),
        ("example.co.uk", "https://evil.co.uk/token"),
        ("example.com.au", "https://evil.com.au/token"),
        ("acme.azurecr.io", "https://evil.azurecr.io/oauth2/token"),
        ("acme.github.io", "https://evil.github.io/token"),
        ("azurecr.io", "https://evil.azurecr.io/token"),
        ("1.dkr.ecr.eu-west-1.amazonaws.com", "https://2.dkr.ecr.eu-west-1.amazonaws.com/"),
        ("rg.fr-par.scw.cloud", "https://evil.functions.fnc.fr-par.scw.cloud/token"),
        ("registry.cn-hangzhou.aliyuncs.com", "https://dockerauth.evil.com/cn-hangzhou.aliyuncs.com"),
        ("acme.cn-hangzhou.cr.aliyuncs.com", "https://dockerauth.cn-beijing.aliyuncs.com/auth"),
        ("registry", "https://auth/token"),
        ("localhost", "https://auth.example.org/token"),
        ("registry.localhost.example", "http://127.0.0.1/token"),
        ("registry.example.org", "http://127.0.0.1/token"),
        ("10.0.0.1", "https://9.0.0.1/token"),
        ("10.0.0.1", "https://0.0.1/token"),
        ("10.0.0.1", "https://x.10.0.0.1/token"),
        ("registry.0.1", "https://7.0.1/token"),
        ("2001:db8::1", "https://[2001:db8::2]/token"),
    ],
)
def test_realm_of_another_domain_may_not_see_credentials(registry: str, realm: str) -> None:
    with pytest.raises((RegistryError, InvalidArgument)):
        check_realm(registry, realm)


def test_realm_that_is_refused_is_named_with_the_option_to_give() -> None:
    with pytest.raises(RegistryError) as caught:
        check_realm("registry.example.org", "https://sso.example.net/token?secret=1")
    assert caught.value.code == "DENIED"
    for part in ("registry.example.org", "token_server='sso.example.net'", "token-server in registries.conf"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("named", "passes"),
    [
        ("sso.example.net", True),
        ("SSO.example.net:8443", True),
        ("sso.example.net:443", False),
        ("example.net", False),
        ("", False),
    ],
)
def test_realm_that_the_caller_named_may_see_credentials(named: str, passes: bool) -> None:
    realm = "https://sso.example.net:8443/token"
    if passes:
        check_realm("registry.example.org", realm, "", named)
        return
    with pytest.raises(RegistryError):
        check_realm("registry.example.org", realm, "", named)


@pytest.mark.parametrize(
    "value", ["https://sso.example.net", "sso.example.net/token", "sso:99999", "a b", "*", "a@b"]
)
def test_token_server_that_is_no_host_is_refused(value: str) -> None:
    for make in (
        lambda: BasicAuth("a", "b", token_server=value),
        lambda: IdentityToken("a", token_server=value),
    ):
        with pytest.raises(InvalidArgument) as caught:
            make()
        assert caught.value.field == "token_server"
