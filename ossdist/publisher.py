"""The publisher: turns files into a signed release in a channel's folder, which any static HTTP server can serve.

Read `Publisher.publish` from top to bottom; it mirrors `Client.download`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from ossdist.channel_folder import ChannelFolder
from ossdist.clock import Clock, SystemClock
from ossdist.errors import AlreadyPublishedError, NotFoundError
from ossdist.release import layout, model, update
from ossdist.release.channel import Channel, ReleaseEntry, paginate, taken_apart
from ossdist.release_signatures import sign_releases
from ossdist.release_spec import ReleaseSpec, check_spec
from ossdist.signing_keys import SigningKeys, beside
from ossdist.staged_release import stage
from ossdist.stoppable import in_thread
from ossdist.upstream import check_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from ossdist.release.trust import Signer


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
        keys: Primary fingerprints. Each signs what the channel's root lets it; together they must reach its thresholds.
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
        self._keys = SigningKeys(signer, keys)
        self._clock = clock or SystemClock()
        self._folder = ChannelFolder(folder, self._clock)
        self._validity = validity

    # --- the story -------------------------------------------------------------------------------------

    async def create(
        self,
        name: str = "",
        *,
        roles: model.Roles | None = None,
        root_validity: timedelta = timedelta(days=365),
    ) -> model.Root:
        """Makes an empty channel.

        Cancelled before its last step, it makes none; cancelled in it, the channel is there, and this returns normally.

        Args:
            name: The channel's name, which its documents carry for ever, such as ``example.org-stable``. Clients
                remember channels by name, so nobody else should use it. If it is empty, one is made of the folder's.
            roles: Who signs what; every role all of this publisher's keys, with a threshold of one, if None.
            root_validity: How long the root may be believed; `rotate` before it is over.

        Returns:
            The root of trust: give its bytes to the users over a way that they trust.

        Raises:
            AlreadyPublishedError: There is a channel in the folder. What a killed `create` left is replaced.
            FormatError: The name or the roles are malformed, or there is a malformed ``channel.json`` in the folder.
            StorageError: The folder cannot be read or written to.
            SigningError: A key cannot sign.
        """
        return await in_thread(
            lambda check: self._create(name or _own_name(self._folder.path), roles, root_validity, check)
        )

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
            SigningError: A key cannot sign, the channel's root does not list enough of the keys, or an upstream key is
                not in the keyring.
            UpstreamSignatureError: An upstream signature is not by one of the upstream keys over its file.
        """
        return await in_thread(lambda check: self._publish(spec, on_progress or (lambda _: None), check))

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
        return await in_thread(self._refresh)

    async def withdraw(self, name: str, version: str, *, reason: str) -> int:
        """Tells everybody that a release should not be installed any more. It stays listed, and nobody resolves it.

        Cancelled before its last step, it changes nothing; cancelled in it, it is finished and returns normally.

        Args:
            name: The package.
            version: Its version.
            reason: Why, in a few words for users.

        Returns:
            The channel's new serial.

        Raises:
            NotFoundError: There is no channel in the folder, or it does not list the release.
            OssdistError: As `refresh`.
        """
        return await in_thread(lambda check: self._withdraw(name, version, reason, check))

    async def rotate(self, roles: model.Roles, *, validity: timedelta = timedelta(days=365)) -> model.Root:
        """Replaces the root of trust: other keys or thresholds, or the same ones for a longer time.

        This publisher's keys must reach the thresholds of the role ``root`` of both the old and the new root. Releases
        that the new root's keys have not signed are signed by them, and so is the channel. Clients follow on their own,
        from any older root. An expired root can still be rotated, and so can one with expired keys.

        Args:
            roles: Who signs what from now on.
            validity: How long the new root may be believed.

        Returns:
            The new root.

        Raises:
            SigningError: A key cannot sign, or this publisher holds too few of the keys.
            OssdistError: As `refresh`, but for the expiry of the root.
        """
        return await in_thread(lambda check: self._rotate(roles, validity, check))

    # --- the steps; all of them block ------------------------------------------------------------------

    def _create(
        self, name: str, roles: model.Roles | None, root_validity: timedelta, check: Callable[[], None]
    ) -> model.Root:
        everybody = model.Role(keys=self._keys.fingerprints, threshold=1)
        roles = roles or model.Roles(root=everybody, channel=everybody, release=everybody)
        now = self._now()
        with self._folder.locked(check, make=True):
            check()
            if self._folder.is_taken():
                raise AlreadyPublishedError("a channel", str(self._folder.path))
            root = model.Root(
                channel=name,
                serial=1,
                expires=now + root_validity,
                keys=self._keys.public_keys(roles),
                roles=roles,
            )
            model.decode_root(model.encode(root))  # what a client would refuse is refused here already
            for role in (roles.root, roles.channel):
                self._keys.require(role, "the new root")
            empty = Channel(channel=name, serial=1, issued=now, expires=now + self._validity)
            check()
            signed_root = self._signed_root(root, roles.root)
            check()
            signed_channel, _ = self._signed_channel(root, empty)
            self._folder.put_together({**signed_channel, **signed_root}, check)
        return root

    def _publish(self, spec: ReleaseSpec, on_progress: Callable[[float], None], check: Callable[[], None]) -> Published:
        model.check_identity(spec.name, spec.version)
        with self._folder.locked(check):
            root, channel = self._load(check)
            self._keys.require(root.roles.release, "the channel's root")
            self._require_room_for(channel, spec)
            check_spec(spec)
            with self._folder.staging() as staging:
                staged = stage(
                    spec,
                    staging,
                    channel=root.channel,
                    issued=self._now(),
                    upstream_keys=self._keys.others(spec.upstream_keys),
                    on_progress=on_progress,
                    check=check,
                )
                check_upstream(staged.release, {path: staged.payload / path for path in spec.files}, clock=self._clock)
                check()
                signatures = self._keys.sign(staged.document, root.roles.release)
                digest = hashlib.sha256(staged.document).hexdigest()
                entry = _entry(spec, channel, len(staged.document), digest)
                changed = self._successor(channel, (*channel.releases, entry))
                check()
                signed_channel, pages = self._signed_channel(root, changed)
                # Until here nothing has changed. What follows is invisible until the channel lists it.
                check()
                self._folder.put_payload(staged.payload)
                for place, data in {
                    **staged.dressed(signatures),
                    **beside(staged.path, staged.document, signatures),
                }.items():
                    check()
                    self._folder.put(place, data)
                self._put_channel(channel, signed_channel, pages, check)
            return Published(staged.release, changed.serial)

    def _refresh(self, check: Callable[[], None]) -> int:
        return self._change(lambda channel: channel.releases, check)

    def _withdraw(self, name: str, version: str, reason: str, check: Callable[[], None]) -> int:
        def withdrawn(channel: Channel) -> tuple[ReleaseEntry, ...]:
            entry = channel.find(name, version)
            if entry is None:
                raise NotFoundError(f"release {name} {version}", "the channel")
            gone = msgspec.structs.replace(entry, withdrawn=reason)
            return tuple(gone if other is entry else other for other in channel.releases)

        return self._change(withdrawn, check)

    def _change(self, change: Callable[[Channel], tuple[ReleaseEntry, ...]], check: Callable[[], None]) -> int:
        with self._folder.locked(check):
            root, channel = self._load(check)
            changed = self._successor(channel, change(channel))
            check()
            signed_channel, pages = self._signed_channel(root, changed)
            self._put_channel(channel, signed_channel, pages, check)
            return changed.serial

    def _rotate(self, roles: model.Roles, validity: timedelta, check: Callable[[], None]) -> model.Root:
        with self._folder.locked(check):
            check()
            root, channel = self._folder.load()
            following = model.Root(
                channel=root.channel,
                serial=root.serial + 1,
                expires=self._now() + validity,
                keys=self._keys.public_keys(roles, known=root.keys),
                roles=roles,
            )
            model.decode_root(model.encode(following))
            self._keys.require(root.roles.root, f"root {root.serial}")
            self._keys.require(roles.root, f"root {following.serial}")
            self._keys.require(roles.channel, f"root {following.serial}")
            signed_root = self._signed_root(following, root.roles.root, roles.root)
            sign_releases(self._folder, channel, following, self._keys, clock=self._clock, check=check)
            signed_channel, pages = self._signed_channel(following, self._successor(channel, channel.releases))
            self._put_channel(channel, {**signed_channel, **signed_root}, pages, check)
            self._folder.drop_signatures(layout.CHANNEL, keep=roles.channel.keys)
            self._folder.drop_signatures(layout.ROOT, keep=[*root.roles.root.keys, *roles.root.keys])
        return following

    # --- what the steps share --------------------------------------------------------------------------

    def _load(self, check: Callable[[], None]) -> tuple[model.Root, Channel]:
        """The channel, if this publisher can sign its successor."""
        check()
        root, channel = self._folder.load()
        update.require_current(root, now=self._clock.now(), advice="Only a rotation (tools/rotate.py) renews it.")
        self._keys.require(root.roles.channel, "the channel's root")
        return root, channel

    def _require_room_for(self, channel: Channel, spec: ReleaseSpec) -> None:
        """Refuses what the channel could not list, before the work of hashing it."""
        if channel.find(spec.name, spec.version) is not None:
            raise AlreadyPublishedError(f"{spec.name} {spec.version}", "the channel")
        candidate = (*channel.releases, _entry(spec, channel, 1, "0" * 64))
        taken_apart(self._successor(channel, candidate))

    def _successor(self, channel: Channel, releases: tuple[ReleaseEntry, ...]) -> Channel:
        now = self._now()
        return msgspec.structs.replace(
            channel, serial=channel.serial + 1, issued=now, expires=now + self._validity, releases=releases
        )

    def _signed_root(self, root: model.Root, *roles: model.Role) -> dict[str, bytes]:
        """The root's document and signatures under both of its names."""
        document = model.encode(root)
        signatures = self._keys.sign(document, *roles)
        return {
            **beside(layout.numbered_root(root.serial), document, signatures),
            **beside(layout.ROOT, document, signatures),
        }

    def _signed_channel(self, root: model.Root, channel: Channel) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """The channel's document and signatures, and its pages, by their paths."""
        document, pages = taken_apart(channel)
        return self._keys.signed(layout.CHANNEL, document, root.roles.channel), pages

    def _put_channel(
        self, before: Channel, documents: Mapping[str, bytes], pages: Mapping[str, bytes], check: Callable[[], None]
    ) -> None:
        check()
        self._folder.put_pages(pages, keep=paginate(before)[1])
        self._folder.put_together(documents, check)

    def _now(self) -> datetime:
        return self._clock.now().replace(microsecond=0)


def _own_name(folder: Path) -> str:
    """A name that no other channel has, made of the folder's."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "-", folder.absolute().name).lstrip("._+-")
    return f"{plain[:64] or 'channel'}-{secrets.token_hex(4)}"


def _entry(spec: ReleaseSpec, channel: Channel, length: int, sha256: str) -> ReleaseEntry:
    serial = channel.serial + 1
    return ReleaseEntry(name=spec.name, version=spec.version, serial=serial, length=length, sha256=sha256)
