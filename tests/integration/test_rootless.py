"""Engines of an ordinary user: in a user namespace, without rights over anything of the host's."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.bundles import until
from rig.images import Image, Layer, busybox_layer, find_busybox
from rig.networks import Machine, interfaces, own_network
from rig.ordinary import FIRST, MANY, USER, User, as_user

pytestmark = [
    pytest.mark.privileged("CAP_SYS_ADMIN, CAP_SETUID: becomes an ordinary user"),
    pytest.mark.skipif(find_busybox() is None, reason="needs busybox-static"),
    pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs uidmap"),
]


@pytest.fixture
def user(tmp_path: Path) -> User:
    """With an image of files that are others'."""
    own = Layer().directory("srv", 0o700, uid=1000, gid=1000)
    own.file("srv/secret", "of 1000\n", 0o600, uid=1000, gid=1001).file("etc/shadow", "root\n", 0o600)
    return User(tmp_path, Image((busybox_layer(), own.finish()), {"Env": ["PATH=/bin"], "Cmd": ["sh"]}))


def archive(*members: tuple[str, bytes, dict[str, str]]) -> bytes:
    """A layer of (path, type, extended attributes); devices are /dev/null."""
    data = io.BytesIO()
    with tarfile.TarFile(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, kind, attributes in members:
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.devmajor, info.devminor = kind, 0o755, 1, 3
            info.pax_headers = {f"SCHILY.xattr.{name}": value for name, value in attributes.items()}
            tar.addfile(info)
    return data.getvalue()


@pytest.fixture
def outside() -> Iterator[Machine]:
    """A machine by which this one reaches all others."""
    with own_network(), Machine("198.51.100.2/24", host="198.51.100.1/24") as machine:
        subprocess.run(["ip", "route", "add", "default", "via", "198.51.100.2"], check=True)
        yield machine


def test_root_of_a_container_is_the_user_and_nobody_else(user: User) -> None:
    output = user.run("""
        home = os.environ["HOME"]
        os.mkdir(home + "/shared", 0o777)
        os.chmod(home + "/shared", 0o777)
        shared = box.mount(home + "/shared", at="/mnt")
        print(shared.run("sh", "-c", "id -u; touch /mnt/roots").text)
        print(shared.user("1000:1001").run("sh", "-c", "id -u; touch /mnt/others").text)
        host = box.mount("/etc", at="/host")
        print(host.run("sh", "-c", "cat /host/shadow; echo x >>/host/passwd", check=False).exit_code)
    """)
    assert output.split() == ["0", "1000", "1"]
    owners = {
        path.name: (path.stat().st_uid, path.stat().st_gid) for path in (user.home / "shared").iterdir()
    }
    assert owners == {"roots": (USER, USER), "others": (FIRST + 999, FIRST + 1000)}


def test_files_of_an_image_have_the_users_that_it_says(user: User) -> None:
    output = user.run("""
        print(box.run("stat", "-c", "%u %g %a", "/srv", "/srv/secret", "/etc/shadow").text)
        print(box.user("1000").run("cat", "/srv/secret").text)
        with box.create("true") as container:
            print(container.path("/srv/secret").read_text())
        changed = box.create("sh", "-c", "rm /srv/secret; mkdir /new; chown 5:6 /new")
        changed.start(); changed.wait(20.0)
        image = changed.commit("changed")
        changed.remove()
        print(engine.container(image).run("sh", "-c", "ls /srv; stat -c '%u %g' /new").text)
        engine.images.get("changed").remove()
    """)
    assert output.split("\n\n") == [
        "1000 1000 700\n1000 1001 600\n0 0 600",
        "of 1000",
        "of 1000",
        "5 6",
        "",
    ]


def test_layers_are_stacked_and_what_only_the_hosts_root_makes_is_left_out(tmp_path: Path) -> None:
    upper = archive(
        ("null", tarfile.CHRTYPE, {}),
        ("kept", tarfile.REGTYPE, {"trusted.a": "b", "user.c": "d"}),
        ("home/.wh..wh..opq", tarfile.REGTYPE, {}),
        ("etc/.wh.group", tarfile.REGTYPE, {}),
    )
    lower = Layer().file("home/old", "").finish()
    user = User(tmp_path, Image((busybox_layer(), lower, upper), {"Env": ["PATH=/bin"], "Cmd": ["sh"]}))
    output = user.run("""
        print(box.run("ls", "-A", "/home", "/etc").text.replace("/home:", "").replace("/etc:", ""))
        print(box.run("sh", "-c", "ls -d /kept /null 2>/dev/null", check=False).stdout.decode())
    """)
    assert output.split() == ["hostname", "hosts", "passwd", "resolv.conf", "/kept"]


def test_sandbox_with_the_numbers_of_namespaces_that_are_gone_is_not_joined(user: User) -> None:
    user.run("")
    note = user.home / "data/containerlib/user-namespace"
    script = "cd /proc/self/ns; stat -Lc %i user mnt; read line"
    with user.popen("unshare", "--map-root-user", "--mount", "sh", "-c", script) as sandbox:
        assert sandbox.stdout is not None
        note.write_text(f"{sandbox.stdout.readline().strip()} {sandbox.stdout.readline().strip()}")
        assert user.run("print(box.user('1000').run('cat', '/srv/secret').text)") == "of 1000\n\n"
        sandbox.communicate("\n")


def test_container_is_reached_by_the_users_next_process(user: User) -> None:
    user.run("""
        box.name("first").start("sh", "-c", "echo begun; exec sleep 600", detach=True)
    """)
    output = user.run("""
        container = engine.containers.get("first")
        print(container.state.value, container.exec("id", "-u").text, next(container.logs()).text)
        print(len(container.top()), container.stats().pids.current)
        print(container.stop(0).signal)
        container.remove()
        print(len(engine.containers.list()))
    """)
    assert output.split() == ["running", "0", "begun", "1", "1", "9", "0"]


def test_processes_that_enter_at_once_are_in_one_namespace(user: User) -> None:
    code = 'print(os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/mnt"), flush=True); sys.stdin.read()'
    processes = [user.start(code) for _ in range(6)]
    try:
        lines = {process.stdout.readline() for process in processes if process.stdout is not None}
    finally:
        errors = [process.communicate(timeout=60)[1] for process in processes]
    assert len(lines) == 1, errors
    assert str(Path("/proc/self/ns/user").readlink()) not in lines.pop()


def test_container_of_a_killed_process_ends_and_is_cleared_away(user: User) -> None:
    with user.start("""
        container = box.user("1000").start("sh", "-c", "touch /tmp/a; exec sleep 600")
        print(container.inspect().pid, flush=True); sys.stdin.read()
    """) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
    until(lambda: not Path(f"/proc/{pid}").exists())
    assert user.run("print(engine.containers.list(), os.listdir(engine.root + '/containers'))") == "[] []\n"


def test_container_that_removes_itself_leaves_no_file_of_another_user(user: User) -> None:
    user.run("""
        box.start("sh", "-c", "mkdir -m 700 /d; touch /d/f; chown -R 7:7 /d", detach=True, remove=True)
    """)
    until(lambda: list((user.home / "root" / "containers").iterdir()) == [])


def test_volume_gets_the_images_files_with_their_users(user: User) -> None:
    output = user.run("""
        volume = engine.volume("srv").create()
        print(box.mount(volume, at="/srv").run("stat", "-c", "%u %g %a", "/srv", "/srv/secret").text)
        volume.remove()
        print(os.listdir(engine.root + "/volumes"))
    """)
    assert output.split("\n") == ["1000 1000 700", "1000 1001 600", "", "['.lock']", ""]


def test_machines_own_files_are_an_image(user: User) -> None:
    if shutil.which("fuse-overlayfs") is None:
        pytest.skip("needs fuse-overlayfs")
    output = user.run("""
        host = engine.container(engine.host_image())
        print(host.run("sh", "-c", "id -u; cat /etc/hostname >/dev/null; touch /usr/made && ls /usr/made").text)
        print(os.path.exists("/usr/made"))
    """)
    assert output.split() == ["0", "/usr/made", "False"]


def test_namespaces_of_others_are_shared(user: User) -> None:
    output = user.run("""
        with box.start("sh", "-c", "ip link set lo mtu 1234; exec sleep 600", ) as first:
            print(box.network(first).run("cat", "/sys/class/net/lo/mtu").text)
        with box.cap_add("NET_ADMIN").start("sh", "-c", "ip link set lo mtu 1234; exec sleep 600") as first:
            first.wait_for(exec=["grep", "1234", "/sys/class/net/lo/mtu"])
            print(box.network(first).run("cat", "/sys/class/net/lo/mtu").text)
    """)
    assert output.split() == ["65536", "1234"]


def test_hosts_network_is_shown_and_not_changed(user: User) -> None:
    output = user.run("""
        shared = box.network("host").cap_add("NET_ADMIN")
        print(shared.run("sh", "-c", "ls /sys/class/net/lo/mtu; ip link set lo down || echo refused").text)
    """)
    assert output.split() == ["/sys/class/net/lo/mtu", "refused"]


def test_words_that_need_no_right_work(user: User) -> None:
    output = user.run("""
        print(box.userns("keep-id").run("cat", "/proc/self/uid_map").text.split())
        print(box.secret("token", b"abc").run("cat", "/run/secrets/token").text)
        print(box.mount(cl.tmpfs(), at="/scratch").run("sh", "-c", "echo x >/scratch/a && cat /scratch/a").text)
        print(box.device("/dev/null", at="/dev/nothing").run("sh", "-c", "echo x >/dev/nothing && echo written").text)
        print(box.init().run("sh", "-c", "exit 3", check=False).exit_code)
        print(box.read_only().run("touch", "/a", check=False).exit_code)
    """)
    assert output.split() == [
        "['0',",
        "'0',",
        "'1',",
        "'1',",
        "'1',",
        f"'{MANY}']",
        "abc",
        "x",
        "written",
        "3",
        "1",
    ]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ('box.limit(memory="64MiB").run("true")', "containerlib.errors.Unsupported: resources.memory"),
        ('box.start("sleep", "600").pause()', "containerlib.errors.Unsupported: pausing needs"),
        ('box.pid("host").run("true")', "containerlib.errors.Unsupported: a container that shares its pid"),
        ('box.userns("auto").run("true")', 'containerlib.errors.Unsupported: userns("auto")'),
        ('engine.network("n").driver("bridge").create()', "containerlib.errors.Unsupported: bridge changes"),
        (
            'engine.network("n").internal().create()',
            "containerlib.errors.Unsupported: a network of pasta has no",
        ),
    ],
)
def test_what_takes_the_hosts_root_is_refused_with_the_reason(user: User, code: str, words: str) -> None:
    assert user.refused(code).startswith(words)
    assert (
        user.run("engine.prune(); print(engine.containers.list(), os.listdir(engine.root + '/containers'))")
        == "[] []\n"
    )


def test_enter_with_threads_or_without_ids_says_what_to_do(user: User) -> None:
    enter = "from containerlib import rootless; rootless.enter()"
    thread = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"
    for argv, ids, words in (
        ([sys.executable, "-c", f"{thread}; {enter}"], (FIRST, MANY), "this one has 2: call it first"),
        ([sys.executable, "-c", enter], None, f"/etc/subuid gives none to {USER}"),
        (["env", "PATH=/nowhere", sys.executable, "-c", enter], (FIRST, MANY), "newuidmap is not installed"),
    ):
        done = subprocess.run(
            as_user(USER, *argv, ids=ids),
            capture_output=True,
            text=True,
            env=user.environment,
            check=False,
        )
        assert words in done.stderr.splitlines()[-1]


def test_enter_of_root_changes_nothing() -> None:
    code = "from containerlib import rootless; rootless.enter(); import os; print(os.readlink('/proc/self/ns/user'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(Path("/proc/self/ns/user").readlink())


def test_program_is_started_in_the_namespace(user: User) -> None:
    with user.popen(
        sys.executable, "-m", "containerlib.rootless", "sh", "-c", "id -u; pwd; exit 7"
    ) as process:
        output, _ = process.communicate(timeout=60)
    assert (output.split(), process.returncode) == (["0", str(Path.cwd())], 7)
    with user.popen(sys.executable, "-m", "containerlib.rootless", "/no/program") as process:
        _, errors = process.communicate(timeout=60)
    assert errors.strip() == "/no/program: No such file or directory"


@pytest.mark.skipif(shutil.which("pasta") is None, reason="needs passt")
def test_published_port_is_reached_and_nothing_is_on_the_host(user: User, outside: Machine) -> None:
    before = interfaces()
    with user.start("""
        with box.publish(80).start("sh", "-c", "while true; do echo well | nc -l -p 80; done") as container:
            print(container.ports[0].host, flush=True); sys.stdin.readline()
            container.restart(timeout=0)
            print(container.ports[0].host, flush=True); sys.stdin.readline()
    """) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        for _ in range(2):
            port = process.stdout.readline().strip()
            assert port, process.communicate()[1]
            ask = ("busybox", "nc", "-w", "2", "198.51.100.1", port)
            until(lambda ask=ask: outside.run(*ask).stdout == "well\n")
            assert interfaces() == before
            process.stdin.write("\n")
            process.stdin.flush()
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


@pytest.mark.skipif(shutil.which("pasta") is None, reason="needs passt")
def test_container_reaches_the_outside(user: User, outside: Machine) -> None:
    (user.home / "served").write_text("far")
    serve = ("-m", "http.server", "7000", "--directory", str(user.home))
    server = outside.popen(sys.executable, *serve)
    try:
        until(lambda: "7000" in outside.run("ss", "-Hltn").stdout)
        assert user.run('engine.network("own").create()') == ""
        output = user.run("""
            with engine.networks.get("own") as network:
                print(box.join(network).run("wget", "-qO-", "198.51.100.2:7000/served").text)
            print(engine.networks.list())
        """)
        assert output.split() == ["far", "[]"]
    finally:
        server.kill()
        server.communicate()
