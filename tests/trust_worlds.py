"""A channel in a folder, its users' root and memory, and clients of it: for tests of what may be believed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ossdist.errors import MirrorError
from ossdist.mirrors.documents import FolderDocuments
from ossdist.release.model import encode
from ossdist.store.trust_file import TrustFile
from ossdist.updater import Updater
from tests import releases
from tests.channel_documents import Documents
from tests.releases import DAY

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from ossdist.release.channel import Channel, ReleaseEntry
    from ossdist.release.model import Root
    from ossdist.release.update import TrustedChannel

NOW = datetime.now(UTC).replace(microsecond=0)
"""When the tests began. gpg dates signatures by the machine's clock, which goes on from here."""


def channel_of(*entries: ReleaseEntry, serial: int, expires: datetime = NOW + DAY) -> Channel:
    """A channel that was issued now."""
    return releases.channel_of(*entries, serial=serial, issued=NOW, expires=expires)


@dataclass
class PatientClock:
    """A clock that goes on from the time it is set to, as gpg's does, and whose pauses take none."""

    time: datetime = NOW
    """The time that it shows at the machine's ``NOW``."""
    pauses: list[float] = field(default_factory=list[float])

    def now(self) -> datetime:
        return self.time + (datetime.now(UTC) - NOW)

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, duration_s: float) -> None:
        self.pauses.append(duration_s)
        await asyncio.sleep(0)


@dataclass
class BrokenDocuments:
    """A source that has nothing but failures, and counts the questions."""

    address: str = "https://broken.example.org"
    asked: list[str] = field(default_factory=list[str])

    async def fetch(self, path: str, *, limit_bytes: int) -> bytes:
        assert limit_bytes > 0
        self.asked.append(path)
        raise MirrorError(self.address, "status 500")

    async def close(self) -> None:
        pass


@dataclass
class World:
    """A channel in a folder, a root that its users have, and what they remember."""

    documents: Documents
    root: Root
    state: Path
    clock: PatientClock = field(default_factory=PatientClock)

    @asynccontextmanager
    async def updater(self, *others: Documents | BrokenDocuments, root: Root | None = None) -> AsyncGenerator[Updater]:
        sources = [
            FolderDocuments(other.folder) if isinstance(other, Documents) else other
            for other in (others or (self.documents,))
        ]
        given = encode(root or self.root)
        async with Updater(sources, root=given, clock=self.clock, store=TrustFile(self.state)) as updater:
            yield updater

    async def update(self, *others: Documents | BrokenDocuments, root: Root | None = None) -> TrustedChannel:
        """One run of a client."""
        async with self.updater(*others, root=root) as updater:
            return await updater.update()

    def copy(self, name: str) -> Documents:
        """Another mirror, empty."""
        return Documents(self.documents.folder.parent / name, self.documents.keys)
