"""OpenPGP signatures, made and checked by GnuPG.

A block of signatures is judged in three steps: `armor` looks at its form, gpg at its cryptography, `verdict` at
what gpg said. gpg gets exactly the signed bytes, in a home folder that holds the root's keys and nothing else; it
reads no options, fetches no keys and starts no agent.
"""

from __future__ import annotations

import itertools
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Self

from ossdist.errors import FormatError, SigningError, TargetNotWritableError
from ossdist.release import armor, layout, verdict
from ossdist.release.gpg import Gpg, TemporaryHome, stop_agent
from ossdist.release.model import MAX_SIGNATURE_BYTES, Root
from ossdist.release.trust import CheckedSignature

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from datetime import timedelta
    from pathlib import Path

    from ossdist.clock import Clock

_VERIFY_OPTIONS = (
    "--no-options",
    "--no-auto-key-retrieve",
    "--no-autostart",
    "--disable-dirmngr",
    "--trust-model=always",
)
_FINGERPRINT = re.compile(r"[0-9A-F]{40}")

KeyAlgorithm = Literal["ed25519", "rsa3072", "rsa4096", "nistp256", "nistp384"]
"""The keys that `GpgSigner.create_key` makes; `GpgVerifier` takes every kind that gpg knows."""

_KEY_TYPES: dict[KeyAlgorithm, str] = {
    "ed25519": "Key-Type: EDDSA\nKey-Curve: ed25519",
    "rsa3072": "Key-Type: RSA\nKey-Length: 3072",
    "rsa4096": "Key-Type: RSA\nKey-Length: 4096",
    "nistp256": "Key-Type: ECDSA\nKey-Curve: nistp256",
    "nistp384": "Key-Type: ECDSA\nKey-Curve: nistp384",
}

_CANNOT_ASK = frozenset({85, 32870})
"""GPG_ERR_NO_PIN_ENTRY and GPG_ERR_ENOTTY."""

_UNLOCK = "Sign something with gpg in a terminal first: its agent then remembers the passphrase."
_PROLONG = "`gpg --quick-set-expire` prolongs it; a rotation of the root publishes its new form."


class GpgVerifier:
    """Checks detached signatures against the keys of one root; implements `SignatureVerifier`.

    Owns a temporary home folder: use it as a context manager or call `close`. Its methods block for some
    milliseconds and may be called from several threads.

    Args:
        keys: The root, or its armored public keys by primary fingerprint.
        clock: Says which signatures are dated in the future.
        document: Which document holds the keys, for messages.
        gpg: Name or path of the program.
        timeout_s: After how long a gpg that does not answer is killed.

    Raises:
        FormatError: A block holds another key than the one that it stands for, more than one, or none.
        ProgramMissingError: gpg cannot be run, or does not answer.
        TargetNotWritableError: The temporary folder cannot be made.
    """

    def __init__(
        self,
        keys: Root | Mapping[str, str],
        *,
        clock: Clock,
        document: str = layout.ROOT,
        gpg: str = "gpg",
        timeout_s: float = 20.0,
    ) -> None:
        blocks = keys.keys if isinstance(keys, Root) else keys
        for fingerprint, block in blocks.items():
            _check_key_block(fingerprint, block, document)
        self._document = document
        self._clock = clock
        self._fingerprints = tuple(blocks)
        self._home = TemporaryHome()
        self._closed = False
        self._numbers = itertools.count()
        try:
            self._gpg = Gpg(gpg, self._home.path, _VERIFY_OPTIONS, timeout_s)
            self._import("\n".join(blocks.values()).encode())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the home folder. It may be called twice."""
        self._closed = True
        self._home.close()

    def verify(self, document: bytes | Path, signatures: Sequence[bytes]) -> list[CheckedSignature]:
        """Checks every signature of every armored block in ``signatures`` over exactly ``document``.

        Args:
            document: The bytes, or the file that holds them.
            signatures: Armored blocks.

        Raises:
            ProgramMissingError: gpg cannot be run, or does not answer.
            TargetNotWritableError: The temporary folder is full.
            ValueError: The verifier was closed.
        """
        if self._closed:
            raise ValueError("this verifier was closed")
        return [checked for block in signatures for checked in self._verify_block(document, block)]

    def _verify_block(self, document: bytes | Path, block: bytes) -> list[CheckedSignature]:
        if len(block) > MAX_SIGNATURE_BYTES:
            reason = f"a signature file has {len(block)} bytes, at most {MAX_SIGNATURE_BYTES} are allowed"
            return [CheckedSignature(None, reason)]
        try:
            packets = armor.count_signatures(block)
        except ValueError as error:
            return [CheckedSignature(None, f"a signature file {error}")]
        path = self._home.path / f"signature-{next(self._numbers)}.asc"
        try:
            path.write_bytes(block)
        except OSError as error:
            raise TargetNotWritableError(path.parent, str(error)) from error
        try:
            answer = self._gpg.verify_detached(path, document)
        finally:
            path.unlink(missing_ok=True)
        return verdict.judge(
            verdict.status_lines(answer.stderr),
            packets=packets,
            returncode=answer.returncode,
            known=self._fingerprints,
            now=self._clock.now(),
        )

    def _import(self, blocks: bytes) -> None:
        said = verdict.status_lines(self._gpg.import_keys(blocks).stderr)
        imported = [words[2] for words in said if words[0] == "IMPORT_OK"]
        for index, fingerprint in enumerate(self._fingerprints):
            found = imported[index] if index < len(imported) else None
            if found is None:
                now = self._clock.now().isoformat()
                reason = f"gpg can use no key of the block that stands for {fingerprint}"
                raise FormatError(f"{reason}. Is this machine's clock right ({now})?", document=self._document)
            if found != fingerprint:
                reason = f"the key block that stands for {fingerprint} holds another key: {found}"
                raise FormatError(reason, document=self._document)


class GpgSigner:
    """Makes detached signatures with keys from a GnuPG home folder.

    The user's own configuration and agent are used, so keys on smart cards work. Methods block.

    gpg's agent remembers the passphrase of a key that has signed, for ten minutes unless its configuration says
    otherwise (``default-cache-ttl``). So long it signs whatever ``passphrase`` is, even a wrong one: a passphrase keeps
    a key from those who copy its file, not from those who can reach the agent.

    Args:
        home: The home folder; None for the user's own.
        passphrase: Of the keys; None if they have none, or if the user's agent asks for it.
        gpg: Name or path of the program.
        timeout_s: After how long a gpg that does not answer is killed. A person may have to type.

    Raises:
        ProgramMissingError: gpg cannot be run, or does not answer.
        ValueError: ``home`` is no folder, or the passphrase has more than one line.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        passphrase: str | None = None,
        gpg: str = "gpg",
        timeout_s: float = 120.0,
    ) -> None:
        if passphrase is not None and not passphrase.isprintable():
            raise ValueError("a passphrase is one line of text")
        self._gpg = Gpg(gpg, home, (), timeout_s)
        self._passphrase = passphrase or None

    def sign(self, document: bytes, fingerprint: str) -> bytes:
        """Signs ``document`` with SHA-512; the result is armored, as a ``.asc`` file holds it.

        Args:
            document: The bytes to sign.
            fingerprint: Of the primary key; gpg takes its newest subkey that can sign, if it has one.

        Raises:
            SigningError: The secret key is missing, expired or revoked, or the passphrase is wrong.
            ProgramMissingError: gpg cannot be run, or does not answer.
        """
        _check_fingerprint(fingerprint)
        # python-gnupg encodes as Latin-1, gpg expects UTF-8. And an empty passphrase must not reach it: it would
        # announce one and not send it, and gpg would take the document's first line.
        passphrase = self._passphrase and self._passphrase.encode().decode("latin-1")
        options = ["--local-user", fingerprint, "--digest-algo", "SHA512", "--no-textmode"]
        answer = self._gpg.sign(document, detach=True, passphrase=passphrase, extra_args=options)
        said = verdict.status_lines(answer.stderr)
        made = [words for words in said if words[0] == "SIG_CREATED"]
        # The user's options may add keys or change formats; what was made is looked at, not taken for granted.
        if len(made) != 1 or [made[0][1], *made[0][3:5]] != ["D", "10", "00"] or answer.returncode != 0:
            reason, advice = self._why(fingerprint, said)
            raise SigningError(fingerprint, reason, advice=advice)
        return answer.data

    def export_public_key(self, fingerprint: str) -> str:
        """The armored public key with its newest self-signatures only, as ``root.json`` holds it.

        Raises:
            SigningError: There is no such key.
            ProgramMissingError: gpg cannot be run, or does not answer.
        """
        _check_fingerprint(fingerprint)
        block = self._gpg.export_keys(fingerprint, minimal=True)
        if not block:
            advice = "`gpg --list-keys` shows the keys that the keyring holds; `gpg --import` adds one."
            raise SigningError(fingerprint, "the keyring does not hold it", advice=advice)
        return block

    def create_key(
        self,
        user_id: str,
        *,
        algorithm: KeyAlgorithm = "ed25519",
        expires_in: timedelta | None = None,
    ) -> str:
        """Makes a key that signs, protected by this signer's passphrase if it has one.

        Args:
            user_id: Whose key it is, for instance ``Example Releases <releases@example.org>``.
            algorithm: Which one.
            expires_in: When it ends, counted from now; None for never.

        Returns:
            Its fingerprint.

        Raises:
            SigningError: gpg cannot make it.
            ProgramMissingError: gpg cannot be run, or does not answer.
            ValueError: The user id, the lifetime or the passphrase is none that gpg takes.
        """
        if not user_id.strip() or not user_id.isprintable():
            raise ValueError(f"{user_id!r} is not one line of text")
        if self._passphrase and self._passphrase != self._passphrase.strip():
            # gpg would cut them off and make a key that this signer's passphrase does not unlock.
            raise ValueError("the passphrase of a new key cannot begin or end with a space")
        seconds = int(expires_in.total_seconds()) if expires_in is not None else 0
        if expires_in is not None and seconds < 1:
            raise ValueError("a key cannot expire before it is made")
        kind = _KEY_TYPES[algorithm]
        protection = f"Passphrase: {self._passphrase}" if self._passphrase else "%no-protection"
        lifetime = f"seconds={seconds}" if seconds else "0"
        request = f"{kind}\nKey-Usage: sign\nName-Real: {user_id}\nExpire-Date: {lifetime}\n{protection}\n%commit\n"
        answer = self._gpg.gen_key(request.encode()).stderr
        created = [words[2] for words in verdict.status_lines(answer) if words[0] == "KEY_CREATED"]
        if not created:
            raise SigningError(user_id, f"gpg cannot make it: {verdict.complaint(answer)}")
        return created[0]

    def _why(self, fingerprint: str, said: list[list[str]]) -> tuple[str, str]:
        """Why a key did not sign, and what to do if that is known."""
        failures = [words[2] for words in said if words[0] == "FAILURE" and len(words) > 2]
        codes = {int(code) & 0xFFFF for code in failures if code.isdigit()}
        if 11 in codes:  # GPG_ERR_BAD_PASSPHRASE
            return "the passphrase is wrong", "`gpg --detach-sign` shows which one is right."
        found = self._gpg.list_keys(secret=True, keys=fingerprint)
        if not found:
            return "the keyring does not hold its secret part", ""
        ended = {"e": ("it has expired", _PROLONG), "r": ("it was revoked", "")}.get(str(found[0].get("trust")))
        if ended is not None:
            return ended
        if any(words[0] == "NEED_PASSPHRASE" for words in said):
            return "it needs a passphrase", _UNLOCK
        if not _CANNOT_ASK.isdisjoint(codes):
            return "it needs a passphrase, and gpg's agent cannot ask for one here", _UNLOCK
        return f"gpg did not make one detached SHA-512 signature (error {sorted(codes)})", ""


@contextmanager
def temporary_signer() -> Generator[GpgSigner]:
    """A signer with an empty home folder of its own, for throw-away keys; folder and agent go with it.

    Raises:
        ProgramMissingError: gpg cannot be run.
    """
    with TemporaryHome() as home:
        signer = GpgSigner(home.path)
        try:
            yield signer
        finally:
            stop_agent(home.path)


def _check_fingerprint(fingerprint: str) -> None:
    if _FINGERPRINT.fullmatch(fingerprint) is None:
        raise ValueError(f"{fingerprint!r} is not a fingerprint of 40 upper-case hexadecimal digits")


def _check_key_block(fingerprint: str, block: str, document: str) -> None:
    _check_fingerprint(fingerprint)
    try:
        armor.check_public_key(block.encode())
    except ValueError as error:
        message = f"the key block that stands for {fingerprint} {error}"
        raise FormatError(message, document=document) from error
