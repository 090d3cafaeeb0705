"""Files to distribute: the same bytes on every run."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BLOCK_BYTES = 1 << 20

# What breaks clients: an empty file, a tiny one, names beyond ASCII, a depth of folders.
_TREE_SHAPE: tuple[tuple[str, float], ...] = (
    ("bin/tool", 0.4),
    ("doc/empty.txt", 0.0),
    ("doc/grüße-日本語-🚀.txt", 0.1),
    ("doc/deep/er/still/notes with spaces.md", 0.05),
    ("lib/data.bin", 0.45),
)
_TINY_PATH = "VERSION"


def make_file(path: Path, size_bytes: int, *, seed: int = 0) -> Path:
    """Writes random bytes that depend on ``seed`` and the size alone.

    Returns:
        ``path``.
    """
    generator = random.Random(f"{seed}/{size_bytes}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for start in range(0, size_bytes, _BLOCK_BYTES):
            file.write(generator.randbytes(min(_BLOCK_BYTES, size_bytes - start)))
    return path


def make_tree(folder: Path, size_bytes: int, *, seed: int = 0) -> Path:
    """Writes a folder of files of odd sizes, about ``size_bytes`` together.

    It has an empty file, one of three bytes, names beyond ASCII and with spaces, and nested folders.

    Returns:
        ``folder``.
    """
    for number, (path, share) in enumerate(_TREE_SHAPE):
        size = int(size_bytes * share)
        make_file(folder / path, size | 1 if size else 0, seed=seed * 1000 + number)
    make_file(folder / _TINY_PATH, 3, seed=seed)
    return folder


def tree_digests(path: Path) -> dict[str, str]:
    """SHA-256 by path relative to ``path``, of every file below it; of the file itself under ``.``."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return {file.relative_to(path).as_posix(): _sha256(file) for file in sorted(files)}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
