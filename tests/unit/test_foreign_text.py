"""Texts from the network as they are shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ossdist.foreign_text import LONGEST, shown


@given(st.text(st.characters()))
def test_everything_that_is_shown_is_printable_and_short(text: str) -> None:
    line = shown(text)
    assert line.isprintable()
    assert len(line) <= LONGEST + 3
    assert shown(line) == line or len(line) > LONGEST


@given(st.text(st.characters(categories=["L", "N", "P"]), max_size=LONGEST))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert shown(text) == text


@pytest.mark.parametrize("text", ["\x1b[2J", "\x1b]0;title\x07", "a\u202eb", "\x9b1m", "\ud800", "\x00"])
def test_what_would_change_a_terminal_does_not(text: str) -> None:
    assert "\N{REPLACEMENT CHARACTER}" in shown(text)


def test_a_long_text_is_cut_and_says_so() -> None:
    assert shown("x" * 10_000_000) == "x" * LONGEST + "..."
    assert shown("one\r\n\ttwo") == "one two"
