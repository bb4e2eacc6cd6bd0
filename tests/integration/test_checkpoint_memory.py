"""The memory that the images of a dump are in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from containerlib._sys.native import mount_memory

pytestmark = pytest.mark.privileged("CAP_SYS_ADMIN: makes a tmpfs")


@pytest.mark.parametrize(("large", "size"), [(True, 2 << 20), (False, 4096)])
def test_large_files_in_memory_have_large_pages_where_they_should(large: bool, size: int) -> None:
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has no transparent huge pages")
    memory = mount_memory(large=large)
    try:
        file = os.open(f"/proc/self/fd/{memory}/file", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
        try:
            os.write(file, bytes(4 << 20))
            assert os.fstat(file).st_blksize == size
        finally:
            os.close(file)
    finally:
        os.close(memory)
