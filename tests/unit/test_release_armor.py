"""What an armored block may look like, packet by packet."""

from __future__ import annotations

import base64

import pytest

from ossdist.release.armor import check_public_key, count_signatures

OLD, OLD_2, OLD_4, OLD_INDEFINITE = (
    b"\x88\x03abc",
    b"\x89\x00\x03abc",
    b"\x8a\x00\x00\x00\x03abc",
    b"\x8babc",
)
NEW, NEW_2, NEW_5, NEW_PARTIAL = (
    b"\xc2\x03abc",
    b"\xc2\xc0\x00" + bytes(192),
    b"\xc2\xff\x00\x00\x00\x03abc",
    b"\xc2\xe1ab\x01c",
)


def armored(packets: bytes, kind: str = "SIGNATURE") -> bytes:
    body = base64.encodebytes(packets).decode().replace("\n", "") if packets else ""
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN PGP {kind}-----", "", *lines, f"-----END PGP {kind}-----", ""]).encode()


@pytest.mark.parametrize("packet", [OLD, OLD_2, OLD_4, NEW, NEW_2, NEW_5])
def test_every_definite_length_is_understood(packet: bytes) -> None:
    assert count_signatures(armored(packet)) == 1
    assert count_signatures(armored(packet + OLD + packet)) == 3


@pytest.mark.parametrize("packet", [OLD_INDEFINITE, NEW_PARTIAL])
def test_an_indefinite_length_is_refused(packet: bytes) -> None:
    with pytest.raises(ValueError, match="definite length"):
        count_signatures(armored(packet))


@pytest.mark.parametrize("packet", [OLD, OLD_2, OLD_4, NEW, NEW_2, NEW_5])
def test_a_cut_packet_is_refused(packet: bytes) -> None:
    for length in range(1, len(packet)):
        with pytest.raises(ValueError, match="cut off"):
            count_signatures(armored(packet[:length]))


def test_bytes_that_are_no_packet_are_refused() -> None:
    with pytest.raises(ValueError, match="no OpenPGP packet"):
        count_signatures(armored(OLD + b"\x00"))


@pytest.mark.parametrize("tag", sorted(set(range(64)) - {2}))
def test_a_signature_file_holds_nothing_but_signatures(tag: int) -> None:
    other = bytes([0xC0 | tag, 0])
    for packets in (other, OLD + other, other + OLD):
        with pytest.raises(ValueError, match="something else than signatures"):
            count_signatures(armored(packets))


@pytest.mark.parametrize(
    "block",
    [
        armored(b""),
        armored(OLD).replace(b"-----\n\n", b"-----\n"),
        armored(OLD).replace(b"END PGP SIGNATURE", b"END PGP MESSAGE"),
        armored(OLD).replace(b"iANhYmM=", b"iANh YmM="),
        armored(OLD).replace(b"iANhYmM=", b"iANhYmM=\niANhYmM="),
        armored(OLD).replace(b"iANhYmM=", b"iANhYmM"),
        armored(OLD).replace(b"iANhYmM=", b"iA\xc3\xa4NhYmM="),
        armored(OLD).replace(b"iANhYmM=", b"A" * 80),
        armored(OLD)[:-10],
        armored(OLD)[1:],
    ],
)
def test_broken_armor_is_refused(block: bytes) -> None:
    with pytest.raises(ValueError, match=r"exactly one|padding|base64"):
        count_signatures(block)


def test_the_kind_in_the_armor_counts() -> None:
    with pytest.raises(ValueError, match="is a PGP MESSAGE, not a PGP SIGNATURE"):
        count_signatures(armored(OLD, "MESSAGE"))


def test_a_key_block_is_one_key_first() -> None:
    key, user, signature, subkey, secret, unknown = (bytes([0xC0 | tag, 0]) for tag in (6, 13, 2, 14, 5, 60))
    check_public_key(armored(key + user + signature + subkey + signature, "PUBLIC KEY BLOCK"))
    for packets in (
        user,
        user + key,
        key + user + key,
        secret + user,
        key + user + secret,
        key + unknown,
        key + user + b"\xca\x03PGP",
    ):
        with pytest.raises(ValueError, match="something else than one public key"):
            check_public_key(armored(packets, "PUBLIC KEY BLOCK"))
