"""What gpg's status lines say of each signature in a block: pure rules.

1. Each signature has its own group of lines, from ``NEWSIG`` to the next one (GnuPG's ``doc/DETAILS``). Only
   lines that begin with ``[GNUPG:]`` count. gpg's exit code alone says little: it is 0 for a revoked key too.
2. A signature is good if gpg calls it good and valid, nothing of `_REFUSALS` is said of it, it signs binary
   data (class 00) with SHA-256 or better, and it is not dated in the future. Its key is the primary one. A key that has
   expired since it signed is reported with the signature; whether that matters depends on the role (`trust`).
3. If gpg stops early, or would stop early if the block's signatures stood in another order, nothing in that block
   counts: the verdict does not depend on the order of the signatures. gpg goes no further after a bad signature, an
   expired one, or one with a hash algorithm that it does not have.

User ids appear in the lines but never in a verdict: whoever makes a key chooses them.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ossdist.foreign_text import shown
from ossdist.release.trust import MAX_FUTURE, CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_HASHES = {"8": "SHA-256", "9": "SHA-384", "10": "SHA-512"}
"""The hash algorithms that count (RFC 4880, section 9.4)."""

_REFUSALS = {
    "BADSIG": "the signature is bad: it is not over these bytes",
    "REVKEYSIG": "the key was revoked",
    "EXPSIG": "the signature has expired",
    "NO_PUBKEY": "it is not one of the keys that may sign here",
    "ERRSIG": "gpg cannot check the signature",
}
"""Lines that refuse one signature, the most telling first."""

_SPOIL = frozenset({"BADSIG", "EXPSIG", "NODATA", "UNEXPECTED"})
"""Lines that refuse a whole block: gpg goes no further after them, or found something else than signatures."""

_NO_SUCH_HASH = "5"
"""The reason in an ``ERRSIG`` line (its sixth word) that refuses a whole block too: gpg may not even begin."""

_PREFIX = "[GNUPG:] "


def status_lines(output: str) -> list[list[str]]:
    """The words of every status line in ``output``, without the prefix."""
    # Lines end with a line feed only: str.splitlines would split at characters of a user id too.
    return [line.removeprefix(_PREFIX).split(" ") for line in output.split("\n") if line.startswith(_PREFIX)]


def complaint(output: str) -> str:
    """The last thing that gpg says to people in ``output``, made safe to show."""
    lines = [line for line in output.split("\n") if line.strip() and not line.startswith(_PREFIX)]
    return shown(lines[-1].removeprefix("gpg: ")) if lines else "it does not say why"


def judge(
    said: Sequence[Sequence[str]], *, packets: int, returncode: int, known: Iterable[str], now: datetime
) -> list[CheckedSignature]:
    """Judges all signatures of one block.

    Args:
        said: gpg's status lines as words.
        packets: How many signature packets the block has.
        returncode: gpg's exit code.
        known: Primary fingerprints by which refusals may name a key.
        now: The time.
    """
    groups: list[list[Sequence[str]]] = []
    for words in said:
        if words[0] == "NEWSIG":
            groups.append([])
        elif groups:
            groups[-1].append(words)
    names = tuple(known)
    checked = [_judge_one(group, names, now) for group in groups]
    if not checked:
        return [CheckedSignature(None, "gpg finds no signature in a signature file")]
    spoiled = (
        len(groups) != packets
        or any(words[0] in _SPOIL or (words[0] == "ERRSIG" and _NO_SUCH_HASH in words[6:7]) for words in said)
        or (returncode != 0 and all(signature.refusal is None for signature in checked))
    )
    return [_spoil(signature) for signature in checked] if spoiled else checked


def _judge_one(group: Sequence[Sequence[str]], known: Sequence[str], now: datetime) -> CheckedSignature:
    good = [words for words in group if words[0] == "GOODSIG"]
    valid = [words for words in group if words[0] == "VALIDSIG" and len(words) > 10]
    primary = valid[0][10] if valid else None
    for keyword, reason in _REFUSALS.items():
        for words in group:
            if words[0] == keyword:
                return _refuse(primary, reason, key=primary or _name(words, known))
    expired = [words for words in group if words[0] == "EXPKEYSIG"]
    if len(good) + len(expired) != 1 or len(valid) != 1 or primary is None:
        named = next((_name(words, known) for words in (*expired, *good)), None)
        return _refuse(primary, "gpg does not call the signature good", key=primary or named)
    reason = _refusal_of_form(valid[0], now)
    if reason is not None:
        return _refuse(primary, reason)
    signed_at = datetime.fromtimestamp(int(valid[0][3]), UTC)
    expiry = _key_expiry(group) if expired else None
    if expired and (expiry is None or expiry <= signed_at):
        return _refuse(primary, "the key had expired when it signed")
    return CheckedSignature(primary, signed_at=signed_at, key_expired_at=expiry)


def _refusal_of_form(valid: Sequence[str], now: datetime) -> str | None:
    """Why a signature does not count whatever its key: its class, hash algorithm or date; None if nothing is wrong."""
    dated, hash_algorithm, signature_class = valid[3], valid[8], valid[9]
    if signature_class != "00":
        return f"the signature is of class {signature_class}, not 00 (binary data)"
    if hash_algorithm not in _HASHES:
        return f"the signature uses hash algorithm {hash_algorithm}, not one of {', '.join(_HASHES.values())}"
    if not dated.isdecimal() or int(dated) > (now + MAX_FUTURE).timestamp():
        return f"the signature is dated in the future ({dated} s after 1970)"
    return None


def _key_expiry(group: Sequence[Sequence[str]]) -> datetime | None:
    """When the key's life ended, or the first of several keys' (a subkey's and its primary key's)."""
    times = [int(words[1]) for words in group if words[0] == "KEYEXPIRED" and len(words) > 1 and words[1].isdecimal()]
    try:
        return datetime.fromtimestamp(min(times), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _name(words: Sequence[str], known: Sequence[str]) -> str | None:
    key_id = words[1] if len(words) > 1 else ""
    return next((name for name in known if key_id and name.endswith(key_id)), key_id or None)


def _refuse(fingerprint: str | None, reason: str, *, key: str | None = None) -> CheckedSignature:
    return CheckedSignature(fingerprint, f"key {key or fingerprint or '(unknown)'}: {reason}")


def _spoil(signature: CheckedSignature) -> CheckedSignature:
    if signature.refusal is not None:
        return signature
    return _refuse(signature.fingerprint, "its signature file holds something else than good signatures; none counts")
