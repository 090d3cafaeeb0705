"""What servers say beside a file."""

from __future__ import annotations

import base64
import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.metalink.headers import Duplicate, Hints, digests, read

URL = "https://www.example.com/pub/example.ext"
SHA256 = hashlib.sha256(b"content")
BASE64 = base64.b64encode(SHA256.digest()).decode()
SAID = (("sha-256", SHA256.hexdigest()),)


def links(*values: str) -> Hints:
    return read([("Link", value) for value in values], url=URL)


def test_duplicates_with_all_that_is_said_of_them() -> None:
    found = links(
        '<http://www2.example.com/a,b.ext>; rel=duplicate; pri=1; geo=GB; pref, <../c.ext>; rel="duplicate"; depth=2',
        "<http://d.example/>;rel=Duplicate;pri=0;geo=gbr;depth=x",
    )
    assert found.duplicates == (
        Duplicate(url="http://www2.example.com/a,b.ext", location="gb", priority=1, preferred=True),
        Duplicate(url="https://www.example.com/c.ext", depth=2),
        Duplicate(url="http://d.example/"),
    )


def test_descriptions_by_their_type() -> None:
    found = links(
        '<http://a.example/e.meta4>; rel=describedby; type="application/metalink4+xml"',
        '<http://a.example/e.torrent>; rel="x describedby"; type="application/x-bittorrent"; name="dif, ferent"',
        '<http://a.example/e.asc>; rel=describedby; type="application/pgp-signature"',
        "<http://a.example/e>; rel=next",
    )
    assert found == Hints(metalinks=("http://a.example/e.meta4",), torrents=("http://a.example/e.torrent",))


@pytest.mark.parametrize(
    "value",
    [
        "<ftp://a.example/e>; rel=duplicate",
        "<mailto:x>; rel=duplicate",
        "<http://[::1/e>; rel=duplicate",
        "<http://a.example:99999/>; rel=duplicate",
        "<http:///e>; rel=duplicate",
        "<http://a.example/ e>; rel=duplicate",
        "http://a.example/; rel=duplicate",
        "<http://a.example/",
        f"<http://a.example/{'x' * 20_000}>; rel=duplicate",
    ],
)
def test_what_is_no_address_says_nothing(value: str) -> None:
    assert links(value) == Hints()


def test_the_first_of_two_parameters_counts() -> None:
    assert links("<http://a.example/>; rel=next; rel=duplicate") == Hints()


def test_only_so_many_links_are_read() -> None:
    assert len(links(", ".join(f"</{number}>;rel=duplicate" for number in range(400))).duplicates) == 200


@pytest.mark.parametrize("fill", [" ", "<>", "<", ",", '"', "\\", '<a>;x="', "<a>;"])
def test_a_hostile_field_takes_no_time(fill: str) -> None:
    began_s = time.process_time()
    links("<" + fill * (16_000 // len(fill)))
    assert time.process_time() - began_s < 5  # the square of 16,000 steps would take much longer


@pytest.mark.parametrize(
    ("repr_digest", "digest"),
    [
        (f"sha-256=:{BASE64}:", ""),
        (f"sha-512=:AAAA:, sha-256=:{BASE64}:;x=1", ""),
        ("", f"SHA-256={BASE64}"),
        ("", f"UNIXsum=1, sha-256={BASE64},MD5=no"),
        (f"sha-256=:{BASE64}:", f"SHA-256={base64.b64encode(bytes(32)).decode()}"),
    ],
)
def test_digests(repr_digest: str, digest: str) -> None:
    assert digests(repr_digest, digest) == SAID
    assert read([("REPR-digest", repr_digest), ("Digest", digest)], url=URL).digests == SAID


@pytest.mark.parametrize(
    ("repr_digest", "digest"),
    [
        ("sha-256", ""),
        ("sha-256=5", ""),
        ("sha-256=(:AAAA:)", ""),
        ("sha-256=:AAAA:", ""),
        (f"sha-256=:{BASE64}", ""),
        (f"é=1, sha-256=:{BASE64}:", ""),
        ("", "SHA-256=AAAA"),
        ("", "SHA-256=%"),
        ("", f"X={BASE64}"),
        ("x" * 20_000, "x" * 20_000),
    ],
)
def test_what_is_no_digest_says_nothing(repr_digest: str, digest: str) -> None:
    assert digests(repr_digest, digest) == ()


@given(st.lists(st.tuples(st.sampled_from(["link", "digest", "repr-digest"]), st.text(max_size=60)), max_size=4))
def test_anything_can_be_read(fields: list[tuple[str, str]]) -> None:
    for found in read(fields, url=URL).duplicates:
        assert found.url.startswith(("http://", "https://"))
