"""Histories of a channel: what an honest publisher does is accepted, whatever else was signed is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.errors import EquivocationError, RemovedReleaseError, RollbackError
from ossdist.release.channel import Channel, ReleaseEntry, assemble, decode_channel, decode_page, paginate
from ossdist.release.model import encode
from ossdist.release.update import accept_channel, accept_index
from tests.releases import ALICE, NOW, channel_of, entry_of, published, root_of, signed_by

ROOT = root_of(ALICE)


@st.composite
def histories(draw: st.DrawFn) -> list[Channel]:
    """A channel's states, each made from the one before it by adding or withdrawing releases, or by neither."""
    entries: list[ReleaseEntry] = []
    states: list[Channel] = []
    serial = 0
    for _ in range(draw(st.integers(1, 6))):
        serial += draw(st.integers(1, 1000))
        for _ in range(draw(st.integers(0, 3))):
            entries.append(entry_of(str(len(entries)).encode(), version=str(len(entries)), serial=serial))
        for index in draw(st.sets(st.integers(0, max(0, len(entries) - 1)), max_size=len(entries))):
            entries[index] = msgspec.structs.replace(entries[index], withdrawn=f"reason {serial}")
        states.append(channel_of(*entries, serial=serial))
    return states


def update(state: Channel, known: Channel | None) -> Channel:
    there, before = published(state), published(known) if known is not None else None
    accepted = accept_channel(ROOT, there.document, signed_by(ALICE), now=NOW, known=before)
    return accept_index(accepted, there.index, known=before).channel


@given(histories(), st.data())
def test_a_client_may_skip_states_but_never_go_back(states: list[Channel], data: st.DataObject) -> None:
    known: Channel | None = None
    for state in states:
        if data.draw(st.booleans()):
            known = update(state, known)
            assert known == state
    if known is not None:
        assert update(known, known) == known
        for state in states[: states.index(known)]:
            with pytest.raises(RollbackError):
                update(state, known)


@given(histories(), st.data())
def test_what_was_listed_cannot_be_taken_back(states: list[Channel], data: st.DataObject) -> None:
    known = states[-1]
    entries = list(known.releases)
    if not entries:
        return
    victim = data.draw(st.integers(0, len(entries) - 1))
    entry = entries[victim]
    changes = [
        None,
        msgspec.structs.replace(entry, sha256="f" * 64),
        msgspec.structs.replace(entry, length=entry.length + 1),
        *([msgspec.structs.replace(entry, withdrawn=None)] if entry.withdrawn is not None else []),
    ]
    change = data.draw(st.sampled_from(changes))
    entries[victim : victim + 1] = [change] if change is not None else []
    with pytest.raises(RemovedReleaseError):
        update(msgspec.structs.replace(known, serial=known.serial + 1, releases=tuple(entries)), known)
    with pytest.raises(EquivocationError):
        update(msgspec.structs.replace(known, releases=tuple(entries)), known)


@given(histories())
def test_a_channel_survives_being_taken_apart(states: list[Channel]) -> None:
    for state in states:
        document, pages = paginate(state)
        read = decode_channel(encode(document))
        assert [page.path for page in read.index] == list(pages)
        assert assemble(read, [decode_page(data, document=path) for path, data in pages.items()]) == state
