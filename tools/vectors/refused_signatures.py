"""Vectors that a client has to refuse because the signatures do not count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ossdist.errors import SignatureError
from ossdist.release import layout, model
from tools.vectors.vector import Vector
from tools.vectors.workshop import NOW, SIGNED, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.vectors.workshop import Mirror, Workshop

_MANIFEST = layout.release_path("tool", "1.0")


def refused_signatures(workshop: Workshop) -> Iterator[Vector]:
    """All of them."""
    yield from _of_the_channel(workshop)
    yield from _of_odd_form(workshop)
    yield from _by_dead_keys(workshop)
    yield from _below_the_threshold(workshop)
    yield from _of_the_release(workshop)


def _vector(
    workshop: Workshop, name: str, mirror: Mirror, says: str, title: str, why: str, *, root: model.Root | None = None
) -> Vector:
    root = root or workshop.root("alice")
    return Vector(f"signature-{name}", title, why, model.encode(root), mirror, error=SignatureError, says=says)


def _signed_by(workshop: Workshop, *signers: str) -> Mirror:
    """A channel with an honest release, its document signed by these keys."""
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft()), signers=signers)
    return mirror


def _of_the_channel(workshop: Workshop) -> Iterator[Vector]:
    yield _vector(
        workshop,
        "missing",
        _signed_by(workshop),
        "none by a key of this role",
        "Nobody has signed the channel.",
        "Role channel needs one signature, and none is there.",
    )
    yield _vector(
        workshop,
        "by-a-stranger",
        _signed_by(workshop, "mallory"),
        "none by a key of this role",
        "A key that the root does not list has signed the channel.",
        "Only the keys of a role count for it.",
    )
    mirror = _signed_by(workshop)
    document = mirror.files[layout.CHANNEL]
    mirror.put_signature(layout.CHANNEL, "alice", workshop.keyring.sign(document, "mallory", at=SIGNED))
    yield _vector(
        workshop,
        "by-a-stranger-under-a-known-name",
        mirror,
        "not one of the keys that may sign",
        "A stranger's signature stands in the file of a key of the role.",
        "Whose signature it is, the signature says, not the file's name.",
    )
    mirror = _signed_by(workshop, "alice")
    mirror.files[layout.CHANNEL] = swap('"serial": 5', '"serial": 6')(mirror.files[layout.CHANNEL])
    yield _vector(
        workshop,
        "over-other-bytes",
        mirror,
        "it is not over these bytes",
        "The channel was changed after it had been signed.",
        "The signature is over other bytes.",
    )
    mirror = workshop.mirror()
    document = mirror.put_channel(mirror.put_release(workshop.draft(), signers=("bob",)), signers=("bob",))
    mirror.put_signature(layout.CHANNEL, "alice", workshop.keyring.sign(document, "bob", at=SIGNED))
    yield _vector(
        workshop,
        "by-another-role",
        mirror,
        "is not one of role 'channel'",
        "A key of role release has signed the channel.",
        "The key is in the root, but role channel does not list it.",
        root=workshop.root("alice", release_signer="bob"),
    )


def _of_odd_form(workshop: Workshop) -> Iterator[Vector]:
    document = _signed_by(workshop).files[layout.CHANNEL]
    sign = workshop.keyring.sign
    good = sign(document, "alice", at=SIGNED)
    for name, signature, says, title, why in (
        (
            "sha-1",
            sign(document, "alice", "--digest-algo", "SHA1", at=SIGNED),
            "hash algorithm 2",
            "The signature uses SHA-1.",
            "Only SHA-256, SHA-384 and SHA-512 count.",
        ),
        (
            "text-mode",
            sign(document, "alice", "--textmode", at=SIGNED),
            "class 01",
            "The signature is over text (class 01).",
            "Only signatures of binary data (class 00) count: they hold for these very bytes.",
        ),
        (
            "dated-in-the-future",
            sign(document, "alice", at=NOW + timedelta(minutes=6)),
            "dated in the future",
            "The signature is dated six minutes after now.",
            "More than five minutes are no difference of clocks any more.",
        ),
        (
            "older-than-its-key",
            sign(document, "alice", "--ignore-time-conflict", at=datetime(2022, 12, 1, tzinfo=UTC)),
            "gpg ",
            "The signature is dated before its key was made.",
            "No such signature can be honest.",
        ),
        (
            "expired",
            sign(document, "alice", "--default-sig-expire", "2d", at=SIGNED),
            "the signature has expired",
            "The signature itself has expired.",
            "Its own time ended two days after it was made.",
        ),
        (
            "good-beside-expired",
            workshop.keyring.join(
                sign(document, "alice", "--no-armor", at=SIGNED),
                sign(document, "alice", "--no-armor", "--default-sig-expire", "2d", at=SIGNED),
            ),
            "has expired",
            "The signature's file holds a good signature and one that has expired.",
            "GnuPG stops at the second one; whatever the order is, the whole file counts for nothing.",
        ),
        (
            "good-beside-bad",
            workshop.keyring.join(
                sign(document, "alice", "--no-armor", at=SIGNED),
                sign(b"another document", "alice", "--no-armor", at=SIGNED),
            ),
            "the signature is bad",
            "The signature's file holds a good signature and one over other bytes.",
            "GnuPG stops at the second one; whatever the order is, the whole file counts for nothing.",
        ),
        (
            "two-blocks",
            good + good,
            "not exactly one armored",
            "The signature's file holds two armored blocks.",
            "A signature's file is exactly one armored block.",
        ),
        (
            "trailing-garbage",
            good + b"something else\n",
            "not exactly one armored",
            "Text follows the armored signature.",
            "A signature's file is exactly one armored block, with whitespace around it at most.",
        ),
        (
            "not-armored",
            sign(document, "alice", "--no-armor", at=SIGNED),
            "not exactly one armored",
            "The signature is binary.",
            "A signature's file is armored.",
        ),
        (
            "inline",
            sign(document, "alice", at=SIGNED, form="--sign"),
            "not a PGP SIGNATURE",
            "The file holds a signed message: the document and its signature in one.",
            "A signature's file holds detached signatures only.",
        ),
        (
            "cleartext",
            sign(document, "alice", at=SIGNED, form="--clear-sign"),
            "not exactly one armored",
            "The file holds the document in clear text, signed.",
            "A signature's file holds detached signatures only.",
        ),
        (
            "too-long",
            good + b"\n" * model.MAX_SIGNATURE_BYTES,
            "cannot be had",
            "The signature's file is longer than 16 KiB.",
            "A client reads no more of it: whoever serves it could serve without end.",
        ),
        (
            "empty",
            b"",
            "is empty",
            "The signature's file is empty.",
            "It holds no signature.",
        ),
    ):
        mirror = _signed_by(workshop)
        mirror.put_signature(layout.CHANNEL, "alice", signature)
        yield _vector(workshop, name, mirror, says, title, why)


def _by_dead_keys(workshop: Workshop) -> Iterator[Vector]:
    yield _vector(
        workshop,
        "by-a-revoked-key",
        _signed_by(workshop, "revo"),
        "was revoked",
        "The channel's key was revoked; the root says so.",
        "No signature of a revoked key counts, whatever its date.",
        root=workshop.root("alice", channel_signer="revo"),
    )
    yield _vector(
        workshop,
        "by-a-key-that-has-expired-since",
        _signed_by(workshop, "ernest"),
        "the key expired at",
        "The channel's key was good when it signed, and has expired since.",
        "A channel is signed again and again: only for a release may the key have expired since.",
        root=workshop.root("alice", channel_signer="ernest"),
    )
    mirror = workshop.mirror()
    entry = mirror.put_release(workshop.draft(), signers=())
    late = workshop.keyring.sign(mirror.files[_MANIFEST], "ernest", at=datetime(2024, 5, 15, tzinfo=UTC))
    mirror.put_signature(_MANIFEST, "ernest", late)
    mirror.put_channel(entry)
    yield _vector(
        workshop,
        "by-an-expired-key",
        mirror,
        "had expired when it signed",
        "The release's key had expired before it signed.",
        "A key has to be good when it signs.",
        root=workshop.root("alice", release_signer="ernest"),
    )


def _below_the_threshold(workshop: Workshop) -> Iterator[Vector]:
    root = workshop.root("alice", "bob", "carol", threshold=2, release_signer="alice")  # the release is good
    yield _vector(
        workshop,
        "below-the-threshold",
        _signed_by(workshop, "alice"),
        "1 good signature(s)",
        "One of three keys has signed the channel, two have to.",
        "One signature is fewer than the threshold.",
        root=root,
    )
    mirror = _signed_by(workshop, "alice")
    document = mirror.files[layout.CHANNEL]
    mirror.put_signature(
        layout.CHANNEL, "bob", workshop.keyring.sign(document, "alice", at=SIGNED + timedelta(hours=1))
    )
    yield _vector(
        workshop,
        "twice-by-one-key",
        mirror,
        "1 good signature(s)",
        "Two different signatures, both by one key; one stands in another key's file.",
        "A key counts once, whichever files its signatures stand in.",
        root=root,
    )
    mirror = _signed_by(workshop, "alice")
    mirror.put_signature(layout.CHANNEL, "bob", workshop.keyring.sign(b"another document", "bob", at=SIGNED))
    yield _vector(
        workshop,
        "one-good-one-bad",
        mirror,
        "1 good signature(s)",
        "Two keys have to sign the channel; one of the two signatures is over other bytes.",
        "A bad signature does not count.",
        root=root,
    )


def _of_the_release(workshop: Workshop) -> Iterator[Vector]:
    root = workshop.root("alice", release_signer="bob")
    mirror = workshop.mirror()
    entry = mirror.put_release(workshop.draft(), signers=())
    mirror.put_channel(entry)
    yield _vector(
        workshop,
        "release-missing",
        mirror,
        "role 'release'",
        "Nobody has signed the release; the channel that lists it is signed.",
        "A release has signatures of its own: the channel's do not stand for them.",
        root=root,
    )
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(), signers=("alice",)))
    yield _vector(
        workshop,
        "release-by-the-channel-key",
        mirror,
        "role 'release'",
        "The channel's key has signed the release too.",
        "Role release lists another key.",
        root=root,
    )
    mirror = workshop.mirror()
    entry = mirror.put_release(workshop.draft(), signers=())
    mirror.put_signature(_MANIFEST, "bob", workshop.keyring.sign(workshop.draft("2.0").document, "bob", at=SIGNED))
    mirror.put_channel(entry)
    yield _vector(
        workshop,
        "release-over-other-bytes",
        mirror,
        "it is not over these bytes",
        "The release carries the signature of another release.",
        "The signature is over other bytes.",
        root=root,
    )
