"""The verdict does not depend on the order of the signatures: neither of files, nor of packets in one file.

All ordered pairs of kinds are tried, and all orders of as many triples as it takes for each two kinds to meet in one.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import SignatureError
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import CheckedSignature, count_signatures
from tests.keys import PAST, Keys, armored

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence

    from ossdist.release.model import Root

DOCUMENT = b'{"serial": 1}\nline two\n'
KINDS = (
    *("good A", "good B", "A again", "by a subkey", "unknown key", "other document", "SHA-1", "text mode"),
    *("future", "revoked", "key expired before", "key expired after", "signature expired"),
    *("MD5", "unknown hash", "unknown algorithm", "of a key"),
)
ALWAYS_GOOD = frozenset({"good A", "good B", "A again", "by a subkey"})
GOOD_FOR_RELEASES = ALWAYS_GOOD | {"key expired after"}
SPOILS_ITS_FILE = frozenset({"other document", "text mode", "signature expired", "MD5", "unknown hash", "of a key"})
"""gpg goes no further after these, or does not take them together with others: nothing in the same file counts."""


@dataclass(frozen=True)
class Signatures:
    """One signature of each kind, made once.

    Attributes:
        root: Lists all keys but the unknown one.
        signers: Primary fingerprints by kind.
        packets: Unarmored signatures by kind.
    """

    root: Root
    signers: dict[str, str]
    packets: dict[str, bytes]

    def file(self, *kinds: str) -> bytes:
        """One signature file with a packet of each kind."""
        return armored(b"".join(self.packets[kind] for kind in kinds))

    def signers_of(self, kinds: Iterable[str], good: Collection[str]) -> set[str]:
        """Who signed those of ``kinds`` that are ``good``."""
        return {self.signers[kind] for kind in kinds if kind in good}


@pytest.fixture(scope="module")
def signatures(keys: Keys) -> Signatures:
    pensioner, veteran = keys.from_then("Pensioner in any order"), keys.from_then("Veteran in any order")
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    def made(*options: str, key: str, document: bytes = DOCUMENT) -> tuple[str, bytes]:
        return key, keys.sign_oddly(document, *options, key=key, armor=False)

    def changed(*, at: int, to: int) -> tuple[str, bytes]:
        key, packet = made(key=keys.carol)
        assert packet[0] == 0x88  # so byte 3 is the class, 4 the key's algorithm and 5 the hash algorithm
        return key, packet[:at] + bytes([to]) + packet[at + 1 :]

    then = f"--faked-system-time={PAST}"
    by_kind = {
        "good A": made(key=keys.alice),
        "good B": made(key=keys.bob),
        "A again": made("--digest-algo", "SHA256", key=keys.alice),
        "by a subkey": made(key=keys.split),
        "unknown key": made(key=keys.mallory),
        "other document": made(key=keys.carol, document=b"another document"),
        "SHA-1": made("--digest-algo", "SHA1", key=keys.carol),
        "text mode": made("--textmode", key=keys.carol),
        "future": made(f"--faked-system-time={tomorrow:%Y%m%dT%H%M%S}", key=keys.carol),
        "revoked": made(key=keys.revoked),
        "key expired before": made("--faked-system-time=20200105T000000", key=pensioner),
        "key expired after": made(then, key=keys.expired),
        "signature expired": made(then, "--default-sig-expire", "3d", key=veteran),
        "MD5": changed(at=5, to=1),
        "unknown hash": changed(at=5, to=99),
        "unknown algorithm": changed(at=4, to=99),
        "of a key": changed(at=3, to=0x13),
    }
    # gpg does not sign with a key that has expired, so its life is shortened afterwards.
    keys.gpg("--faked-system-time=20200101T010000", "--quick-set-expire", pensioner, "2d")
    listed = [keys.alice, keys.bob, keys.carol, keys.split, keys.revoked, keys.expired, pensioner, veteran]
    return Signatures(
        root=keys.root(*listed),
        signers={kind: key for kind, (key, _) in by_kind.items()},
        packets={kind: packet for kind, (_, packet) in by_kind.items()},
    )


@pytest.fixture(scope="module")
def verifier(signatures: Signatures) -> Generator[GpgVerifier]:
    with GpgVerifier(signatures.root, clock=SystemClock()) as made:
        yield made


def covering_triples() -> list[tuple[str, ...]]:
    """Triples in which each two kinds meet, always the one that brings the most new pairs."""

    def new_pairs(triple: tuple[str, ...]) -> int:
        return len(left & set(itertools.combinations(triple, 2)))

    left = set(itertools.combinations(KINDS, 2))
    chosen: list[tuple[str, ...]] = []
    while left:
        best = max(itertools.combinations(KINDS, 3), key=new_pairs)
        left -= set(itertools.combinations(best, 2))
        chosen.append(best)
    return chosen


GROUPS = [*itertools.combinations(KINDS, 2), *covering_triples()]


def counted(root: Root, checked: Sequence[CheckedSignature], *, expired_keys: bool) -> set[str]:
    """The keys that count toward a threshold of one."""
    try:
        return set(count_signatures(root, "root", checked, document="d", expired_keys=expired_keys).keys)
    except SignatureError as error:
        return set(error.good)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signature_alone(signatures: Signatures, verifier: GpgVerifier, kind: str) -> None:
    checked = verifier.verify(DOCUMENT, [signatures.file(kind)])
    assert len(checked) == 1
    assert (checked[0].key_expired_at is not None) is (kind == "key expired after")
    root = signatures.root
    assert counted(root, checked, expired_keys=False) == signatures.signers_of([kind], ALWAYS_GOOD)
    assert counted(root, checked, expired_keys=True) == signatures.signers_of([kind], GOOD_FOR_RELEASES)


@pytest.mark.parametrize("group", GROUPS, ids=", ".join)
def test_the_order_of_the_files_changes_nothing(
    signatures: Signatures, verifier: GpgVerifier, group: tuple[str, ...]
) -> None:
    files = [signatures.file(kind) for kind in group]
    for order in itertools.permutations(files):
        checked = verifier.verify(DOCUMENT, order)
        assert len(checked) == len(group)
        for expired_keys, good in ((False, ALWAYS_GOOD), (True, GOOD_FOR_RELEASES)):
            expected = signatures.signers_of(group, good)
            assert counted(signatures.root, checked, expired_keys=expired_keys) == expected


@pytest.mark.parametrize("group", GROUPS, ids=", ".join)
def test_the_order_within_a_file_changes_nothing(
    signatures: Signatures, verifier: GpgVerifier, group: tuple[str, ...]
) -> None:
    spoiled = not SPOILS_ITS_FILE.isdisjoint(group)
    for order in itertools.permutations(group):
        checked = verifier.verify(DOCUMENT, [signatures.file(*order)])
        for expired_keys, good in ((False, ALWAYS_GOOD), (True, GOOD_FOR_RELEASES)):
            expected = set[str]() if spoiled else signatures.signers_of(group, good)
            assert counted(signatures.root, checked, expired_keys=expired_keys) == expected


def test_a_file_without_a_signature_changes_nothing_for_the_others(
    signatures: Signatures, verifier: GpgVerifier
) -> None:
    files = [signatures.file("good A"), signatures.file("good B"), b"junk", b"", signatures.file("text mode") * 2]
    for order in itertools.permutations(files, 3):
        good = {checked.fingerprint for checked in verifier.verify(DOCUMENT, order) if checked.refusal is None}
        expected = {file: signatures.signers[kind] for file, kind in zip(files, ("good A", "good B"), strict=False)}
        assert good == {key for file, key in expected.items() if file in order}
