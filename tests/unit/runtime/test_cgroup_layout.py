from __future__ import annotations

from containerlib.runtime.cgroups.layout import Layout

HYBRID = """\
30 25 0:26 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
32 30 0:28 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
33 30 0:29 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
34 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
35 25 0:28 / /mnt/elsewhere/memory rw,relatime - cgroup cgroup rw,memory
"""
V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup rw,nsdelegate\n"


def test_hybrid_places_containers_in_v1() -> None:
    layout = Layout.detect(HYBRID)
    assert layout.version == "hybrid"
    assert layout.v1 == {
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "memory": "/sys/fs/cgroup/memory",
    }
    assert layout.v2 == "/sys/fs/cgroup/unified"
    assert layout.unified is None


def test_v2_alone_is_unified() -> None:
    layout = Layout.detect(V2)
    assert (layout.version, layout.unified, layout.v1) == ("v2", "/sys/fs/cgroup", {})


def test_v1_without_a_v2_tree() -> None:
    text = "".join(line + "\n" for line in HYBRID.splitlines() if "cgroup2" not in line)
    assert Layout.detect(text).version == "v1"


def test_mounts_elsewhere_do_not_count() -> None:
    assert Layout.detect(HYBRID, root="/other").version == "none"
    assert Layout.detect(HYBRID, root="/mnt/elsewhere").v1 == {"memory": "/mnt/elsewhere/memory"}


def test_later_mount_hides_an_earlier_one() -> None:
    later = "40 25 0:28 / /sys/fs/cgroup/again rw - cgroup cgroup rw,memory\n"
    assert Layout.detect(HYBRID + later).v1["memory"] == "/sys/fs/cgroup/again"


def test_escaped_paths_are_read() -> None:
    text = r"40 25 0:28 / /sys/fs/cgroup/a\040b rw - cgroup cgroup rw,pids"
    assert Layout.detect(text).v1 == {"pids": "/sys/fs/cgroup/a b"}


def test_broken_lines_are_passed_over() -> None:
    assert Layout.detect("nonsense\n\n1 2 - cgroup\n").version == "none"
