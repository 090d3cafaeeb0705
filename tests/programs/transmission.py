"""Transmission: the daemon, steered over its RPC, and the tool that makes torrents."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, ClassVar

import msgspec

from tests.programs.client import Client, ClientStatus
from tests.programs.http import fetch
from tests.programs.ports import free_port
from tests.programs.process import run

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.programs.http import Response

_SESSION_HEADER = "x-transmission-session-id"
_FIELDS = (
    "status",
    "percentDone",
    "metadataPercentComplete",
    "rateDownload",
    "rateUpload",
    "errorString",
    "peersConnected",
    "leftUntilDone",
)
_STATES = ("stopped", "check queued", "checking", "download queued", "downloading", "seed queued", "seeding")
_AT_REST = ("stopped", "seeding")


class _Torrent(msgspec.Struct, rename="camel"):
    status: int
    percent_done: float
    metadata_percent_complete: float
    rate_download: int
    rate_upload: int
    error_string: str
    peers_connected: int
    left_until_done: int


class _Torrents(msgspec.Struct):
    torrents: list[_Torrent]


class _Added(msgspec.Struct, rename="kebab"):
    torrent_added: dict[str, object] | None = None
    torrent_duplicate: dict[str, object] | None = None


class _Answer(msgspec.Struct):
    result: str
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class Transmission(Client):
    """transmission-daemon.

    It cannot be told of a peer: it takes connections at ``peer``, or learns of peers from a tracker.

    Args:
        folder: Its profile.
        host: An IPv4 or IPv6 address of the loopback interface, for peers.
        peer_port: 0 for a free one.
        settings: Further entries of its ``settings.json``.
    """

    name: ClassVar[str] = "transmission-daemon"

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", peer_port: int = 0, settings: Mapping[str, object] | None = None
    ) -> None:
        super().__init__(folder, host=host, peer_port=peer_port)
        rpc_port = free_port()
        self._url = f"http://127.0.0.1:{rpc_port}/transmission/rpc"
        self._session_id = ""
        self._settings: dict[str, object] = {
            "rpc-bind-address": "127.0.0.1",
            "rpc-port": rpc_port,
            "rpc-authentication-required": False,
            "bind-address-ipv4": "127.0.0.1" if ":" in host else host,
            "bind-address-ipv6": host if ":" in host else "::1",
            "peer-port": self.peer.port,
            "port-forwarding-enabled": False,
            "dht-enabled": False,
            "lpd-enabled": False,
            "pex-enabled": False,
            "utp-enabled": False,
            "download-dir": str(self.folder),
            "download-queue-enabled": False,
            "seed-queue-enabled": False,
            **(settings or {}),
        }

    async def add_torrent(self, torrent: bytes, *, save_path: Path, seed: bool = False) -> str:
        # Files that are there already are checked without being told to.
        return await self._add(save_path, metainfo=base64.b64encode(torrent).decode())

    async def add_magnet(self, magnet: str, *, save_path: Path) -> str:
        return await self._add(save_path, filename=magnet)

    async def verify(self, key: str) -> None:
        """Checks the files of a torrent again."""
        await self._call("torrent-verify", ids=[key])

    async def status(self, key: str) -> ClientStatus:
        raw = await self._call("torrent-get", ids=[key], fields=_FIELDS)
        found = msgspec.json.decode(raw, type=_Torrents).torrents
        if not found:
            raise self.failure(f"does not know the torrent {key}")
        torrent = found[0]
        state = _STATES[torrent.status]
        has_all = torrent.metadata_percent_complete == 1 and torrent.left_until_done == 0
        return ClientStatus(
            complete=has_all and state in _AT_REST,
            fraction=torrent.percent_done,
            download_bytes_per_s=torrent.rate_download,
            upload_bytes_per_s=torrent.rate_upload,
            peers=torrent.peers_connected,
            error=torrent.error_string,
            state=state,
        )

    def _command(self) -> Sequence[str | Path]:
        (self.folder / "settings.json").write_text(json.dumps(self._settings), "utf-8")
        return "transmission-daemon", "--foreground", "--config-dir", self.folder

    async def _ready(self) -> bool:
        return bool(await self._call("session-get")) and await self._takes_peers()

    async def _add(self, save_path: Path, **source: str) -> str:
        raw = await self._call("torrent-add", **source, **{"download-dir": str(save_path), "paused": False})
        added = msgspec.json.decode(raw, type=_Added)
        torrent = added.torrent_added or added.torrent_duplicate or {}
        return str(torrent["hashString"])

    async def _call(self, method: str, **arguments: object) -> msgspec.Raw:
        body = json.dumps({"method": method, "arguments": arguments}).encode()
        answer = await self._post(body)
        if answer.status == 409:  # the first answer of all; it names the session
            self._session_id = answer.headers[_SESSION_HEADER]
            answer = await self._post(body)
        if answer.status != 200:
            raise self.failure(f"answered {method} with {answer.status}")
        reply = msgspec.json.decode(answer.body, type=_Answer)
        if reply.result != "success":
            raise self.failure(f"refused {method}: {reply.result}")
        return reply.arguments

    async def _post(self, body: bytes) -> Response:
        return await fetch(self._url, method="POST", body=body, headers={_SESSION_HEADER: self._session_id})


async def transmission_create(
    payload: Path,
    torrent: Path,
    *,
    piece_length_bytes: int | None = None,
    trackers: Sequence[str] = (),
    timeout_s: float = 60,
) -> bytes:
    """Makes a v1 torrent with ``transmission-create``, which leaves empty files out.

    Args:
        payload: A file or a folder.
        torrent: Where to write it.
        piece_length_bytes: A power of two; the tool's own choice if it is missing.
        trackers: Announce addresses.
        timeout_s: For the hashing.

    Returns:
        The torrent's bytes.

    Raises:
        ProgramError: The tool failed.
    """
    options = [] if piece_length_bytes is None else ["--piecesize", str(piece_length_bytes // 1024)]
    announce = [word for url in trackers for word in ("--tracker", url)]
    command = ["transmission-create", "--outfile", torrent, *options, *announce, payload]
    await run(command, folder=torrent.parent, timeout_s=timeout_s)
    return await asyncio.to_thread(torrent.read_bytes)
