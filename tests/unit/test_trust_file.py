"""What a client remembers of a channel: on disk, damaged, from another root, written by two at once."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from ossdist.errors import DamagedStateError, StorageError
from ossdist.release import memory
from ossdist.release.memory import RootMark, TrustMemory
from ossdist.release.model import encode
from ossdist.store.trust_file import MAX_BYTES, TrustFile
from tests.releases import ALICE, BOB, channel_of, entry_of, published, root_of

if TYPE_CHECKING:
    from pathlib import Path

ROOT = encode(root_of(ALICE))
NEWER = encode(root_of(BOB, serial=2))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "channels" / "main.json"


def with_serial(serial: int, *, root: bytes = ROOT) -> TrustMemory:
    return memory.begin(root).with_channel(published(channel_of(entry_of(), serial=serial)))


def test_nothing_is_remembered_at_first(path: Path) -> None:
    assert TrustFile(path).load() is None
    assert not path.parent.exists()


def test_what_is_saved_comes_back(path: Path) -> None:
    for saved in (memory.begin(ROOT), with_serial(5), with_serial(6).with_root(NEWER, keeps_channel=True)):
        TrustFile(path).save(saved)
        assert TrustFile(path).load() == saved
    assert path.stat().st_mode & 0o077 == 0 or path.parent.stat().st_mode & 0o077 == 0


def test_an_older_memory_does_not_replace_a_newer_one(path: Path) -> None:
    store = TrustFile(path)
    rotated = with_serial(3).with_root(NEWER, keeps_channel=False)
    for newest, older in ((with_serial(5), with_serial(4)), (rotated, with_serial(9))):
        store.save(newest)
        store.save(older)
        assert store.load() == newest


def test_of_many_writers_the_newest_wins(path: Path) -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(TrustFile(path).save, map(with_serial, [3, 1, 9, 4, 7, 2, 8, 5, 6])))
    assert TrustFile(path).load() == with_serial(9)
    assert sorted(file.name for file in path.parent.iterdir()) == [".main.json.lock", "main.json"]


def test_a_flipped_bit_anywhere_is_noticed(path: Path) -> None:
    TrustFile(path).save(with_serial(5))
    good = path.read_bytes()
    for position in {*range(70), *range(70, len(good), 97)}:
        path.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        with pytest.raises(DamagedStateError) as caught:
            TrustFile(path).load()
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 64, 65, 100, -1])
def test_a_truncated_file_is_noticed_and_not_begun_anew(path: Path, cut: int) -> None:
    TrustFile(path).save(with_serial(5))
    damaged = path.read_bytes()[:cut]
    path.write_bytes(damaged)
    with pytest.raises(DamagedStateError):
        TrustFile(path).save(with_serial(6))
    assert path.read_bytes() == damaged


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"\xff",
        b'{"format":"ossdist-memory-2","root":"","history":[],"channel":null}',
        b'{"format":"ossdist-memory-1","root":"{}","history":[],"channel":null}',
        b'{"format":"ossdist-memory-1","root":ROOT,"history":[],"channel":null}',
        b'{"format":"ossdist-memory-1","root":ROOT,"history":[{"serial":1,"sha256":"'
        + b"0" * 64
        + b'"}],"channel":null}',
        b'{"format":"ossdist-memory-1","root":ROOT,"history":HISTORY,"channel":{"document":"x","index":[]}}',
    ],
)
def test_a_file_that_fits_its_checksum_and_makes_no_sense_is_refused(path: Path, body: bytes) -> None:
    quoted = b'"' + ROOT.replace(b"\n", b"\\n").replace(b'"', b'\\"') + b'"'
    history = b'[{"serial":1,"sha256":"' + hashlib.sha256(ROOT).hexdigest().encode() + b'"}]'
    body = body.replace(b"ROOT", quoted).replace(b"HISTORY", history)
    path.parent.mkdir(parents=True)
    path.write_bytes(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
    with pytest.raises(DamagedStateError):
        TrustFile(path).load()


def test_a_huge_file_is_not_read(path: Path) -> None:
    path.parent.mkdir(parents=True)
    with path.open("wb") as stream:
        os.truncate(stream.fileno(), MAX_BYTES + 1)
    with pytest.raises(DamagedStateError, match="longer"):
        TrustFile(path).load()


def test_a_place_that_cannot_be_used_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = TrustFile(tmp_path / "file" / "main.json")
    for act in (store.load, lambda: store.save(with_serial(1))):
        with pytest.raises(StorageError):
            act()


# --- which memory is whose -------------------------------------------------------------------------------


def test_a_memory_goes_back_to_the_root_that_was_given() -> None:
    first, second = memory.mark(ROOT), memory.mark(NEWER)
    history = with_serial(1).with_root(NEWER, keeps_channel=True).history
    assert history == (first, second)
    for known in (first, second, RootMark(3, "0" * 64)):
        assert memory.unknown(history, known) is None
    assert memory.unknown(history, RootMark(1, "0" * 64)) == "another root 1 was accepted before"
    assert memory.unknown((second,), first) == "root 1 was given, but root 2 had been given before"


def test_new_signers_of_the_channel_make_it_be_forgotten() -> None:
    remembered = with_serial(5)
    assert remembered.with_root(NEWER, keeps_channel=True).channel == remembered.channel
    assert remembered.with_root(NEWER, keeps_channel=False).channel is None
    assert remembered.age == (1, 5)
    assert remembered.with_root(NEWER, keeps_channel=False).age == (2, 0)
