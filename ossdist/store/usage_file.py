"""What a client has sent in each month, in one file on this machine's disk.

It is of use, and no more than that: a file that is damaged, foreign or too large is begun anew. Two clients that write
at the same moment lose what one of them has sent since it wrote last.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from platformdirs import user_state_path

from ossdist.errors import FormatError, StorageError
from ossdist.store.files import read_file, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

_MAX_BYTES = 64 << 10
_MOST_MONTHS = 24


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["ossdist-usage-1"]
    sent_bytes: dict[Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d{2}$")], Annotated[int, msgspec.Meta(ge=0)]]


class UsageFile:
    """See `ossdist.rates.keeper.Usage`.

    Args:
        folder: Where the file is; the user's own (XDG) if None.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._path = (folder or user_state_path("ossdist")) / "usage.json"
        self._unkept: dict[str, int] = {}

    async def add(self, month: str, sent_bytes: int) -> int:
        """Notes what was sent. A disk that refuses does not make it forgotten as long as this client runs."""
        return await asyncio.to_thread(self._add, month, sent_bytes)

    def _add(self, month: str, sent_bytes: int) -> int:
        self._unkept[month] = self._unkept.get(month, 0) + sent_bytes
        known = self._load()
        for other, count in self._unkept.items():
            known[other] = known.get(other, 0) + count
        newest = dict(sorted(known.items())[-_MOST_MONTHS:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._path, msgspec.json.encode(_Stored("ossdist-usage-1", newest)))
            self._unkept.clear()
        except (StorageError, OSError) as error:
            log.warning("what was sent this month is not remembered: %s", error)
        return known[month]

    def _load(self) -> dict[str, int]:
        try:
            return dict(msgspec.json.decode(read_file(self._path, limit_bytes=_MAX_BYTES), type=_Stored).sent_bytes)
        except (StorageError, FormatError, msgspec.MsgspecError, ValueError) as error:
            if self._path.exists():
                log.warning("%s is begun anew: %s", self._path, error)
            return {}
