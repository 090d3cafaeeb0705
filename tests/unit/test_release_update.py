"""What a client believes of a channel's newer roots, document and index; see the table in docs/security.md."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from ossdist.errors import (
    EquivocationError,
    ExpiredError,
    ForeignDocumentError,
    FormatError,
    ManifestMismatchError,
    NotFoundError,
    PostdatedError,
    RemovedReleaseError,
    RollbackError,
    RotationError,
    SignatureError,
    WithdrawnError,
)
from ossdist.release import channel as channels
from ossdist.release.model import encode
from ossdist.release.trust import CheckedSignature, SignedBy
from ossdist.release.update import (
    AcceptedChannel,
    TrustedChannel,
    accept_channel,
    accept_index,
    accept_own_channel,
    confirm_root,
    follow_root,
    keeps_channel,
    require_current,
)
from tests.releases import ALICE, BOB, CAROL, DAY, NOW, channel_of, entry_of, published, root_of, signed_by

if TYPE_CHECKING:
    from ossdist.release.channel import Channel
    from ossdist.release.memory import ChannelMemory

ROOT = root_of(ALICE)


def accept(channel: Channel, *, known: Channel | None = None) -> TrustedChannel:
    """Both halves of an update, with everything signed."""
    there = published(channel)
    before = published(known) if known is not None else None
    accepted = accept_channel(ROOT, there.document, signed_by(ALICE), now=NOW, known=before)
    return accept_index(accepted, there.index, known=before)


# --- rotation --------------------------------------------------------------------------------------------


def test_a_root_follows_if_both_sign() -> None:
    old, new = root_of(ALICE, BOB, threshold=2), root_of(BOB, CAROL, serial=2, threshold=2)
    followed = follow_root(old, encode(new), signed_by(ALICE, BOB), document="2.root.json")
    assert followed == new
    assert confirm_root(followed, signed_by(BOB, CAROL), document="2.root.json").keys == (BOB, CAROL)


def test_the_old_roots_threshold_must_sign_the_new_one() -> None:
    old, new = root_of(ALICE, BOB, threshold=2), root_of(CAROL, serial=2)
    for signatures in ([], signed_by(ALICE), signed_by(CAROL), signed_by(ALICE, ALICE)):
        with pytest.raises(SignatureError) as caught:
            follow_root(old, encode(new), signatures, document="2.root.json")
        assert (caught.value.document, caught.value.role) == ("2.root.json", "root")


def test_the_new_roots_threshold_must_sign_it_too() -> None:
    new = root_of(BOB, CAROL, serial=2, threshold=2)
    for signatures in ([], signed_by(ALICE), signed_by(BOB), signed_by(BOB, BOB)):
        with pytest.raises(SignatureError):
            confirm_root(new, signatures, document="2.root.json")


def test_an_expired_key_signs_no_root() -> None:
    aged = [CheckedSignature(ALICE, key_expired_at=NOW)]
    with pytest.raises(SignatureError, match="expired"):
        follow_root(ROOT, encode(root_of(ALICE, serial=2)), aged, document="2.root.json")


@pytest.mark.parametrize("serial", [1, 3, 4])
def test_no_root_may_be_left_out_or_repeated(serial: int) -> None:
    with pytest.raises(RotationError) as caught:
        follow_root(ROOT, encode(root_of(ALICE, serial=serial)), signed_by(ALICE), document="2.root.json")
    assert (caught.value.serial, caught.value.known) == (serial, 1)


def test_another_channels_root_does_not_follow() -> None:
    foreign = root_of(ALICE, serial=2, channel="other")
    with pytest.raises(ForeignDocumentError, match="'other'"):
        follow_root(ROOT, encode(foreign), signed_by(ALICE), document="2.root.json")


def test_an_unsigned_root_is_not_even_decoded() -> None:
    with pytest.raises(SignatureError):
        follow_root(ROOT, b"junk", [], document="2.root.json")
    with pytest.raises(FormatError, match=r"2\.root\.json"):
        follow_root(ROOT, b"junk", signed_by(ALICE), document="2.root.json")


def test_a_root_on_the_way_may_have_expired_but_the_last_may_not() -> None:
    stale = root_of(ALICE, serial=2, expires=NOW - DAY)
    followed = follow_root(ROOT, encode(stale), signed_by(ALICE), document="2.root.json")
    with pytest.raises(ExpiredError):
        require_current(followed, now=NOW)


def test_only_other_signers_make_the_channel_be_forgotten() -> None:
    assert keeps_channel(ROOT, root_of(ALICE, serial=2))
    assert keeps_channel(root_of(ALICE, BOB), root_of(BOB, ALICE, serial=2))
    assert not keeps_channel(ROOT, root_of(ALICE, serial=2, channel_keys=[BOB]))
    assert not keeps_channel(root_of(ALICE, BOB), root_of(ALICE, BOB, threshold=2, serial=2))


# --- the channel's document ------------------------------------------------------------------------------


def test_a_signed_channel_is_believed() -> None:
    trusted = accept(channel_of(entry_of(), serial=5))
    assert trusted.channel.serial == 5
    assert trusted.signed_by == SignedBy("channel", 1, (ALICE,))
    assert trusted.entry("tool", None) == entry_of()


def test_nothing_is_decoded_before_it_is_signed() -> None:
    with pytest.raises(SignatureError, match="none by a key of this role") as caught:
        accept_channel(ROOT, b"junk", [], now=NOW)
    assert (caught.value.document, caught.value.role) == ("channel.json", "channel")
    with pytest.raises(FormatError):
        accept_channel(ROOT, b"junk", signed_by(ALICE), now=NOW)


def test_only_the_channel_role_signs_channels() -> None:
    root = root_of(ALICE, BOB, channel_keys=[CAROL])
    data = published(channel_of()).document
    for stranger in (ALICE, BOB):
        with pytest.raises(SignatureError):
            accept_channel(root, data, signed_by(stranger), now=NOW)
    assert accept_channel(root, data, signed_by(CAROL), now=NOW).signed_by.keys == (CAROL,)


def test_a_frozen_channel_is_noticed() -> None:
    data = published(channel_of(expires=NOW)).document
    accept_channel(ROOT, data, signed_by(ALICE), now=NOW - timedelta(microseconds=1))
    with pytest.raises(ExpiredError, match=r"channel\.json") as caught:
        accept_channel(ROOT, data, signed_by(ALICE), now=NOW)
    assert (caught.value.expires, caught.value.now) == (NOW, NOW)


def test_an_expired_root_vouches_for_nothing() -> None:
    data = published(channel_of()).document
    with pytest.raises(ExpiredError, match=r"root\.json"):
        accept_channel(root_of(ALICE, expires=NOW), data, signed_by(ALICE), now=NOW)


def test_a_channel_from_the_future_is_refused() -> None:
    late = NOW + timedelta(minutes=5)
    accept_channel(ROOT, published(channel_of(issued=late)).document, signed_by(ALICE), now=NOW)
    data = published(channel_of(issued=late + timedelta(seconds=1))).document
    with pytest.raises(PostdatedError) as caught:
        accept_channel(ROOT, data, signed_by(ALICE), now=NOW)
    assert caught.value.now == NOW


def test_another_channel_of_the_same_key_is_refused() -> None:
    data = published(channel_of(channel="other")).document
    with pytest.raises(ForeignDocumentError) as caught:
        accept_channel(ROOT, data, signed_by(ALICE), now=NOW)
    assert (caught.value.expected, caught.value.actual) == ("main", "other")
    with pytest.raises(ForeignDocumentError):
        accept_own_channel(ROOT, data, signed_by(ALICE))


def test_a_rollback_is_refused() -> None:
    for known in (4, 5):
        assert accept(channel_of(serial=5), known=channel_of(serial=known))
    with pytest.raises(RollbackError) as caught:
        accept(channel_of(serial=5), known=channel_of(serial=6))
    assert (caught.value.serial, caught.value.known) == (5, 6)


def test_two_channels_with_one_serial_are_refused() -> None:
    with pytest.raises(EquivocationError) as caught:
        accept(channel_of(serial=5), known=channel_of(serial=5, expires=NOW + 2 * DAY))
    assert caught.value.serial == 5


def test_a_publisher_believes_its_own_channel_when_time_is_over() -> None:
    data = published(channel_of(expires=NOW - DAY)).document
    aged = [CheckedSignature(ALICE, key_expired_at=NOW)]
    assert accept_own_channel(ROOT, data, aged).document.serial == 5
    with pytest.raises(SignatureError, match="expired"):
        accept_channel(ROOT, data, aged, now=NOW)
    with pytest.raises(SignatureError):
        accept_own_channel(ROOT, data, signed_by(BOB))


# --- the index -------------------------------------------------------------------------------------------


def head_of(there: ChannelMemory) -> AcceptedChannel:
    return accept_channel(ROOT, there.document, signed_by(ALICE), now=NOW)


def test_a_page_is_the_listed_one() -> None:
    there, other = published(channel_of(entry_of())), published(channel_of(entry_of(b"manifesT")))
    with pytest.raises(ManifestMismatchError, match="sha256"):
        accept_index(head_of(there), other.index)
    with pytest.raises(ManifestMismatchError, match="length"):
        accept_index(head_of(there), [there.index[0] + b" "])


def test_a_listed_page_may_still_be_malformed() -> None:
    document = channels.decode_channel(published(channel_of(entry_of())).document)
    for junk in (b"junk", b'{"format": "ossdist-index-1", "releases": []}'):
        page = channels.Page(length=len(junk), sha256=hashlib.sha256(junk).hexdigest())
        accepted = AcceptedChannel(msgspec.structs.replace(document, index=(page,)), SignedBy("channel", 1, (ALICE,)))
        with pytest.raises(FormatError, match="index/"):
            accept_index(accepted, [junk])


def test_what_was_listed_stays_listed() -> None:
    one, two = entry_of(serial=1), entry_of(version="2.0", serial=2)
    known = channel_of(one, two, serial=5)
    assert accept(channel_of(one, two, entry_of(version="3.0", serial=6), serial=6), known=known)
    with pytest.raises(RemovedReleaseError, match="not listed any more") as caught:
        accept(channel_of(one, serial=6), known=known)
    assert caught.value.release == "tool 2.0"
    with pytest.raises(RemovedReleaseError, match="other bytes"):
        accept(channel_of(one, entry_of(b"another", version="2.0", serial=2), serial=6), known=known)
    with pytest.raises(RemovedReleaseError, match="other bytes"):
        accept(channel_of(one, entry_of(version="2.0", serial=6), serial=6), known=known)


def test_a_release_may_be_withdrawn_and_does_not_come_back() -> None:
    one, bad = entry_of(serial=1), entry_of(version="2.0", serial=2)
    gone = msgspec.structs.replace(bad, withdrawn="it loses data")
    before, after = channel_of(one, bad, serial=5), channel_of(one, gone, serial=6)
    trusted = accept(after, known=before)
    assert trusted.entry("tool", None) == one
    with pytest.raises(WithdrawnError, match=r"tool 2\.0 was withdrawn .*it loses data") as caught:
        trusted.entry("tool", "2.0")
    assert caught.value.reason == "it loses data"
    with pytest.raises(RemovedReleaseError, match="came back"):
        accept(channel_of(one, bad, serial=7), known=after)
    reworded = msgspec.structs.replace(gone, withdrawn="it loses data since 2.0")
    assert accept(channel_of(one, reworded, serial=7), known=after)


def test_when_all_are_withdrawn_the_reason_is_told() -> None:
    trusted = accept(channel_of(entry_of(withdrawn="unsafe")))
    with pytest.raises(WithdrawnError, match="unsafe"):
        trusted.entry("tool", None)


def test_pages_that_did_not_change_are_still_checked_for_form() -> None:
    entries = [entry_of(version=str(number), serial=number) for number in range(1, 600)]
    known = channel_of(*entries, serial=599)
    grown = channel_of(*entries, entry_of(version="600", serial=600), serial=600)
    assert len(accept(grown, known=known).channel.releases) == 600
    _, pages_before = channels.paginate(known)
    _, pages_after = channels.paginate(grown)
    assert len(pages_after.keys() - pages_before.keys()) == 1  # an update transfers one page


def test_the_channel_tells_what_it_has() -> None:
    trusted = accept(channel_of(entry_of(b"1", version="2.0", serial=1), entry_of(b"2", version="1.0", serial=2)))
    assert trusted.entry("tool", None).version == "1.0"
    assert trusted.entry("tool", "2.0").serial == 1
    with pytest.raises(NotFoundError, match=r"release tool 3\.0 .*it has version 2\.0, version 1\.0"):
        trusted.entry("tool", "3.0")
    with pytest.raises(NotFoundError, match=r"release other does.*it has tool"):
        trusted.entry("other", None)
    with pytest.raises(NotFoundError, match="no release"):
        accept(channel_of()).entry("tool", None)
