"""What a channel offers, fetched and believed: the first half of the client's story."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from ossdist.errors import NotFoundError
from ossdist.mirrors.documents import HttpDocuments, open_documents
from ossdist.release import layout, model, trust
from ossdist.release.signing import GpgVerifier
from ossdist.release.torrents import require_signed, torrent_limit_bytes, web_seed
from ossdist.store.workspace import read_file
from ossdist.swarm import load_metainfo
from ossdist.transfer.watch import Swarm

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.config import FetchConfig
    from ossdist.release.model import RoleName
    from ossdist.release.trust import CheckedSignature, SignatureVerifier, TrustedChannel, TrustedRelease
    from ossdist.transfer.metainfo import Metainfo


class Catalog:
    """A channel under a root of trust. Nothing that it gives was not checked. An asynchronous context manager.

    Args:
        channel: The channel's address (http, https) or folder.
        root: The root of trust, a ``root.json``: its path or bytes.
        config: Time-outs and certificates.
        clock: Time.

    Raises:
        FormatError: The root of trust is malformed.
        StorageError: It cannot be read.
        ValueError: The address is neither http nor https.
    """

    def __init__(self, channel: str | Path, *, root: Path | bytes, config: FetchConfig, clock: Clock) -> None:
        self._root = model.decode_root(root if isinstance(root, bytes) else read_file(root))
        self._documents = open_documents(channel, config)
        self._clock = clock
        self._known_serial = 0
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self._documents.close)
            self._verifier: SignatureVerifier = stack.enter_context(
                await asyncio.to_thread(lambda: GpgVerifier(self._root, clock=self._clock))
            )
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    async def resolve(self, name: str, version: str | None = None) -> TrustedRelease:
        """Finds a release, and believes it only if it is signed and listed as the root demands.

        Raises:
            TrustError: It is not.
            FormatError: A document is malformed.
            SourceError: It does not exist, or a document cannot be had.
        """
        channel = await self.channel()
        entry = channel.entry(name, version)
        data = await self._documents.fetch(entry.path, limit_bytes=entry.length)
        signatures = await self._signatures(entry.path, data, "release")
        return trust.accept_release(self._root, entry, data, signatures)

    async def channel(self) -> TrustedChannel:
        """Fetches the channel, and believes it only if it is signed as the root demands.

        Raises:
            TrustError: It is not, has expired, or is older than one seen before.
            FormatError: It is malformed.
            SourceError: It cannot be had.
        """
        now = self._clock.now()
        data = await self._documents.fetch(layout.CHANNEL, limit_bytes=model.MAX_CHANNEL_BYTES)
        signatures = await self._signatures(layout.CHANNEL, data, "channel")
        channel = trust.accept_channel(self._root, data, signatures, now=now, known_serial=self._known_serial)
        self._known_serial = channel.channel.serial
        return channel

    async def torrents(self, release: TrustedRelease) -> dict[Swarm, Metainfo]:
        """Fetches a release's torrents; each must be the signed one.

        Raises:
            TorrentMismatchError: One is not.
            FormatError: One is malformed.
            SourceError: One cannot be had.
        """
        hybrid, v1 = await asyncio.gather(self._torrent(release, v1=False), self._torrent(release, v1=True))
        return {Swarm.HYBRID: hybrid, Swarm.V1: v1}

    def web_seeds(self, release: model.Release) -> tuple[str, ...]:
        """BEP 19 addresses of a release's payload, the preferred ones first."""
        mirrors = [mirror.url for mirror in sorted(release.mirrors, key=lambda mirror: mirror.priority)]
        if not mirrors and isinstance(self._documents, HttpDocuments):
            mirrors = [self._documents.address]  # whoever serves the channel serves its files
        return tuple(web_seed(release, mirror) for mirror in mirrors)

    async def _signatures(self, document: str, data: bytes, role: RoleName) -> list[CheckedSignature]:
        async def fetch(fingerprint: str) -> bytes | None:
            try:
                path = layout.signature_path(document, fingerprint)
                return await self._documents.fetch(path, limit_bytes=model.MAX_SIGNATURE_BYTES)
            except NotFoundError:
                return None  # the threshold decides whether it was needed

        found = await asyncio.gather(*map(fetch, self._root.roles.get(role).keys))
        signatures = [signature for signature in found if signature is not None]
        return await asyncio.to_thread(self._verifier.verify, data, signatures)

    async def _torrent(self, release: TrustedRelease, *, v1: bool) -> Metainfo:
        path = layout.torrent_path(release.release.name, release.release.version, v1=v1)
        data = await self._documents.fetch(path, limit_bytes=torrent_limit_bytes(release.release, v1=v1))
        metainfo = await asyncio.to_thread(lambda: load_metainfo(data, document=path))
        require_signed(release.release, metainfo, v1=v1)
        return metainfo
