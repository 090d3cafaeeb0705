"""Vectors that a client has to accept."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ossdist.release import layout, model
from tools.vectors.vector import Remembered, Vector
from tools.vectors.workshop import PAYLOAD, SIGNED, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tools.vectors.workshop import Mirror, Workshop

_TREE = {
    "README": b"A release of several files.\n",
    "bin/tool": b"#!/bin/sh\necho tool\n",
    "share/empty": b"",
    "share/gr\u00fc\u00dfe.txt": "Grüße\n".encode(),
}
_NEW = {"hello.txt": b"The second edition.\n" * 10}


def accepted(workshop: Workshop) -> Iterator[Vector]:
    """All of them."""
    yield from _signers(workshop)
    yield from _roots(workshop)
    yield from _channels(workshop)
    yield from _torrents(workshop)


def _signers(workshop: Workshop) -> Iterator[Vector]:
    for name, signer, kind in (
        ("ed25519", "alice", "an Ed25519 key"),
        ("rsa", "carol", "an RSA key"),
        ("nist-p256", "nora", "an ECDSA key on the curve NIST P-256"),
        ("subkey", "sue", "a signing subkey; the role lists its primary key"),
    ):
        mirror = _one_release(workshop, signer)
        yield Vector(
            f"accept-{name}",
            f"Everything is signed by {kind}.",
            "The one signature that each role needs is good.",
            model.encode(workshop.root(signer)),
            mirror,
            release=("1.0", PAYLOAD),
            signers={"channel": (signer,), "release": (signer,)},
        )
    upstream = {path: workshop.keyring.sign(content, "carol", at=SIGNED) for path, content in PAYLOAD.items()}
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(upstream=upstream, upstream_keys=["carol"])))
    yield Vector(
        "accept-upstream-signature",
        "The project that made the file signed it too.",
        "The upstream signature in the manifest is by the upstream key in the manifest, over the file.",
        model.encode(workshop.root("alice")),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice",), "release": ("alice",)},
    )
    mirror = _one_release(workshop, "alice", "nora")
    yield Vector(
        "accept-threshold",
        "Two of three keys have to sign, and two did.",
        "Each role needs two of its three keys; the third one's signature is not there.",
        model.encode(workshop.root("alice", "carol", "nora", threshold=2)),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice", "nora"), "release": ("alice", "nora")},
    )
    mirror = _one_release(workshop, "alice")
    for path in (layout.CHANNEL, layout.release_path("tool", "1.0")):
        mirror.put(path, mirror.files[path], "mallory")
        mirror.put_signature(path, "bob", workshop.keyring.sign(b"another document", "bob", at=SIGNED))
    yield Vector(
        "accept-extra-signatures",
        "Beside the good signatures stand a stranger's and a bad one.",
        "A signature that does not count takes nothing away from those that do.",
        model.encode(workshop.root("alice", "bob")),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice",), "release": ("alice",)},
    )
    mirror = _one_release(workshop, "alice")
    sign = workshop.keyring.sign
    for path in (layout.CHANNEL, layout.release_path("tool", "1.0")):
        both = [sign(mirror.files[path], name, "--no-armor", at=SIGNED) for name in ("alice", "nora")]
        for name in ("alice", "nora"):
            mirror.put_signature(path, name, workshop.keyring.join(*both))
    yield Vector(
        "accept-two-signatures-in-one-file",
        "Each of the two signature files holds the signatures of both keys.",
        "A file may hold several signatures; a key counts once, however often it has signed.",
        model.encode(workshop.root("alice", "nora", threshold=2)),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice", "nora"), "release": ("alice", "nora")},
    )
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(), signers=("ernest",)))
    yield Vector(
        "accept-key-expired-after-signing",
        "The key that signed the release has expired since.",
        "A release is signed once, so its key needs to have been good when it signed.",
        model.encode(workshop.root("alice", release_signer="ernest")),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice",), "release": ("ernest",)},
    )


def _roots(workshop: Workshop) -> Iterator[Vector]:
    first = workshop.root("alice")
    second = workshop.root("bob", serial=2)
    third = workshop.root("bob", "carol", serial=3, threshold=2)
    mirror = _one_release(workshop, "bob", "carol")
    mirror.put_root(second, "alice", "bob")
    mirror.put_root(third, "bob", "carol")
    yield Vector(
        "accept-rotated-root",
        "The root was replaced twice: 1, 2, 3.",
        "Each root is signed by the thresholds of the root before it and of itself.",
        model.encode(first),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("bob", "carol"), "release": ("bob", "carol")},
    )
    mirror = _one_release(workshop, "carol")
    mirror.put_root(workshop.root("bob", serial=2, expires=datetime(2024, 5, 1, tzinfo=UTC)), "alice", "bob")
    mirror.put_root(workshop.root("carol", serial=3), "bob", "carol")
    yield Vector(
        "accept-expired-root-on-the-way",
        "Root 2 has expired, but root 3 follows it.",
        "Only the last root has to be valid at the time of the update.",
        model.encode(first),
        mirror,
        release=("1.0", PAYLOAD),
        signers={"channel": ("carol",), "release": ("carol",)},
    )
    yield Vector(
        "accept-remembered-root",
        "The client follows root 2 since long, which the mirror no longer has; the caller still gives root 1.",
        "The remembered root goes back to the caller's, so the client goes on from there.",
        model.encode(first),
        _one_release(workshop, "bob"),
        remembered=Remembered((model.encode(first), model.encode(second)), _one_release(workshop, "bob")),
        release=("1.0", PAYLOAD),
        signers={"channel": ("bob",), "release": ("bob",)},
    )
    far = workshop.mirror()
    far.put_channel(serial=1_000_000, signers=())
    old = workshop.root("alice", channel_signer="mallory")
    mirror = _one_release(workshop, "alice")
    mirror.put_root(workshop.root("alice", serial=2), "alice")
    yield Vector(
        "accept-recovery-from-fast-forward",
        "A stolen channel key had signed serial 1000000; a new root has another channel key, whose serial is 5.",
        "When the keys or the threshold of role channel change, the remembered channel is forgotten.",
        model.encode(old),
        mirror,
        remembered=Remembered((model.encode(old),), far),
        release=("1.0", PAYLOAD),
        signers={"channel": ("alice",), "release": ("alice",)},
    )


def _channels(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    signers = {"channel": ("alice",), "release": ("alice",)}
    mirror = workshop.mirror()
    withdrawn = mirror.put_release(workshop.draft("0.9"), serial=4, withdrawn="it deletes files")
    mirror.put_channel(withdrawn, mirror.put_release(workshop.draft()))
    yield Vector(
        "accept-older-one-withdrawn",
        "An older version was withdrawn; the newest one is asked for.",
        "Without a version the newest release that was not withdrawn is meant.",
        root,
        mirror,
        release=("1.0", PAYLOAD),
        signers=signers,
    )
    mirror = workshop.mirror()
    good = mirror.put_release(workshop.draft())
    bad = mirror.put_release(workshop.draft("2.0", _NEW), serial=6, withdrawn="it deletes files")
    mirror.put_channel(good, bad, serial=7)
    yield Vector(
        "accept-newest-one-withdrawn",
        "The newest version was withdrawn; no version is asked for.",
        "The newest release that was not withdrawn is the one before it.",
        root,
        mirror,
        release=("1.0", PAYLOAD),
        signers=signers,
    )
    yield Vector(
        "accept-withdrawn-since",
        "The client knows a release as good that was withdrawn since.",
        "To withdraw a release is the one change of an entry that is allowed.",
        root,
        mirror,
        remembered=Remembered((root,), _both_good(workshop)),
        release=("1.0", PAYLOAD),
        signers=signers,
    )
    before, after = workshop.mirror(), workshop.mirror()
    before.put_channel(before.put_release(workshop.draft()))
    entries = [after.put_release(workshop.draft()), after.put_release(workshop.draft("2.0", _NEW), serial=6)]
    after.put_channel(*entries, serial=6)
    for name, version, payload, title in (
        ("accept-grown-channel", None, _NEW, "The client knows an older state; a release was added since."),
        ("accept-older-version", "1.0", PAYLOAD, "An older version is asked for."),
    ):
        yield Vector(
            name,
            title,
            "What was listed is still listed, unchanged, and the serial is higher.",
            root,
            after,
            version=version,
            remembered=Remembered((root,), before),
            release=(version or "2.0", payload),
            signers=signers,
        )
    yield Vector(
        "accept-same-channel-again",
        "The client knows this very state.",
        "The serial is the remembered one, and so is the document.",
        root,
        before,
        remembered=Remembered((root,), before),
        release=("1.0", PAYLOAD),
        signers=signers,
    )
    mirror = workshop.mirror()
    many = [entry_of(b"-", name="p", version=str(number), serial=1) for number in range(256)]
    mirror.put_channel(*many, mirror.put_release(workshop.draft()))
    yield Vector(
        "accept-two-pages",
        "The channel has 257 releases on two pages.",
        "Every page is the listed one; the release stands on the second. Only its manifest is there.",
        root,
        mirror,
        release=("1.0", PAYLOAD),
        signers=signers,
    )
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(payload=_TREE)))
    yield Vector(
        "accept-several-files",
        "A release of several files: folders, an empty one, a name beyond ASCII.",
        "Every path is safe, and every file has the signed length and hash.",
        root,
        mirror,
        release=("1.0", _TREE),
        signers=signers,
    )


def _torrents(workshop: Workshop) -> Iterator[Vector]:
    mirror = workshop.mirror()
    mirror.put_release(workshop.draft(), signers=("alice", "bob"))
    for kind, v1 in (("hybrid", False), ("v1", True)):
        yield Vector(
            f"torrent-accept-{kind}",
            f"A {kind} torrent alone carries its release and two signatures.",
            "The embedded release is signed, and its info-hashes are the torrent's own.",
            model.encode(workshop.root("alice", "bob", threshold=2)),
            mirror.files[layout.torrent_path("tool", "1.0", v1=v1)],
            release=("1.0", PAYLOAD),
            signers={"release": ("alice", "bob")},
        )


def _one_release(workshop: Workshop, *signers: str) -> Mirror:
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(), signers=signers), signers=signers)
    return mirror


def _both_good(workshop: Workshop) -> Mirror:
    mirror = workshop.mirror()
    first = mirror.put_release(workshop.draft())
    mirror.put_channel(first, mirror.put_release(workshop.draft("2.0", _NEW), serial=6), serial=6)
    return mirror
