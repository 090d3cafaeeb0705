"""The exception tree: complete in its docstring, readable for people, usable by programs."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ossdist import errors
from ossdist.errors import OssdistError

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PATH = Path("/srv/target")

EXAMPLES: list[OssdistError] = [
    OssdistError("something"),
    errors.TrustError("no", document="channel.json"),
    errors.SignatureError(document="channel.json", role="channel", threshold=2, good=["A"], refused=["key B: bad"]),
    errors.UpstreamSignatureError(document="release tool 1.0", path="a.iso", refused=["key B: bad"]),
    errors.ExpiredError(document="channel.json", expires=NOW, now=NOW),
    errors.RollbackError(document="channel.json", serial=1, known=2),
    errors.PostdatedError(document="channel.json", issued=NOW, now=NOW),
    errors.EquivocationError(document="channel.json", serial=3),
    errors.RemovedReleaseError("tool 1.0", "is not listed any more", document="channel.json"),
    errors.WithdrawnError("tool 1.0", "it loses data", document="channel.json"),
    errors.RotationError(document="3.root.json", serial=4, known=2),
    errors.ForeignDocumentError(document="channel.json", expected="main", actual="other"),
    errors.UnknownRootError(str(PATH), "another root 1 was given before", document="root.json"),
    errors.ManifestMismatchError(document="release.json", what="length", expected=1, actual=2),
    errors.SigningError("A" * 40, "it has expired"),
    errors.FormatError("is no JSON", document="root.json"),
    errors.UnsafePathError("../a", "climbs", document="release.json"),
    errors.IntegrityError("no"),
    errors.FileHashError("a.iso", what="sha256", expected="0", actual="1"),
    errors.TorrentMismatchError("a.torrent", what="length", expected=1, actual=2),
    errors.SourceError("no"),
    errors.NotFoundError("release a", "the channel"),
    errors.MirrorError("https://m.example.org", "HTTP 500"),
    errors.TooLargeError("https://m.example.org", 10),
    errors.SourcesExhaustedError("a 1", bytes_done=1, bytes_total=2, waited_s=3.0, attempts={"swarm": "no peer"}),
    errors.StorageError("no", path=PATH),
    errors.DiskFullError(PATH, needed_bytes=10, free_bytes=3),
    errors.TargetNotWritableError(PATH, "read-only file system"),
    errors.TargetBusyError(PATH),
    errors.DamagedStateError(PATH, "its checksum is wrong"),
    errors.AlreadyPublishedError("a 1", "/srv/channel"),
    errors.SwarmError("no"),
    errors.ProgramMissingError("gpg", "is not installed", "apt-get install gpg"),
]
every_example = pytest.mark.parametrize("error", EXAMPLES, ids=[type(error).__name__ for error in EXAMPLES])


def classes() -> dict[str, str]:
    """Every error class with its base."""
    return {
        name: kind.__bases__[0].__name__
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, OssdistError)
    }


def test_the_docstring_draws_the_tree_as_it_is() -> None:
    drawn: dict[str, str] = {}
    ancestors = ["Exception"]
    for indent, name in re.findall(r"^    ([|+`\- ]*)(\w+Error)\b", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 4 + 1
        ancestors[depth:] = [name]
        drawn[name] = ancestors[depth - 1]
    assert drawn == classes()


def test_every_class_has_an_example_here() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(classes())


@every_example
def test_an_error_survives_pickling_and_copying(error: OssdistError) -> None:
    pickled = pickle.dumps(error)
    for twin in (pickle.loads(pickled), copy.copy(error), copy.deepcopy(error)):  # noqa: S301  # our own bytes
        assert type(twin) is type(error)
        assert str(twin) == str(error)
        assert vars(twin) == vars(error)


@every_example
def test_every_attribute_that_is_promised_is_there(error: OssdistError) -> None:
    promised = re.findall(r"^ {8}(\w+): ", type(error).__doc__ or "", re.MULTILINE)
    assert all(hasattr(error, name) for name in promised)


@every_example
def test_a_message_is_one_line_for_people(error: OssdistError) -> None:
    message = str(error)
    assert message.isprintable()
    if "Attributes:" in (type(error).__doc__ or "") and len(vars(error)) > 1:
        assert len(message) > 20


def test_messages_tell_what_happened_to_what_and_what_to_do() -> None:
    by_class = {type(error): str(error) for error in EXAMPLES}
    for kind, parts in {
        errors.SignatureError: ["channel.json", "'channel'", "2 needed", "key B: bad", "another mirror"],
        errors.UpstreamSignatureError: ["tool 1.0", "a.iso", "key B: bad", "its publisher has to publish"],
        errors.ExpiredError: ["channel.json", "2026-01-01", "clock"],
        errors.RollbackError: ["serial 1", "serial 2"],
        errors.ManifestMismatchError: ["release.json", "length 1", "found 2"],
        errors.SigningError: ["A" * 40, "expired", "gpg --list-secret-keys"],
        errors.UnsafePathError: ["release.json", "'../a'", "climbs"],
        errors.FileHashError: ["a.iso", "sha256", "not installed"],
        errors.SourcesExhaustedError: ["a 1", "3.0 s", "1 of 2 bytes", "swarm: no peer", "kept"],
        errors.DiskFullError: ["/srv/target", "10 bytes needed, 3 free"],
        errors.ProgramMissingError: ["gpg", "apt-get install gpg"],
    }.items():
        for part in parts:
            assert part in by_class[kind]


def test_what_is_not_known_is_not_said() -> None:
    nothing = errors.SignatureError(document="d", role="root", threshold=1, good=[], refused=[])
    assert "none by a key of this role" in str(nothing)
    nobody = errors.SourcesExhaustedError("a", bytes_done=0, bytes_total=1, waited_s=0, attempts={})
    assert "nobody to ask" in str(nobody)
    for error in (errors.DiskFullError(PATH), errors.DiskFullError(PATH, needed_bytes=1)):
        assert "None" not in str(error)
