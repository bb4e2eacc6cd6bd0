from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containerlib.errors import Error, InvalidArgument, Unsupported
from containerlib.runtime.cgroups.layout import Layout
from containerlib.runtime.cgroups.path import Place, expand_slice, own_groups, resolve, scope_name

V1 = Layout(
    {"cpu": "/cg/cpu", "cpuacct": "/cg/cpu", "memory": "/cg/memory"}, "/cg/unified", systemd="/cg/systemd"
)
V2 = Layout({}, "/cg")
OWN_V1 = "5:memory:/user/7\n4:cpu,cpuacct:/\n1:name=systemd:/init.scope\n0::/\n"
OWN_V2 = "0::/user.slice/user-0.slice/session-1.scope\n"


def directories(place: Place) -> dict[str, str]:
    return {**{n: d + place.path for n, d in place.layout.v1.items()}, "": f"{place.layout.v2}{place.path}"}


def test_absolute_path_is_below_every_mount_point() -> None:
    place = resolve("/pods/one", "id", layout=V1, own=own_groups(OWN_V1))
    assert directories(place)["cpu"] == "/cg/cpu/pods/one"
    assert directories(place)["memory"] == "/cg/memory/pods/one"
    assert directories(resolve("/pods/one", "id", layout=V2, own={}))[""] == "/cg/pods/one"


def test_relative_path_is_below_the_callers_own_group_of_each_v1_controller() -> None:
    place = resolve("pods/one", "id", layout=V1, own=own_groups(OWN_V1))
    assert directories(place)["memory"] == "/cg/memory/user/7/pods/one"
    assert directories(place)["cpu"] == "/cg/cpu/pods/one"


def test_relative_path_is_beside_the_callers_own_group_on_v2() -> None:
    """A group with processes cannot hand controllers to those below it."""
    place = resolve("one", "id", layout=V2, own=own_groups(OWN_V2))
    assert directories(place)[""] == "/cg/user.slice/user-0.slice/one"
    assert directories(resolve("one", "id", layout=V2, own={"": "/"}))[""] == "/cg/one"


def test_path_of_bytes_that_are_no_text_is_kept_and_measured_in_bytes() -> None:
    assert resolve("/a\udc80", "web", layout=V2, own={}).path == "/a\udc80"
    with pytest.raises(InvalidArgument, match="longer than 255 bytes"):
        resolve("/" + "\udc80" * 256, "web", layout=V2, own={})


@pytest.mark.parametrize("path", ["", None])
def test_no_path_is_the_id_as_a_relative_one(path: str | None) -> None:
    assert resolve(path, "web", layout=V2, own={"": "/"}).path == "/web"
    place = resolve(path, "web", layout=V1, own=own_groups(OWN_V1))
    assert directories(place)["memory"] == "/cg/memory/user/7/web"


def test_own_group_is_found_below_a_mount_that_shows_a_part_of_the_hierarchy() -> None:
    """A container without a cgroup namespace: its group is mounted, and /proc names it from the hierarchy's root."""
    layout = Layout({"memory": "/cg/memory"}, roots={"/cg/memory": "/docker/abc"})
    place = resolve("x", "id", layout=layout, own={"memory": "/docker/abc/inner"})
    assert directories(place)["memory"] == "/cg/memory/inner/x"
    assert directories(resolve("/x", "id", layout=layout, own={}))["memory"] == "/cg/memory/x"


@pytest.mark.parametrize("group", ["/docker/abcd", "/", "/../other", None])
def test_own_group_that_no_mount_shows_is_refused(group: str | None) -> None:
    layout = Layout({"memory": "/cg/memory"}, roots={"/cg/memory": "/docker/abc"})
    with pytest.raises(Unsupported, match="absolute"):
        resolve("x", "id", layout=layout, own={"memory": group} if group else {})


@pytest.mark.parametrize(
    "path",
    [
        "..",
        "/..",
        "/a/../../b",
        "a/..",
        "/",
        "//",
        ".",
        "/./",
        "/a\nb",
        "/a\0b",
        f"/{'a' * 256}",
        "/ü" * 1 + "ü" * 128,
    ],
)
def test_path_that_leads_out_or_nowhere_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        resolve(path, "id", layout=V2, own={"": "/"})
    assert caught.value.field == "linux.cgroupsPath"


@given(st.text(st.sampled_from("a./:-@\\\n \0")), st.booleans())
def test_no_path_leads_outside_the_hierarchy(path: str, systemd: bool) -> None:
    try:
        place = resolve(path, "id", layout=V2, own={"": "/user/me"}, systemd=systemd)
    except Error:
        return
    directory = directories(place)[""]
    assert os.path.normpath(directory) == directory
    assert directory.startswith("/cg/")


def test_repeated_slashes_and_dots_name_the_same_place() -> None:
    assert resolve("//a/./b//", "id", layout=V2, own={}).path == "/a/b"


def test_place_is_the_same_after_it_was_written_down() -> None:
    for place in (
        resolve("a/b", "id", layout=V1, own=own_groups(OWN_V1)),
        resolve("machine-x.slice:libpod:web", "id", layout=V1, systemd=True),
    ):
        again = Place.of(json.loads(json.dumps(place.document())))
        assert (again.path, again.scope, directories(again)) == (place.path, place.scope, directories(place))
        assert again.layout.systemd == place.layout.systemd
        assert again.cgroup().path == place.path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.slice", "/a.slice"),
        ("a-b.slice", "/a.slice/a-b.slice"),
        ("test-a-b.slice", "/test.slice/test-a.slice/test-a-b.slice"),
        ("-.slice", "/"),
    ],
)
def test_slice_is_in_the_slices_that_its_name_says(name: str, path: str) -> None:
    assert expand_slice(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a",
        ".slice",
        "-a.slice",
        "a-.slice",
        "a--b.slice",
        "a/b.slice",
        "../a.slice",
        "a.slice/",
        "a b.slice",
    ],
)
def test_impossible_slice_is_refused(name: str) -> None:
    with pytest.raises(InvalidArgument):
        expand_slice(name)


def test_systemd_path_names_a_scope_in_a_slice() -> None:
    place = resolve("machine-x.slice:libpod:web", "id", layout=V2, systemd=True)
    assert place.scope is not None
    assert (place.scope.unit, place.scope.slice) == ("libpod-web.scope", "machine-x.slice")
    assert place.path == "/machine.slice/machine-x.slice/libpod-web.scope"


def test_systemd_path_has_defaults_for_system_and_user() -> None:
    assert resolve(None, "web", layout=V2, systemd=True).path == "/system.slice/containerlib-web.scope"
    manager = "/user.slice/user-7.slice/user@7.service"
    place = resolve("", "web", layout=V2, systemd=True, user=True, manager_group=manager)
    assert place.path == f"{manager}/user.slice/containerlib-web.scope"
    assert resolve(":p:web", "id", layout=V2, systemd=True).path == "/system.slice/p-web.scope"
    assert resolve("-.slice:p:web", "id", layout=V2, systemd=True).path == "/p-web.scope"


@pytest.mark.parametrize(
    "path",
    [
        "/absolute",
        "a.slice:b",
        "a.slice:b:c:d",
        "a:b:c",
        "a.slice:b:",
        "a.slice:b:c/../d",
        "a.slice:b:c.slice",
        "a.slice:b c:d",
    ],
)
def test_systemd_path_of_another_shape_is_refused(path: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        scope_name(path, "id")
    assert caught.value.field == "linux.cgroupsPath"


def test_user_manager_has_no_groups_on_v1() -> None:
    with pytest.raises(Unsupported, match="v1"):
        resolve(None, "web", layout=V1, systemd=True, user=True)


def test_unit_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        scope_name(f"a.slice:b:{'c' * 250}", "id")
