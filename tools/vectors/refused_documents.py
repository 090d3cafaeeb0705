"""Vectors that a client has to refuse because a signed document is malformed, unsafe or not the listed one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from ossdist.errors import ForeignDocumentError, FormatError, ManifestMismatchError, TooLargeError, UnsafePathError
from ossdist.release import layout, model
from tools.vectors.vector import Vector
from tools.vectors.workshop import append, cut, entry_of, swap

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ossdist.errors import OssdistError
    from tools.vectors.workshop import Mirror, Workshop

_MANIFEST = layout.release_path("tool", "1.0")
_TWO = {"a.txt": b"one\n", "b.txt": b"two\n"}


def refused_documents(workshop: Workshop) -> Iterator[Vector]:
    """All of them."""
    yield from _malformed_roots(workshop)
    yield from _malformed_channels(workshop)
    yield from _malformed_releases(workshop)
    yield from _unsafe_paths(workshop)
    yield from _foreign(workshop)
    yield from _mixed(workshop)


def _malformed_roots(workshop: Workshop) -> Iterator[Vector]:
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft()))
    alice = workshop.keyring.fingerprint("alice")
    for name, change, says, title, why in (
        (
            "threshold",
            swap('"threshold": 1', '"threshold": 2'),
            "needs 2 of 1 keys",
            "A role of the caller's root needs two keys and lists one.",
            "A threshold that cannot be met is a mistake.",
        ),
        (
            "key-twice",
            swap(f'"keys": [\n        "{alice}"', f'"keys": [\n        "{alice}",\n        "{alice}"'),
            "lists a key twice",
            "A role of the caller's root lists a key twice.",
            "A key counts once, so the second entry is a mistake.",
        ),
        (
            "key-without-block",
            swap(alice, workshop.keyring.fingerprint("bob")),
            "not in keys",
            "A role of the caller's root lists a key whose block is not there.",
            "No signature of that key could be checked.",
        ),
    ):
        root = change(model.encode(workshop.root("alice")))
        yield Vector(f"format-root-{name}", title, why, root, mirror, error=FormatError, says=says)
    honest = workshop.root("alice")
    (block,) = workshop.keyring.blocks("bob").values()
    root = model.encode(msgspec.structs.replace(honest, keys={alice: block}))
    yield Vector(
        "format-root-key-of-another-name",
        "The block that stands for one key holds another one.",
        "A fingerprint has to be that of the key in its block.",
        root,
        mirror,
        error=FormatError,
        says="root.json",
    )


def _malformed_channels(workshop: Workshop) -> Iterator[Vector]:
    for name, change, says, title, why in (
        (
            "unknown-field",
            swap('"serial": 5', '"serial": 5,\n  "colour": "red"'),
            "colour",
            "The channel has a field that the format does not know.",
            "An unknown field may mean something that this client does not do.",
        ),
        (
            "duplicate-key",
            swap('"serial": 5', '"serial": 5,\n  "serial": 6'),
            "a key stands twice",
            "The channel has the key serial twice.",
            "One reader takes the first value, another the last: one signature must not mean two things.",
        ),
        (
            "wrong-type",
            swap('"serial": 5', '"serial": "5"'),
            "serial",
            "The channel's serial is text.",
            "Every value has one type.",
        ),
        (
            "missing-field",
            swap('  "serial": 5,\n', ""),
            "serial",
            "The channel has no serial.",
            "Without it no rollback could be noticed.",
        ),
        (
            "zero-serial",
            swap('"serial": 5', '"serial": 0'),
            "serial",
            "The channel's serial is 0.",
            "Serials begin with 1.",
        ),
        (
            "date-without-zone",
            swap('2024-07-01T00:00:00Z"', '2024-07-01T00:00:00"'),
            "expires",
            "The channel's end is a date without a time zone.",
            "Such a time means another moment to every reader.",
        ),
        (
            "other-format",
            swap("ossdist-channel-1", "ossdist-channel-2"),
            "format",
            "The channel has a format that is not known.",
            "What a later format means, nobody can tell yet.",
        ),
        (
            "not-json",
            append(b"}\n"),
            "channel.json",
            "Something follows the channel's JSON object.",
            "A document is one JSON object.",
        ),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft()), change=change)
        yield _vector(workshop, f"format-channel-{name}", mirror, title, why, FormatError, says)
    yield from _malformed_indexes(workshop)


def _malformed_indexes(workshop: Workshop) -> Iterator[Vector]:
    for name, others, says, title, why in (
        (
            "twice",
            [entry_of(b"-", version="1.0", serial=5)],
            "is listed twice",
            "The channel lists a release twice.",
            "There is one manifest of each version.",
        ),
        (
            "shared-folder",
            [entry_of(b"-", version="1.1", serial=5), entry_of(b"-", name="TOOL", version="1.1", serial=5)],
            "shares its folder",
            "The channel lists tool 1.1 and TOOL 1.1.",
            "On some file systems both stand in one folder.",
        ),
        (
            "serial-above-its-own",
            [entry_of(b"-", version="1.1", serial=6)],
            "above the channel's own",
            "A release has a higher serial than the channel.",
            "A release's serial is the channel's when it was added.",
        ),
        (
            "out-of-order",
            [entry_of(b"-", version="0.9", serial=4)],
            "before an older release",
            "A release stands behind a newer one.",
            "Releases stand in the order in which they were added.",
        ),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft()), *others)
        yield _vector(workshop, f"format-index-{name}", mirror, title, why, FormatError, says)


def _malformed_releases(workshop: Workshop) -> Iterator[Vector]:
    for name, change, says, title, why in (
        (
            "unknown-field",
            swap('"name": "tool"', '"name": "tool",\n  "colour": "red"'),
            "colour",
            "The manifest has a field that the format does not know.",
            "An unknown field may mean something that this client does not do.",
        ),
        (
            "duplicate-key",
            swap('"version": "1.0"', '"version": "1.0",\n  "version": "1.0"'),
            "a key stands twice",
            "The manifest has the key version twice.",
            "One signature must not mean two things.",
        ),
        (
            "upper-case-hash",
            swap('"sha256": "b8c2', '"sha256": "B8C2'),
            "sha256",
            "A file's SHA-256 has digits in upper case.",
            "A SHA-256 is 64 lower-case hexadecimal digits.",
        ),
        (
            "bad-purl",
            swap("pkg:generic/tool@1.0", "generic/tool@1.0"),
            "not a package URL",
            "The manifest's purl is none.",
            "It begins with pkg:.",
        ),
        (
            "upstream-signature-without-key",
            swap('"path": "hello.txt",', '"path": "hello.txt", "upstream_signature": "it has one",'),
            "no upstream key",
            "The manifest has an upstream signature, but no upstream key.",
            "A signature without a key to check it by shows nothing.",
        ),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft(), change=change))
        yield _vector(workshop, f"format-release-{name}", mirror, title, why, FormatError, says)


def _unsafe_paths(workshop: Workshop) -> Iterator[Vector]:
    for name, path, says, title in (
        ("climbs", "../a.txt", "has the component '..'", "A path climbs out of its folder."),
        ("climbs-inside", "a/../a.txt", "has the component '..'", "A path has the component .. in the middle."),
        ("absolute", "/etc/passwd", "is absolute", "A path is absolute."),
        ("twice", "b.txt", "stands there twice", "A path stands there twice."),
        ("twice-but-for-case", "B.TXT", "stands there twice", "Two paths differ in upper and lower case alone."),
        ("file-and-folder", "b.txt/a.txt", "is a file and a folder", "One path is another one's folder."),
        ("backslash", "a\\\\b.txt", "has one of the characters", "A path has a backslash."),
        ("windows-device", "nul.txt", "Windows reserves", "A path is a device's name on Windows."),
        ("drive", "c:a.txt", "has one of the characters", "A path names a drive."),
        ("not-normal", "a\u0308.txt", "normal form C", "A path is not in Unicode's normal form C."),
        ("invisible", "a\u202eb.txt", "invisible character", "A path turns the direction of writing."),
        ("empty-component", "a//a.txt", "has an empty component", "A path has an empty component."),
    ):
        mirror = workshop.mirror()
        change = swap('"path": "a.txt"', f'"path": "{path}"')
        mirror.put_channel(mirror.put_release(workshop.draft(payload=_TWO), change=change))
        why = "No manifest with such a path is used, not even for its other files."
        yield _vector(workshop, f"unsafe-path-{name}", mirror, title, why, UnsafePathError, says)


def _foreign(workshop: Workshop) -> Iterator[Vector]:
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft()), channel="another")
    title = "The channel's document is another channel's, which the same key signs."
    why = "A document counts for the channel that it names."
    says = "belongs to channel 'another'"
    yield _vector(workshop, "foreign-channel", mirror, title, why, ForeignDocumentError, says)
    mirror = workshop.mirror()
    mirror.put_channel(mirror.put_release(workshop.draft(channel="another")))
    title = "The release is another channel's, which the same key signs."
    yield _vector(workshop, "foreign-release", mirror, title, why, ForeignDocumentError, says)


def _mixed(workshop: Workshop) -> Iterator[Vector]:
    for name, change, error, says, title in (
        (
            "other-bytes",
            swap('"length": 270', '"length": 271'),
            ManifestMismatchError,
            "sha256",
            "The manifest has other bytes than the listed one.",
        ),
        (
            "shorter",
            cut,
            ManifestMismatchError,
            "length",
            "The manifest is one byte shorter than the listed one.",
        ),
        (
            "longer",
            append(b"\n"),
            TooLargeError,
            _MANIFEST,
            "The manifest is one byte longer than the listed one.",
        ),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft()))
        changed = change(mirror.files[_MANIFEST])
        mirror.put(_MANIFEST, changed, "alice")
        why = "It is well signed, but the channel lists another one."
        yield _vector(workshop, f"manifest-{name}", mirror, title, why, error, says)
    mirror = workshop.mirror()
    other = workshop.draft("2.0")
    entry = entry_of(other.document)  # says 1.0
    mirror.put(_MANIFEST, other.document, "alice")
    mirror.put_channel(entry)
    yield _vector(
        workshop,
        "manifest-of-another-version",
        mirror,
        "The channel lists version 1.0 with the manifest of version 2.0.",
        "Name and version in the manifest are those of the entry.",
        ManifestMismatchError,
        "version",
    )
    for name, change, error, says, title in (
        (
            "other-bytes",
            swap('"tool"', '"fool"'),
            ManifestMismatchError,
            "sha256",
            "A page has other bytes than listed.",
        ),
        ("shorter", cut, ManifestMismatchError, "length", "A page is one byte shorter than listed."),
        ("longer", append(b"\n"), TooLargeError, "index/", "A page is one byte longer than listed."),
    ):
        mirror = workshop.mirror()
        mirror.put_channel(mirror.put_release(workshop.draft()))
        (page,) = (path for path in mirror.files if path.startswith("index/"))
        mirror.files[page] = change(mirror.files[page])
        why = "Pages are not signed: their length and hash stand in the channel."
        yield _vector(workshop, f"page-{name}", mirror, title, why, error, says)


def _vector(
    workshop: Workshop,
    name: str,
    mirror: Mirror,
    title: str,
    why: str,
    error: type[OssdistError],
    says: str,
) -> Vector:
    return Vector(name, title, why, model.encode(workshop.root("alice")), mirror, error=error, says=says)
