"""What the publisher's side signs, exports and makes, judged by the stock gpg and by our own verifier."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.clock import SystemClock
from ossdist.errors import SigningError
from ossdist.release.signing import GpgSigner, GpgVerifier, stop_agent, temporary_signer
from ossdist.release.trust import CheckedSignature
from tests.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Generator

DOCUMENT = b"first line\r\nsecond line \xff\n"


@pytest.fixture
def home() -> Generator[Path]:
    """An empty home folder with a short path, for the sake of the agent's socket."""
    with tempfile.TemporaryDirectory(prefix="home-") as name:
        try:
            yield Path(name)
        finally:
            stop_agent(Path(name))


def copy_of(keys: Keys, home: Path, *options: str) -> GpgSigner:
    """A signer in a folder of its own with the session's keys and these lines in ``gpg.conf``."""
    for part in ("private-keys-v1.d", "openpgp-revocs.d"):
        shutil.copytree(keys.home / part, home / part)
    shutil.copy(keys.home / "pubring.kbx", home)
    (home / "gpg.conf").write_text("".join(f"{option}\n" for option in options))
    return GpgSigner(home)


def test_stock_gpg_accepts_the_file(keys: Keys, tmp_path: Path) -> None:
    document = tmp_path / "channel.json"
    document.write_bytes(DOCUMENT)
    signature = tmp_path / "channel.json.asc"
    signature.write_bytes(keys.signer.sign(DOCUMENT, keys.alice))
    command = ["gpg", "--homedir", str(keys.home), "--status-fd", "1", "--verify", signature.name, document.name]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    valid = next(line.split() for line in done.stdout.splitlines() if " VALIDSIG " in line)
    assert valid[9:12] == ["10", "00", keys.alice]
    assert len(signature.read_bytes().split(b"-----BEGIN PGP SIGNATURE-----")) == 2


def test_a_subkey_signs_for_its_primary_key(keys: Keys) -> None:
    signature = keys.signer.sign(DOCUMENT, keys.split)
    with GpgVerifier(keys.blocks(keys.split), clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.split)]


def test_a_passphrase_with_any_characters_unlocks_the_key(keys: Keys) -> None:
    stop_agent(keys.home)  # it remembers passphrases
    signature = GpgSigner(keys.home, passphrase=Keys.passphrase).sign(DOCUMENT, keys.locked)
    with GpgVerifier(keys.blocks(keys.locked), clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.locked)]


def test_an_empty_passphrase_is_none_and_eats_no_line(keys: Keys) -> None:
    signature = GpgSigner(keys.home, passphrase="").sign(DOCUMENT, keys.alice)
    with GpgVerifier(keys.blocks(keys.alice), clock=SystemClock()) as verifier:
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.alice)]


def test_a_wrong_passphrase_is_told(keys: Keys) -> None:
    stop_agent(keys.home)
    with pytest.raises(SigningError, match="passphrase") as caught:
        GpgSigner(keys.home, passphrase="wrong").sign(DOCUMENT, keys.locked)
    assert caught.value.key == keys.locked


def test_a_missing_passphrase_is_told(keys: Keys, home: Path) -> None:
    signer = copy_of(keys, home, "pinentry-mode loopback")
    with pytest.raises(SigningError, match="passphrase"):
        signer.sign(DOCUMENT, keys.locked)


def test_unknown_expired_and_revoked_keys_are_told_apart(keys: Keys, home: Path) -> None:
    with pytest.raises(SigningError, match="does not hold its secret part"):
        keys.signer.sign(DOCUMENT, "0" * 40)
    with pytest.raises(SigningError, match="expired"):
        keys.signer.sign(DOCUMENT, keys.expired)
    signer = copy_of(keys, home)
    keys.gpg("--import", data=keys.block(keys.revoked).encode(), home=home)
    with pytest.raises(SigningError, match="revoked"):
        signer.sign(DOCUMENT, keys.revoked)


def test_a_public_key_alone_cannot_sign(keys: Keys, home: Path) -> None:
    signer = GpgSigner(home)
    keys.gpg("--import", data=keys.block(keys.alice).encode(), home=home)
    with pytest.raises(SigningError, match="does not hold its secret part"):
        signer.sign(DOCUMENT, keys.alice)


def test_the_users_options_cannot_weaken_a_signature(keys: Keys, home: Path) -> None:
    signer = copy_of(keys, home, "textmode", "digest-algo SHA1", f"default-key {keys.bob}", "comment hello")
    with GpgVerifier(keys.blocks(keys.alice, keys.bob), clock=SystemClock()) as verifier:
        signature = signer.sign(DOCUMENT, keys.alice)
        assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(keys.alice)]


def test_a_second_key_in_the_users_options_is_refused(keys: Keys, home: Path) -> None:
    signer = copy_of(keys, home, f"local-user {keys.bob}")
    with pytest.raises(SigningError, match="one detached SHA-512 signature"):
        signer.sign(DOCUMENT, keys.alice)


def test_an_exported_key_is_what_a_root_needs(keys: Keys) -> None:
    block = keys.signer.export_public_key(keys.split)
    with GpgVerifier({keys.split: block}, clock=SystemClock()) as verifier:
        checked = verifier.verify(DOCUMENT, keys.sign(DOCUMENT, keys.split))
    assert checked == [CheckedSignature(keys.split)]
    with pytest.raises(SigningError, match="does not hold it"):
        keys.signer.export_public_key("0" * 40)


def test_an_exported_key_carries_no_strangers_signatures(keys: Keys) -> None:
    keys.gpg("--local-user", keys.bob, "--quick-sign-key", keys.carol)
    whole = keys.gpg("--list-packets", data=keys.gpg("--export", keys.carol)).decode()
    exported = keys.gpg("--list-packets", data=keys.signer.export_public_key(keys.carol).encode()).decode()
    assert (whole.count(":signature packet:"), exported.count(":signature packet:")) == (2, 1)


@pytest.mark.parametrize("fingerprint", ["", "alice", "--help", "0" * 39, "a" * 40, "0" * 40 + "\n", "0x" + "0" * 38])
def test_only_whole_fingerprints_are_taken(keys: Keys, fingerprint: str) -> None:
    with pytest.raises(ValueError, match="fingerprint"):
        keys.signer.sign(DOCUMENT, fingerprint)
    with pytest.raises(ValueError, match="fingerprint"):
        keys.signer.export_public_key(fingerprint)


def test_a_made_key_has_the_name_and_the_lifetime_that_were_asked_for(keys: Keys) -> None:
    listing = keys.gpg("--with-colons", "--list-keys", keys.bob).decode()
    records = {line.split(":")[0]: line.split(":") for line in listing.splitlines()}
    assert records["uid"][9] == "Bøb <bob@example.org>"
    assert int(records["pub"][6]) - int(records["pub"][5]) == timedelta(days=300).total_seconds()
    assert records["pub"][16] == "ed25519"


def test_an_rsa_key_can_be_made() -> None:
    with temporary_signer() as signer:
        key = signer.create_key("Old school", algorithm="rsa3072")
        signature = signer.sign(DOCUMENT, key)
        with GpgVerifier({key: signer.export_public_key(key)}, clock=SystemClock()) as verifier:
            assert verifier.verify(DOCUMENT, [signature]) == [CheckedSignature(key)]


def test_nonsense_is_the_callers_mistake(keys: Keys, home: Path) -> None:
    for user_id in ("", " ", "a\nExpire-Date: 1d", "a\0"):
        with pytest.raises(ValueError, match="one line"):
            keys.signer.create_key(user_id)
    with pytest.raises(ValueError, match="expire"):
        keys.signer.create_key("Too late", expires_in=timedelta(seconds=-1))
    with pytest.raises(ValueError, match="one line"):
        GpgSigner(home, passphrase="two\nlines")
    with pytest.raises(ValueError, match="folder"):
        GpgSigner(home / "missing")


def test_a_key_that_gpg_cannot_make_is_told(home: Path) -> None:
    signer = GpgSigner(home)
    (home / "private-keys-v1.d").write_text("in the way")
    with pytest.raises(SigningError, match="cannot make it"):
        signer.create_key("Nobody")
