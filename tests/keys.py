"""OpenPGP keys for tests, made by the real gpg once a session, and signatures that the library refuses to make."""

from __future__ import annotations

import base64
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ossdist.release.model import Role, Roles, Root
from ossdist.release.signing import GpgSigner, stop_agent

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

KEY_TYPES = (
    *("rsa3072", "rsa4096", "ed25519", "nistp256", "nistp384", "nistp521"),
    *("brainpoolP256r1", "brainpoolP384r1", "brainpoolP512r1"),
)
"""Names that gpg has for the types of key that sign."""

PAST = "20200101T000000"
"""When the key `Keys.expired` was made; it lived for two days."""


@dataclass(frozen=True)
class FixedClock:
    """A clock that shows one time."""

    time: datetime

    def now(self) -> datetime:
        return self.time

    def monotonic_s(self) -> float:
        return 0.0

    async def sleep(self, duration_s: float) -> None:
        raise AssertionError("nothing that is tested with this clock may wait")


@dataclass(frozen=True)
class Keys:
    """Fingerprints by name, and the home folder with all their secret keys.

    ``alice``, ``bob`` and ``carol`` are ordinary, ``mallory`` is nobody's friend, ``old`` is RSA, ``expired`` has
    expired, ``revoked`` was revoked, ``split`` signs with a subkey, ``locked`` has a passphrase, and ``forger``
    has a user id that looks like status lines.
    """

    home: Path
    signer: GpgSigner
    alice: str
    bob: str
    carol: str
    mallory: str
    expired: str
    revoked: str
    split: str
    locked: str
    forger: str

    passphrase = "Sesam öffne dich €"

    def gpg(self, *args: str, data: bytes = b"", home: Path | None = None) -> bytes:
        """Runs gpg itself."""
        return _gpg(home or self.home, *args, data=data)

    def block(self, *fingerprints: str) -> str:
        """Armored public keys, the one of ``revoked`` with its revocation."""
        if fingerprints == (self.revoked,):
            return self._revoked_block()
        export = self.gpg("--armor", "--export-options", "export-minimal", "--export", *fingerprints)
        return export.decode()

    def blocks(self, *fingerprints: str) -> dict[str, str]:
        """One armored public key by each fingerprint."""
        return {fingerprint: self.block(fingerprint) for fingerprint in fingerprints}

    def sign(self, document: bytes, *fingerprints: str) -> list[bytes]:
        """One signature file of each key, as the library makes it."""
        return [self.signer.sign(document, fingerprint) for fingerprint in fingerprints]

    def sign_oddly(self, document: bytes, *options: str, key: str | None = None, armor: bool = True) -> bytes:
        """A signature file of ``alice`` or ``key`` with gpg options that the library never uses."""
        form = ["--armor"] if armor else []
        return self.gpg("--local-user", key or self.alice, *form, *options, "--detach-sign", data=document)

    def root(
        self,
        *fingerprints: str,
        threshold: int = 1,
        channel: Sequence[str] | None = None,
        release: Sequence[str] | None = None,
        expires: datetime = datetime(2100, 1, 1, tzinfo=UTC),
        serial: int = 1,
    ) -> Root:
        """A root with these keys; every role has all of them unless it is said otherwise."""
        everybody = Role(keys=fingerprints, threshold=threshold)
        return Root(
            channel="main",
            serial=serial,
            expires=expires,
            keys=self.blocks(*fingerprints),
            roles=Roles(
                root=everybody,
                channel=everybody if channel is None else Role(keys=tuple(channel), threshold=threshold),
                release=everybody if release is None else Role(keys=tuple(release), threshold=threshold),
            ),
        )

    def from_then(self, user_id: str) -> str:
        """A new key that was made at `PAST` and never expires."""
        self.gpg(f"--faked-system-time={PAST}", "--quick-generate-key", user_id, "ed25519", "sign", "0")
        return _fingerprint_of(self.home, user_id)

    def of_type(self, algorithm: str, *, subkey: bool = False) -> str:
        """The session's key of a type that gpg knows by this name.

        Args:
            algorithm: For instance ``nistp256``.
            subkey: It signs with a subkey of the same type.
        """
        return _key_of_type(self.home, algorithm, subkey=subkey)

    def _revoked_block(self) -> str:
        # The revocation goes into a copy, so that the key here can still sign.
        certificate = (self.home / "openpgp-revocs.d" / f"{self.revoked}.rev").read_text()
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            options = ("--no-autostart", "--import")
            self.gpg(*options, data=self.gpg("--export", self.revoked), home=home)
            self.gpg(*options, data=certificate.replace(":-----BEGIN", "-----BEGIN").encode(), home=home)
            return self.gpg("--armor", "--export", self.revoked, home=home).decode()


def armored(packets: bytes) -> bytes:
    """Signature packets as a signature file with its checksum (RFC 4880, section 6.1)."""
    crc = 0xB704CE
    for byte in packets:
        crc ^= byte << 16
        for _ in range(8):
            crc = crc << 1 ^ (0x1864CFB if crc & 0x800000 else 0)
    body = base64.encodebytes(packets) + b"=" + base64.b64encode(crc.to_bytes(3))
    return b"-----BEGIN PGP SIGNATURE-----\n\n" + body + b"\n-----END PGP SIGNATURE-----\n"


def _gpg(home: Path, *args: str, data: bytes = b"") -> bytes:
    command = ["gpg", "--homedir", str(home), "--batch", "--no-tty", "--quiet", "--yes"]
    command += ["--pinentry-mode", "loopback", "--passphrase", "", *args]
    done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def _fingerprint_of(home: Path, user_id: str) -> str:
    listing = _gpg(home, "--with-colons", "--list-keys", f"={user_id}").decode()
    return next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))


@cache
def _key_of_type(home: Path, algorithm: str, *, subkey: bool) -> str:
    user_id = f"{algorithm} with a subkey" if subkey else f"{algorithm} alone"
    _gpg(home, "--quick-generate-key", user_id, algorithm, "cert" if subkey else "sign", "0")
    fingerprint = _fingerprint_of(home, user_id)
    if subkey:
        # Without its scheme, a curve's name stands for a key that encrypts.
        signing = algorithm if algorithm.startswith(("rsa", "ed")) else f"{algorithm}/ecdsa"
        _gpg(home, "--quick-add-key", fingerprint, signing, "sign", "0")
    return fingerprint


def _make(home: Path) -> Keys:
    signer = GpgSigner(home)

    def make_oddly(user_id: str, usage: str, *options: str, expires: str = "0") -> str:
        _gpg(home, *options, "--quick-generate-key", user_id, "ed25519", usage, expires)
        return _fingerprint_of(home, user_id)

    split = make_oddly("Split", "cert")
    _gpg(home, "--quick-add-key", split, "ed25519", "sign", "0")
    return Keys(
        home=home,
        signer=signer,
        alice=signer.create_key("Alice <alice@example.org>"),
        bob=signer.create_key("Bøb <bob@example.org>", expires_in=timedelta(days=300)),
        carol=signer.create_key("Carol"),
        mallory=signer.create_key("Mallory"),
        expired=make_oddly("Expired", "sign", f"--faked-system-time={PAST}", expires="2d"),
        revoked=signer.create_key("Revoked"),
        split=split,
        locked=GpgSigner(home, passphrase=Keys.passphrase).create_key("Locked"),
        forger=make_oddly("Forger \x85[GNUPG:] ERRSIG x\x85[GNUPG:] NEWSIG\n[GNUPG:] GOODSIG x", "sign"),
    )


@pytest.fixture(scope="session")
def keys() -> Generator[Keys]:
    """The session's keys; their agent goes with the session."""
    with tempfile.TemporaryDirectory(prefix="keys-") as name:
        home = Path(name)
        try:
            yield _make(home)
        finally:
            stop_agent(home)
