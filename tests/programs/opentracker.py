"""Opentracker, over HTTP (BEP 3) and UDP (BEP 15)."""

from __future__ import annotations

import os
import pwd
import re
import signal
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import quote

from tests.programs.http import fetch
from tests.programs.ports import free_port, own_host
from tests.programs.process import Program

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_ALLOWED = "allowed"
_PEER_ID = "-OT0000-whitelisting"


class Opentracker(Program):
    """A private tracker, on IPv4 alone; Debian's build serves no torrent that is not on its list.

    Args:
        folder: Holds its list of torrents. It must be readable for others: the tracker drops root's rights.
        allow: SHA-1 info-hashes in hexadecimal that it serves from the start; see `allow`.
        host: An IPv4 address of the loopback interface; by default one of its own, see `own_host`.
        port: For HTTP and UDP; 0 for a free one.
    """

    name: ClassVar[str] = "opentracker"

    def __init__(self, folder: Path, *, allow: Iterable[str] = (), host: str = "", port: int = 0) -> None:
        super().__init__(folder)
        self.host = host or own_host()
        self.port = port or free_port()
        self.http_url = f"http://{self.host}:{self.port}/announce"
        self.udp_url = f"udp://{self.host}:{self.port}/announce"
        self._hashes = [text.lower() for text in allow]

    async def allow(self, info_hash: str) -> None:
        """Puts another SHA-1 info-hash on the list; returns when the tracker serves it.

        Raises:
            ProgramError: It does not.
        """
        self._hashes.append(info_hash.lower())
        self._write_list()
        self.signal(signal.SIGHUP)
        await self.until(lambda: self._serves(info_hash), f"to serve {info_hash}", timeout_s=5)

    async def counts(self, info_hash: str) -> tuple[int, int]:
        """Complete and incomplete peers that it knows of a torrent (BEP 48)."""
        body = (await fetch(f"http://{self.host}:{self.port}/scrape?info_hash={_quoted(info_hash)}")).body
        return _number(rb"8:completei(\d+)e", body), _number(rb"10:incompletei(\d+)e", body)

    def _command(self) -> Sequence[str | Path]:
        self.folder.chmod(0o755)
        self._write_list()
        user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        port = str(self.port)
        # The list's path counts from the folder that it is locked into.
        where = ("-i", self.host, "-p", port, "-P", port)
        return "opentracker", *where, "-d", self.folder, "-u", user, "-w", _ALLOWED

    async def _ready(self) -> bool:
        # The list is read by a thread of its own, so that a first announce may come too early.
        return (await fetch(self.http_url)).status > 0 and all([await self._serves(h) for h in self._hashes])

    async def _serves(self, info_hash: str) -> bool:
        """Tries an announce, and takes it back."""
        peer = f"?info_hash={_quoted(info_hash)}&peer_id={_PEER_ID}&port=1&left=1&numwant=0"
        answer = await fetch(f"{self.http_url}{peer}")
        await fetch(f"{self.http_url}{peer}&event=stopped")
        return b"failure reason" not in answer.body

    def _write_list(self) -> None:
        path = self.folder / _ALLOWED
        path.write_text("".join(f"{text}\n" for text in self._hashes), "ascii")
        path.chmod(0o644)


def _quoted(info_hash: str) -> str:
    return quote(bytes.fromhex(info_hash), safe="")


def _number(pattern: bytes, body: bytes) -> int:
    found = re.search(pattern, body)
    return int(found[1]) if found else 0
