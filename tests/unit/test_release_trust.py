"""Which documents may be believed. Signatures are real ones; the attacks' names are those of TUF's list."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import (
    ForeignDocumentError,
    FormatError,
    ManifestMismatchError,
    SignatureError,
    UnsafePathError,
)
from ossdist.release.model import Root, encode
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import (
    CheckedSignature,
    SignedBy,
    accept_release,
    accept_standalone_release,
    count_signatures,
)
from tests.releases import NOW, RELEASE, entry_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.keys import Keys


def check(root: Root, document: bytes, signatures: Sequence[bytes]) -> list[CheckedSignature]:
    with GpgVerifier(root, clock=SystemClock()) as verifier:
        return verifier.verify(document, signatures)


# --- signatures ------------------------------------------------------------------------------------------


@pytest.fixture
def root(keys: Keys) -> Root:
    """Alice signs channels, alice and bob sign releases; carol is in the root for nothing."""
    return keys.root(keys.alice, keys.bob, keys.carol, channel=[keys.alice], release=[keys.alice, keys.bob])


def test_nobodys_release_is_not_believed(root: Root) -> None:
    with pytest.raises(SignatureError, match="none by a key of this role") as caught:
        accept_standalone_release(root, encode(RELEASE), [], document="release.json")
    assert (caught.value.document, caught.value.role) == ("release.json", "release")
    assert (caught.value.threshold, caught.value.good, caught.value.refused) == (1, (), ())


def test_another_roles_key_or_a_strangers_does_not_count(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    for key in (keys.carol, keys.mallory):
        with pytest.raises(SignatureError) as caught:
            accept_standalone_release(root, data, check(root, data, keys.sign(data, key)), document="release.json")
        assert key[-16:] in str(caught.value)


def test_nothing_is_decoded_before_it_is_signed(keys: Keys, root: Root) -> None:
    junk = b"no json at all"
    with pytest.raises(SignatureError):
        accept_standalone_release(root, junk, [], document="d")
    with pytest.raises(FormatError):
        accept_standalone_release(root, junk, check(root, junk, keys.sign(junk, keys.alice)), document="d")


def test_a_tampered_release_is_not_believed(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    signatures = keys.sign(data, keys.alice)
    tampered = data.replace(b'"length": 5', b'"length": 6')
    with pytest.raises(SignatureError, match="bad"):
        accept_standalone_release(root, tampered, check(root, tampered, signatures), document="d")


def test_a_release_of_another_channel_is_refused(keys: Keys, root: Root) -> None:
    data = encode(RELEASE).replace(b'"channel": "main"', b'"channel": "other"')
    with pytest.raises(ForeignDocumentError):
        accept_standalone_release(root, data, check(root, data, keys.sign(data, keys.alice)), document="d")


def test_two_of_three_in_any_order(keys: Keys) -> None:
    root = keys.root(keys.alice, keys.bob, keys.carol, threshold=2)
    good = [CheckedSignature(key) for key in (keys.alice, keys.bob, keys.carol)]
    noise = [CheckedSignature(None, "junk"), CheckedSignature(keys.carol, "expired"), CheckedSignature(keys.mallory)]
    for order in itertools.permutations([good[0], good[1], *noise]):
        signed = count_signatures(root, "channel", order, document="d")
        assert signed.keys == tuple(sorted([keys.alice, keys.bob]))
    for order in itertools.permutations([good[0], good[0], *noise]):
        with pytest.raises(SignatureError) as caught:
            count_signatures(root, "channel", order, document="d")
        assert caught.value.good == (keys.alice,)
        assert len(caught.value.refused) == 3


def test_a_key_that_expired_since_counts_where_that_is_allowed(keys: Keys) -> None:
    root = keys.root(keys.alice)
    aged = [CheckedSignature(keys.alice, key_expired_at=NOW)]
    assert count_signatures(root, "release", aged, document="d", expired_keys=True).keys == (keys.alice,)
    with pytest.raises(SignatureError, match="the key expired at"):
        count_signatures(root, "release", aged, document="d")
    data = encode(RELEASE)
    assert accept_standalone_release(root, data, aged, document="d").signed_by.keys == (keys.alice,)


# --- releases --------------------------------------------------------------------------------------------


def test_a_listed_and_signed_release_is_believed(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    trusted = accept_release(root, entry_of(data), data, check(root, data, keys.sign(data, keys.bob)))
    assert trusted.release == RELEASE
    assert trusted.document == data
    assert trusted.signed_by == SignedBy("release", 1, (keys.bob,))


def test_a_manifest_has_the_listed_length_and_hash(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    checked = check(root, data, keys.sign(data, keys.alice))
    # Signed as well as it can be, but not what the channel lists (mix and match).
    longer = data + b" "
    with pytest.raises(ManifestMismatchError, match="length") as caught:
        accept_release(root, entry_of(data), longer, check(root, longer, keys.sign(longer, keys.alice)))
    assert (caught.value.expected, caught.value.actual) == (len(data), len(data) + 1)
    other = data.replace(b'"length": 5', b'"length": 6')
    with pytest.raises(ManifestMismatchError, match="sha256"):
        accept_release(root, entry_of(data), other, check(root, other, keys.sign(other, keys.alice)))
    assert accept_release(root, entry_of(data), data, checked)


def test_a_manifest_has_the_name_and_version_that_were_asked_for(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    checked = check(root, data, keys.sign(data, keys.alice))
    with pytest.raises(ManifestMismatchError, match="name") as caught:
        accept_release(root, entry_of(data, name="other"), data, checked)
    assert caught.value.document == "releases/other/1.0/release.json"
    with pytest.raises(ManifestMismatchError, match="version"):
        accept_release(root, entry_of(data, version="2.0"), data, checked)


def test_a_listed_release_needs_its_own_signature(keys: Keys, root: Root) -> None:
    data = encode(RELEASE)
    with pytest.raises(SignatureError) as caught:
        accept_release(root, entry_of(data), data, check(root, data, keys.sign(data, keys.carol)))
    assert caught.value.role == "release"


def test_a_signed_manifest_may_still_be_unsafe(keys: Keys, root: Root) -> None:
    data = encode(RELEASE).replace(b'"path": "a"', b'"path": "../a"')
    checked = check(root, data, keys.sign(data, keys.alice))
    with pytest.raises(UnsafePathError):
        accept_release(root, entry_of(data), data, checked)
