"""What a channel offers, fetched and believed: the first half of the client's story."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeVar

from platformdirs import user_state_path

from ossdist.errors import FormatError, ManifestMismatchError, SourceError, TorrentMismatchError, TrustError
from ossdist.mirrors.documents import HttpDocuments, open_documents
from ossdist.release import layout, model, trust, update
from ossdist.release.torrents import require_signed, torrent_limit_bytes
from ossdist.release.trust import Listing
from ossdist.store.trust_file import TrustFile, read_root
from ossdist.swarm import load_metainfo
from ossdist.transfer.watch import Swarm
from ossdist.updater import Updater

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.config import FetchConfig
    from ossdist.release.channel import ReleaseEntry
    from ossdist.release.source import DocumentSource
    from ossdist.release.trust import TrustedRelease
    from ossdist.release.update import TrustedChannel
    from ossdist.transfer.metainfo import Metainfo

_T = TypeVar("_T")

Place = str | Path
"""Where a channel is: its address (http, https) or folder."""

# A mirror that is being brought up to date may have the new index, and the old manifest or torrent.
_PAUSE_S = 0.2

log = logging.getLogger(__name__)


class Catalog:
    """A channel under a root of trust. Nothing that it gives was not checked. An asynchronous context manager.

    Args:
        channel: Where the channel is. Of several copies, the preferred one first, all are asked, and the newest counts;
            with none, only torrents that carry their release can be believed.
        root: The root of trust, a ``root.json``: its path or bytes.
        config: Time-outs and certificates.
        clock: Time.
        state_folder: Where is remembered what was accepted of channels; the user's own (XDG) if None.

    Raises:
        FormatError: The root of trust is malformed.
        StorageError: It cannot be read.
        ValueError: An address is neither http nor https.
    """

    def __init__(
        self,
        channel: Place | Sequence[Place],
        *,
        root: Path | bytes,
        config: FetchConfig,
        clock: Clock,
        state_folder: Path | None = None,
    ) -> None:
        addresses = [channel] if isinstance(channel, str | Path) else list(channel)
        self._config = config
        self._folders = tuple(address for address in addresses if isinstance(address, Path))
        self._documents = tuple(open_documents(address, config) for address in addresses)
        self._clock = clock
        given, decoded = read_root(root)
        store = TrustFile((state_folder or user_state_path("ossdist")) / "channels" / f"{decoded.channel}.json")
        self._updater = Updater(self._documents, root=given, clock=clock, store=store)
        self._resources = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for documents in self._documents:
                stack.push_async_callback(documents.close)
            await stack.enter_async_context(self._updater)
            self._resources = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()

    @property
    def root(self) -> model.Root:
        """The root that was accepted last."""
        return self._updater.root

    @property
    def folders(self) -> tuple[Path, ...]:
        """The copies of the channel that are folders on this machine; nobody has checked what stands in them."""
        return self._folders

    async def channel(self) -> TrustedChannel:
        """Brings what is believed of the channel up to date.

        Raises:
            TrustError: A root, the channel or its index is not signed as it must be, has expired, or is older than one
                seen before.
            FormatError: One of them is malformed.
            SourceError: One of them cannot be had.
            StorageError: What was accepted cannot be remembered.
        """
        return await self._updater.update()

    async def resolve(self, name: str, version: str | None = None) -> TrustedRelease:
        """Finds a release, and believes it only if it is signed and listed as the root demands.

        Raises:
            TrustError: It is not, or it was withdrawn.
            FormatError: A document is malformed.
            SourceError: It does not exist, or a document cannot be had.
            StorageError: What was accepted cannot be remembered.
        """
        return await self.release(await self.channel(), name, version)

    async def release(self, channel: TrustedChannel, name: str, version: str | None = None) -> TrustedRelease:
        """Finds a release in a state of the channel that was read before, as `resolve` does in the present one.

        Raises:
            OssdistError: As `resolve`.
        """
        entry = channel.entry(name, version)
        release = await self._from_any(self._documents, lambda source: self._release(source, entry))
        listing = Listing(channel.channel.serial, channel.channel.expires, channel.signed_by)
        return replace(release, listing=listing)

    async def accept_torrent(self, data: bytes, *, document: str) -> tuple[TrustedRelease, Metainfo]:
        """Believes a ``.torrent`` that carries its release and the release's signatures; no channel is asked.

        Whether it is the newest release, or was withdrawn since, only the channel can tell.

        Args:
            data: The torrent, from anywhere.
            document: How to call it in errors.

        Raises:
            FormatError: It is no torrent, carries no release, or the release is malformed.
            SignatureError: The release is not signed as the root demands.
            ExpiredError: The root has expired.
            ForeignDocumentError: The release belongs to another channel.
            TorrentMismatchError: The release signs another torrent.
        """
        update.require_current(self.root, now=self._clock.now())
        metainfo = await asyncio.to_thread(lambda: load_metainfo(data, document=document))
        if metainfo.release is None:
            reason = "it carries no release: it may be a good torrent, but nobody has signed it"
            raise FormatError(reason, document=document)
        listed = self.root.roles.release.keys  # a hostile torrent may carry thousands of others
        blocks = [signature for key, signature in metainfo.signatures if key in listed]
        signatures = await self._updater.check(metainfo.release, blocks)
        release = trust.accept_standalone_release(self.root, metainfo.release, signatures, document=document)
        require_signed(release.release, metainfo, v1=metainfo.info_hashes.v2 is None)
        return release, metainfo

    async def torrents(self, release: TrustedRelease) -> dict[Swarm, Metainfo]:
        """Fetches a release's torrents, from the channel or the manifest's mirrors; each must be the signed one.

        Raises:
            TorrentMismatchError: One is not.
            FormatError: One is malformed.
            SourceError: One cannot be had.
        """
        mirrors = sorted(release.release.mirrors, key=lambda mirror: mirror.priority)
        async with AsyncExitStack() as stack:
            others = [HttpDocuments(mirror.url, self._config) for mirror in mirrors]
            for documents in others:
                stack.push_async_callback(documents.close)
            sources = (*self._documents, *others)
            hybrid, v1 = await asyncio.gather(
                *(
                    self._from_any(sources, lambda source, v1=v1: _torrent(source, release, v1=v1))
                    for v1 in (False, True)
                )
            )
        return {Swarm.HYBRID: hybrid, Swarm.V1: v1}

    def mirrors(self, release: model.Release) -> tuple[model.Mirror, ...]:
        """HTTP copies of a release's payload: those that it names; if it names none, those of the channel itself."""
        if release.mirrors:
            return release.mirrors
        # Whoever serves the channel serves its files.
        addresses = [documents.address for documents in self._documents if isinstance(documents, HttpDocuments)]
        return tuple(model.Mirror(url=url, priority=number) for number, url in enumerate(addresses, start=1))

    async def _release(self, source: DocumentSource, entry: ReleaseEntry) -> TrustedRelease:
        data = await source.fetch(entry.path, limit_bytes=entry.length)
        signatures = await self._updater.signatures(source, entry.path, data, "release")
        return trust.accept_release(self.root, entry, data, signatures)

    async def _from_any(self, sources: Iterable[DocumentSource], read: Callable[[DocumentSource], Awaitable[_T]]) -> _T:
        """Reads from the first source that has the right thing; a wrong one is read once more after a moment."""
        failures: list[Exception] = []
        until_s = self._clock.monotonic_s() + self._config.copies_timeout_s
        for source in sources:
            if failures and self._clock.monotonic_s() >= until_s:
                break
            for attempt in (1, 2):
                try:
                    return await read(source)
                except (SourceError, TrustError, FormatError, TorrentMismatchError) as error:
                    log.info("%s is of no use: %s", source.address, error)
                    failures.append(error)
                    if attempt == 2 or not isinstance(error, ManifestMismatchError | TorrentMismatchError):
                        break
                await self._clock.sleep(_PAUSE_S)
        raise failures[0]


async def _torrent(source: DocumentSource, release: TrustedRelease, *, v1: bool) -> Metainfo:
    path = layout.torrent_path(release.release.name, release.release.version, v1=v1)
    data = await source.fetch(path, limit_bytes=torrent_limit_bytes(release.release, v1=v1))
    metainfo = await asyncio.to_thread(lambda: load_metainfo(data, document=path))
    require_signed(release.release, metainfo, v1=v1)
    return metainfo
