"""Metalink documents: what is written is valid and comes back; what is read is checked."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from ossdist.errors import FormatError, UnsafePathError
from ossdist.metalink import xml
from ossdist.metalink.document import (
    DIGEST_BYTES,
    MAX_PRIORITY,
    FileUrl,
    Metalink,
    MetalinkFile,
    MetaUrl,
    Pieces,
)

SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("metalink4.rng")))
NS = 'xmlns="urn:ietf:params:xml:ns:metalink"'
URL = "<url>https://a.example/f</url>"


def read(text: str) -> Metalink:
    return xml.decode(text.encode(), document="a.meta4")


def document(inside: str = URL, *, name: str = "f", more: str = "", root: str = "") -> str:
    return f'<metalink {NS} {root}>{more}<file name="{name}">{inside}</file></metalink>'


def only(inside: str) -> MetalinkFile:
    (file,) = read(document(inside)).files
    return file


# --- what is written -------------------------------------------------------------------------------------

WORDS = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=20)
PRIORITIES = st.none() | st.integers(1, MAX_PRIORITY)
ADDRESSES = st.builds(
    "{}://{}.example:{}/{}".format,
    st.sampled_from(["http", "https"]),
    st.sampled_from(["a", "b"]),
    st.integers(1, 65535),
    st.text("abc%20&<>\"'é?=", max_size=10).map(lambda text: text.replace("%", "%25")),
)
KINDS = st.sampled_from(sorted(DIGEST_BYTES))


def hashes_of(kind: str) -> st.SearchStrategy[str]:
    return st.binary(min_size=DIGEST_BYTES[kind], max_size=DIGEST_BYTES[kind]).map(bytes.hex)


PIECES = KINDS.flatmap(
    lambda kind: st.builds(
        Pieces,
        length=st.integers(1, 1 << 30),
        type=st.just(kind),
        hashes=st.lists(hashes_of(kind), min_size=1, max_size=4).map(tuple),
    )
)
LOCATIONS = st.sampled_from(["", "de", "us"])
URLS = st.builds(FileUrl, url=ADDRESSES, location=LOCATIONS, priority=PRIORITIES)
TYPES = st.sampled_from(["torrent", "x/y"])
METAURLS = st.builds(MetaUrl, url=ADDRESSES, mediatype=TYPES, priority=PRIORITIES, name=st.sampled_from(["", "a/b"]))
FILES = st.builds(
    MetalinkFile,
    name=st.just("folder/name & <x>.bin".replace("<", "(").replace(">", ")")),
    size=st.none() | st.integers(0, 1 << 50),
    hashes=st.dictionaries(KINDS, st.none())
    .flatmap(lambda kinds: st.tuples(*(st.tuples(st.just(kind), hashes_of(kind)) for kind in kinds)))
    .map(tuple),
    pieces=st.lists(PIECES, max_size=2).map(tuple),
    urls=st.lists(URLS, min_size=1, max_size=4).map(tuple),
    metaurls=st.lists(METAURLS, max_size=2).map(tuple),
    identity=st.just("") | WORDS,
    version=st.just("") | WORDS,
    signature=st.sampled_from(["", "-----BEGIN PGP SIGNATURE-----\n\nabc=\n-----END PGP SIGNATURE-----"]),
)
MOMENTS = st.none() | st.datetimes(min_value=datetime(1970, 1, 1)).map(lambda found: found.replace(tzinfo=UTC))  # noqa: DTZ001
METALINKS = st.builds(
    Metalink,
    files=st.lists(FILES, min_size=1, max_size=1).map(tuple),
    generator=st.just("") | WORDS,
    origin=st.just("") | ADDRESSES,
    published=MOMENTS,
    updated=MOMENTS,
)


@given(METALINKS)
def test_what_is_written_is_valid_and_comes_back(metalink: Metalink) -> None:
    data = xml.encode(metalink)
    SCHEMA.assertValid(etree.fromstring(data))
    assert xml.decode(data, document="a.meta4") == metalink
    assert xml.encode(metalink) == data


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        xml.decode(data, document="a.meta4")


@given(st.data())
def test_a_damaged_document_is_refused_or_read(data: st.DataObject) -> None:
    good = bytearray(xml.encode(read(document(URL + "<size>5</size>"))))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(FormatError):
        xml.decode(bytes(good), document="a.meta4")


# --- what is read ----------------------------------------------------------------------------------------


def test_everything_is_read() -> None:
    sha256 = "ab" * 32
    text = f"""<?xml version="1.0" encoding="UTF-8"?>
    <metalink {NS} xmlns:x="urn:x">
      <generator>Somebody/1</generator> <origin dynamic="true">https://a.example/f.meta4</origin>
      <published>2030-01-02T03:04:05Z</published> <updated>2030-01-02T05:04:05+02:00</updated> <x:more><x:y/></x:more>
      <file name="dir/f.iso" x:attribute="1">
        <copyright>Somebody</copyright><description>A file</description><language>en</language><os>Linux</os>
        <publisher name="A" url="https://a.example/"/><logo>https://a.example/l.png</logo>
        <identity> F </identity><version>1.0</version><size>7</size>
        <hash type="sha-256">{sha256.upper()}</hash><hash type="tiger">ff</hash>
        <pieces length="4" type="sha-1"><hash>{"01" * 20}</hash><hash>{"02" * 20}</hash></pieces>
        <pieces length="4" type="tiger"><hash>01</hash></pieces>
        <signature mediatype="application/pgp-signature">abc</signature>
        <metaurl mediatype="torrent" priority="2" name="dir/f.iso">https://a.example/f.torrent</metaurl>
        <url location="DE" priority="1">https://a.example/f.iso</url>
        <url>ftp://b.example/f.iso</url><url>http://c.example/f.iso</url>
      </file>
    </metalink>"""
    moment = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert read(text) == Metalink(
        generator="Somebody/1",
        origin="https://a.example/f.meta4",
        dynamic=True,
        published=moment,
        updated=moment,
        files=(
            MetalinkFile(
                name="dir/f.iso",
                size=7,
                hashes=(("sha-256", sha256),),
                pieces=(Pieces(length=4, type="sha-1", hashes=("01" * 20, "02" * 20)),),
                urls=(
                    FileUrl(url="https://a.example/f.iso", location="de", priority=1),
                    FileUrl(url="http://c.example/f.iso"),
                ),
                metaurls=(
                    MetaUrl(url="https://a.example/f.torrent", mediatype="torrent", priority=2, name="dir/f.iso"),
                ),
                identity="F",
                version="1.0",
                signature="abc",
            ),
        ),
    )


def test_relative_addresses_have_a_base() -> None:
    root = 'xml:base="https://a.example/x/"'
    (file,) = read(document('<url>f</url><url xml:base="../y/">g</url>', root=root)).files
    assert [url.url for url in file.urls] == ["https://a.example/x/f", "https://a.example/y/g"]


def test_times_of_other_zones_are_the_same_moment() -> None:
    there = datetime(2030, 1, 1, 12, tzinfo=timezone(timedelta(hours=5)))
    metalink = Metalink(files=(MetalinkFile(name="f", urls=(FileUrl(url="http://a.example/f"),)),), published=there)
    assert xml.decode(xml.encode(metalink), document="x").published == there
    assert b"2030-01-01T07:00:00Z" in xml.encode(metalink)


def test_what_is_of_another_kind_is_left_out() -> None:
    file = only('<url>ftp://a.example/f</url><signature mediatype="x/y">s</signature>')
    assert (file.urls, file.signature) == ((), "")


BAD = {
    "no XML": ("<metalink", "is no XML"),
    "an encoding that nobody knows": ('<?xml version="1.0" encoding="x-unknown"?><a/>', "is no XML"),
    "another document": ("<html/>", "is no Metalink"),
    "no namespace": (f"<metalink><file name='f'>{URL}</file></metalink>", "is no Metalink"),
    "Metalink 3": ('<metalink version="3.0" xmlns="http://www.metalinker.org/"/>', "is Metalink 3"),
    "no file": (f"<metalink {NS}/>", "describes 0 files"),
    "a document type": (f"<!DOCTYPE metalink>{document()}", "has a document type"),
    "an entity": (f'<!DOCTYPE m [<!ENTITY a "b">]>{document("<url>&a;</url>")}', "has a document type"),
    "deep": (document("<a>" * 20 + "</a>" * 20), "nested more than 16"),
    "no address": (document(""), "has neither a url nor a metaurl"),
    "a relative address": (document("<url>f</url>"), "is no absolute address"),
    "no host": (document("<url>http:///f</url>"), "names no host"),
    "a space": (document("<url>http://a.example/a b</url>"), "has a space"),
    "a bad port": (document("<url>http://a.example:99999/f</url>"), "is no address"),
    "a bad host": (document("<url>http://[::1/f</url>"), "is no address"),
    "a long address": (document(f"<url>http://a.example/{'f' * 3000}</url>"), "longer than 2048"),
    "a bad country": (document('<url location="deu">http://a.example/</url>'), "no country code"),
    "priority 0": (document('<url priority="0">http://a.example/</url>'), "priority '0'"),
    "priority a million": (document('<url priority="1000000">http://a.example/</url>'), "priority '1000000'"),
    "no media type": (document("<metaurl>http://a.example/</metaurl>"), "without a mediatype"),
    "a negative size": (document(f"{URL}<size>-1</size>"), "size '-1'"),
    "two sizes": (document(f"{URL}<size>1</size><size>1</size>"), "has 2 elements 'size'"),
    "a short hash": (document(f'{URL}<hash type="sha-256">ab</hash>'), "is no hash of type sha-256"),
    "two hashes": (
        document(f'{URL}<hash type="md5">{"a" * 32}</hash><hash type="md5">{"b" * 32}</hash>'),
        "two different hashes of type md5",
    ),
    "pieces without length": (document(f'{URL}<pieces type="md5"><hash>a</hash></pieces>'), "length of pieces ''"),
    "no pieces": (document(f'{URL}<pieces type="md5" length="1"/>'), "has 0 hashes of pieces"),
    "no date": (document(more="<published>soon</published>"), "is no date and time"),
    "no zone": (document(more="<updated>2030-01-01T00:00:00</updated>"), "has no time zone"),
    "many addresses": (document(URL * 1001), "has 1001 elements 'url'"),
    "two files of a name": (
        f"<metalink {NS}>{''.join(f'<file name={n!r}>{URL}</file>' for n in ('a', 'A'))}</metalink>",
        "stands there twice",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_wrong_is_said(kind: str) -> None:
    text, reason = BAD[kind]
    with pytest.raises(FormatError, match=r"^(path .* )?a\.meta4|a\.meta4") as caught:
        read(text)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../x", "a//b", "a/./b", "C:\\x", "con"])
def test_a_name_that_leaves_its_folder_is_refused(name: str) -> None:
    with pytest.raises(UnsafePathError):
        read(document(name=name))
    with pytest.raises(UnsafePathError):
        read(document('<metaurl mediatype="torrent" name="../x">http://a.example/</metaurl>'))


def test_a_document_that_is_too_long_is_not_parsed() -> None:
    with pytest.raises(FormatError, match="longer than"):
        xml.decode(b" " * (xml.MAX_BYTES + 1), document="a.meta4")
