"""Vectors that a client has to refuse because of time, of what it remembers, or of what the channel says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ossdist.errors import (
    EquivocationError,
    ExpiredError,
    ForeignDocumentError,
    NotFoundError,
    PostdatedError,
    RemovedReleaseError,
    RollbackError,
    RotationError,
    SignatureError,
    UnknownRootError,
    WithdrawnError,
)
from ossdist.release import model
from tools.vectors.vector import Remembered, Vector
from tools.vectors.workshop import EXPIRES, NOW, entry_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ossdist.release.channel import ReleaseEntry
    from tools.vectors.workshop import Mirror, Workshop

_PAST = datetime(2024, 5, 1, tzinfo=UTC)
_REASON = "it deletes files"


def refused_states(workshop: Workshop) -> Iterator[Vector]:
    """All of them."""
    yield from _dates(workshop)
    yield from _memory(workshop)
    yield from _removed(workshop)
    yield from _choice(workshop)
    yield from _rotations(workshop)


def _honest(workshop: Workshop, *, serial: int = 5, issued: datetime = _PAST, expires: datetime = EXPIRES) -> Mirror:
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft()), serial=serial, issued=issued, expires=expires)
    return mirror


def _dates(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    yield Vector(
        "expired-channel",
        "The channel expires at this very second.",
        "It may be believed before that time, not at it: a mirror may be holding newer ones back.",
        root,
        _honest(workshop, expires=NOW),
        error=ExpiredError,
        says="channel.json expired",
    )
    yield Vector(
        "expired-root",
        "The caller's root has expired, and there is no newer one.",
        "The last root has to be valid.",
        model.encode(workshop.root("alice", expires=_PAST)),
        _honest(workshop),
        error=ExpiredError,
        says="root.json expired",
    )
    mirror = _honest(workshop)
    mirror.put_root(workshop.root("alice", serial=2, expires=_PAST), "alice")
    yield Vector(
        "expired-newer-root",
        "The caller's root is valid, but the one that follows it has expired.",
        "The last root has to be valid, and root 1 is not the last one any more.",
        root,
        mirror,
        error=ExpiredError,
        says="root.json expired",
    )
    yield Vector(
        "postdated-channel",
        "The channel says that it was issued six minutes after now.",
        "More than five minutes are no difference of clocks any more.",
        root,
        _honest(workshop, issued=NOW + timedelta(minutes=6)),
        error=PostdatedError,
        says="in the future",
    )


def _memory(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    newer, older = _honest(workshop, serial=6), _honest(workshop)
    yield Vector(
        "rollback",
        "The client knows serial 6, the mirror has serial 5.",
        "A channel never goes back.",
        root,
        older,
        error=RollbackError,
        says="has serial 5, but serial 6",
        remembered=Remembered((root,), newer),
    )
    yield Vector(
        "equivocation",
        "The mirror's channel has the remembered serial, and is another document.",
        "There is one document of each serial; whoever signs two of them tells people different things.",
        root,
        _honest(workshop, issued=_PAST + timedelta(hours=1)),
        error=EquivocationError,
        says="another document with this serial",
        remembered=Remembered((root,), older),
    )
    other = model.encode(workshop.root("mallory"))
    yield Vector(
        "unknown-root",
        "What the client remembers began with another root 1 than the caller gives.",
        "A memory that does not go back to the caller's root is somebody else's.",
        root,
        older,
        error=UnknownRootError,
        says="another root 1 was accepted before",
        remembered=Remembered((other,), older),
    )


def _removed(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    known = entry_of(b"an old manifest", version="0.9", serial=4)
    withdrawn = entry_of(b"an old manifest", version="0.9", serial=4, withdrawn=_REASON)
    changed = entry_of(b"a changed manifest", version="0.9", serial=4)

    def state(*others: ReleaseEntry, serial: int) -> Mirror:
        mirror = workshop.mirror()
        mirror.put_channel(*others, mirror.put_release(workshop.draft()), serial=serial)
        return mirror

    cases: Sequence[tuple[str, ReleaseEntry, list[ReleaseEntry], str, str]] = (
        ("vanished", known, [], "is not listed any more", "A release that was listed has vanished."),
        ("changed", known, [changed], "with other bytes", "A release is listed with another manifest than before."),
        ("came-back", withdrawn, [known], "came back", "A release that was withdrawn is good again."),
    )
    for name, before, after, says, title in cases:
        yield Vector(
            f"removed-release-{name}",
            title,
            "What was listed stays listed as it is; it can only be withdrawn, for good.",
            root,
            state(*after, serial=6),
            error=RemovedReleaseError,
            says=says,
            remembered=Remembered((root,), state(before, serial=5)),
        )


def _choice(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(), withdrawn=_REASON))
    for name, version, title in (
        ("withdrawn", "1.0", "The version that is asked for was withdrawn."),
        ("all-withdrawn", None, "No version is asked for, and every one was withdrawn."),
    ):
        yield Vector(
            name,
            title,
            "A withdrawn release is not installed; the client says the publisher's reason.",
            root,
            mirror,
            error=WithdrawnError,
            says=_REASON,
            version=version,
        )
    for name, package, version, title in (
        ("not-found-name", "other", None, "A package is asked for that the channel does not list."),
        ("not-found-version", "tool", "3.0", "A version is asked for that the channel does not list."),
    ):
        yield Vector(
            name,
            title,
            "The channel is good, and does not have it.",
            root,
            _honest(workshop),
            error=NotFoundError,
            says="does not exist in the channel",
            package=package,
            version=version,
        )


def _rotations(workshop: Workshop) -> Iterator[Vector]:
    root = model.encode(workshop.root("alice"))
    second = workshop.root("bob", serial=2)
    cases = (
        ("new-keys", ("bob",), "The new root is signed by its own keys alone."),
        ("old-keys", ("alice",), "The new root is signed by the old keys alone."),
    )
    for name, signers, title in cases:
        mirror = workshop.mirror()  # good under either root
        mirror.put_channel(mirror.put_release(workshop.draft(), signers=("alice", "bob")), signers=("alice", "bob"))
        mirror.put_root(second, *signers)
        yield Vector(
            f"rotation-by-{name}-alone",
            title,
            "A root is signed by the thresholds of the root before it and of itself.",
            root,
            mirror,
            error=SignatureError,
            says="2.root.json: 0 good signature(s)",
        )
    mirror = _honest(workshop)
    mirror.put_root(workshop.root("alice", serial=3), "alice", number=2)
    yield Vector(
        "rotation-skips-a-serial",
        "2.root.json has serial 3.",
        "Root 1 is followed by root 2.",
        root,
        mirror,
        error=RotationError,
        says="has serial 3, but root 1 must be followed by 2",
    )
    mirror = _honest(workshop)
    mirror.put_root(workshop.root("alice", serial=1), "alice", number=2)
    yield Vector(
        "rotation-to-the-same-serial",
        "2.root.json is root 1 once more.",
        "Root 1 is followed by root 2.",
        root,
        mirror,
        error=RotationError,
        says="has serial 1",
    )
    mirror = _honest(workshop)
    mirror.put_root(workshop.root("alice", serial=2, channel="another"), "alice")
    yield Vector(
        "foreign-root",
        "2.root.json is the root of another channel that the same key signs.",
        "A channel never changes its name.",
        root,
        mirror,
        error=ForeignDocumentError,
        says="belongs to channel 'another'",
    )
