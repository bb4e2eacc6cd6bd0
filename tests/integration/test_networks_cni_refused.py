"""Networks of plugins that cannot be."""

from __future__ import annotations

from typing import Any

import pytest

import containerlib as cl
from rig.cni import Plugins, two

pytestmark = [
    pytest.mark.usefixtures("network"),
    pytest.mark.privileged("CAP_SYS_ADMIN: makes containers"),
]


@pytest.mark.parametrize(
    ("config", "kind", "said"),
    [
        ({"plugins": [{"type": "first"}]}, cl.Unsupported, "is of CNI 0.1.0"),
        ({"cniVersion": "9.0.0", "plugins": [{"type": "first"}]}, cl.Unsupported, "is of CNI 9.0.0"),
        ({"cniVersion": "1.0.0"}, cl.InvalidArgument, "config.plugins: a list of plugins is needed"),
        ({"cniVersion": "1.0.0", "plugins": []}, cl.InvalidArgument, "one of them at least"),
        (
            {"cniVersion": "1.0.0", "plugins": [{}]},
            cl.InvalidArgument,
            r"config.plugins\[0\].type: it is missing",
        ),
        (
            {"cniVersion": "1.0.0", "plugins": [{"type": "../sh"}]},
            cl.InvalidArgument,
            "'../sh' is not a name",
        ),
        (
            {"cniVersion": "1.0.0", "name": "a/b", "plugins": [{"type": "first"}]},
            cl.InvalidArgument,
            "config.name",
        ),
        ({"cniVersion": "1.0.0", "plugins": [{"type": "third"}]}, cl.NotFound, "no CNI plugin 'third'"),
        (
            {"cniVersion": "1.0.0", "plugins": [{"type": "first", "ipam": {"type": "x"}}]},
            cl.NotFound,
            "plugin 'x'",
        ),
        ("/nowhere.conflist", cl.NotFound, "/nowhere.conflist"),
    ],
)
def test_configuration_that_cannot_be_is_refused(
    engine: cl.Engine, plugins: Plugins, config: Any, kind: type[cl.Error], said: str
) -> None:
    with pytest.raises(kind, match=said):
        engine.network("lan").driver("cni", config=config, path=[plugins.directory]).create()
    assert engine.networks.list() == []


def test_plugin_that_does_not_say_its_versions_is_refused(engine: cl.Engine, plugins: Plugins) -> None:
    plugins.says("second", "VERSION", "echo '{}'; exit")
    with pytest.raises(cl.PluginError, match="second VERSION: it does not say which versions"):
        two(engine, plugins).create()


@pytest.mark.parametrize(
    "word",
    [
        {"subnet": ("10.1.0.0/24",)},
        {"ipv6": ()},
        {"pool": ("10.64.0.0/12",)},
        {"internal": ()},
        {"mtu": (1400,)},
        {"anti_spoofing": ()},
    ],
)
def test_what_the_configuration_says_is_not_said_twice(
    engine: cl.Engine, plugins: Plugins, word: dict[str, tuple[Any, ...]]
) -> None:
    ((name, arguments),) = word.items()
    with pytest.raises(cl.InvalidArgument, match=f"{name}: of a network that plugins make"):
        getattr(two(engine, plugins), name)(*arguments).create()


def test_other_drivers_have_no_plugins_to_ask(engine: cl.Engine, box: cl.ContainerRecipe) -> None:
    with engine.network("own").create() as network:
        with pytest.raises(cl.Unsupported, match="has no plugins"):
            network.status()
        with box.start("sleep", "600") as container, pytest.raises(cl.Unsupported, match="has no plugins"):
            network.check(container)
