"""What the drivers of BitTorrent clients have in common."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ossdist.transfer.metainfo import Address
from tests.programs.ports import free_port, listens
from tests.programs.process import Program, ProgramError

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class ClientStatus:
    """A download at one moment.

    Attributes:
        complete: Every byte is there and was checked, or was taken for good.
        fraction: Of the bytes that are there, 0 to 1.
        download_bytes_per_s: Rate now.
        upload_bytes_per_s: Rate now.
        peers: Connected peers.
        error: What is wrong with it, or an empty string.
        state: The program's own word for what it does.
    """

    complete: bool
    fraction: float
    download_bytes_per_s: int
    upload_bytes_per_s: int
    peers: int
    error: str
    state: str


class Client(Program):
    """A BitTorrent client with DHT, local discovery and peer exchange off, unless it is told otherwise.

    Args:
        folder: Its profile.
        host: An IPv4 or IPv6 address of the loopback interface, for peers.
        peer_port: Where peers may connect; 0 for a free one.

    Attributes:
        peer: Where peers may connect.
    """

    def __init__(self, folder: Path, *, host: str = "127.0.0.1", peer_port: int = 0) -> None:
        super().__init__(folder)
        self.peer = Address(host, peer_port or free_port())

    @abstractmethod
    async def add_torrent(self, torrent: bytes, *, save_path: Path, seed: bool = False) -> str:
        """Starts on a torrent file.

        Args:
            torrent: The file's bytes.
            save_path: Folder in which the files stand or will stand.
            seed: The files are there; it checks them and then serves them.

        Returns:
            A key for the other methods.

        Raises:
            ProgramError: It refuses the torrent.
        """

    @abstractmethod
    async def add_magnet(self, magnet: str, *, save_path: Path) -> str:
        """Starts on a magnet link; see `add_torrent`."""

    @abstractmethod
    async def status(self, key: str) -> ClientStatus:
        """How far it is."""

    async def complete(self, key: str, *, timeout_s: float) -> ClientStatus:
        """Waits until a torrent is complete and is seeded, or at rest.

        Raises:
            ProgramError: It reports an error, or is not complete in time.
        """
        seen: list[ClientStatus] = []

        async def probe() -> ClientStatus | None:
            seen[:] = [status := await self.status(key)]
            if status.error:
                raise self.failure(f"says of {key}: {status.error}")
            return status if status.complete else None

        try:
            return await self.until(probe, f"to complete {key}", timeout_s=timeout_s)
        except ProgramError as error:
            error.add_note(f"its last answer: {seen}")
            raise

    async def _takes_peers(self) -> bool:
        return await listens(*self.peer)
