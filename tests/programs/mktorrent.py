"""mktorrent, which makes v1 torrents."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.programs.process import run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


async def mktorrent(
    payload: Path,
    torrent: Path,
    *,
    piece_length_bytes: int = 1 << 18,
    trackers: Sequence[str] = (),
    web_seeds: Sequence[str] = (),
    timeout_s: float = 60,
) -> bytes:
    """Makes a torrent with ``mktorrent``.

    Args:
        payload: A file or a folder.
        torrent: Where to write it; what stands there is replaced.
        piece_length_bytes: A power of two.
        trackers: Announce addresses, each a tier of its own.
        web_seeds: BEP 19 addresses.
        timeout_s: For the hashing.

    Returns:
        The torrent's bytes.

    Raises:
        ProgramError: The tool failed.
    """
    await asyncio.to_thread(torrent.unlink, missing_ok=True)
    options = ["-d", "-l", str(piece_length_bytes.bit_length() - 1), "-o", torrent]
    announce = [word for url in trackers for word in ("-a", url)]
    seeds = [word for url in web_seeds for word in ("-w", url)]
    command = ["mktorrent", *options, *announce, *seeds, payload]
    await run(command, folder=torrent.parent, timeout_s=timeout_s)
    return await asyncio.to_thread(torrent.read_bytes)
