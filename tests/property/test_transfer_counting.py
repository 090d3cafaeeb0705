"""Counting what came from where: tallies, rates, verified bytes, shares."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.release.report import BytesFrom, share_bytes
from ossdist.transfer.metainfo import Address, InfoHashes, Metainfo, TorrentFile
from ossdist.transfer.progress import RateMeter
from ossdist.transfer.session import PeerKind, PeerStatus
from ossdist.transfer.tally import Tally
from ossdist.transfer.verified import VerifiedPieces

# --- Tally -----------------------------------------------------------------------------------------------


def peer(number: int, connection: int, received: int, kind: PeerKind = PeerKind.PEER) -> PeerStatus:
    return PeerStatus(
        address=Address("192.0.2.1", number),
        kind=kind,
        key=f"{kind} {number} {connection}",
        client=f"http://mirror-{number}.example/",
        seed=True,
        choking=False,
        snubbed=False,
        payload_download=received,
        payload_upload=0,
        download_bytes_per_s=0,
        upload_bytes_per_s=0,
    )


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.sampled_from(list(PeerKind)), st.sampled_from(["gain", "gain", "leave", "reconnect"])
        ),
        max_size=60,
    ),
    st.integers(1, 10_000),
)
def test_sums_are_what_was_seen(steps: list[tuple[int, PeerKind, str]], amount: int) -> None:
    tally = Tally()
    connected: dict[tuple[int, PeerKind], PeerStatus] = {}
    connection = 0
    expected: dict[str, int] = {}
    for number, kind, what in steps:
        key = (number, kind)
        known = connected.pop(key, None)
        if what == "leave":
            pass
        elif known is None or what == "reconnect":
            connection += 1
            connected[key] = peer(number, connection, amount, kind)
        else:
            received = known.payload_download + amount
            connected[key] = peer(number, int(known.key.split()[-1]), received, kind)
        if what != "leave":
            source = connected[key].client if kind is PeerKind.WEB_SEED else f"192.0.2.1:{number}"
            expected[source] = expected.get(source, 0) + amount
        before = dict(tally.by_source)
        tally.note(connected.values())
        assert all(tally.by_source[source] >= count for source, count in before.items())
        assert tally.by_source == expected
    assert sum(tally.total(kind) for kind in PeerKind) == sum(expected.values())
    for kind in PeerKind:
        assert tally.total(kind) == sum(expected[source] for source in expected if tally.kinds[source] is kind)


def test_a_peer_that_comes_back_counts_from_zero() -> None:
    tally = Tally()
    for received in (100, 250, 30, 40):  # the same key, a smaller counter: a new connection
        tally.note([peer(1, 1, received)])
    assert tally.by_source == {"192.0.2.1:1": 290}


# --- RateMeter -------------------------------------------------------------------------------------------


@given(
    st.floats(0.1, 30),
    st.lists(st.tuples(st.floats(0.001, 5), st.integers(0, 1_000_000)), min_size=2, max_size=50),
)
def test_a_rate_is_between_the_least_and_the_most_of_its_window(
    window_s: float, steps: list[tuple[float, int]]
) -> None:
    meter, now_s, total = RateMeter(window_s), 0.0, 0
    samples = [(0.0, 0)]
    meter.note(0.0, 0)
    for after_s, gained in steps:
        now_s, total = now_s + after_s, total + gained
        samples.append((now_s, total))
        meter.note(now_s, total)
        rates = [(b - a) / (t - s) for (s, a), (t, b) in pairwise(samples)]
        in_window = [
            rate
            for rate, ((_, _), (end_s, _)) in zip(rates, pairwise(samples), strict=True)
            if end_s > now_s - window_s
        ]
        assert min(in_window) * 0.999 <= meter.bytes_per_s <= max(in_window) * 1.001
        eta_s = meter.eta_s(1000)
        assert (eta_s is None) == (meter.bytes_per_s == 0)
        assert eta_s is None or eta_s == pytest.approx(1000 / meter.bytes_per_s)


def test_there_is_no_rate_without_two_samples_or_without_time() -> None:
    meter = RateMeter(5)
    assert meter.bytes_per_s == 0.0
    meter.note(1, 100)
    meter.note(1, 200)
    assert meter.bytes_per_s == 0.0
    assert meter.eta_s(5) is None


def test_a_counter_that_shrank_begins_anew() -> None:
    meter = RateMeter(5)
    for now_s, total in ((0, 0), (1, 1000), (2, 10), (3, 20)):
        meter.note(now_s, total)
    assert meter.bytes_per_s == 10


# --- VerifiedPieces --------------------------------------------------------------------------------------


@st.composite
def layouts(draw: st.DrawFn) -> Metainfo:
    lengths = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5))
    piece_length, padded = draw(st.sampled_from([4, 8, 16])), draw(st.booleans())
    files: list[TorrentFile] = []
    total = 0
    for index, length in enumerate(lengths):
        if padded:
            total += -total % piece_length
        files.append(TorrentFile(index, str(index), length, total))
        total += length
    return Metainfo("name", b"", InfoHashes("00", None), piece_length, total, tuple(files))


@given(layouts(), st.data())
def test_verified_until_is_the_first_gap(metainfo: Metainfo, data: st.DataObject) -> None:
    count = metainfo.num_pieces
    have = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    pieces = VerifiedPieces(metainfo)
    if data.draw(st.booleans()):
        pieces.replace(have)
    else:
        for index in [index for index, here in enumerate(have) if here]:
            pieces.add(index)
    for file in metainfo.files:
        verified = [have[(file.offset + at) // metainfo.piece_length] for at in range(file.length)]
        for position in range(file.length + 1):
            expected = next((at for at in range(position, file.length) if not verified[at]), file.length)
            assert pieces.verified_until(file, position) == expected
    assert pieces.total == min(metainfo.total, have.count(True) * metainfo.piece_length)
    pieces.add_all()
    assert pieces.total == metainfo.total
    for file in metainfo.files:
        assert pieces.verified_until(file, 0) == file.length


# --- share_bytes -----------------------------------------------------------------------------------------


@st.composite
def totals(draw: st.DrawFn) -> tuple[BytesFrom, tuple[int, ...]]:
    lengths = tuple(draw(st.lists(st.integers(0, 1 << 40), max_size=8)))
    whole = sum(lengths)
    cuts = sorted(draw(st.tuples(*[st.integers(0, whole)] * 3)))
    amounts = [b - a for a, b in pairwise([0, *cuts, whole])]
    return BytesFrom(*amounts), lengths


@given(totals())
def test_shares_add_up_both_ways(case: tuple[BytesFrom, tuple[int, ...]]) -> None:
    total, lengths = case
    shares = share_bytes(total, lengths)
    rows = [(share.swarm, share.mirror, share.delta, share.reuse) for share in shares]
    assert tuple(sum(row) for row in rows) == lengths
    assert all(amount >= 0 for row in rows for amount in row)
    columns = [sum(column) for column in zip(*rows, strict=True)] or [0, 0, 0, 0]
    assert columns == [total.swarm, total.mirror, total.delta, total.reuse]


def test_shares_by_example() -> None:
    assert share_bytes(BytesFrom(swarm=75, mirror=25), (40, 0, 60)) == (
        BytesFrom(swarm=30, mirror=10),
        BytesFrom(),
        BytesFrom(swarm=45, mirror=15),
    )
    assert share_bytes(BytesFrom(), ()) == ()
