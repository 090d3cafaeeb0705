"""Text that somebody on the network wrote, for errors, events and logs: also what would move a cursor."""

from __future__ import annotations

LONGEST = 200
"""Characters that are shown."""

_UNSHOWN = "\N{REPLACEMENT CHARACTER}"


def shown(text: str) -> str:
    """One line of at most `LONGEST` characters and a mark, every one of them printable.

    Control characters (a terminal's escape sequences), those that turn the direction of writing, and lone surrogates
    become U+FFFD; runs of white space become one space.

    Args:
        text: From anywhere.
    """
    line = " ".join(text[: 8 * LONGEST].split())
    plain = "".join(character if character.isprintable() else _UNSHOWN for character in line)
    return plain if len(plain) <= LONGEST else f"{plain[:LONGEST]}..."
