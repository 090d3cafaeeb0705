"""qBittorrent without a window, steered over its Web API."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlencode

import msgspec

from tests.programs.client import Client, ClientStatus
from tests.programs.http import fetch
from tests.programs.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ossdist.transfer.metainfo import Address

_FORM = "application/x-www-form-urlencoded"
_AT_REST = ("uploading", "stalledUP", "pausedUP", "queuedUP", "forcedUP")
_BROKEN = ("error", "missingFiles")


class _Torrent(msgspec.Struct):
    hash: str
    state: str
    progress: float
    dlspeed: int
    upspeed: int
    num_seeds: int
    num_leechs: int


class QBittorrent(Client):
    """qbittorrent-nox.

    Args:
        folder: Its profile.
        host: An IPv4 or IPv6 address of the loopback interface, for peers.
        peer_port: 0 for a free one.
        preferences: Further entries of the ``[BitTorrent]`` section of its configuration.
    """

    name: ClassVar[str] = "qbittorrent-nox"

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", peer_port: int = 0, preferences: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, host=host, peer_port=peer_port)
        self._web_port = free_port()
        self._url = f"http://127.0.0.1:{self._web_port}/api/v2/"
        self._preferences = {
            "Port": str(self.peer.port),
            "Interface": "lo",
            "InterfaceName": "lo",
            "InterfaceAddress": host,
            "DHTEnabled": "false",
            "LSDEnabled": "false",
            "PeXEnabled": "false",
            "QueueingSystemEnabled": "false",
            "MultiConnectionsPerIp": "true",
            "BTProtocol": "TCP",
            **(preferences or {}),
        }

    async def add_torrent(
        self, torrent: bytes, *, save_path: Path, seed: bool = False, skip_checking: bool = False
    ) -> str:
        """See `Client.add_torrent`.

        Args:
            torrent: The file's bytes.
            save_path: Folder in which the files stand or will stand.
            seed: Says nothing new to it: it checks what it finds.
            skip_checking: It takes the files for complete and right.
        """
        trust = {"skip_checking": b"true"} if skip_checking else {}
        return await self._add(save_path, {'torrents"; filename="t.torrent': torrent, **trust})

    async def add_magnet(self, magnet: str, *, save_path: Path) -> str:
        return await self._add(save_path, {"urls": magnet.encode()})

    async def add_peers(self, key: str, peers: Iterable[Address]) -> None:
        """Tells it of peers, which it dials."""
        await self._post("torrents/addPeers", hashes=await self._hash(key), peers="|".join(str(peer) for peer in peers))

    async def recheck(self, key: str) -> None:
        """Checks the files of a torrent again."""
        await self._post("torrents/recheck", hashes=await self._hash(key))

    async def status(self, key: str) -> ClientStatus:
        torrent = await self._torrent(key)
        return ClientStatus(
            complete=torrent.progress == 1 and torrent.state in _AT_REST,
            fraction=torrent.progress,
            download_bytes_per_s=torrent.dlspeed,
            upload_bytes_per_s=torrent.upspeed,
            peers=torrent.num_seeds + torrent.num_leechs,
            error=torrent.state if torrent.state in _BROKEN else "",
            state=torrent.state,
        )

    def _command(self) -> Sequence[str | Path]:
        lines = [
            "[LegalNotice]",
            "Accepted=true",
            "[BitTorrent]",
            *(f"Session\\{name}={value}" for name, value in self._preferences.items()),
            "[Network]",
            "PortForwardingEnabled=false",
            "[Preferences]",
            "WebUI\\Enabled=true",
            "WebUI\\Address=127.0.0.1",
            f"WebUI\\Port={self._web_port}",
            "WebUI\\LocalHostAuth=false",
            "WebUI\\UseUPnP=false",
        ]
        path = self.folder / "qBittorrent/config/qBittorrent.conf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([*lines, ""]), "utf-8")
        return "qbittorrent-nox", f"--profile={self.folder}"

    async def _ready(self) -> bool:
        return (await fetch(f"{self._url}app/version")).status == 200 and await self._takes_peers()

    async def _ask_to_stop(self) -> None:
        await self._post("app/shutdown")

    async def _add(self, save_path: Path, source: Mapping[str, bytes]) -> str:
        # The key is a tag: which hash it goes by is its own affair, and changes when a magnet link's metadata comes.
        tag = uuid.uuid4().hex
        options = {"savepath": save_path, "tags": tag, "autoTMM": "false", "contentLayout": "Original"}
        fields = {**source, **{name: str(value).encode() for name, value in options.items()}}
        parts = [
            b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (tag.encode(), name.encode(), value)
            for name, value in fields.items()
        ]
        body = b"".join([*parts, b"--%s--\r\n" % tag.encode()])
        await self._send("torrents/add", f"multipart/form-data; boundary={tag}", body)
        await self.until(lambda: self._tagged(tag), "to list a torrent that it took", timeout_s=10)
        return tag

    async def _hash(self, key: str) -> str:
        return (await self._torrent(key)).hash

    async def _torrent(self, key: str) -> _Torrent:
        found = await self._tagged(key)
        if not found:
            raise self.failure(f"does not know the torrent {key}")
        return found[0]

    async def _tagged(self, tag: str) -> list[_Torrent]:
        answer = await fetch(f"{self._url}torrents/info?{urlencode({'tag': tag})}")
        return msgspec.json.decode(answer.body, type=list[_Torrent])

    async def _post(self, method: str, **fields: str) -> None:
        await self._send(method, _FORM, urlencode(fields).encode())

    async def _send(self, method: str, kind: str, body: bytes) -> None:
        answer = await fetch(f"{self._url}{method}", method="POST", body=body, headers={"Content-Type": kind})
        if answer.status != 200 or answer.body == b"Fails.":
            raise self.failure(f"answered {method} with {answer.status} {answer.body[:200]!r}")
