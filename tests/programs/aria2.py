"""aria2, steered over JSON-RPC."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, ClassVar

import msgspec

from tests.programs.client import Client, ClientStatus
from tests.programs.http import fetch
from tests.programs.ports import free_port

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_SEED = {"check-integrity": "true", "seed-ratio": "0.0"}
_LEECH = {"seed-time": "0"}


class _Download(msgspec.Struct, rename="camel"):
    status: str
    total_length: str
    completed_length: str
    download_speed: str
    upload_speed: str
    connections: str = "0"
    error_message: str = ""
    error_code: str = "0"
    seeder: str = "false"
    followed_by: list[str] = msgspec.field(default_factory=list[str])


class _Error(msgspec.Struct):
    message: str


class _Answer(msgspec.Struct):
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


class Aria2(Client):
    """aria2, which can download from a torrent, a magnet link, a metalink and plain addresses.

    It cannot be told of a peer: it takes connections at ``peer``, which is open while it has a torrent, or learns
    of peers from a tracker. It asks UDP trackers only with ``"enable-dht": "true"``.

    Args:
        folder: Its home.
        host: An IPv4 or IPv6 address of the loopback interface, for peers.
        peer_port: 0 for a free one.
        options: Further options without the dashes, such as ``{"max-download-limit": "1M"}``.
    """

    name: ClassVar[str] = "aria2c"

    def __init__(
        self, folder: Path, *, host: str = "127.0.0.1", peer_port: int = 0, options: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(folder, host=host, peer_port=peer_port)
        self._url = f"http://127.0.0.1:{(rpc := free_port())}/jsonrpc"
        self._options = {
            "no-conf": "true",
            "enable-rpc": "true",
            "rpc-listen-port": str(rpc),
            "rpc-listen-all": "false",
            "dir": str(self.folder),
            "listen-port": str(self.peer.port),
            "enable-dht": "false",
            "dht-listen-port": str(self.peer.port),
            "enable-dht6": "false",
            "bt-enable-lpd": "false",
            "enable-peer-exchange": "false",
            "file-allocation": "none",
            "allow-overwrite": "true",
            "bt-save-metadata": "false",
            "summary-interval": "0",
            "show-console-readout": "false",
            "console-log-level": "notice",
            **(options or {}),
        }

    async def add_torrent(self, torrent: bytes, *, save_path: Path, seed: bool = False) -> str:
        content = base64.b64encode(torrent).decode()
        key = await self._add("aria2.addTorrent", content, [], self._for(save_path, seed=seed))
        if not seed:  # it checks what it seeds before it listens
            await self._listening(key)
        return key

    async def add_magnet(self, magnet: str, *, save_path: Path) -> str:
        key = await self._add("aria2.addUri", [magnet], self._for(save_path, seed=False))
        await self._listening(key)
        return key

    async def add_urls(self, urls: Sequence[str], *, save_path: Path) -> str:
        """Starts to download one file from several addresses that all have it."""
        return await self._add("aria2.addUri", list(urls), self._for(save_path, seed=False))

    async def add_metalink(self, metalink: bytes, *, save_path: Path) -> list[str]:
        """Starts on a metalink (RFC 5854); returns a key for each file."""
        content = base64.b64encode(metalink).decode()
        raw = await self._call("aria2.addMetalink", content, self._for(save_path, seed=False))
        return msgspec.json.decode(raw, type=list[str])

    async def status(self, key: str) -> ClientStatus:
        download = msgspec.json.decode(await self._call("aria2.tellStatus", key), type=_Download)
        if download.followed_by:  # a magnet link's metadata, or the torrent of a metalink
            return await self.status(download.followed_by[-1])
        total, done = int(download.total_length), int(download.completed_length)
        return ClientStatus(
            complete=download.status == "complete" or (download.seeder == "true" and done == total),
            fraction=done / total if total else 0.0,
            download_bytes_per_s=int(download.download_speed),
            upload_bytes_per_s=int(download.upload_speed),
            peers=int(download.connections),
            error=download.error_message or f"error {download.error_code}" if download.status == "error" else "",
            state=download.status,
        )

    def _command(self) -> Sequence[str | Path]:
        return "aria2c", *(f"--{name}={value}" for name, value in self._options.items())

    async def _ready(self) -> bool:
        return bool(await self._call("aria2.getVersion"))

    async def _listening(self, key: str) -> None:
        async def probe() -> bool:
            return await self._takes_peers() or (await self.status(key)).state != "active"

        await self.until(probe, "to listen for peers", timeout_s=10)

    def _for(self, save_path: Path, *, seed: bool) -> dict[str, str]:
        return {"dir": str(save_path), **(_SEED if seed else _LEECH)}

    async def _add(self, method: str, *arguments: object) -> str:
        return msgspec.json.decode(await self._call(method, *arguments), type=str)

    async def _call(self, method: str, *arguments: object) -> msgspec.Raw:
        request = {"jsonrpc": "2.0", "id": "1", "method": method, "params": list(arguments)}
        answer = await fetch(self._url, method="POST", body=json.dumps(request).encode())
        reply = msgspec.json.decode(answer.body, type=_Answer)
        if reply.error:
            raise self.failure(f"refused {method}: {reply.error.message}")
        return reply.result
