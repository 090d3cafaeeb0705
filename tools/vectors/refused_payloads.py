"""Vectors that a client has to refuse because a torrent or a file is not what the release signs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors import (
    ExpiredError,
    FileHashError,
    ForeignDocumentError,
    FormatError,
    SignatureError,
    TorrentMismatchError,
    UpstreamSignatureError,
)
from ossdist.release import layout, model
from ossdist.swarm.metainfo import dress
from tools.vectors.vector import Vector
from tools.vectors.workshop import PAYLOAD, SIGNED, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ossdist.errors import OssdistError
    from tools.vectors.workshop import Mirror, Workshop

_FILE = layout.file_path("tool", "1.0", "hello.txt")
_TORRENT = layout.torrent_path("tool", "1.0", v1=False)
_V1_TORRENT = layout.torrent_path("tool", "1.0", v1=True)
_LENGTH = len(PAYLOAD["hello.txt"])


def refused_payloads(workshop: Workshop) -> Iterator[Vector]:
    """All of them."""
    yield from _files(workshop)
    yield from _upstream(workshop)
    yield from _torrents(workshop)
    yield from _torrents_alone(workshop)


def _honest(workshop: Workshop) -> Mirror:
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft()))
    return mirror


def _files(workshop: Workshop) -> Iterator[Vector]:
    content = PAYLOAD["hello.txt"]
    for name, bad, says, title in (
        ("one-bit", bytes([content[0] ^ 1]) + content[1:], "sha256", "One bit of the file is another."),
        ("too-short", content[:-1], "length", "The file's last byte is missing."),
        ("too-long", content + b"\n", "length", "One byte follows the file."),
    ):
        mirror = _honest(workshop)
        mirror.files[_FILE] = bad
        yield Vector(
            f"file-{name}",
            title,
            "Everything is signed well, but the file is not the signed one.",
            model.encode(workshop.root("alice")),
            mirror,
            error=FileHashError,
            says=says,
        )


def _upstream(workshop: Workshop) -> Iterator[Vector]:
    content = PAYLOAD["hello.txt"]
    for name, signed, signer, says, title in (
        ("other-file", content + b"\n", "carol", "the signature is bad", "The upstream signature is of other bytes."),
        (
            "stranger",
            content,
            "mallory",
            "not one of the keys that may sign",
            "The upstream signature is by another key.",
        ),
    ):
        signature = workshop.keyring.sign(signed, signer, at=SIGNED)
        mirror = workshop.mirror()
        draft = workshop.draft(upstream={"hello.txt": signature}, upstream_keys=["carol"])
        mirror.put_channel(mirror.put_release(draft))
        yield Vector(
            f"upstream-signature-{name}",
            title,
            "The file is the one that the release signs; but the release says that upstream's key signed it too.",
            model.encode(workshop.root("alice")),
            mirror,
            error=UpstreamSignatureError,
            says=says,
        )


def _torrents(workshop: Workshop) -> Iterator[Vector]:
    other = workshop.draft(payload={"hello.txt": b"Something else.\n"})
    hybrid, v1 = other.staged.torrents.hybrid.data, other.staged.torrents.v1.data
    for name, path, data, says, title in (
        ("other-hybrid", _TORRENT, hybrid, "info-hash v1", "The hybrid torrent is of other bytes."),
        ("other-v1", _V1_TORRENT, v1, "info-hash v1", "The v1 torrent is of other bytes."),
    ):
        mirror = _honest(workshop)
        mirror.files[path] = data
        yield _torrent_vector(workshop, name, mirror, says, title)
    mirror = _honest(workshop)
    mirror.files[_V1_TORRENT] = mirror.files[_TORRENT]
    title = "The hybrid torrent is served in the v1 torrent's place."
    yield _torrent_vector(workshop, "hybrid-for-v1", mirror, "info-hash v1", title)
    signed = workshop.draft().staged.release
    for name, change, says, what in (
        ("other-length", swap(f'"length": {_LENGTH}', f'"length": {_LENGTH + 1}'), "file list", "length of the file"),
        ("other-path", swap("hello.txt", "hallo.txt"), "file list", "path of the file"),
        ("other-info-hash-v2", swap(signed.hybrid.info_hash_v2, "0" * 64), "info-hash v2", "SHA-256 info-hash"),
        ("other-piece-length", swap('"piece_length": 16384', '"piece_length": 32768'), "piece length", "piece length"),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft(), change=change))
        title = f"The manifest signs another {what} than the torrent has; the SHA-1 info-hash is the signed one."
        yield _torrent_vector(workshop, name, mirror, says, title)
    mirror = _honest(workshop)
    mirror.files[_TORRENT] = b"this is no torrent"
    yield Vector(
        "format-torrent",
        "The torrent is none.",
        "It is not bencoded.",
        model.encode(workshop.root("alice")),
        mirror,
        error=FormatError,
        says="not a torrent",
    )


def _torrent_vector(workshop: Workshop, name: str, mirror: Mirror, says: str, title: str) -> Vector:
    why = "Both torrents have to carry the info-hashes, piece length, paths and lengths that the release signs."
    root = model.encode(workshop.root("alice"))
    return Vector(f"torrent-mismatch-{name}", title, why, root, mirror, error=TorrentMismatchError, says=says)


def _torrents_alone(workshop: Workshop) -> Iterator[Vector]:
    draft = workshop.draft()
    alice = workshop.keyring.fingerprint("alice")
    document = draft.document
    good = {alice: workshop.keyring.sign(document, "alice", at=SIGNED)}
    strangers = {alice: workshop.keyring.sign(document, "mallory", at=SIGNED)}
    foreign = workshop.draft(channel="another")
    by_alice = {alice: workshop.keyring.sign(foreign.document, "alice", at=SIGNED)}
    other = workshop.draft(payload={"hello.txt": b"Something else.\n"}).staged.torrents.hybrid
    hybrid = draft.staged.torrents.hybrid
    tampered = swap("pkg:generic/tool", "pkg:generic/fool")(document)
    cases: tuple[tuple[str, bytes, type[OssdistError], str, str, str], ...] = (
        (
            "unsigned",
            dress(hybrid, release=document).data,
            SignatureError,
            "none by a key of this role",
            "The embedded release has no signature.",
            "It needs one.",
        ),
        (
            "by-a-stranger",
            dress(hybrid, release=document, signatures=strangers).data,
            SignatureError,
            "not one of the keys that may sign",
            "A stranger has signed the embedded release, under a known key's name.",
            "Whose signature it is, the signature says.",
        ),
        (
            "changed-release",
            dress(hybrid, release=tampered, signatures=good).data,
            SignatureError,
            "it is not over these bytes",
            "The embedded release was changed after it had been signed.",
            "The signature is over other bytes.",
        ),
        (
            "other-bytes",
            dress(other, release=document, signatures=good).data,
            TorrentMismatchError,
            "info-hash v1",
            "A torrent of other bytes carries a good release.",
            "The release signs other info-hashes than the torrent's own.",
        ),
        (
            "foreign-release",
            dress(foreign.staged.torrents.hybrid, release=foreign.document, signatures=by_alice).data,
            ForeignDocumentError,
            "belongs to channel 'another'",
            "The embedded release is another channel's, which the same key signs.",
            "A document counts for the channel that it names.",
        ),
        (
            "without-release",
            hybrid.data,
            FormatError,
            "it carries no release",
            "The torrent carries no release.",
            "It may be a good torrent, but nobody has signed it.",
        ),
        (
            "malformed-block",
            hybrid.data[:-1] + b"7:ossdisti1ee",
            FormatError,
            "the embedded release is malformed",
            "The value of the key ossdist is a number.",
            "It is a dictionary with the release and its signatures.",
        ),
    )
    for name, data, error, says, title, why in cases:
        root = model.encode(workshop.root("alice"))
        yield Vector(f"torrent-alone-{name}", title, why, root, data, error=error, says=says)
    torrent = dress(hybrid, release=document, signatures=good).data
    yield Vector(
        "torrent-alone-below-the-threshold",
        "One key has signed the embedded release, two have to.",
        "One signature is fewer than the threshold.",
        model.encode(workshop.root("alice", "bob", threshold=2)),
        torrent,
        error=SignatureError,
        says="1 good signature(s)",
    )
    yield Vector(
        "torrent-alone-under-an-expired-root",
        "The torrent is good, but the caller's root has expired.",
        "Nothing is accepted under a root whose time is over.",
        model.encode(workshop.root("alice", expires=SIGNED)),
        torrent,
        error=ExpiredError,
        says="root.json expired",
    )
