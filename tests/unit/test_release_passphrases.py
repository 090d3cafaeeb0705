"""Keys with a passphrase: right, wrong, none and odd ones, and what gpg's agent remembers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import SigningError
from ossdist.release.signing import GpgSigner, GpgVerifier, stop_agent
from ossdist.release.trust import CheckedSignature
from tests.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Generator

DOCUMENT = b"first line\r\nsecond line \xff\n"


@pytest.fixture
def home(keys: Keys) -> Generator[Path]:
    """A home folder with the session's keys and an agent of its own that knows no passphrase yet."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        home = Path(name)
        shutil.copytree(keys.home / "private-keys-v1.d", home / "private-keys-v1.d")
        shutil.copy(keys.home / "pubring.kbx", home)
        (home / "gpg-agent.conf").write_text("s2k-count 65536\n")  # a new key's passphrase is cheap to try
        try:
            yield home
        finally:
            stop_agent(home)


def assert_signs(signer: GpgSigner, key: str) -> None:
    signature = signer.sign(DOCUMENT, key)
    with GpgVerifier({key: signer.export_public_key(key)}, clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(key)]


def assert_wrong(signer: GpgSigner, key: str) -> None:
    with pytest.raises(SigningError, match="the passphrase is wrong") as caught:
        signer.sign(DOCUMENT, key)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "passphrase",
    ["plain", "zwei Wörter", "€ 日本 🔑", "%no-protection", "a%41b", 'back\\slash "quote"', "x" * 200],
    ids=["plain", "umlaut", "not latin", "command", "percent", "quotes", "long"],
)
def test_the_passphrase_that_made_a_key_unlocks_it_and_no_other_does(home: Path, passphrase: str) -> None:
    signer = GpgSigner(home, passphrase=passphrase)
    key = signer.create_key("Somebody")
    stop_agent(home)
    for wrong in (f"{passphrase}x", passphrase[:-1]):
        assert_wrong(GpgSigner(home, passphrase=wrong), key)
    assert_signs(signer, key)


@pytest.mark.parametrize("passphrase", [" open", "open "])
def test_no_key_is_made_whose_passphrase_gpg_would_cut(home: Path, passphrase: str) -> None:
    with pytest.raises(ValueError, match="begin or end with a space"):
        GpgSigner(home, passphrase=passphrase).create_key("Somebody")


def test_a_key_from_elsewhere_may_have_such_a_passphrase(keys: Keys, home: Path) -> None:
    keys.gpg("--passphrase", " open ", "--quick-generate-key", "Spacious", "ed25519", "sign", "0", home=home)
    listing = keys.gpg("--with-colons", "--list-keys", "=Spacious", home=home).decode()
    key = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    stop_agent(home)
    assert_wrong(GpgSigner(home, passphrase="open"), key)
    assert_signs(GpgSigner(home, passphrase=" open "), key)


def test_without_a_passphrase_and_without_a_way_to_ask_it_is_told(keys: Keys, home: Path) -> None:
    (home / "gpg-agent.conf").write_text("pinentry-program /no/such/pinentry\n")
    with pytest.raises(SigningError, match="needs a passphrase, and gpg's agent cannot ask for one"):
        GpgSigner(home).sign(DOCUMENT, keys.locked)


def test_a_needless_passphrase_does_no_harm(keys: Keys, home: Path) -> None:
    assert_signs(GpgSigner(home, passphrase="needless €"), keys.alice)


def test_an_agent_that_remembers_signs_whatever_the_passphrase_is(keys: Keys, home: Path) -> None:
    wrong = GpgSigner(home, passphrase="wrong")
    assert_wrong(wrong, keys.locked)
    assert_signs(GpgSigner(home, passphrase=Keys.passphrase), keys.locked)
    assert_signs(wrong, keys.locked)
    assert_signs(GpgSigner(home), keys.locked)
    stop_agent(home)
    assert_wrong(wrong, keys.locked)


def test_an_agent_that_may_not_remember_asks_each_time(keys: Keys, home: Path) -> None:
    (home / "gpg-agent.conf").write_text("default-cache-ttl 0\nmax-cache-ttl 0\n")
    assert_signs(GpgSigner(home, passphrase=Keys.passphrase), keys.locked)
    assert_wrong(GpgSigner(home, passphrase="wrong"), keys.locked)


def test_a_wrong_passphrase_is_not_remembered(keys: Keys, home: Path) -> None:
    for _ in range(3):
        assert_wrong(GpgSigner(home, passphrase="wrong"), keys.locked)
    assert_signs(GpgSigner(home, passphrase=Keys.passphrase), keys.locked)
