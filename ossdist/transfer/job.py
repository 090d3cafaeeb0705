"""What a transfer is asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.transfer.metainfo import Address, Metainfo
    from ossdist.transfer.watch import Swarm


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferJob:
    """What to transfer, and from whom.

    Attributes:
        title: For messages.
        torrents: The torrent of each swarm; their info-hashes were compared with the signed ones.
        save_path: Where the files are written.
        peers: Peers that are known already.
        trackers: Announce addresses.
        web_seeds: BEP 19 addresses.
        find_peers: Use DHT, LSD and PEX as far as the session has them, and the peers that the resume data remember.
        has_data: There may be data of an earlier try on disk.
        resume_data: What that try left of the hybrid swarm's torrent.
        resume_trusted: It describes the files as they are; otherwise they are checked.
        copied: Bytes that were copied just now from folders of the channel on this machine; nobody has checked them.
    """

    title: str
    torrents: Mapping[Swarm, Metainfo]
    save_path: Path
    peers: tuple[Address, ...] = ()
    trackers: tuple[str, ...] = ()
    web_seeds: tuple[str, ...] = ()
    find_peers: bool = True
    has_data: bool = False
    resume_data: bytes | None = None
    resume_trusted: bool = False
    copied: Mapping[Path, int] = field(default_factory=dict["Path", int])

    @property
    def names_mirrors_alone(self) -> bool:
        """Nobody but its web seeds can ever give anything, unless peers come by themselves."""
        return not (self.peers or self.trackers or self.find_peers)
