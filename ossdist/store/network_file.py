"""What a client remembers of the networks that this machine was in, in one file on its disk.

It is of use, and no more than that: a file that is damaged, foreign or too large is begun anew.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
from platformdirs import user_state_path

from ossdist.config import Transport  # noqa: TC001  # msgspec looks at it
from ossdist.errors import FormatError, StorageError
from ossdist.machine import network_fingerprint
from ossdist.store.files import read_file, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

MAX_NETWORKS = 200
_MAX_BYTES = 1 << 20
_KEEP_S = 30 * 86400
"""Firewalls change; who was let through over another way tries the first one again after a month."""


class _Known(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    transport: Transport
    at: Annotated[int, msgspec.Meta(ge=0)]


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: Literal["ossdist-networks-1"]
    networks: dict[Annotated[str, msgspec.Meta(max_length=64)], _Known]


class NetworkFile:
    """See `ossdist.health.dialling.TransportMemory`.

    Args:
        folder: Where the file is; the user's own (XDG) if None.
        fingerprint: Tells the present network from others; may block.
        time_s: The time of day, as `time.time`.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        fingerprint: Callable[[], str | None] = network_fingerprint,
        time_s: Callable[[], float] = time.time,
    ) -> None:
        self._path = (folder or user_state_path("ossdist")) / "networks.json"
        self._fingerprint = fingerprint
        self._time_s = time_s

    async def recall(self) -> Transport | None:
        """Over which transport peers were reached in this network; None if nothing is known."""
        return await asyncio.to_thread(self._recall)

    async def keep(self, transport: Transport) -> None:
        """Remembers it. A disk that refuses costs no more than that."""
        try:
            await asyncio.to_thread(self._keep, transport)
        except StorageError as error:
            log.warning("what works in this network is not remembered: %s", error)

    def _recall(self) -> Transport | None:
        network = self._fingerprint()
        known = self._load().get(network) if network is not None else None
        return known.transport if known is not None and self._time_s() - known.at < _KEEP_S else None

    def _keep(self, transport: Transport) -> None:
        network = self._fingerprint()
        if network is None:
            return
        known = self._load() | {network: _Known(transport, int(self._time_s()))}
        newest = sorted(known.items(), key=lambda pair: pair[1].at, reverse=True)[:MAX_NETWORKS]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(str(error), path=self._path.parent) from error
        write_atomically(self._path, msgspec.json.encode(_Stored("ossdist-networks-1", dict(newest))))

    def _load(self) -> dict[str, _Known]:
        try:
            return msgspec.json.decode(read_file(self._path, limit_bytes=_MAX_BYTES), type=_Stored).networks
        except (StorageError, FormatError, msgspec.MsgspecError, ValueError) as error:
            if self._path.exists():
                log.warning("%s is begun anew: %s", self._path, error)
            return {}
