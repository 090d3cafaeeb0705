"""Whatever gpg is fed or says: no exception, and never a good verdict without its grounds."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ossdist.clock import SystemClock
from ossdist.release.armor import check_public_key, count_signatures
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import CheckedSignature
from ossdist.release.verdict import judge, status_lines
from tests.keys import armored

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.keys import Keys

ALICE = "A" * 40
DOCUMENT = b"document"

keywords = st.sampled_from(
    ["NEWSIG", "GOODSIG", "VALIDSIG", "BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY", "NODATA"]
)
good_line = f"VALIDSIG {ALICE} 2026-01-01 0 0 4 0 22 10 00 {ALICE}"
lines = st.one_of(
    st.just(good_line),
    st.tuples(keywords, st.text(max_size=10)).map(" ".join),
    keywords,
    st.text(max_size=10),
)


@given(st.lists(lines.map("[GNUPG:] {}".format) | lines, max_size=8), st.integers(0, 3), st.integers(-9, 9))
def test_any_status_lines_are_judged(listed: list[str], packets: int, returncode: int) -> None:
    said = status_lines("\n".join(listed))
    checked = judge(said, packets=packets, returncode=returncode, known=[ALICE], now=datetime(2026, 1, 1, tzinfo=UTC))
    assert checked
    heads = [words[0] for words in said]
    for signature in checked:
        if signature.refusal is None:
            assert signature.fingerprint == ALICE
            assert {"GOODSIG", "VALIDSIG"} <= set(heads)
            assert not {"BADSIG", "NODATA"} & set(heads)
            assert len(checked) == packets == heads.count("NEWSIG")


@given(st.binary(max_size=100), st.sampled_from(["SIGNATURE", "PUBLIC KEY BLOCK"]))
def test_any_packets_are_counted_or_refused(data: bytes, kind: str) -> None:
    block = f"-----BEGIN PGP {kind}-----\n\n{base64.encodebytes(data).decode()}-----END PGP {kind}-----\n".encode()
    for text in (block, data):
        for check in (count_signatures, check_public_key):
            try:
                check(text)
            except ValueError as error:
                assert str(error)  # noqa: PT017


@pytest.fixture(scope="module")
def verifier(keys: Keys) -> Generator[GpgVerifier]:
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as made:
        yield made


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_signature_never_counts_for_another_document(
    keys: Keys, verifier: GpgVerifier, data: st.DataObject
) -> None:
    damaged = bytearray(keys.signer.sign(DOCUMENT, keys.alice))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(damaged)))
        damaged[start : start + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    for checked in verifier.verify(b"another document", [bytes(damaged)]):
        assert checked.refusal
    for checked in verifier.verify(DOCUMENT, [bytes(damaged)]):
        assert checked.refusal or checked == CheckedSignature(keys.alice)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=st.integers(0, len(DOCUMENT)), cut=st.integers(0, 3), new=st.binary(max_size=3))
def test_a_damaged_document_is_never_good(keys: Keys, verifier: GpgVerifier, start: int, cut: int, new: bytes) -> None:
    damaged = DOCUMENT[:start] + new + DOCUMENT[start + cut :]
    (checked,) = verifier.verify(damaged, keys.sign(DOCUMENT, keys.alice))
    assert (checked.refusal is None) is (damaged == DOCUMENT)


@pytest.fixture(scope="module")
def two_signatures(keys: Keys) -> tuple[bytes, bytes]:
    """One that counts and one that need not, unarmored."""
    return keys.sign_oddly(DOCUMENT, armor=False), keys.sign_oddly(DOCUMENT, key=keys.bob, armor=False)


@settings(max_examples=100)
@given(at=st.integers(0, 44), value=st.integers(0, 255))
def test_a_damaged_signature_says_the_same_before_and_behind_a_good_one(
    verifier: GpgVerifier, two_signatures: tuple[bytes, bytes], at: int, value: int
) -> None:
    # Its first bytes say what it is: class, algorithms, dates, key. The rest are numbers.
    good, other = two_signatures
    damaged = other[:at] + bytes([value]) + other[at + 1 :]
    counting = [
        [checked for checked in verifier.verify(DOCUMENT, [armored(packets)]) if not checked.refusal]
        for packets in (good + damaged, damaged + good)
    ]
    assert counting[0] == counting[1]
