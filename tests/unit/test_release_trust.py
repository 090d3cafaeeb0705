"""Which documents may be believed. Signatures are real ones; the attacks' names are those of TUF's list."""

from __future__ import annotations

import hashlib
import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import (
    ExpiredError,
    FormatError,
    ManifestMismatchError,
    NotFoundError,
    RollbackError,
    SignatureError,
    UnsafePathError,
)
from ossdist.release.model import (
    Channel,
    File,
    HybridTorrent,
    Release,
    ReleaseEntry,
    Root,
    V1Torrent,
    encode,
)
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import (
    CheckedSignature,
    SignedBy,
    TrustedChannel,
    accept_channel,
    accept_release,
    accept_standalone_release,
    count_signatures,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.keys import Keys

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RELEASE = Release(
    name="tool",
    version="1.0",
    purl="pkg:generic/tool@1.0",
    issued=NOW,
    files=(File(path="a", length=5, sha256="0" * 64),),
    hybrid=HybridTorrent(info_hash_v1="0" * 40, info_hash_v2="0" * 64, piece_length=1 << 20),
    v1=V1Torrent(info_hash_v1="1" * 40, piece_length=1 << 20),
)


def entry_of(data: bytes, *, name: str = "tool", version: str = "1.0", serial: int = 1) -> ReleaseEntry:
    digest = hashlib.sha256(data).hexdigest()
    return ReleaseEntry(name=name, version=version, serial=serial, length=len(data), sha256=digest)


def channel(serial: int = 5, *, expires: datetime = NOW + DAY, releases: tuple[ReleaseEntry, ...] = ()) -> bytes:
    return encode(Channel(serial=serial, issued=NOW, expires=expires, releases=releases))


def check(root: Root, document: bytes, signatures: Sequence[bytes]) -> list[CheckedSignature]:
    with GpgVerifier(root, clock=SystemClock()) as verifier:
        return verifier.verify(document, signatures)


# --- signatures ------------------------------------------------------------------------------------------


@pytest.fixture
def root(keys: Keys) -> Root:
    """Alice signs channels, alice and bob sign releases; carol is in the root for nothing."""
    return keys.root(keys.alice, keys.bob, keys.carol, channel=[keys.alice], release=[keys.alice, keys.bob])


def test_a_signed_channel_is_believed(keys: Keys, root: Root) -> None:
    data = channel()
    trusted = accept_channel(root, data, check(root, data, keys.sign(data, keys.alice)), now=NOW)
    assert trusted.channel.serial == 5
    assert trusted.signed_by == SignedBy("channel", 1, (keys.alice,))


def test_nobodys_channel_is_not_believed(root: Root) -> None:
    with pytest.raises(SignatureError, match="no signature was found") as caught:
        accept_channel(root, channel(), [], now=NOW)
    assert (caught.value.document, caught.value.role) == ("channel.json", "channel")
    assert (caught.value.threshold, caught.value.good, caught.value.refused) == (1, (), ())


def test_another_roles_key_or_a_strangers_does_not_count(keys: Keys, root: Root) -> None:
    data = channel()
    for key in (keys.bob, keys.carol, keys.mallory):
        with pytest.raises(SignatureError) as caught:
            accept_channel(root, data, check(root, data, keys.sign(data, key)), now=NOW)
        assert key[-16:] in str(caught.value)


def test_nothing_is_decoded_before_it_is_signed(keys: Keys, root: Root) -> None:
    junk = b"no json at all"
    with pytest.raises(SignatureError):
        accept_channel(root, junk, [], now=NOW)
    with pytest.raises(SignatureError):
        accept_standalone_release(root, junk, [], document="d")
    with pytest.raises(FormatError):
        accept_channel(root, junk, check(root, junk, keys.sign(junk, keys.alice)), now=NOW)


def test_a_tampered_channel_is_not_believed(keys: Keys, root: Root) -> None:
    signatures = keys.sign(channel(5), keys.alice)
    with pytest.raises(SignatureError, match="bad"):
        accept_channel(root, channel(6), check(root, channel(6), signatures), now=NOW)


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


# --- time and serials ------------------------------------------------------------------------------------


def test_a_key_that_expired_since_counts_for_releases_alone(keys: Keys) -> None:
    root = keys.root(keys.alice)
    aged = [CheckedSignature(keys.alice, key_expired_at=NOW)]
    assert count_signatures(root, "release", aged, document="release.json").keys == (keys.alice,)
    for role in ("root", "channel"):
        with pytest.raises(SignatureError, match="the key expired at"):
            count_signatures(root, role, aged, document="x.json")


def test_an_expired_channel_is_refused(keys: Keys, root: Root) -> None:
    data = channel(expires=NOW)
    checked = check(root, data, keys.sign(data, keys.alice))
    accept_channel(root, data, checked, now=NOW - timedelta(microseconds=1))
    with pytest.raises(ExpiredError, match=r"channel\.json") as caught:
        accept_channel(root, data, checked, now=NOW)
    assert (caught.value.expires, caught.value.now) == (NOW, NOW)


def test_an_expired_root_vouches_for_nothing(keys: Keys) -> None:
    root = keys.root(keys.alice, expires=NOW)
    data = channel()
    checked = check(root, data, keys.sign(data, keys.alice))
    with pytest.raises(ExpiredError, match=r"root\.json"):
        accept_channel(root, data, checked, now=NOW)


def test_a_rollback_is_refused(root: Root, keys: Keys) -> None:
    data = channel(5)
    checked = check(root, data, keys.sign(data, keys.alice))
    for known in (0, 4, 5):
        assert accept_channel(root, data, checked, now=NOW, known_serial=known)
    with pytest.raises(RollbackError) as caught:
        accept_channel(root, data, checked, now=NOW, known_serial=6)
    assert (caught.value.serial, caught.value.known) == (5, 6)


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


def test_the_channel_tells_what_it_has() -> None:
    listing = Channel(
        serial=9,
        issued=NOW,
        expires=NOW,
        releases=(entry_of(b"1", version="2.0", serial=1), entry_of(b"2", version="1.0", serial=2)),
    )
    trusted = TrustedChannel(listing, SignedBy("channel", 1, ()))
    assert trusted.entry("tool", None).version == "1.0"
    assert trusted.entry("tool", "2.0").serial == 1
    with pytest.raises(NotFoundError, match=r"release tool 3\.0 .*it has version 2\.0, version 1\.0"):
        trusted.entry("tool", "3.0")
    with pytest.raises(NotFoundError, match=r"release other does.*it has tool"):
        trusted.entry("other", None)
    empty = TrustedChannel(Channel(serial=1, issued=NOW, expires=NOW, releases=()), SignedBy("channel", 1, ()))
    with pytest.raises(NotFoundError, match="no release"):
        empty.entry("tool", None)
