"""Pieces that are hashed while a file is read, against libtorrent's."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.store.pieces import PieceHasher, TreeHasher, merkle_root
from ossdist.swarm.metainfo import make_torrents
from tests.channels import noise


@given(st.integers(1, 40))
def test_the_tree_s_root_is_that_of_a_full_binary_tree(count: int) -> None:
    leaves = [hashlib.sha256(bytes([n])).digest() for n in range(count)]
    full = leaves + [bytes(32)] * ((1 << (count - 1).bit_length()) - count)

    def root(part: list[bytes]) -> bytes:
        half = len(part) // 2
        return part[0] if not half else hashlib.sha256(root(part[:half]) + root(part[half:])).digest()

    assert merkle_root(leaves) == root(full)


@pytest.mark.parametrize("lengths", [(1,), (16384,), (16385,), (65536, 1, 0, 16384, 40_000), (0, 5, 200_000)])
@pytest.mark.parametrize("chunk", [1000, 16384, 1 << 20])
def test_pieces_agree_with_libtorrent_s(tmp_path: Path, lengths: tuple[int, ...], chunk: int) -> None:
    base = tmp_path / "payload"
    base.mkdir()
    contents = {f"file-{n}": noise(length, n) for n, length in enumerate(lengths)}
    for name, content in contents.items():
        (base / name).write_bytes(content)
    torrents = make_torrents(base, [(name, len(content)) for name, content in contents.items()], name="payload")
    for metainfo in (torrents.hybrid, torrents.v1):
        for file in metainfo.files:
            content = contents[Path(file.path).name]
            pieces = PieceHasher(metainfo, file)
            tree = TreeHasher(file.root) if file.root is not None else None
            assert (tree is None) == (metainfo is torrents.v1 or not content)
            for start in range(0, len(content), chunk):
                part = memoryview(content)[start : start + chunk]
                pieces.feed(part)
                if tree is not None:
                    tree.feed(part)
            outcome = pieces.check().outcome.value
            assert outcome == "pass" or (outcome == "skipped" and (metainfo is torrents.v1 or not content))
            if tree is not None:
                assert tree.check().outcome.value == "pass"
