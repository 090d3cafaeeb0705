"""Brings what is believed of a channel up to date: newer roots, the newest channel of several mirrors, its index.

Read `Updater.update` from top to bottom. It fetches; what may be believed is decided in `ossdist.release.update`. What
was accepted is remembered from run to run in a `TrustStore`.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from ossdist.errors import (
    FormatError,
    ManifestMismatchError,
    NotFoundError,
    OssdistError,
    SignatureError,
    SourceError,
    TrustError,
    UnknownRootError,
)
from ossdist.release import layout, memory, model, update
from ossdist.release.channel import MAX_CHANNEL_BYTES
from ossdist.release.memory import ChannelMemory
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from types import TracebackType

    from ossdist.clock import Clock
    from ossdist.release.channel import Page
    from ossdist.release.memory import TrustMemory, TrustStore
    from ossdist.release.source import DocumentSource
    from ossdist.release.update import AcceptedChannel, TrustedChannel

MAX_ROTATIONS = 64
"""How many roots are followed in one update."""

# A publisher replaces the channel and its signatures one after the other; a reader may come in between.
_TRIES = 4
_PAUSE_S = 0.2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Offer:
    """A channel's document that one source has and that may be believed."""

    source: DocumentSource
    data: bytes
    accepted: AcceptedChannel


class Updater:
    """What is believed of one channel. An asynchronous context manager.

    Args:
        sources: Copies of the channel's folder, the preferred one first. All are asked for the channel, so that one
            stale or hostile copy cannot keep what the others have.
        root: The document of the root that the caller trusts.
        clock: Time.
        store: Remembers from run to run.

    Raises:
        FormatError: The root of trust is malformed.
    """

    def __init__(self, sources: Sequence[DocumentSource], *, root: bytes, clock: Clock, store: TrustStore) -> None:
        self._sources = tuple(sources)
        self._given = root
        self._root = model.decode_root(root)
        self._clock = clock
        self._store = store
        self._updating = asyncio.Lock()
        self._resources = ExitStack()

    async def __aenter__(self) -> Self:
        self._saved, self._begun = await asyncio.to_thread(self._recall)
        self._memory = self._begun
        self._root = model.decode_root(self._memory.root)
        verifier = await asyncio.to_thread(lambda: GpgVerifier(self._root, clock=self._clock))
        self._verifier = self._resources.enter_context(verifier)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self._resources.close)

    @property
    def root(self) -> model.Root:
        """The root that was accepted last."""
        return self._root

    # --- the story -------------------------------------------------------------------------------------

    async def update(self) -> TrustedChannel:
        """Asks for newer roots and the newest channel, and remembers both.

        Raises:
            TrustError: A root, the channel or its index may not be believed.
            FormatError: One of them is malformed.
            SourceError: No source gives one of them.
            StorageError: It cannot be remembered.
        """
        if not self._sources:
            raise NotFoundError(f"channel {self._root.channel}", "the addresses given (there are none)")
        async with self._updating:
            now = self._clock.now()
            await self._follow_roots()
            update.require_current(self._root, now=now)
            offers = await self._offers(now)
            offer, pages, channel = await self._newest(offers)
            self._memory = self._memory.with_channel(ChannelMemory(offer.data, pages))
            await self._remember()
            return channel

    async def signatures(
        self, source: DocumentSource, document: str, data: bytes, role: model.RoleName
    ) -> list[CheckedSignature]:
        """Fetches and checks the signatures of a role's keys; the threshold decides which of them were needed."""
        return await self._signatures(source, document, data, self._root.roles.get(role), self._verifier)

    async def check(self, document: bytes, signatures: Sequence[bytes]) -> list[CheckedSignature]:
        """What OpenPGP says of a document's signatures under the keys of the root."""
        return await asyncio.to_thread(self._verifier.verify, document, signatures)

    # --- roots -----------------------------------------------------------------------------------------

    def _recall(self) -> tuple[TrustMemory | None, TrustMemory]:
        """What is stored, and what is believed at the start."""
        remembered = self._store.load()
        if remembered is None:
            return None, memory.begin(self._given)
        given = memory.mark(self._given)
        reason = memory.unknown(remembered.history, given)
        if reason is not None:
            raise UnknownRootError(self._store.place, reason, document=layout.ROOT)
        if given.serial <= remembered.history[-1].serial:
            return remembered, remembered
        # The caller vouches for a newer root than we have followed.
        known = model.decode_root(remembered.root)
        return remembered, remembered.with_root(self._given, keeps_channel=update.keeps_channel(known, self._root))

    async def _remember(self) -> None:
        if self._memory != self._saved:
            memory = self._memory
            await asyncio.to_thread(self._store.save, memory)
            self._saved = memory

    async def _follow_roots(self) -> None:
        for _ in range(MAX_ROTATIONS + 1):
            taken = await self._follow_one()
            # At once: whoever can keep the rest from us must not make us forget whose keys were taken away. What the
            # caller gave is kept only with a channel under it: a wrong one must not lock out the right one.
            if self._memory is not self._begun:
                await self._remember()
            if not taken:
                return
        raise FormatError(f"more than {MAX_ROTATIONS} newer roots", document=layout.ROOT)

    async def _follow_one(self) -> bool:
        """Takes the next root from the first source that has a good one; False if there is none."""
        path = layout.numbered_root(self._root.serial + 1)
        missing, failures = 0, list[OssdistError]()
        for source in self._sources:
            try:
                data = await source.fetch(path, limit_bytes=model.MAX_ROOT_BYTES)
                await self._rotate(source, path, data)
            except SourceError as error:  # some servers answer 403 for what does not exist
                log.info("no newer root from %s: %s", source.address, error)
                missing += 1
            except (TrustError, FormatError) as error:
                log.warning("no newer root from %s: %s", source.address, error)
                failures.append(error)
            else:
                return True
        if failures and not missing:
            raise failures[0]
        return False

    async def _rotate(self, source: DocumentSource, path: str, data: bytes) -> None:
        """Signed by both: the keys of the present root, and its own."""
        by_old = await self._signatures(source, path, data, self._root.roles.root, self._verifier)
        following = update.follow_root(self._root, data, by_old, document=path)
        verifier = await asyncio.to_thread(lambda: GpgVerifier(following, clock=self._clock))
        try:
            by_new = await self._signatures(source, path, data, following.roles.root, verifier)
            update.confirm_root(following, by_new, document=path)
        except BaseException:
            verifier.close()
            raise
        kept = update.keeps_channel(self._root, following)
        self._memory = self._memory.with_root(data, keeps_channel=kept)
        self._root = following
        self._verifier = self._resources.enter_context(verifier)  # somebody may still be using the old one

    # --- the channel -----------------------------------------------------------------------------------

    async def _offers(self, now: datetime) -> list[_Offer]:
        """What may be believed of what the sources have, the newest first.

        Raises:
            OssdistError: Nothing; the first source's reason.
        """
        answers = await asyncio.gather(*(self._patient_offer(source, now) for source in self._sources))
        offers = [answer for answer in answers if isinstance(answer, _Offer)]
        failures = [answer for answer in answers if not isinstance(answer, _Offer)]
        for failure in failures:
            log.info("a copy of the channel is of no use: %s", failure)
        if not offers:
            raise failures[0]
        return sorted(offers, key=lambda offer: -offer.accepted.document.serial)

    async def _patient_offer(self, source: DocumentSource, now: datetime) -> _Offer | OssdistError:
        """Reads again, from the start, what does not fit together because it was replaced in the meantime."""
        for _ in range(_TRIES - 1):
            answer = await self._try_offer(source, now)
            if not isinstance(answer, SignatureError):
                return answer
            await self._clock.sleep(_PAUSE_S)
        return await self._try_offer(source, now)

    async def _try_offer(self, source: DocumentSource, now: datetime) -> _Offer | OssdistError:
        try:
            return await self._offer(source, now)
        except (TrustError, FormatError, SourceError) as error:
            return error

    async def _offer(self, source: DocumentSource, now: datetime) -> _Offer:
        data = await source.fetch(layout.CHANNEL, limit_bytes=MAX_CHANNEL_BYTES)
        signatures = await self.signatures(source, layout.CHANNEL, data, "channel")
        accepted = update.accept_channel(self._root, data, signatures, now=now, known=self._memory.channel)
        return _Offer(source, data, accepted)

    async def _newest(self, offers: Sequence[_Offer]) -> tuple[_Offer, tuple[bytes, ...], TrustedChannel]:
        """The newest channel whose index can be had from anybody."""
        known = self._memory.channel
        have = {hashlib.sha256(page).hexdigest(): page for page in known.index} if known is not None else {}
        failures = list[OssdistError]()
        for offer in offers:
            try:
                pages = [
                    have.get(page.sha256) or await self._page(page, offer.source)
                    for page in offer.accepted.document.index
                ]
            except (SourceError, ManifestMismatchError) as error:
                failures.append(error)
            else:
                accepted = offer.accepted
                channel = await asyncio.to_thread(update.accept_index, accepted, pages, known=known)
                return offer, tuple(pages), channel
        raise failures[0]

    async def _page(self, page: Page, first: DocumentSource) -> bytes:
        """A page of the index, from the first source that has the listed one."""
        failure: OssdistError | None = None
        for source in (first, *(source for source in self._sources if source is not first)):
            try:
                data = await source.fetch(page.path, limit_bytes=page.length)
                update.require_page(page, data)
            except (SourceError, TrustError) as error:
                failure = failure or error
            else:
                return data
        assert failure is not None  # noqa: S101  # there is at least one source
        raise failure

    # --- signatures ------------------------------------------------------------------------------------

    async def _signatures(
        self, source: DocumentSource, document: str, data: bytes, role: model.Role, verifier: GpgVerifier
    ) -> list[CheckedSignature]:
        async def fetch(fingerprint: str) -> bytes | CheckedSignature | None:
            try:
                path = layout.signature_path(document, fingerprint)
                return await source.fetch(path, limit_bytes=model.MAX_SIGNATURE_BYTES)
            except NotFoundError:
                return None
            except SourceError as error:  # some servers answer 403 for what does not exist
                return CheckedSignature(None, f"the signature of key {fingerprint} cannot be had: {error}")

        found = await asyncio.gather(*map(fetch, role.keys))
        blocks = [answer for answer in found if isinstance(answer, bytes)]
        missing = [answer for answer in found if isinstance(answer, CheckedSignature)]
        return [*await asyncio.to_thread(verifier.verify, data, blocks), *missing]
