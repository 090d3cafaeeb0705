"""Making and reading ``.torrent`` files."""

from __future__ import annotations

import functools
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import libtorrent as lt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ossdist.errors import FormatError, OssdistError, StorageError
from ossdist.swarm import metainfo as module
from ossdist.swarm.metainfo import (
    MAX_PIECE_LENGTH,
    MIN_PIECE_LENGTH,
    dress,
    load_metainfo,
    make_torrents,
    piece_length_for,
)
from ossdist.transfer.metainfo import InfoHashes, Metainfo
from tests.torrents import NAME, PIECE_BYTES, Payload, several, single

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURES = {"AB12": b"-----BEGIN", "CD34": b"\x00\xff"}


@functools.cache
def small() -> Payload:
    with tempfile.TemporaryDirectory() as folder:
        return several(Path(folder), 60_000)


def bencode(document: object) -> bytes:
    return lt.bencode(cast("Any", document))  # pyright: ignore[reportUnknownMemberType]


def bdecode(data: bytes) -> dict[bytes, object]:
    return cast("dict[bytes, object]", lt.bdecode(data))  # pyright: ignore[reportUnknownMemberType]


# --- making ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [single, several])
def test_the_same_files_give_the_same_bytes(make: Callable[[Path], Payload], tmp_path: Path) -> None:
    one, two = make(tmp_path / "a"), make(tmp_path / "b")
    assert one.hybrid.data == two.hybrid.data
    assert one.v1.data == two.v1.data


def test_both_torrents_are_of_the_same_bytes(tmp_path: Path) -> None:
    payload = several(tmp_path)
    for metainfo in (payload.hybrid, payload.v1):
        assert metainfo.name == NAME
        assert metainfo.piece_length == PIECE_BYTES
        for index in range(metainfo.num_pieces):
            piece = payload.piece(metainfo, index)
            assert hashlib.sha1(piece, usedforsecurity=False).digest() == metainfo.piece_hashes[index]
        sizes = {file.path: file.length for file in metainfo.files}
        assert sizes == {path: (tmp_path / path).stat().st_size for path in payload.digests}
    hybrid, v1 = payload.hybrid.info_hashes, payload.v1.info_hashes
    assert hybrid.v1 is not None
    assert hybrid.v2 is not None
    assert v1.v2 is None
    assert v1.v1 not in {None, hybrid.v1}
    assert str(hybrid) == hybrid.v1
    assert str(InfoHashes(None, hybrid.v2)) == hybrid.v2
    assert str(InfoHashes(None, None)) == "none"
    assert all(file.offset % PIECE_BYTES == 0 for file in payload.hybrid.files if file.length)
    assert all((file.root is not None) == (file.length > 0) for file in payload.hybrid.files)
    assert all(file.root is None for file in payload.v1.files)
    assert [file.index for file in payload.v1.files] == list(range(len(payload.v1.files)))


def test_progress_goes_from_nothing_to_everything(tmp_path: Path) -> None:
    seen: list[float] = []
    payload = single(tmp_path)
    make_torrents(payload.folder, [(NAME, payload.hybrid.total)], name=NAME, on_progress=seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] < seen[-1] == 1.0


def test_a_single_file_of_another_name_stands_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    torrents = make_torrents(folder, [("file", 7)], name="release")
    assert [file.path for file in torrents.hybrid.files] == ["release/file"]
    with pytest.raises(ValueError, match="must stand in a folder"):
        make_torrents(folder, [("file", 7)], name="other")


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        make_torrents(tmp_path, [("nowhere", 100)], name="nowhere")
    assert caught.value.path == tmp_path / "nowhere"


@pytest.mark.parametrize(("length", "files"), [(1000, [("file", 7)]), (PIECE_BYTES, []), (PIECE_BYTES, [("", 7)])])
def test_what_cannot_be_a_torrent_is_refused(tmp_path: Path, length: int, files: list[tuple[str, int]]) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with pytest.raises(OssdistError):
        make_torrents(tmp_path, files, name=tmp_path.name if len(files) != 1 else files[0][0], piece_length=length)


@given(st.integers(0, 1 << 50))
def test_piece_lengths_are_powers_of_two_and_as_small_as_may_be(total: int) -> None:
    length = piece_length_for(total)
    assert MIN_PIECE_LENGTH <= length <= MAX_PIECE_LENGTH
    assert length & (length - 1) == 0
    assert length == MAX_PIECE_LENGTH or total / length <= 2048
    assert length == MIN_PIECE_LENGTH or total / (length // 2) > 2048


@pytest.mark.parametrize(
    ("total", "kib"), [(0, 16), (32 << 20, 16), ((32 << 20) + 1, 32), (1 << 30, 512), (4 << 30, 2048), (1 << 40, 4096)]
)
def test_piece_lengths_by_example(total: int, kib: int) -> None:
    assert piece_length_for(total) == kib << 10


# --- dressing --------------------------------------------------------------------------------------------


def test_dressing_keeps_the_identity_and_the_signed_bytes() -> None:
    bare, release = small().hybrid, b'{"any": "bytes"}\n\x00\xff'
    dressed = dress(
        bare, trackers=["http://a/", "udp://b:1"], web_seeds=["http://c/"], release=release, signatures=SIGNATURES
    )
    assert dressed.info_hashes == bare.info_hashes
    assert dressed.files == bare.files
    assert dressed.piece_hashes == bare.piece_hashes
    assert dressed.trackers == ("http://a/", "udp://b:1")
    assert dressed.web_seeds == ("http://c/",)
    assert dressed.release == release
    assert dict(dressed.signatures) == SIGNATURES
    assert load_metainfo(dressed.data) == dressed
    assert dress(dressed, release=b"new").signatures == ()
    assert dress(dressed).data == bare.data
    assert (bare.release, bare.signatures, bare.trackers, bare.web_seeds) == (None, (), (), ())


def test_dressing_is_deterministic() -> None:
    one, two = (dress(small().v1, trackers=["http://a/"], release=b"x", signatures=SIGNATURES) for _ in range(2))
    assert one.data == two.data


# --- reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [b"", b"d", b"de", b"le", b"i1e", b"4:text", b"d4:infoi1ee", b"d4:infodee", b"\xff" * 100, b"d" * 5000],
)
def test_what_is_no_torrent_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match=r"x\.torrent"):
        load_metainfo(data, document="x.torrent")


def test_a_torrent_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TORRENT_BYTES", 100)
    with pytest.raises(FormatError, match="at most 100"):
        load_metainfo(small().hybrid.data)


@pytest.mark.parametrize(
    "block",
    [
        b"text",
        7,
        [],
        {},
        {b"release": b"x"},
        {b"release": b"x", b"signatures": []},
        {b"release": 1, b"signatures": {}},
        {b"release": b"x", b"signatures": {b"AB": 1}},
        {b"release": b"x", b"signatures": {b"../A": b"s"}},
        {b"release": b"x", b"signatures": {b"\xff": b"s"}},
    ],
)
def test_a_malformed_embedded_release_is_refused(block: object) -> None:
    document = bdecode(small().v1.data) | {b"ossdist": block}
    with pytest.raises(FormatError, match="embedded"):
        load_metainfo(bencode(document))


@st.composite
def mutations(draw: st.DrawFn) -> bytes:
    """A real torrent with a few bytes changed, taken out or put in."""
    dressed = dress(small().hybrid, trackers=["http://a/"], release=b"{}", signatures=SIGNATURES)
    data = bytearray(draw(st.sampled_from([dressed.data, small().v1.data])))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["change", "remove", "insert", "cut"])):
            case "change":
                data[at] = draw(st.integers(0, 255))
            case "remove":
                del data[at : at + draw(st.integers(1, 20))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8) | st.sampled_from([b"d", b"e", b"l", b"i-1e"]))
            case _:
                del data[at:]
        if not data:
            break
    return bytes(data)


@settings(max_examples=300)
@given(mutations())
def test_a_damaged_torrent_is_refused_or_read(data: bytes) -> None:
    try:
        metainfo = load_metainfo(data)
    except OssdistError:
        return
    assert isinstance(metainfo, Metainfo)
    assert metainfo.total == sum(metainfo.piece_size(index) for index in range(metainfo.num_pieces))


@given(st.binary(max_size=300))
def test_noise_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        load_metainfo(data)
