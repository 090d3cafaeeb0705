"""The parts of the session in memory: pieces in files, the choice of pieces, magnet links, resume state."""

from __future__ import annotations

import hashlib
import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import SwarmError
from ossdist.sim.magnet import info_hashes_in
from ossdist.sim.picker import PiecePicker
from ossdist.store import resume
from ossdist.store.piece_store import PieceStore
from ossdist.transfer.metainfo import Address, InfoHashes, Metainfo, TorrentFile
from ossdist.transfer.spans import spans

V1, V2 = "12" * 20, "ab" * 32

# --- pieces in files -------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Metainfo, bytes]:
    """A torrent of a few small files, with pad files or without, and all its bytes."""
    lengths = draw(st.lists(st.integers(0, 70), min_size=1, max_size=6))
    piece_length, padded = draw(st.sampled_from([8, 16, 32])), draw(st.booleans())
    files: list[TorrentFile] = []
    content = bytearray()
    for number, length in enumerate(lengths):
        if padded:
            content += bytes(-len(content) % piece_length)
        files.append(TorrentFile(number, f"folder/{number}", length, len(content)))
        content += random.Random(number).randbytes(length)
    pieces = [bytes(content[at : at + piece_length]) for at in range(0, len(content), piece_length)]
    metainfo = Metainfo(
        name="folder",
        data=b"",
        info_hashes=InfoHashes(V1, None),
        piece_length=piece_length,
        total=len(content),
        files=tuple(files),
        piece_hashes=tuple(hashlib.sha1(piece, usedforsecurity=False).digest() for piece in pieces),
    )
    return metainfo, bytes(content)


@given(layouts())
def test_pieces_cover_every_file_once(layout: tuple[Metainfo, bytes]) -> None:
    metainfo, content = layout
    files = {file.index: bytearray(b"\xee" * file.length) for file in metainfo.files}
    for index in range(metainfo.num_pieces):
        piece = content[index * metainfo.piece_length :][: metainfo.piece_size(index)]
        for span in spans(metainfo, index):
            part = piece[span.piece_offset : span.piece_offset + span.length]
            assert len(part) == span.length > 0
            files[span.file.index][span.file_offset : span.file_offset + span.length] = part
    for file in metainfo.files:
        assert files[file.index] == content[file.offset : file.offset + file.length]


@given(layouts(), st.randoms(use_true_random=False))
def test_what_was_written_is_there_and_right(layout: tuple[Metainfo, bytes], rng: random.Random) -> None:
    metainfo, content = layout
    with tempfile.TemporaryDirectory() as folder:
        store = PieceStore(metainfo, Path(folder))
        store.make_empty_files()
        order = list(range(metainfo.num_pieces))
        rng.shuffle(order)
        for index in order:
            piece = content[index * metainfo.piece_length :][: metainfo.piece_size(index)]
            assert store.is_right(index, piece)
            store.write(index, piece)
            store.set_have(index, here=True)
            store.set_have(index, here=True)
            assert store.read(index) == piece
            assert store.check(index)
        assert store.complete
        assert store.bytes_done == store.bytes_total == sum(file.length for file in metainfo.files)
        assert store.has_files_of(store.have)
        for file in metainfo.files:
            assert store.path(file.index).read_bytes() == content[file.offset : file.offset + file.length]
        for file in [file for file in metainfo.files if file.length]:
            path, last = store.path(file.index), (file.offset + file.length - 1) // metainfo.piece_length
            right = path.read_bytes()
            path.write_bytes(right[:-1])
            assert not store.check(last)
            with pytest.raises(OSError, match="short"):
                store.read(last)
            path.unlink()
            assert not store.check(last)
            assert not store.has_files_of(store.have)
            path.write_bytes(right)
            assert store.check(last)
        for index in order:
            store.set_have(index, here=False)
        assert store.bytes_done == 0


# --- the choice of pieces --------------------------------------------------------------------------------


@given(
    have=st.lists(st.booleans(), min_size=1, max_size=20),
    peers=st.lists(st.lists(st.booleans(), min_size=20, max_size=20), max_size=4),
    sequential=st.booleans(),
    seed=st.integers(0, 3),
)
def test_the_picker_takes_what_is_offered_and_missing_once(
    have: list[bool], peers: list[list[bool]], *, sequential: bool, seed: int
) -> None:
    offers = [peer[: len(have)] for peer in peers]
    picker = PiecePicker(have, random.Random(seed))
    picker.sequential = sequential
    for offer in offers:
        picker.peer_came(offer)
    offered = [any(offer[index] for offer in offers) for index in range(len(have))]
    left = {index for index, there in enumerate(offered) if there and not have[index]}
    while left:
        index = picker.take(offered)
        assert index in left
        if sequential:
            assert index == min(left)
        else:
            assert picker.copies[index] == min(picker.copies[other] for other in left)
        left.discard(index)
    assert picker.take(offered) is None
    for offer in offers:
        picker.peer_left(offer)
    assert not any(picker.copies)


def test_a_piece_that_did_not_come_can_be_taken_again() -> None:
    picker = PiecePicker([False, True], random.Random(1))
    everything = [True, True]
    assert picker.take(everything) == 0
    assert picker.take(everything) is None
    picker.release(0)
    assert picker.take(everything) == 0
    picker.got(0)
    picker.release(0)
    assert picker.take(everything) is None


def test_distributed_copies_count_ours_and_the_part_of_one_more() -> None:
    picker = PiecePicker([True, False, False, False], random.Random(1))
    picker.peer_came([True, True, False, True])
    picker.peer_got(2)
    picker.peer_came([False, True, False, False])
    assert picker.distributed_copies() == 1.5
    assert PiecePicker([], random.Random(1)).distributed_copies() == 0.0


# --- magnet links and resume state -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("link", "hashes"),
    [
        (f"magnet:?xt=urn:btih:{V1}", InfoHashes(V1, None)),
        (f"magnet:?dn=x&xt=urn:btmh:1220{V2}&tr=http://t.example/", InfoHashes(None, V2)),
        (f"magnet:?xt.1=urn:btih:{V1.upper()}&xt.2=urn:btmh:1220{V2}", InfoHashes(V1, V2)),
    ],
)
def test_a_magnet_link_names_a_torrent(link: str, hashes: InfoHashes) -> None:
    assert info_hashes_in(link) == hashes


@pytest.mark.parametrize("link", ["", "magnet:?dn=x", f"http:?xt=urn:btih:{V1}", f"magnet:?xt=urn:btih:{V1}0"])
def test_what_names_no_torrent_is_refused(link: str) -> None:
    with pytest.raises(SwarmError, match="no magnet link"):
        info_hashes_in(link)


@given(
    st.lists(st.booleans(), max_size=50),
    st.lists(st.tuples(st.sampled_from(["192.0.2.1", "2001:db8::1"]), st.integers(1, 65535)), max_size=3),
)
def test_resume_state_survives(have: list[bool], peers: list[tuple[str, int]]) -> None:
    hashes = InfoHashes(V1, V2)
    addresses = tuple(Address(*peer) for peer in peers)
    state = resume.decode(resume.encode(hashes, have, addresses), hashes)
    assert state.have == tuple(have)
    assert state.peers == addresses


@given(st.binary(max_size=40))
def test_damaged_resume_state_is_refused(data: bytes) -> None:
    with pytest.raises(SwarmError):
        resume.decode(data, InfoHashes(V1, None))
    with pytest.raises(SwarmError, match="another torrent"):
        resume.decode(resume.encode(InfoHashes(V1, None), (), ()), InfoHashes(None, V2))
