"""What an earlier download left: files that are right already, and a workspace that nobody needs any more."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING

from ossdist.errors import TargetBusyError
from ossdist.store.workspace import Workspace, writing

if TYPE_CHECKING:
    from pathlib import Path


def copy_file(source: Path, target: Path) -> None:
    """Copies a file, over what may stand there. Blocks.

    Raises:
        StorageError: It cannot be read or written.
    """
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def sweep(target: Path, key: str) -> None:
    """Removes the workspace of a download that is complete, unless somebody works in it. Blocks.

    Args:
        target: The download's target folder.
        key: The workspace's key.
    """
    if Workspace.exists(target, key):
        with contextlib.suppress(TargetBusyError), Workspace(target, key) as workspace:
            workspace.remove()
