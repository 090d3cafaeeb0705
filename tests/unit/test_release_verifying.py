"""Which OpenPGP signatures count: the real gpg, and what attackers and accidents make of signature files."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import FormatError, SignatureError
from ossdist.release.model import MAX_SIGNATURE_BYTES
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import CheckedSignature, count_signatures
from tests.keys import PAST, FixedClock, Keys

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

DOCUMENT = b'{"serial": 1}\nline two\n'


@pytest.fixture
def verifier(keys: Keys) -> Generator[GpgVerifier]:
    blocks = keys.blocks(keys.alice, keys.bob, keys.carol, keys.expired, keys.revoked, keys.split)
    with GpgVerifier(blocks, clock=SystemClock()) as made:
        yield made


def armored(packets: bytes, keys: Keys) -> bytes:
    """Packets as an armored signature with a right checksum."""
    block = keys.gpg("--enarmor", data=packets)
    return block.replace(b"PGP ARMORED FILE", b"PGP SIGNATURE")


def binary(signature: bytes, keys: Keys) -> bytes:
    return keys.gpg("--dearmor", data=signature)


def refusal(checked: Sequence[CheckedSignature]) -> str:
    """The only signature's refusal."""
    assert len(checked) == 1
    assert checked[0].refusal is not None
    return checked[0].refusal


# --- what counts -----------------------------------------------------------------------------------------


def test_a_good_signature_names_its_primary_key(keys: Keys, verifier: GpgVerifier) -> None:
    assert verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.alice)) == [CheckedSignature(keys.alice)]


def test_a_signature_by_a_subkey_names_the_primary_key(keys: Keys, verifier: GpgVerifier) -> None:
    assert verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.split)) == [CheckedSignature(keys.split)]


@pytest.mark.parametrize("hash_algorithm", ["SHA256", "SHA384", "SHA512"])
def test_sha_2_from_256_bits_counts(keys: Keys, verifier: GpgVerifier, hash_algorithm: str) -> None:
    signature = keys.sign_oddly(DOCUMENT, "--digest-algo", hash_algorithm)
    assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.alice)]


def test_an_empty_and_a_large_document_can_be_signed(keys: Keys, verifier: GpgVerifier) -> None:
    for document in (b"", bytes(range(256)) * 20_000):
        assert verifier.verify(document, keys.sign(document, keys.bob)) == [CheckedSignature(keys.bob)]


def test_whitespace_and_comments_do_not_harm(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign_oddly(DOCUMENT, "--comment", "made at home", "--emit-version")
    for block in (b"\r\n \t\n" + signature + b"\n\n", signature.replace(b"\n", b"\r\n")):
        assert verifier.verify(DOCUMENT, [block]) == [CheckedSignature(keys.alice)]


def test_no_signature_is_no_signature(verifier: GpgVerifier) -> None:
    assert verifier.verify(DOCUMENT, []) == []


def test_one_file_may_hold_several_signatures(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign_oddly(DOCUMENT, "--local-user", keys.bob)
    assert set(verifier.verify(DOCUMENT, [signature])) == {
        CheckedSignature(keys.alice),
        CheckedSignature(keys.bob),
    }


def test_a_user_id_that_looks_like_status_lines_says_nothing(keys: Keys) -> None:
    with GpgVerifier(keys.blocks(keys.forger, keys.alice), clock=SystemClock()) as verifier:
        good = keys.sign(DOCUMENT, keys.forger)
        assert verifier.verify(DOCUMENT, good) == [CheckedSignature(keys.forger)]
        reason = refusal(verifier.verify(b"tampered", good))
    assert "bad" in reason
    assert "GNUPG" not in reason


# --- what does not ---------------------------------------------------------------------------------------


def test_a_tampered_document_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign(DOCUMENT, keys.alice)
    for tampered in (DOCUMENT + b" ", DOCUMENT[:-1], DOCUMENT.replace(b"1", b"2"), b""):
        reason = refusal(verifier.verify(tampered, signature))
        assert keys.alice in reason
        assert "bad" in reason


def test_a_key_outside_of_the_root_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    reason = refusal(verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.mallory)))
    assert keys.mallory[-16:] in reason
    assert "may sign here" in reason


def test_a_revoked_key_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    checked = verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.revoked))
    assert refusal(checked) == f"key {keys.revoked}: the key was revoked"
    assert checked[0].fingerprint == keys.revoked


def test_a_key_that_expired_after_it_signed_is_reported_with_the_time(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign_oddly(DOCUMENT, f"--faked-system-time={PAST}", key=keys.expired)
    (checked,) = verifier.verify(DOCUMENT, [signature])
    assert checked.refusal is None
    assert checked.signed_at == datetime(2020, 1, 1, tzinfo=UTC)
    assert checked.key_expired_at == datetime(2020, 1, 3, tzinfo=UTC)


def test_a_key_that_had_expired_when_it_signed_is_refused(keys: Keys) -> None:
    # gpg does not sign with such a key, so the key's life is shortened afterwards.
    pensioner = keys.from_then("Pensioner")
    late = keys.sign_oddly(DOCUMENT, "--faked-system-time=20200105T000000", key=pensioner)
    keys.gpg("--faked-system-time=20200101T010000", "--quick-set-expire", pensioner, "2d")
    with GpgVerifier(keys.blocks(pensioner), clock=SystemClock()) as verifier:
        assert refusal(verifier.verify(DOCUMENT, [late])) == f"key {pensioner}: the key had expired when it signed"


def test_an_expired_signature_is_refused(keys: Keys) -> None:
    veteran = keys.from_then("Veteran")
    signature = keys.sign_oddly(DOCUMENT, f"--faked-system-time={PAST}", "--default-sig-expire", "3d", key=veteran)
    with GpgVerifier(keys.blocks(veteran), clock=SystemClock()) as verifier:
        assert refusal(verifier.verify(DOCUMENT, [signature])) == f"key {veteran}: the signature has expired"


@pytest.mark.parametrize(("name", "number"), [("SHA1", 2), ("RIPEMD160", 3), ("SHA224", 11)])
def test_a_weak_hash_is_refused(keys: Keys, verifier: GpgVerifier, name: str, number: int) -> None:
    signature = keys.sign_oddly(DOCUMENT, "--digest-algo", name)
    reason = refusal(verifier.verify(DOCUMENT, [signature]))
    assert f"hash algorithm {number}" in reason
    assert keys.alice in reason


def test_a_text_mode_signature_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    # It would hold for the document with other line ends too.
    signature = keys.sign_oddly(DOCUMENT, "--textmode")
    for document in (DOCUMENT, DOCUMENT.replace(b"\n", b"\r\n")):
        assert "class 01" in refusal(verifier.verify(document, [signature]))


def test_a_future_date_is_refused(keys: Keys) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    signature = keys.sign_oddly(DOCUMENT, f"--faked-system-time={later:%Y%m%dT%H%M%S}")
    blocks = keys.blocks(keys.alice)
    with GpgVerifier(blocks, clock=FixedClock(later - timedelta(seconds=302))) as verifier:
        reason = refusal(verifier.verify(DOCUMENT, [signature]))
        assert "in the future" in reason
        assert keys.alice in reason
    with GpgVerifier(blocks, clock=FixedClock(later - timedelta(seconds=298))) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.alice)]


def test_a_date_before_the_key_was_made_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign_oddly(DOCUMENT, f"--faked-system-time={PAST}", "--ignore-time-conflict")
    assert keys.alice in refusal(verifier.verify(DOCUMENT, [signature]))


# --- what is no signature file ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trailing",
    [b"garbage", b"\0\0", b"\xb0\x02\0\0", b"\xca\x03PGP", b"\xcb\x03b\0a", b"\xcb\x03b\0", b"\x88"],
    ids=["text", "zeros", "trust packet", "marker packet", "literal data", "cut literal", "cut signature"],
)
def test_nothing_may_stand_behind_the_signature_packets(keys: Keys, verifier: GpgVerifier, trailing: bytes) -> None:
    packets = binary(keys.sign(DOCUMENT, keys.alice)[0], keys)
    assert verifier.verify(DOCUMENT, [armored(packets, keys)]) == [CheckedSignature(keys.alice)]
    # Its form is enough to refuse it: gpg calls some of these good.
    assert refusal(verifier.verify(DOCUMENT, [armored(packets + trailing, keys)])).startswith("a signature file")


def test_two_blocks_in_one_file_are_refused(keys: Keys, verifier: GpgVerifier) -> None:
    both = b"".join(keys.sign(DOCUMENT, keys.alice, keys.bob))
    assert "exactly one" in refusal(verifier.verify(DOCUMENT, [both]))


@pytest.mark.parametrize("template", [b"x\n%s", b" %s", b"%sx", b"%s\n-----BEGIN PGP SIGNATURE-----\n"])
def test_text_around_the_block_is_refused(keys: Keys, verifier: GpgVerifier, template: bytes) -> None:
    signature = keys.sign(DOCUMENT, keys.alice)[0]
    assert "exactly one" in refusal(verifier.verify(DOCUMENT, [template % signature]))


def test_a_damaged_checksum_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    lines = keys.sign(DOCUMENT, keys.alice)[0].splitlines(keepends=True)
    assert lines[-2].startswith(b"=")
    lines[-2] = b"=AAAA\n"
    assert refusal(verifier.verify(DOCUMENT, [b"".join(lines)]))


def test_an_unarmored_signature_is_refused(keys: Keys, verifier: GpgVerifier) -> None:
    assert refusal(verifier.verify(DOCUMENT, [keys.sign_oddly(DOCUMENT, armor=False)]))


def test_other_kinds_of_openpgp_data_are_refused(keys: Keys, verifier: GpgVerifier) -> None:
    inline = keys.gpg("--local-user", keys.alice, "--armor", "--sign", data=DOCUMENT)
    clear = keys.gpg("--local-user", keys.alice, "--clear-sign", data=DOCUMENT)
    key = keys.block(keys.alice).encode()
    for block, reason in (
        (inline, "is a PGP MESSAGE, not a PGP SIGNATURE"),
        (clear, "is not exactly one armored PGP SIGNATURE"),
        (key, "is a PGP PUBLIC KEY BLOCK, not a PGP SIGNATURE"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"\0", "is not exactly one armored PGP SIGNATURE"),
    ):
        assert reason in refusal(verifier.verify(DOCUMENT, [block]))
    assert "something else" in refusal(verifier.verify(DOCUMENT, [armored(binary(key, keys), keys)]))
    assert "definite length" in refusal(verifier.verify(DOCUMENT, [armored(binary(inline, keys), keys)]))


def test_a_large_file_is_not_even_looked_at(keys: Keys, verifier: GpgVerifier) -> None:
    signature = keys.sign(DOCUMENT, keys.alice)[0]
    fits = signature + b" " * (MAX_SIGNATURE_BYTES - len(signature))
    assert verifier.verify(DOCUMENT, [fits]) == [CheckedSignature(keys.alice)]
    assert "16385 bytes" in refusal(verifier.verify(DOCUMENT, [fits + b" "]))


# --- roles and thresholds --------------------------------------------------------------------------------


def test_a_key_of_the_ring_but_not_of_the_role_does_not_count(keys: Keys) -> None:
    root = keys.root(keys.alice, keys.bob, channel=[keys.alice])
    with GpgVerifier(root, clock=SystemClock()) as verifier:
        checked = verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.bob))
    assert checked == [CheckedSignature(keys.bob)]
    assert count_signatures(root, "release", checked, document="d").keys == (keys.bob,)
    with pytest.raises(SignatureError) as caught:
        count_signatures(root, "channel", checked, document="d")
    assert keys.bob in str(caught.value)


def test_a_threshold_of_two_takes_two_keys(keys: Keys) -> None:
    root = keys.root(keys.alice, keys.bob, keys.carol, threshold=2)
    alice, bob, carol = keys.sign(DOCUMENT, keys.alice, keys.bob, keys.carol)
    again = keys.sign_oddly(DOCUMENT, "--digest-algo", "SHA256")
    with GpgVerifier(root, clock=SystemClock()) as verifier:
        for pair in itertools.permutations([alice, bob, carol], 2):
            count_signatures(root, "channel", verifier.verify(DOCUMENT, pair), document="d")
        for single in ([alice], [alice, alice], [alice, again], [armored(binary(alice, keys) * 2, keys)]):
            checked = verifier.verify(DOCUMENT, single)
            assert all(signature == CheckedSignature(keys.alice) for signature in checked)
            with pytest.raises(SignatureError) as caught:
                count_signatures(root, "channel", checked, document="d")
            assert caught.value.good == (keys.alice,)


# --- the root's keys -------------------------------------------------------------------------------------


def test_a_key_block_holds_the_key_that_it_stands_for(keys: Keys) -> None:
    private = keys.gpg("--armor", "--export-secret-keys", keys.alice).decode()
    disguised = private.replace("PRIVATE KEY", "PUBLIC KEY")
    for blocks in (
        {keys.alice: keys.block(keys.bob)},
        {keys.alice: keys.block(keys.bob), keys.bob: keys.block(keys.alice)},
        {keys.alice: keys.block(keys.alice, keys.mallory)},
        {keys.alice: keys.block(keys.alice) + keys.block(keys.mallory)},
        {keys.alice: keys.block(keys.alice) + "x"},
        {keys.alice: private},
        {keys.alice: disguised},
        {keys.alice: keys.sign(DOCUMENT, keys.alice)[0].decode()},
        {keys.alice: ""},
        {keys.alice: keys.block(keys.alice), keys.bob: ""},
    ):
        with pytest.raises(FormatError, match=keys.alice if len(blocks) == 1 else "key block") as caught:
            GpgVerifier(blocks, clock=SystemClock())
        assert caught.value.document == "root.json"


def test_a_key_that_gpg_cannot_use_is_refused(keys: Keys) -> None:
    # Its self-signature does not hold: gpg imports no user id, so no key.
    packets = bytearray(keys.gpg("--dearmor", data=keys.block(keys.alice).encode()))
    packets[-1] ^= 1
    block = keys.gpg("--enarmor", data=bytes(packets)).replace(b"ARMORED FILE", b"PUBLIC KEY BLOCK")
    blocks = {keys.alice: block.decode(), keys.bob: keys.block(keys.bob)}
    with pytest.raises(FormatError, match=keys.alice):
        GpgVerifier(blocks, clock=SystemClock())


def test_a_wrong_fingerprint_is_the_callers_mistake(keys: Keys) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        GpgVerifier({keys.alice.lower(): keys.block(keys.alice)}, clock=SystemClock())
