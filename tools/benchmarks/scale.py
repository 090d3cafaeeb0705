"""A channel of many releases: what an update costs at first, and after one release was added."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ossdist.release import layout, model
from ossdist.release.channel import Channel, ReleaseEntry, paginate
from ossdist.release.signing import GpgSigner, stop_agent
from ossdist.signing_keys import SigningKeys
from tools.benchmarks.bed import measure
from tools.benchmarks.report import Row, machine, medians, work_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def run(*, releases: int, runs: int, folder: Path | None, log: Callable[[str], None]) -> dict[str, object]:
    """Measures ``runs`` clients, each a process of its own with two updates."""
    rows: list[Row] = []
    with work_folder(releases * 1000, folder) as place:
        home = place / "gpg"
        home.mkdir(mode=0o700)
        try:
            channel = await asyncio.to_thread(_Channel, place / "channel", home)
            for number in range(runs):
                for party, count in (("first", releases), ("one more", releases + 1)):
                    await asyncio.to_thread(channel.list, count)
                    state = str(place / f"state-{number}")
                    row = await measure("update", "--channel", str(channel.folder), "--state", state)
                    rows.append({"party": party, "round": number, **row})
                log(f"round {number + 1} of {runs}")
        finally:
            await asyncio.to_thread(stop_agent, home)
    names = ("seconds", "cpu_s", "peak_rss_bytes", "fetched_bytes", "documents")
    return {
        "bench": "scale",
        "releases": releases,
        "cases": {party: medians(rows, party, *names) for party in ("first", "one more")},
        "machine": machine(),
        "runs": runs,
        "rows": rows,
    }


class _Channel:
    """A channel's documents, without the releases themselves."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        signer = GpgSigner(home)
        self._keys = SigningKeys(signer, [signer.create_key("Benchmark <benchmark@example.org>")])
        self._now = datetime.now(UTC).replace(microsecond=0)
        role = model.Role(keys=self._keys.fingerprints, threshold=1)
        roles = model.Roles(root=role, channel=role, release=role)
        self._role = role
        root = model.Root(
            channel="benchmark",
            serial=1,
            expires=self._now + timedelta(days=1),
            keys=self._keys.public_keys(roles),
            roles=roles,
        )
        self._put({layout.ROOT: model.encode(root)})

    def list(self, count: int) -> None:
        """Lists so many releases."""
        channel = Channel(
            channel="benchmark",
            serial=count,
            issued=self._now,
            expires=self._now + timedelta(days=1),
            releases=tuple(_entry(number) for number in range(1, count + 1)),
        )
        document, pages = paginate(channel)
        self._put({**pages, **self._keys.signed(layout.CHANNEL, model.encode(document), self._role)})

    def _put(self, documents: dict[str, bytes]) -> None:
        for path, data in documents.items():
            target = self.folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


def _entry(number: int) -> ReleaseEntry:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return ReleaseEntry(
        name=f"package-{number % 1000}", version=f"1.{number}", serial=number, length=1000, sha256=digest
    )
