"""Small disks for tests, so that they fill up."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator

_DEADLINE_S = 10


@contextmanager
def small_disk(folder: Path, *, size_bytes: int) -> Generator[Path]:
    """A file system in memory with so much room, as long as the block; gives the folder to write to.

    Args:
        folder: An empty folder, on which root mounts it. Everybody else mounts it where only a process in a name
            space of its own sees it; whoever has no right to that either skips the test.
        size_bytes: Its room.
    """
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(folder)]
    if os.geteuid() == 0:
        subprocess.run(mount, check=True)
        try:
            yield folder
        finally:
            subprocess.run(["umount", folder], check=True)
        return
    if shutil.which("unshare") is None:
        pytest.skip("needs root, or unshare (util-linux), to mount a small disk")
    # The mount lives as long as the process, which ends when its standard input does.
    command = ["unshare", "-rm", "sh", "-c", '"$@" && echo mounted && exec cat', "sh", *mount]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as holder:
        assert holder.stdout is not None
        said = holder.stdout.readline().decode()
        if said != "mounted\n":
            holder.communicate(timeout=_DEADLINE_S)
            pytest.skip(f"needs root, or the right to a name space of its own, to mount a small disk: {said.strip()}")
        try:
            yield Path(f"/proc/{holder.pid}/root{folder}")
        finally:
            holder.communicate(timeout=_DEADLINE_S)
