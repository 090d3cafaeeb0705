"""A malformed document is refused in plain words, with the place."""

from __future__ import annotations

import json

import pytest

from ossdist.errors import FormatError, UnsafePathError
from ossdist.release.channel import decode_channel
from ossdist.release.model import Document, check_identity, encode
from ossdist.release.wording import explain
from tests.documents import ALICE, CHANNEL, DECODERS, PAGE, RELEASE, ROOT, changed

GOOD = encode(CHANNEL)
DATE = "expected a date and time with its offset from UTC, for instance 2026-01-31T12:00:00Z"
DIGITS = "expected a string of the form ^[0-9a-f]{64}$"


@pytest.mark.parametrize(
    ("document", "path", "value", "words"),
    [
        (PAGE, "releases.0.name", 5, "field releases[0].name: expected a string, found a number"),
        (PAGE, "releases", {}, "field releases: expected a list, found an object"),
        (PAGE, "releases.0", "x", "field releases[0]: expected an object, found a string"),
        (CHANNEL, "serial", 1.5, "field serial: expected a whole number, found a number with a fraction"),
        (CHANNEL, "serial", True, "field serial: expected a whole number, found true or false"),
        (CHANNEL, "serial", 0, "field serial: expected a whole number of at least 1"),
        (CHANNEL, "serial", 1 << 60, f"field serial: expected a whole number of at most {1 << 53}"),
        (CHANNEL, "serial", 1 << 90, f"field serial: expected a whole number of at most {1 << 53}"),
        (PAGE, "releases.0.sha256", "", f"field releases[0].sha256: {DIGITS}"),
        (CHANNEL, "issued", "2026", f"field issued: {DATE}"),
        (CHANNEL, "issued", "2026-01-01T00:00:00", f"field issued: {DATE}"),
        (CHANNEL, "format", "x", "field format: 'x' is not a value that may stand there"),
        (CHANNEL, "extra", 1, "field extra: not known"),
        (RELEASE, "hybrid", None, "field hybrid: expected an object, found null"),
        (RELEASE, "mirrors.0.extra", 1, "field mirrors[0].extra: not known"),
        (RELEASE, "mirrors.0.location", 1, "field mirrors[0].location: expected a string or null, found a number"),
        (RELEASE, "files", [], "field files: expected a list of at least 1 item(s)"),
        (RELEASE, "trackers", ["x"] * 65, "field trackers: expected a list of at most 64 item(s)"),
        (RELEASE, "files.0.path", "a" * 1025, "field files[0].path: expected a string of at most 1024 character(s)"),
        (ROOT, "keys", {ALICE: 1}, "field keys[...]: expected a string, found a number"),
        (ROOT, "keys", {"a": "b"}, "a key of field keys: expected a string of the form ^[0-9A-F]{40}$"),
    ],
)
def test_a_wrong_value_is_told_with_its_field(document: Document, path: str, value: object, words: str) -> None:
    decode = next(decode for known, decode in DECODERS if known is document)
    with pytest.raises(FormatError) as caught:
        decode(changed(document, path, value))
    assert str(caught.value) == f"{caught.value.document}: {words}"


def test_a_missing_field_is_named() -> None:
    whole = json.loads(GOOD)
    del whole["index"][0]["length"]
    with pytest.raises(FormatError, match=r"^channel\.json: field index\[0\]\.length: missing$"):
        decode_channel(json.dumps(whole).encode())
    whole = json.loads(GOOD)
    del whole["serial"]
    with pytest.raises(FormatError, match=r"^channel\.json: field serial: missing$"):
        decode_channel(json.dumps(whole).encode())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "malformed JSON: it ends too early"),
        (GOOD[:-3], "malformed JSON: it ends too early"),
        (GOOD + b"{}", f"malformed JSON at byte {len(GOOD) + 1}: trailing characters"),
        (b'{"serial" 1}', "malformed JSON at byte 10: expected ':'"),
        (GOOD.replace(b"main", b"m\xffin"), f"not UTF-8: byte {GOOD.index(b'main') + 1} is 0xff"),
        (b"[]", "expected an object, found a list"),
        (b"null", "expected an object, found null"),
        (b"1e999999", "a number is out of range"),
    ],
)
def test_what_is_no_document_at_all_is_told_with_the_byte(data: bytes, words: str) -> None:
    with pytest.raises(FormatError) as caught:
        decode_channel(data)
    assert str(caught.value) == f"channel.json: {words}"


def test_a_name_that_is_not_allowed() -> None:
    with pytest.raises(FormatError, match=r"the name 'a b' is not allowed: expected a string of the form \^"):
        check_identity("a b", "1.0")


def test_what_is_not_recognized_keeps_its_own_words() -> None:
    assert explain(ValueError("something else - at nowhere")) == "something else - at nowhere"
    assert explain(ValueError("Expected `complex`, got `ext`")) == "expected complex, found ext"
    assert explain(ValueError("new words - at `$.a`")) == "field a: new words"
    assert explain(RecursionError("deep in C")) == "nested too deeply"


def test_an_unsafe_path_comes_with_advice() -> None:
    error = UnsafePathError("../a", "is absolute", document="release.json")
    assert str(error).startswith("release.json: path '../a' is absolute. ")
    assert "rename the file, or tell the publisher" in str(error)
