"""What a client shares: which releases, from which folder, by which torrents.

Releases of the same bytes (a candidate that was promoted) have the same info-hashes, and a session can hold a torrent
once: such releases share their torrents, from the folder of the one that came first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ossdist.release.torrents import files_in
from ossdist.store.files import FileStamp, stamp
from ossdist.tasks import run_to_end
from ossdist.transfer.session import AddTorrent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from ossdist.release import model
    from ossdist.release.trust import TrustedRelease
    from ossdist.transfer.metainfo import Metainfo
    from ossdist.transfer.session import Session, Torrent
    from ossdist.transfer.watch import Swarm


@dataclass(frozen=True, slots=True)
class Seeding:
    """A release that is being shared.

    Attributes:
        release: Which.
        folder: Where its files stand.
        torrents: Its torrent in each swarm; releases of the same bytes have the same ones.
        stamps: Of its files, when sharing began.
    """

    release: TrustedRelease
    folder: Path
    torrents: dict[Swarm, Torrent]
    stamps: Mapping[Path, FileStamp | None]

    @property
    def key(self) -> str:
        """What releases of the same bytes have in common."""
        return key_of(self.release)

    def is_altered(self) -> bool:
        """Whether a file was written to, replaced or removed since. It asks the disk."""
        return any(stamp(path) != before for path, before in self.stamps.items())


def key_of(release: TrustedRelease) -> str:
    """What releases of the same bytes have in common: the hybrid's info-hash."""
    return release.release.hybrid.info_hash_v2


class Sharing:
    """Every release that one session shares.

    Args:
        session: The session.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._seedings: dict[str, Seeding] = {}

    @property
    def all(self) -> tuple[Seeding, ...]:
        """What is being shared now."""
        return tuple(self._seedings.values())

    def get(self, title: str) -> Seeding | None:
        """The release of that title; None if it is not shared."""
        return self._seedings.get(title)

    async def start(
        self,
        release: TrustedRelease,
        torrents: Mapping[Swarm, Metainfo],
        folder: Path,
        already: Mapping[Swarm, Torrent],
    ) -> Seeding:
        """Serves a release in every swarm from the same files.

        Args:
            release: The release.
            torrents: Its torrents.
            folder: Where its verified files stand, if no release of the same bytes is shared.
            already: Torrents that the session has of it and that nothing else uses.

        Raises:
            SwarmError: A torrent cannot be added; then nothing of the release is shared.
        """
        twin = next((seeding for seeding in self.all if seeding.key == key_of(release)), None)
        if twin is not None:
            seeding = replace(twin, release=release)
        else:
            stamps = await asyncio.to_thread(_stamps, release.release, folder)
            seeding = Seeding(release, folder, {}, stamps)
        new = dict(already)
        try:
            for swarm, metainfo in torrents.items():
                if swarm not in new and swarm not in seeding.torrents:
                    new[swarm] = await self._session.add(_seed_request(release.release, metainfo, seeding.folder))
        except BaseException:
            await run_to_end(_remove(new))
            raise
        seeding.torrents.update(new)
        self._seedings[release.release.title] = seeding
        return seeding

    async def stop(self, release: TrustedRelease) -> None:
        """Stops sharing one release; the files stay."""
        seeding = self._seedings.get(release.release.title)
        if seeding is not None:
            await run_to_end(self._stop(seeding))

    async def stop_bytes(self, release: TrustedRelease) -> None:
        """Stops sharing every release of the same bytes: its torrents are wanted for something else."""
        for seeding in self.all:
            if seeding.key == key_of(release):
                await self.stop(seeding.release)

    async def stop_overlapping(self, places: AbstractSet[Path]) -> None:
        """Stops sharing every release that has a file at one of these places."""
        for seeding in self.all:
            if places & {(seeding.folder / file.path).absolute() for file in seeding.release.release.files}:
                await self.stop(seeding.release)

    async def _stop(self, seeding: Seeding) -> None:
        del self._seedings[seeding.release.release.title]
        if all(other.torrents is not seeding.torrents for other in self.all):
            await _remove(seeding.torrents)


async def _remove(torrents: dict[Swarm, Torrent]) -> None:
    for swarm, torrent in tuple(torrents.items()):
        del torrents[swarm]
        await torrent.remove()


def _stamps(release: model.Release, folder: Path) -> dict[Path, FileStamp | None]:
    paths = [(folder / file.path).absolute() for file in release.files]
    return {path: stamp(path) for path in paths}


def _seed_request(release: model.Release, metainfo: Metainfo, folder: Path) -> AddTorrent:
    """Serves a release's verified files from where they stand."""
    files = files_in(metainfo, release)
    return AddTorrent(
        source=metainfo,
        save_path=folder.absolute(),
        trackers=release.trackers,
        rename=tuple((found.index, (folder / path).absolute()) for path, found in files.items()),
        seed=True,
    )
