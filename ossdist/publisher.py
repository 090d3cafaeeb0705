"""The publisher: turns files into a signed release in a channel's folder, which any static HTTP server can serve.

Read `Publisher.publish` from top to bottom; it mirrors `Client.download`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ossdist.channel_folder import ChannelFolder
from ossdist.clock import Clock, SystemClock
from ossdist.errors import AlreadyPublishedError, SigningError
from ossdist.release import layout, model
from ossdist.release.torrents import torrent_name, web_seed
from ossdist.release_spec import ReleaseSpec, check_spec, manifest_of, opened
from ossdist.store.files import writing
from ossdist.swarm.metainfo import dress, make_torrents

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ossdist.release.trust import Signer
    from ossdist.swarm.metainfo import Torrents

_T = TypeVar("_T")

_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Published:
    """A release that now stands in the channel.

    Attributes:
        release: Its manifest.
        channel_serial: The channel's serial since then.
    """

    release: model.Release
    channel_serial: int


class Publisher:
    """Adds releases to a channel's folder.

    A call that is cancelled stops at its next step, and nothing is published. If it has come too far for that, it is
    finished and returns what it has done, as if it had not been cancelled; `asyncio.Task.cancelling` tells. Either
    way nobody writes to the folder any more when it is over. What gpg or the disk is busy with is waited for.

    Args:
        folder: The channel's folder, made by `create`.
        signer: Signs documents.
        keys: Primary fingerprints that sign; together they must reach the thresholds of the channel's root.
        clock: Time; the machine's by default.
        validity: How long a signed channel may be believed; publish or `refresh` before it is over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        signer: Signer,
        keys: Sequence[str],
        clock: Clock | None = None,
        validity: timedelta = timedelta(days=30),
    ) -> None:
        self._signer = signer
        self._keys = tuple(keys)
        self._clock = clock or SystemClock()
        self._folder = ChannelFolder(folder, self._clock)
        self._validity = validity

    # --- the story -------------------------------------------------------------------------------------

    async def create(self, *, root_validity: timedelta = timedelta(days=365)) -> model.Root:
        """Makes an empty channel whose every role is held by this publisher's keys, with a threshold of one.

        Cancelled before its last step, it makes none; cancelled in it, the channel is there, and this returns normally.

        Returns:
            The root of trust: give its bytes to the users over a way that they trust.

        Raises:
            AlreadyPublishedError: There is a channel in the folder. What a killed `create` left is replaced.
            FormatError: There is a malformed ``channel.json`` in the folder.
            StorageError: The folder cannot be read or written to.
            SigningError: A key cannot sign.
        """
        return await _in_thread(lambda check: self._create(root_validity, check))

    async def publish(self, spec: ReleaseSpec, *, on_progress: Callable[[float], None] | None = None) -> Published:
        """Adds a release. Readers believe the channel as it was, or with the whole release; nothing between.

        Everything is written and signed before the first visible change. The last step renames ``channel.json`` and
        its signatures, back to back; a reader who comes in between finds that they do not fit, and a `Client` reads
        them again. If that step fails or is killed, the next call of a publisher finishes it. Cancelled before that
        step, nothing is published; cancelled in it, the release is published, and this returns normally.

        Args:
            spec: The release.
            on_progress: Called from another thread with the finished share of the hashing, 0 to 1.

        Raises:
            AlreadyPublishedError: The channel has that name and version; a published release never changes.
            FormatError: The release is malformed (see `check_spec`), would share its folder with another one, or the
                channel would grow too large.
            TrustError: The channel in the folder is not signed as its root demands, or the root has expired.
            NotFoundError: There is no channel in the folder, or a file does not exist.
            StorageError: A file cannot be read or is no regular file, or the folder cannot be written to.
            SigningError: A key cannot sign, or the channel's root does not list enough of the keys.
        """
        return await _in_thread(lambda check: self._publish(spec, on_progress or (lambda _: None), check))

    async def refresh(self) -> int:
        """Signs the channel anew, unchanged but for serial and dates, so that it does not expire.

        Cancelled before its last step, it changes nothing; cancelled in it, it is finished and returns normally.

        Returns:
            The new serial.

        Raises:
            NotFoundError: There is no channel in the folder.
            TrustError: The channel there is not signed as its root demands, or the root has expired.
            FormatError: Root or channel is malformed.
            StorageError: The folder cannot be read or written to.
            SigningError: A key cannot sign, or the channel's root does not list enough of the keys.
        """
        return await _in_thread(self._refresh)

    # --- the steps; all of them block ------------------------------------------------------------------

    def _publish(self, spec: ReleaseSpec, on_progress: Callable[[float], None], check: Callable[[], None]) -> Published:
        def checked_progress(done: float) -> None:
            check()
            on_progress(done)

        model.check_identity(spec.name, spec.version)
        with self._folder.locked():
            check()
            root, channel = self._folder.load()
            self._require_listed_keys(root)
            self._require_room_for(channel, spec)
            check_spec(spec)
            with self._folder.staging() as staging:
                payload = staging / layout.folder_name(spec.name, spec.version)
                files = _copy_in(spec.files, payload, check)
                name = torrent_name(spec.name, spec.version, tuple(spec.files))
                lengths = [(file.path, file.length) for file in files]
                torrents = make_torrents(
                    payload, lengths, name=name, piece_length=spec.piece_length, on_progress=checked_progress
                )
                hybrid, v1 = _torrent_identities(torrents)
                release = manifest_of(spec, files, hybrid=hybrid, v1=v1, issued=self._now())
                path = layout.release_path(release.name, release.version)
                document = model.encode(release)
                model.decode_release(document, document=path)  # what a client would refuse is refused here already
                check()
                signatures = self._sign(document)
                entry = _entry(spec, channel, len(document), hashlib.sha256(document).hexdigest())
                changed = self._successor(channel, entry)
                check()
                signed_channel = self._signed_channel(changed)
                # Until here nothing has changed. What follows is invisible until the channel lists it.
                check()
                self._folder.put_payload(payload)
                dressed = _dressed(release, torrents, document, signatures)
                for place, data in (dressed | _beside(path, document, signatures)).items():
                    check()
                    self._folder.put(place, data)
                self._folder.put_together(signed_channel, check)
            return Published(release, changed.serial)

    def _create(self, root_validity: timedelta, check: Callable[[], None]) -> model.Root:
        now = self._now()
        role = model.Role(keys=self._keys, threshold=1)
        with self._folder.locked(make=True):
            check()
            if self._folder.is_taken():
                raise AlreadyPublishedError("a channel", str(self._folder.path))
            root = model.Root(
                serial=1,
                expires=now + root_validity,
                keys={key: self._signer.export_public_key(key) for key in self._keys},
                roles=model.Roles(root=role, channel=role, release=role),
            )
            document = model.encode(root)
            model.decode_root(document)
            empty = model.Channel(serial=1, issued=now, expires=now + self._validity, releases=())
            check()
            signed_root = _beside(layout.ROOT, document, self._sign(document))
            check()
            self._folder.put_together({**self._signed_channel(empty), **signed_root}, check)
        return root

    def _refresh(self, check: Callable[[], None]) -> int:
        with self._folder.locked():
            check()
            root, channel = self._folder.load()
            self._require_listed_keys(root)
            changed = self._successor(channel)
            check()
            self._folder.put_together(self._signed_channel(changed), check)
            return changed.serial

    def _require_room_for(self, channel: model.Channel, spec: ReleaseSpec) -> None:
        """Refuses what the channel could not list, before the work of hashing it."""
        if channel.find(spec.name, spec.version) is not None:
            raise AlreadyPublishedError(f"{spec.name} {spec.version}", "the channel")
        model.decode_channel(model.encode(self._successor(channel, _entry(spec, channel, 1, "0" * 64))))

    def _require_listed_keys(self, root: model.Root) -> None:
        """Refuses keys whose signatures nobody who holds the channel's root would count."""
        for role in (root.roles.channel, root.roles.release):
            strangers = set(self._keys) - set(role.keys)
            if len(set(self._keys)) - len(strangers) < role.threshold:
                reason = f"the channel's root asks for {role.threshold} of {', '.join(role.keys)}"
                raise SigningError(", ".join(sorted(strangers)) or self._keys[0], reason)

    def _successor(self, channel: model.Channel, *added: model.ReleaseEntry) -> model.Channel:
        now = self._now()
        return model.Channel(
            serial=channel.serial + 1, issued=now, expires=now + self._validity, releases=(*channel.releases, *added)
        )

    def _signed_channel(self, channel: model.Channel) -> dict[str, bytes]:
        """The channel's document and signatures by their paths; what a client would refuse is refused here."""
        document = model.encode(channel)
        model.decode_channel(document)
        return _beside(layout.CHANNEL, document, self._sign(document))

    def _sign(self, document: bytes) -> dict[str, bytes]:
        return {key: self._signer.sign(document, key) for key in self._keys}

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)


class _StoppedError(Exception):
    """The caller was cancelled, and this is the place to stop."""


async def _in_thread(work: Callable[[Callable[[], None]], _T]) -> _T:
    """Runs it until nobody writes to the folder any more, even if this is cancelled.

    Args:
        work: Gets a function to call wherever it may stop; it raises what ends the work if this was cancelled. Work
            that is not stopped by it has come too far: what came of it counts, and not the cancellation.
    """
    stop = threading.Event()

    def check() -> None:
        if stop.is_set():
            raise _StoppedError

    running = asyncio.get_running_loop().run_in_executor(None, work, check)
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            stop.set()
    try:
        return running.result()
    except _StoppedError:
        raise asyncio.CancelledError from None


def _beside(path: str, document: bytes, signatures: Mapping[str, bytes]) -> dict[str, bytes]:
    """A document and its signatures, by their paths."""
    return {path: document} | {layout.signature_path(path, key): signature for key, signature in signatures.items()}


def _dressed(
    release: model.Release, torrents: Torrents, document: bytes, signatures: Mapping[str, bytes]
) -> dict[str, bytes]:
    """Both torrents, with everything that a client needs, by their paths."""
    seeds = [web_seed(release, mirror.url) for mirror in release.mirrors]
    return {
        layout.torrent_path(release.name, release.version, v1=v1): dress(
            metainfo, trackers=release.trackers, web_seeds=seeds, release=document, signatures=signatures
        ).data
        for metainfo, v1 in ((torrents.hybrid, False), (torrents.v1, True))
    }


def _entry(spec: ReleaseSpec, channel: model.Channel, length: int, sha256: str) -> model.ReleaseEntry:
    serial = channel.serial + 1
    return model.ReleaseEntry(name=spec.name, version=spec.version, serial=serial, length=length, sha256=sha256)


def _copy_in(files: Mapping[str, Path], payload: Path, check: Callable[[], None]) -> list[model.File]:
    """Copies the payload, and hashes what was written."""
    copied: list[model.File] = []
    for path, source in sorted(files.items()):
        target = payload / path
        digest, length = hashlib.sha256(), 0
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("xb") as writer:
                for chunk in _chunks(source):
                    check()
                    writer.write(chunk)
                    digest.update(chunk)
                    length += len(chunk)
                writer.flush()
                os.fsync(writer.fileno())
        copied.append(model.File(path=path, length=length, sha256=digest.hexdigest()))
    return copied


def _chunks(source: Path) -> Generator[bytes]:
    with opened(source) as reader:
        while chunk := reader.read(_CHUNK_BYTES):
            yield chunk


def _torrent_identities(torrents: Torrents) -> tuple[model.HybridTorrent, model.V1Torrent]:
    hybrid, v1 = torrents.hybrid.info_hashes, torrents.v1.info_hashes
    return (
        model.HybridTorrent(
            info_hash_v1=hybrid.v1 or "",
            info_hash_v2=hybrid.v2 or "",
            piece_length=torrents.hybrid.piece_length,
        ),
        model.V1Torrent(info_hash_v1=v1.v1 or "", piece_length=torrents.v1.piece_length),
    )
