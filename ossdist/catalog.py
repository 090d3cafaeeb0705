"""What a channel offers, fetched and believed: the first half of the client's story."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from ossdist.errors import (
    FormatError,
    ManifestMismatchError,
    NotFoundError,
    OssdistError,
    SignatureError,
    SourceError,
    TorrentMismatchError,
)
from ossdist.mirrors.documents import HttpDocuments, open_documents
from ossdist.release import layout, model, trust
from ossdist.release.signing import GpgVerifier
from ossdist.release.torrents import require_signed, torrent_limit_bytes, web_seed
from ossdist.release.trust import CheckedSignature
from ossdist.store.files import read_file
from ossdist.swarm import load_metainfo
from ossdist.transfer.watch import Swarm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.config import FetchConfig
    from ossdist.release.model import RoleName
    from ossdist.release.source import DocumentSource
    from ossdist.release.trust import SignatureVerifier, TrustedChannel, TrustedRelease
    from ossdist.transfer.metainfo import Metainfo

_T = TypeVar("_T")

# A publisher replaces the channel and its signatures one after the other; a reader may come in between.
_CHANNEL_TRIES = 4
_PAUSE_S = 0.2

log = logging.getLogger(__name__)


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
        self._root = _read_root(root)
        self._config = config
        self._folder = channel if isinstance(channel, Path) else None
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

    @property
    def folder(self) -> Path | None:
        """The channel's folder, if it is one on this machine; nobody has checked what stands in it."""
        return self._folder

    async def resolve(self, name: str, version: str | None = None) -> TrustedRelease:
        """Finds a release, and believes it only if it is signed and listed as the root demands.

        Raises:
            TrustError: It is not.
            FormatError: A document is malformed.
            SourceError: It does not exist, or a document cannot be had.
        """
        # A mirror that is being brought up to date may have the new channel, and the old manifest.
        return await self._patiently(lambda: self._resolve(name, version), ManifestMismatchError, tries=2)

    async def channel(self) -> TrustedChannel:
        """Fetches the channel, and believes it only if it is signed as the root demands.

        Raises:
            TrustError: It is not, has expired, or is older than one seen before.
            FormatError: It is malformed.
            SourceError: It cannot be had.
        """
        return await self._patiently(self._channel, SignatureError, tries=_CHANNEL_TRIES)

    async def torrents(self, release: TrustedRelease) -> dict[Swarm, Metainfo]:
        """Fetches a release's torrents, from the channel or the manifest's mirrors; each must be the signed one.

        Raises:
            TorrentMismatchError: One is not.
            FormatError: One is malformed.
            SourceError: One cannot be had.
        """
        hybrid, v1 = await asyncio.gather(
            *(
                self._patiently(lambda v1=v1: self._torrent(release, v1=v1), TorrentMismatchError, tries=2)
                for v1 in (False, True)
            )
        )
        return {Swarm.HYBRID: hybrid, Swarm.V1: v1}

    def web_seeds(self, release: model.Release) -> tuple[str, ...]:
        """BEP 19 addresses of a release's payload, the preferred ones first."""
        mirrors = [mirror.url for mirror in sorted(release.mirrors, key=lambda mirror: mirror.priority)]
        if not mirrors and isinstance(self._documents, HttpDocuments):
            mirrors = [self._documents.address]  # whoever serves the channel serves its files
        return tuple(web_seed(release, mirror) for mirror in mirrors)

    async def _patiently(self, read: Callable[[], Awaitable[_T]], mismatch: type[OssdistError], *, tries: int) -> _T:
        """Reads again, from the start, what does not fit together because it was replaced in the meantime."""
        for _ in range(tries - 1):
            try:
                return await read()
            except mismatch:
                await self._clock.sleep(_PAUSE_S)
        return await read()

    async def _channel(self) -> TrustedChannel:
        now = self._clock.now()
        data = await self._documents.fetch(layout.CHANNEL, limit_bytes=model.MAX_CHANNEL_BYTES)
        signatures = await self._signatures(layout.CHANNEL, data, "channel")
        channel = trust.accept_channel(self._root, data, signatures, now=now, known_serial=self._known_serial)
        self._known_serial = channel.channel.serial
        return channel

    async def _resolve(self, name: str, version: str | None) -> TrustedRelease:
        channel = await self.channel()
        entry = channel.entry(name, version)
        data = await self._documents.fetch(entry.path, limit_bytes=entry.length)
        signatures = await self._signatures(entry.path, data, "release")
        return trust.accept_release(self._root, entry, data, signatures)

    async def _signatures(self, document: str, data: bytes, role: RoleName) -> list[CheckedSignature]:
        """Fetches and checks the signatures of a role's keys; the threshold decides which of them were needed."""

        async def fetch(fingerprint: str) -> bytes | CheckedSignature | None:
            try:
                path = layout.signature_path(document, fingerprint)
                return await self._documents.fetch(path, limit_bytes=model.MAX_SIGNATURE_BYTES)
            except NotFoundError:
                return None
            except SourceError as error:  # some servers answer 403 for what does not exist
                return CheckedSignature(None, f"the signature of key {fingerprint} cannot be had: {error}")

        found = await asyncio.gather(*map(fetch, self._root.roles.get(role).keys))
        blocks = [answer for answer in found if isinstance(answer, bytes)]
        missing = [answer for answer in found if isinstance(answer, CheckedSignature)]
        return [*await asyncio.to_thread(self._verifier.verify, data, blocks), *missing]

    async def _torrent(self, release: TrustedRelease, *, v1: bool) -> Metainfo:
        """From the channel's own address, else from the first of the manifest's mirrors that has the signed one."""
        try:
            return await self._torrent_from(self._documents, release, v1=v1)
        except (SourceError, FormatError, TorrentMismatchError) as error:
            first_error = error
        for mirror in sorted(release.release.mirrors, key=lambda mirror: mirror.priority):
            documents = HttpDocuments(mirror.url, self._config)
            try:
                return await self._torrent_from(documents, release, v1=v1)
            except (SourceError, FormatError, TorrentMismatchError) as error:
                log.info("no torrent of %s from %s: %s", release.release.title, mirror.url, error)
            finally:
                await documents.close()
        raise first_error

    async def _torrent_from(self, documents: DocumentSource, release: TrustedRelease, *, v1: bool) -> Metainfo:
        path = layout.torrent_path(release.release.name, release.release.version, v1=v1)
        data = await documents.fetch(path, limit_bytes=torrent_limit_bytes(release.release, v1=v1))
        metainfo = await asyncio.to_thread(lambda: load_metainfo(data, document=path))
        require_signed(release.release, metainfo, v1=v1)
        return metainfo


def _read_root(root: Path | bytes) -> model.Root:
    if isinstance(root, bytes):
        return model.decode_root(root)
    return model.decode_root(read_file(root, limit_bytes=model.MAX_ROOT_BYTES), document=root.name)
