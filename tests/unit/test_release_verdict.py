"""What is made of gpg's status lines, on lines that no real gpg can be brought to write at will."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ossdist.release.trust import CheckedSignature
from ossdist.release.verdict import judge, status_lines

ALICE, BOB = "A" * 40, "B" * 40
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def valid(key: str = ALICE, *, dated: int | str = int(NOW.timestamp()), tail: str = "22 10 00") -> list[str]:
    """The lines of one good signature."""
    return [
        "NEWSIG",
        f"GOODSIG {key[-16:]} Some Body",
        f"VALIDSIG {'C' * 40} 2026-01-01 {dated} 0 4 0 {tail} {key}",
        "TRUST_FULLY 0 always",
    ]


def judged(lines: list[str], *, packets: int = 1, returncode: int = 0) -> list[CheckedSignature]:
    return judge(
        status_lines("".join(f"[GNUPG:] {line}\n" for line in lines)),
        packets=packets,
        returncode=returncode,
        known=[ALICE, BOB],
        now=NOW,
    )


def test_only_whole_lines_with_the_prefix_count() -> None:
    output = "gpg: [GNUPG:] GOODSIG\n[GNUPG:] NEWSIG a\x85[GNUPG:] BADSIG\x0b[GNUPG:] X\n [GNUPG:] X\n[GNUPG:]X\n"
    assert [words[0] for words in status_lines(output)] == ["NEWSIG"]


def test_a_good_signature_is_good() -> None:
    assert judged(valid()) == [CheckedSignature(ALICE)]


@pytest.mark.parametrize("missing", [1, 2])
def test_gpg_must_say_good_and_valid(missing: int) -> None:
    lines = valid()
    del lines[missing]
    (checked,) = judged(lines)
    assert checked.refusal is not None


@pytest.mark.parametrize("doubled", [1, 2])
def test_a_signature_cannot_be_good_twice(doubled: int) -> None:
    lines = valid()
    (checked,) = judged([*lines, lines[doubled]])
    assert checked.refusal is not None


def test_a_short_valid_line_is_not_believed() -> None:
    (checked,) = judged([line.removesuffix(f" {ALICE}") for line in valid()])
    assert checked.refusal is not None


@pytest.mark.parametrize("keyword", ["BADSIG", "ERRSIG", "EXPSIG", "EXPKEYSIG", "REVKEYSIG", "NO_PUBKEY"])
def test_any_doubt_refuses_and_names_the_key(keyword: str) -> None:
    lines = valid()
    for place in (1, 2, 3, 4):
        (checked,) = judged([*lines[:place], f"{keyword} {ALICE[-16:]} x", *lines[place:]])
        assert checked.refusal is not None
        assert ALICE in checked.refusal
    (alone,) = judged(["NEWSIG", f"{keyword} {BOB[-16:]} x"])
    assert alone.refusal is not None
    assert BOB in alone.refusal
    (unknown,) = judged(["NEWSIG", f"{keyword} 0123456789ABCDEF x"])
    assert unknown.refusal is not None
    assert "0123456789ABCDEF" in unknown.refusal
    (nameless,) = judged(["NEWSIG", keyword])
    assert nameless.refusal is not None
    assert "unknown" in nameless.refusal


@pytest.mark.parametrize("tail", ["22 2 00", "22 1 00", "22 11 00", "22 10 01", "22 10 10", "22 10 ff", "22 x 00"])
def test_hash_and_class_must_be_right(tail: str) -> None:
    (checked,) = judged(valid(tail=tail))
    assert checked.refusal is not None
    assert ALICE in checked.refusal


@pytest.mark.parametrize(("ahead_s", "counts"), [(-(10**8), True), (300, True), (301, False), (10**18, False)])
def test_the_future_begins_after_five_minutes(ahead_s: int, *, counts: bool) -> None:
    (checked,) = judged(valid(dated=int(NOW.timestamp()) + ahead_s))
    assert (checked.refusal is None) is counts


@pytest.mark.parametrize("dated", ["20260101T000000", "-1", "", "²"])
def test_a_date_that_is_no_number_is_refused(dated: str) -> None:
    (checked,) = judged(valid(dated=dated))
    assert checked.refusal is not None


@pytest.mark.parametrize("line", ["NODATA 3", "UNEXPECTED 0"])
def test_garbage_anywhere_spoils_the_block(line: str) -> None:
    for lines in ([line, *valid()], [*valid(), line]):
        (checked,) = judged(lines)
        assert checked.refusal is not None


def test_a_bad_signature_spoils_its_neighbours() -> None:
    bad = ["NEWSIG", f"BADSIG {BOB[-16:]} x"]
    for lines in (valid() + bad, bad + valid()):
        assert all(signature.refusal for signature in judged(lines, packets=2, returncode=1))


def test_an_unknown_key_spoils_nothing() -> None:
    unknown = ["NEWSIG", "ERRSIG 0123456789ABCDEF 22 10 00 0 9", "NO_PUBKEY 0123456789ABCDEF"]
    for lines in (valid() + unknown, unknown + valid()):
        good = [signature for signature in judged(lines, packets=2, returncode=2) if not signature.refusal]
        assert good == [CheckedSignature(ALICE)]


def test_signatures_that_gpg_passes_over_spoil_the_others() -> None:
    assert all(signature.refusal for signature in judged(valid(), packets=2))
    assert all(signature.refusal for signature in judged(valid() + valid(BOB), packets=1))


def test_an_error_that_no_signature_explains_spoils_all() -> None:
    assert all(signature.refusal for signature in judged(valid() + valid(BOB), packets=2, returncode=2))


def test_silence_is_no_verdict() -> None:
    (checked,) = judged([])
    assert checked.refusal is not None
    assert checked.fingerprint is None
    (early,) = judged(valid()[1:])
    assert early.refusal is not None
