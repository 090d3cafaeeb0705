"""The signed documents: what decodes, and everything that must not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import FormatError, UnsafePathError
from ossdist.release import model
from ossdist.release.channel import decode_channel
from ossdist.release.model import (
    Document,
    Role,
    Roles,
    Root,
    decode_release,
    decode_root,
    encode,
)
from tests.documents import ALICE, BOB, CHANNEL, DECODERS, NOW, PAGE, RELEASE, ROOT, changed, every_document

if TYPE_CHECKING:
    from collections.abc import Callable

# --- form ------------------------------------------------------------------------------------------------


@every_document
def test_what_is_encoded_is_decoded(document: Document, decode: Callable[[bytes], object]) -> None:
    assert decode(encode(document)) == document
    assert encode(document).endswith(b"}\n")


@every_document
def test_an_unknown_field_is_refused(document: Document, decode: Callable[[bytes], object]) -> None:
    with pytest.raises(FormatError, match="field extra: not known"):
        decode(changed(document, "extra", 1))


@every_document
def test_another_format_is_refused(document: Document, decode: Callable[[bytes], object]) -> None:
    for value in ("ossdist-root-2", "ossdist-channel-2", "ossdist-release-2", "", None, 1):
        with pytest.raises(FormatError):
            decode(changed(document, "format", value))


@every_document
def test_one_kind_does_not_pass_for_another(document: Document, decode: Callable[[bytes], object]) -> None:
    for other, _ in DECODERS:
        if other is not document:
            with pytest.raises(FormatError):
                decode(encode(other))


@every_document
def test_what_is_no_json_is_refused(document: Document, decode: Callable[[bytes], object]) -> None:
    good = encode(document)
    for data in (
        b"",
        b"null",
        b"[]",
        b"\xef\xbb\xbf" + good,
        good[:-3],
        good + b"{}",
        good.replace(b'"', b"'"),
        good.decode().encode("utf-16"),
        good.replace(b"ossdist", b"\xff"),
    ):
        with pytest.raises(FormatError):
            decode(data)


@every_document
def test_a_key_that_stands_twice_is_refused(document: Document, decode: Callable[[bytes], object]) -> None:
    first = encode(document).splitlines()[1]  # the format
    twice = encode(document).replace(first, first + first, 1)
    with pytest.raises(FormatError, match="stands twice"):
        decode(twice)


def test_a_key_that_stands_twice_deeper_down_is_refused() -> None:
    twice = encode(RELEASE).replace(b'"length": 5', b'"length": 5, "length": 6')
    with pytest.raises(FormatError, match="stands twice"):
        decode_release(twice)
    with pytest.raises(FormatError, match="stands twice"):
        decode_root(
            encode(ROOT).replace(b'"%s": "a"' % ALICE.encode(), b'"%s": "a", "%s": "b"' % ((ALICE.encode(),) * 2))
        )


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(opening: bytes) -> None:
    deep = opening * 100_000
    for data in (deep, encode(RELEASE).replace(b'"dir/a.bin"', deep), encode(RELEASE)[:-3] + b',"x":' + deep):
        with pytest.raises(FormatError):
            decode_release(data)


@pytest.mark.parametrize(
    ("decode", "document", "limit_bytes"),
    [
        (decode_root, ROOT, 1 << 20),
        (decode_channel, CHANNEL, 1 << 20),
        (decode_release, RELEASE, 4 << 20),
    ],
    ids=["root", "channel", "release"],
)
def test_a_document_has_a_bound(decode: Callable[[bytes], object], document: Document, limit_bytes: int) -> None:
    good = encode(document)
    decode(good + b" " * (limit_bytes - len(good)))
    with pytest.raises(FormatError, match=f"at most {limit_bytes}"):
        decode(good + b" " * (limit_bytes + 1 - len(good)))


@pytest.mark.parametrize(
    ("document", "path", "value"),
    [
        (CHANNEL, "serial", "3"),
        (CHANNEL, "serial", 3.0),
        (CHANNEL, "serial", True),
        (CHANNEL, "serial", 0),
        (CHANNEL, "serial", 2**53 + 1),
        (CHANNEL, "expires", 1_700_000_000),
        (CHANNEL, "expires", "2026-01-01T00:00:00"),
        (CHANNEL, "expires", "soon"),
        (PAGE, "releases", None),
        (PAGE, "releases.0.name", "../etc"),
        (PAGE, "releases.0.name", "a/b"),
        (PAGE, "releases.0.name", ".hidden"),
        (PAGE, "releases.0.name", "a\n"),
        (PAGE, "releases.0.name", "a" * 129),
        (PAGE, "releases.0.version", ""),
        (PAGE, "releases.0.version", "1.0\n"),
        (PAGE, "releases.0.version", "1 0"),
        (PAGE, "releases.0.length", 0),
        (PAGE, "releases.0.length", (4 << 20) + 1),
        (PAGE, "releases.0.sha256", "0" * 63),
        (PAGE, "releases.0.sha256", "A" * 64),
        (PAGE, "releases.0.sha256", "0" * 64 + "\n"),
        (RELEASE, "files", []),
        (RELEASE, "files.0.path", ""),
        (RELEASE, "files.0.path", "a" * 1025),
        (RELEASE, "files.0.path", "\ud800"),
        (RELEASE, "files.0.length", -1),
        (RELEASE, "files.0.length", 2**60),
        (RELEASE, "hybrid", None),
        (RELEASE, "hybrid.info_hash_v2", "0" * 40),
        (RELEASE, "hybrid.piece_length", 1024),
        (RELEASE, "v1.info_hash_v1", "xyz"),
        (RELEASE, "mirrors.0.location", "DE"),
        (RELEASE, "mirrors.0.location", "de\n"),
        (RELEASE, "mirrors.0.priority", 0),
        (RELEASE, "trackers", "udp://tracker.example.org:1"),
        (RELEASE, "dependencies.0.versions", 7),
        (ROOT, "roles.channel.threshold", 0),
        (ROOT, "roles.channel.threshold", -1),
        (ROOT, "roles.channel.keys", []),
        (ROOT, "roles.channel.keys", [ALICE.lower(), BOB]),
        (ROOT, "roles.channel.keys", [ALICE + "\n", BOB]),
        (ROOT, "roles.mirror", {"keys": [ALICE], "threshold": 1}),
        (ROOT, "keys", {"alice": "a"}),
    ],
)
def test_a_value_of_the_wrong_type_or_out_of_bounds_is_refused(document: Document, path: str, value: object) -> None:
    decode = next(decode for known, decode in DECODERS if known is document)
    with pytest.raises(FormatError):
        decode(changed(document, path, value))


@every_document
def test_no_field_without_a_default_may_be_left_out(document: Document, decode: Callable[[bytes], object]) -> None:
    whole = json.loads(encode(document))
    optional = {"format", "index", "trackers", "mirrors", "dependencies", "upstream_keys"}
    for field in whole:
        rest = {name: value for name, value in whole.items() if name != field}
        if field not in optional:
            with pytest.raises(FormatError, match=f"field {field}: missing"):
                decode(json.dumps(rest).encode())


def test_equal_values_have_equal_bytes() -> None:
    turned = Root(channel="main", serial=1, expires=NOW, keys={BOB: "b", ALICE: "a"}, roles=ROOT.roles)
    assert turned == ROOT
    assert encode(turned) == encode(ROOT)


# --- root ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["root", "channel", "release"])
def test_a_role_must_be_able_to_reach_its_threshold(role: str) -> None:
    with pytest.raises(FormatError, match=f"{role}.* 3 of 2"):
        decode_root(changed(ROOT, f"roles.{role}.threshold", 3))
    with pytest.raises(FormatError, match=f"{role}.* twice"):
        decode_root(changed(ROOT, f"roles.{role}.keys", [ALICE, ALICE]))
    with pytest.raises(FormatError, match=f"{role}.* not in keys"):
        decode_root(changed(ROOT, f"roles.{role}.keys", [ALICE, "C" * 40]))


def test_a_role_is_found_by_name() -> None:
    roles = Roles(
        **{name: Role(keys=(ALICE,), threshold=n) for n, name in enumerate(("root", "channel", "release"), start=1)}
    )
    assert [roles.get(name).threshold for name in ("root", "channel", "release")] == [1, 2, 3]


# --- names ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", ".", "..", "../a", "a/b", "-a", "a b", "a\n", "ä", "a" * 129])
def test_a_name_or_version_that_may_not_stand_in_a_path_is_refused(text: str) -> None:
    model.check_identity("tool", "1:1.0~rc1+b2")
    with pytest.raises(FormatError, match="name"):
        model.check_identity(text, "1.0")
    with pytest.raises(FormatError, match="version"):
        model.check_identity("tool", text)


# --- release ---------------------------------------------------------------------------------------------


def test_length_and_title_are_those_of_the_whole() -> None:
    assert (RELEASE.length, RELEASE.title) == (5, "tool 1.0")


@pytest.mark.parametrize("path", ["../a", "/a", "a/../../b", "a\\b", "CON", "b", "B", "b/c"])
def test_an_unsafe_path_refuses_the_manifest(path: str) -> None:
    with pytest.raises(UnsafePathError) as caught:
        decode_release(changed(RELEASE, "files.0.path", path), document="releases/x")
    assert caught.value.document == "releases/x"
    assert caught.value.path in {path, "b"}


def test_a_release_of_nothing_is_refused() -> None:
    with pytest.raises(FormatError, match="nothing to distribute"):
        decode_release(changed(RELEASE, "files.0.length", 0))


@pytest.mark.parametrize("purl", ["tool", "pkg:", "pkg:generic", "http://example.org", "pkg:generic/a?b", " "])
def test_what_is_no_package_url_is_refused(purl: str) -> None:
    for path in ("purl", "dependencies.0.purl"):
        with pytest.raises(FormatError, match="package URL"):
            decode_release(changed(RELEASE, path, purl))


BAD_URLS = [
    "mirror.example.org",
    "//mirror.example.org/",
    "/srv/mirror",
    "file:///etc/passwd",
    "ftp://mirror.example.org/",
    "javascript:alert(1)",
    "https://",
    "https:///path",
    "https://user@mirror.example.org/",
    "https://user:secret@mirror.example.org/",
    "https://mirror.example.org:0/",
    "https://mirror.example.org:99999/",
    "https://mirror.example.org:x/",
    "https://[::1/",
    "https://mirror.example.org/a b",
    "https://mirror.example.org/\n",
    "https://mirror.example.org/\x00",
    "https://mirror.example.org/\u202e",
    " https://mirror.example.org/",
]


@pytest.mark.parametrize("address", BAD_URLS)
def test_a_bad_address_is_refused(address: str) -> None:
    for path in ("mirrors.0.url", "trackers.0"):
        with pytest.raises(FormatError, match="not an address"):
            decode_release(changed(RELEASE, path, address))


def test_mirrors_and_trackers_have_their_own_schemes() -> None:
    assert decode_release(changed(RELEASE, "trackers.0", "udp://[2001:db8::1]:80"))
    with pytest.raises(FormatError, match="not an address"):
        decode_release(changed(RELEASE, "mirrors.0.url", "udp://[2001:db8::1]:80"))


@pytest.mark.parametrize("address", ["https://mirror.example.org/?path=", "https://mirror.example.org/#"])
def test_a_mirror_is_a_folder(address: str) -> None:
    with pytest.raises(FormatError, match="query"):
        decode_release(changed(RELEASE, "mirrors.0.url", address))
