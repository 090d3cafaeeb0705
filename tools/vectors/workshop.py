"""What the vectors are made of: roots, releases, channels, in memory and at fixed dates, honest or not."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ossdist.release import layout, model
from ossdist.release.channel import Channel, ReleaseEntry, paginate
from ossdist.release_spec import ReleaseSpec
from ossdist.staged_release import dress_for, stage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ossdist.staged_release import StagedRelease
    from tools.vectors.keyring import Keyring

CHANNEL = "conformance"
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""The time at which every vector is judged. It is past, since gpg looks at the machine's clock too."""

SIGNED = datetime(2024, 4, 20, 9, tzinfo=UTC)
"""When everything is signed unless the vector is about dates; the key ``ernest`` was still good."""

EXPIRES = datetime(2024, 7, 1, tzinfo=UTC)
"""The end of channels and roots."""

PAYLOAD = {"hello.txt": b"The quick brown fox jumps over the lazy dog.\n" * 6}

Files = dict[str, bytes]
"""Contents by path."""


def unchanged(data: bytes) -> bytes:
    """What happens to a document that is honest."""
    return data


def swap(old: str, new: str) -> Callable[[bytes], bytes]:
    """A change that replaces text, which must be there."""

    def change(data: bytes) -> bytes:
        if old.encode() not in data:
            raise ValueError(f"{old!r} does not stand in the document")
        return data.replace(old.encode(), new.encode(), 1)

    return change


def append(more: bytes) -> Callable[[bytes], bytes]:
    """A change that adds bytes at the end."""
    return lambda data: data + more


def cut(data: bytes) -> bytes:
    """A change: the last byte is gone."""
    return data[:-1]


@dataclass(frozen=True)
class Draft:
    """A release that nobody has signed yet.

    Attributes:
        staged: Its manifest and torrents.
        payload: Its files.
    """

    staged: StagedRelease
    payload: Mapping[str, bytes]

    @property
    def document(self) -> bytes:
        """The manifest's bytes."""
        return self.staged.document


@dataclass(frozen=True)
class Mirror:
    """A channel's folder, as a mirror would serve it.

    Attributes:
        keyring: The keys.
        files: What stands in it.
    """

    keyring: Keyring
    files: Files = field(default_factory=dict[str, bytes])

    def put(self, path: str, data: bytes, *signers: str, at: datetime = SIGNED) -> None:
        """A document and good signatures of it."""
        self.files[path] = data
        for name in signers:
            self.put_signature(path, name, self.keyring.sign(data, name, at=at))

    def put_signature(self, path: str, name: str, signature: bytes) -> None:
        """What is served as the signature of the key ``name``, whatever it is."""
        self.files[layout.signature_path(path, self.keyring.fingerprint(name))] = signature

    def put_root(self, root: model.Root, *signers: str, number: int | None = None) -> None:
        """A root, under its number or another one."""
        self.put(layout.numbered_root(number or root.serial), model.encode(root), *signers)

    def put_channel(
        self,
        *entries: ReleaseEntry,
        signers: Sequence[str] = ("alice",),
        serial: int = 5,
        channel: str = CHANNEL,
        issued: datetime = SIGNED,
        expires: datetime = EXPIRES,
        change: Callable[[bytes], bytes] = unchanged,
    ) -> bytes:
        """The channel's document, changed before it is signed, and its index."""
        made = Channel(channel=channel, serial=serial, issued=issued, expires=expires, releases=entries)
        document, pages = paginate(made)
        self.files.update(pages)
        data = change(model.encode(document))
        self.put(layout.CHANNEL, data, *signers)
        return data

    def put_release(
        self,
        draft: Draft,
        *,
        signers: Sequence[str] = ("alice",),
        serial: int = 5,
        withdrawn: str | None = None,
        change: Callable[[bytes], bytes] = unchanged,
    ) -> ReleaseEntry:
        """A release with its manifest, changed before it is signed, its torrents and files.

        Returns:
            Its entry in the channel.
        """
        staged, release = draft.staged, draft.staged.release
        document = change(staged.document)
        self.put(staged.path, document, *signers)
        signatures = {
            self.keyring.fingerprint(name): self.keyring.sign(document, name, at=SIGNED) for name in sorted(signers)
        }
        self.files.update(dress_for(release, staged.torrents.hybrid, document, signatures, v1=False))
        self.files.update(dress_for(release, staged.torrents.v1, document, signatures, v1=True))
        for path, content in draft.payload.items():
            self.files[layout.file_path(release.name, release.version, path)] = content
        return entry_of(document, name=release.name, version=release.version, serial=serial, withdrawn=withdrawn)


class Workshop:
    """Makes the parts of vectors. The same call gives the same bytes.

    Args:
        keyring: The keys.
    """

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def mirror(self) -> Mirror:
        """An empty folder."""
        return Mirror(self.keyring)

    def role(self, *names: str, threshold: int = 1) -> model.Role:
        """A role that these keys have."""
        return model.Role(keys=tuple(map(self.keyring.fingerprint, names)), threshold=threshold)

    def root(
        self,
        *names: str,
        threshold: int = 1,
        serial: int = 1,
        channel_signer: str | None = None,
        release_signer: str | None = None,
        expires: datetime = EXPIRES,
        channel: str = CHANNEL,
    ) -> model.Root:
        """A root whose every role has these keys, unless one key alone has the role."""
        everybody = self.role(*names, threshold=threshold)
        others = [name for name in (channel_signer, release_signer) if name is not None]
        return model.Root(
            channel=channel,
            serial=serial,
            expires=expires,
            keys=dict(self.keyring.blocks(*names, *others)),
            roles=model.Roles(
                root=everybody,
                channel=everybody if channel_signer is None else self.role(channel_signer),
                release=everybody if release_signer is None else self.role(release_signer),
            ),
        )

    def draft(
        self,
        version: str = "1.0",
        payload: Mapping[str, bytes] = PAYLOAD,
        *,
        channel: str = CHANNEL,
        upstream: Mapping[str, bytes] | None = None,
        upstream_keys: Sequence[str] = (),
    ) -> Draft:
        """A release of the package ``tool``.

        Args:
            version: Its version.
            payload: Its files.
            channel: The channel that its manifest names.
            upstream: Upstream signatures, good or not, by the file's path.
            upstream_keys: Names of the upstream's keys.
        """
        with tempfile.TemporaryDirectory() as name:
            sources, staging = Path(name) / "sources", Path(name) / "staging"
            files = {path: sources / path for path in payload}
            for path, source in files.items():
                source.parent.mkdir(parents=True, exist_ok=True)
                source.write_bytes(payload[path])
            signatures = {path: Path(name) / f"signature-{at}" for at, path in enumerate(upstream or {})}
            for path, place in signatures.items():
                place.write_bytes((upstream or {})[path])
            staged = stage(
                ReleaseSpec(name="tool", version=version, files=files, upstream_signatures=signatures),
                staging,
                channel=channel,
                issued=SIGNED,
                upstream_keys=self.keyring.blocks(*upstream_keys),
                on_progress=_ignore,
                check=_ignore,
            )
        return Draft(staged, payload)


def _ignore(*_: object) -> None:
    """Nobody watches, and nobody cancels."""


def entry_of(
    document: bytes, *, name: str = "tool", version: str = "1.0", serial: int = 5, withdrawn: str | None = None
) -> ReleaseEntry:
    """The entry of a manifest."""
    digest = hashlib.sha256(document).hexdigest()
    return ReleaseEntry(
        name=name, version=version, serial=serial, length=len(document), sha256=digest, withdrawn=withdrawn
    )
