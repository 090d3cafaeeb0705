"""Releases as Metalinks, and Metalinks as mirrors."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist.errors import FormatError
from ossdist.metalink.document import MAX_PRIORITY, FileUrl, Metalink, MetalinkFile
from ossdist.metalink.release import of_release, sites_of
from ossdist.mirrors.sites import Place
from ossdist.release.model import File, Mirror
from ossdist.swarm.metainfo import make_torrents
from tests.channels import noise
from tests.releases import RELEASE

if TYPE_CHECKING:
    from pathlib import Path

    from ossdist.release.model import Release

SHA256 = RELEASE.files[0].sha256
TWO = (File(path="a", length=5, sha256=SHA256), File(path="b/c d", length=6, sha256="1" * 64))
MIRRORS = (Mirror(url="https://m.example/pub/", location="de", priority=2), Mirror(url="http://n.example"))


def release(files: tuple[File, ...] = RELEASE.files, mirrors: tuple[Mirror, ...] = MIRRORS) -> Release:
    return msgspec.structs.replace(RELEASE, files=files, mirrors=mirrors)


# --- from a release --------------------------------------------------------------------------------------


def test_every_file_has_all_its_places() -> None:
    metalink = of_release(release(TWO), mirrors=[Mirror(url="http://o.example/", priority=9)])
    assert metalink.published == RELEASE.issued
    one, two = metalink.files
    assert (one.name, one.size, one.hashes, one.identity, one.version) == (
        "a",
        5,
        (("sha-256", SHA256),),
        "tool",
        "1.0",
    )
    assert two.urls == (
        FileUrl(url="https://m.example/pub/files/tool-1.0/b/c%20d", location="de", priority=2),
        FileUrl(url="http://n.example/files/tool-1.0/b/c%20d", priority=1),
        FileUrl(url="http://o.example/files/tool-1.0/b/c%20d", priority=9),
    )
    assert [(found.url, found.mediatype, found.priority, found.name) for found in two.metaurls] == [
        ("https://m.example/pub/torrents/tool-1.0.v1.torrent", "torrent", 2, "tool-1.0/b/c d"),
        ("http://n.example/torrents/tool-1.0.v1.torrent", "torrent", 1, "tool-1.0/b/c d"),
        ("http://o.example/torrents/tool-1.0.v1.torrent", "torrent", 9, "tool-1.0/b/c d"),
    ]


def test_a_torrent_of_one_file_needs_no_name() -> None:
    one = release((File(path="tool.bin", length=5, sha256=SHA256),))
    assert {found.name for found in of_release(one).files[0].metaurls} == {""}


def pieces_of(tmp_path: Path, *lengths: int) -> list[tuple[str, ...] | None]:
    files = [(f"f{number}", noise(length, number)) for number, length in enumerate(lengths)]
    folder = tmp_path / "tool-1.0"
    folder.mkdir()
    for name, content in files:
        (folder / name).write_bytes(content)
    name = files[0][0] if len(files) == 1 else folder.name
    torrents = make_torrents(folder, [(name, len(c)) for name, c in files], name=name, piece_length=16 << 10)
    signed = tuple(File(path=name, length=len(c), sha256=hashlib.sha256(c).hexdigest()) for name, c in files)
    found = of_release(release(signed), torrent=torrents.hybrid).files
    return [file.pieces[0].hashes if file.pieces else None for file in found]


def digests(content: bytes) -> tuple[str, ...]:
    parts = [content[at : at + (16 << 10)] for at in range(0, len(content), 16 << 10)]
    return tuple(hashlib.sha1(part, usedforsecurity=False).hexdigest() for part in parts)


def test_hashes_of_pieces_are_of_the_files_own_bytes(tmp_path: Path) -> None:
    assert pieces_of(tmp_path, 50_000) == [digests(noise(50_000))]


def test_pieces_that_go_on_with_padding_are_left_out(tmp_path: Path) -> None:
    found = pieces_of(tmp_path, 50_000, 32 << 10, 20_000)
    assert found == [None, digests(noise(32 << 10, 1)), digests(noise(20_000, 2))]


# --- to mirrors ------------------------------------------------------------------------------------------


def metalink(*urls: FileUrl, name: str = "a", **more: object) -> Metalink:
    return Metalink(files=(MetalinkFile(name=name, urls=urls, **more),))  # type: ignore[arg-type]


def test_an_exported_release_gives_its_mirrors_back() -> None:
    for files in (RELEASE.files, TWO):
        found = sites_of(of_release(release(files)), release(files, ()), document="x")
        assert [(site.url, site.place.country, site.priority, dict(site.files)) for site in found] == [
            ("http://n.example/", None, 1, {}),
            ("https://m.example/pub/", "de", 2, {}),
        ]


def test_a_server_with_other_places_gives_each_file_its_address() -> None:
    first = MetalinkFile(name="a", urls=(FileUrl(url="http://h.example/x/a.bin", location="fr", priority=3),))
    second = MetalinkFile(name="b/c d", urls=(FileUrl(url="http://h.example/y", location="fr"),))
    (site,) = sites_of(Metalink(files=(first, second)), release(TWO), document="x")
    assert (site.url, site.place, site.priority) == ("http://h.example/", Place(country="fr"), 3)
    assert site.files == {"tool-1.0/a": "http://h.example/x/a.bin", "tool-1.0/b/c d": "http://h.example/y"}


def test_a_server_that_has_not_every_file_is_left_out() -> None:
    found = Metalink(files=(MetalinkFile(name="a", urls=(FileUrl(url="http://h.example/a"),)),))
    assert sites_of(found, release(TWO), document="x") == ()


def test_a_single_file_may_have_another_name() -> None:
    (site,) = sites_of(metalink(FileUrl(url="http://h.example/z"), name="z"), release(), document="x")
    assert (site.priority, list(site.files.values())) == (MAX_PRIORITY, ["http://h.example/z"])


def test_of_a_host_the_preferred_address_counts() -> None:
    urls = [FileUrl(url=f"http://h.example/{number}", priority=number) for number in (3, 1, 2)]
    (site,) = sites_of(metalink(*urls), release(), document="x")
    assert list(site.files.values()) == ["http://h.example/1"]


@pytest.mark.parametrize(
    "url",
    [
        "http://h.example/files/tool-1.0/a?x=1",
        "http://h.example/files/tool-1.1/a",
        "http://h.example/xfiles/tool-1.0/a",
    ],
)
def test_what_is_not_the_channels_layout_is_an_address_of_its_own(url: str) -> None:
    (site,) = sites_of(metalink(FileUrl(url=url)), release(), document="x")
    assert list(site.files.values()) == [url]


def test_escapes_may_be_written_in_other_ways() -> None:
    url = FileUrl(url="http://h.example/pub/%66iles/tool-1.0/%61")
    assert [site.url for site in sites_of(metalink(url), release(), document="x")] == ["http://h.example/pub/"]


@pytest.mark.parametrize("wrong", [{"size": 6}, {"hashes": (("sha-256", "f" * 64),)}])
def test_another_file_is_refused(wrong: dict[str, object]) -> None:
    found = metalink(FileUrl(url="http://h.example/a"), **wrong)  # type: ignore[arg-type]
    with pytest.raises(FormatError, match=r"x: describes another 'a' than tool 1\.0 has"):
        sites_of(found, release(), document="x")


def test_files_of_another_release_are_refused() -> None:
    found = metalink(FileUrl(url="http://h.example/q"), name="q")
    found = replace(found, files=(*found.files, replace(found.files[0], name="r")))
    with pytest.raises(FormatError, match=r"x: describes no file of tool 1\.0"):
        sites_of(found, release(), document="x")
