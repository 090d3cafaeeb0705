"""Whoever checks a signature by hand, with gpg or with Sequoia's sqv, gets our answer, whatever the key's type."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.release.signing import GpgVerifier
from tests.keys import KEY_TYPES, PAST, Keys

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAME = "channel.json"
DOCUMENT = b'{"serial": 1}\nline two\n'
UNKNOWN_TO_SQV = frozenset(key_type for key_type in KEY_TYPES if key_type.startswith("brainpool"))
"""Debian's sqv is built without these curves."""


@dataclass(frozen=True)
class Verdicts:
    """Who accepts a signature: the library, ``gpg --verify``, ``sqv``."""

    ours: bool
    gpg: bool
    sqv: bool


AGREED_GOOD = Verdicts(ours=True, gpg=True, sqv=True)
AGREED_BAD = Verdicts(ours=False, gpg=False, sqv=False)


def judged(folder: Path, block: str, document: bytes, signature: bytes, *, key: str) -> Verdicts:
    """Lets all three judge a signature file by the one key ``key``, the others as a person would call them."""
    (folder / NAME).write_bytes(document)
    (folder / f"{NAME}.asc").write_bytes(signature)
    (folder / "key.asc").write_text(block)
    home = folder / "home"
    home.mkdir(mode=0o700)
    run(folder, "gpg", "--no-autostart", "--import", "key.asc", check=True)
    with GpgVerifier({key: block}, clock=SystemClock()) as verifier:
        (checked,) = verifier.verify(document, [signature])
    return Verdicts(
        ours=checked.refusal is None,
        gpg=run(folder, "gpg", "--no-autostart", "--verify", f"{NAME}.asc", NAME) == 0,
        sqv=run(folder, "sqv", "--keyring", "key.asc", f"{NAME}.asc", NAME) == 0,
    )


def run(folder: Path, *command: str, check: bool = False) -> int:
    """Runs a program in ``folder`` with its own home folder for gpg; gives its exit code."""
    env = {**os.environ, "GNUPGHOME": str(folder / "home")}
    return subprocess.run(command, cwd=folder, env=env, check=check, capture_output=True, timeout=60).returncode


@pytest.mark.parametrize("subkey", [False, True], ids=["primary", "subkey"])
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_good_and_bad_signatures_of_every_key_type(keys: Keys, tmp_path: Path, key_type: str, *, subkey: bool) -> None:
    key = keys.of_type(key_type, subkey=subkey)
    block = keys.signer.export_public_key(key)
    good = keys.signer.sign(DOCUMENT, key)
    cases = {
        "good": (DOCUMENT, good),
        "tampered document": (DOCUMENT.replace(b"1", b"2"), good),
        "another key": (DOCUMENT, keys.signer.sign(DOCUMENT, keys.mallory)),
        "no signature": (DOCUMENT, block.encode()),
    }
    for name, (document, signature) in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        expected = AGREED_BAD
        if name == "good":
            expected = Verdicts(ours=True, gpg=True, sqv=key_type not in UNKNOWN_TO_SQV)
        assert judged(folder, block, document, signature, key=key) == expected, name


def of_alice(*options: str) -> Callable[[Keys], tuple[str, bytes]]:
    """A signature by ``alice`` with these options of gpg's."""
    return lambda keys: (keys.alice, keys.sign_oddly(DOCUMENT, *options))


def dated_tomorrow(keys: Keys) -> tuple[str, bytes]:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    return keys.alice, keys.sign_oddly(DOCUMENT, f"--faked-system-time={tomorrow:%Y%m%dT%H%M%S}")


def by_an_expired_key(keys: Keys) -> tuple[str, bytes]:
    return keys.expired, keys.sign_oddly(DOCUMENT, f"--faked-system-time={PAST}", key=keys.expired)


def with_rubbish_around(keys: Keys) -> tuple[str, bytes]:
    return keys.alice, b"rubbish\n" + keys.signer.sign(DOCUMENT, keys.alice) + b"rubbish\n"


CASES: dict[str, tuple[Callable[[Keys], tuple[str, bytes]], Verdicts]] = {
    "SHA-256": (of_alice("--digest-algo", "SHA256"), AGREED_GOOD),
    "SHA-1": (of_alice("--digest-algo", "SHA1"), Verdicts(ours=False, gpg=True, sqv=False)),
    "text mode": (of_alice("--textmode"), Verdicts(ours=False, gpg=True, sqv=True)),
    "dated tomorrow": (dated_tomorrow, Verdicts(ours=False, gpg=True, sqv=False)),
    "revoked key": (
        lambda keys: (keys.revoked, keys.signer.sign(DOCUMENT, keys.revoked)),
        Verdicts(ours=False, gpg=True, sqv=False),
    ),
    "key expired since": (by_an_expired_key, AGREED_GOOD),
    "rubbish around": (with_rubbish_around, Verdicts(ours=False, gpg=True, sqv=True)),
}


@pytest.mark.parametrize("name", CASES)
def test_we_are_never_laxer_than_the_others(keys: Keys, tmp_path: Path, name: str) -> None:
    make, expected = CASES[name]
    key, signature = make(keys)
    verdicts = judged(tmp_path, keys.block(key), DOCUMENT, signature, key=key)
    assert verdicts == expected
    assert not verdicts.ours or (verdicts.gpg and verdicts.sqv)
