"""The test-only keys of torrents/keys/, and signatures by them at any time and in any form, good or bad."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Self

from ossdist.release.gpg import TemporaryHome, stop_agent

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

_PUBLIC, _SECRET = ".public.asc", ".secret.asc"
_TIMEOUT_S = 60.0


class Keyring:
    """Runs gpg with its clock set, which the library's own signer cannot. A context manager.

    EdDSA, RSA and gpg's ECDSA (RFC 6979) are deterministic: the same key, time and document give the same bytes.

    Args:
        folder: Where the keys stand: ``<name>.secret.asc`` signs, ``<name>.public.asc`` goes into roots. The two may
            disagree about the end of a key's life, so that a dead key can sign.
    """

    def __init__(self, folder: Path) -> None:
        self._home = TemporaryHome()
        self._made: dict[tuple[object, ...], bytes] = {}
        secrets = sorted(folder.glob(f"*{_SECRET}"))
        try:
            self._gpg("--import", *(str(path) for path in secrets))
            self._fingerprints = self._list()
        except BaseException:
            self.close()
            raise
        self._blocks = {name: (folder / f"{name}{_PUBLIC}").read_text() for name in self._fingerprints}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes gpg's home folder, and stops its agent."""
        stop_agent(self._home.path)
        self._home.close()

    def fingerprint(self, name: str) -> str:
        """Primary fingerprint of a key."""
        return self._fingerprints[name]

    def blocks(self, *names: str) -> Mapping[str, str]:
        """Armored public keys by fingerprint."""
        return {self._fingerprints[name]: self._blocks[name] for name in names}

    def sign(self, document: bytes, name: str, *options: str, at: datetime, form: str = "--detach-sign") -> bytes:
        """One signature file.

        Args:
            document: What is signed.
            name: Whose key signs.
            options: More options for gpg.
            at: The time that gpg is told.
            form: gpg's command, ``--detach-sign`` for a detached signature.
        """
        key = (document, name, options, at, form)
        if key not in self._made:
            user = ("--local-user", self._fingerprints[name])
            time = f"--faked-system-time={at:%Y%m%dT%H%M%S}!"
            armor = () if "--no-armor" in options else ("--armor",)
            self._made[key] = self._gpg(time, *user, "--digest-algo", "SHA512", *armor, *options, form, data=document)
        return self._made[key]

    def join(self, *signatures: bytes) -> bytes:
        """Binary signatures as one armored block."""
        armored = self._gpg("--no-comments", "--enarmor", data=b"".join(signatures))
        lines = [line for line in armored.splitlines(keepends=True) if not line.startswith(b"Comment:")]
        return b"".join(lines).replace(b"PGP ARMORED FILE", b"PGP SIGNATURE")

    def _list(self) -> dict[str, str]:
        found: dict[str, str] = {}
        fingerprint = ""
        for line in self._gpg("--with-colons", "--list-secret-keys").decode().splitlines():
            fields = line.split(":")
            if fields[0] == "sec":
                fingerprint = ""
            elif fields[0] == "fpr":
                fingerprint = fingerprint or fields[9]  # a subkey's stands below its primary key's
            elif fields[0] == "uid":
                found[fields[9].split(" ")[0]] = fingerprint
        return found

    def _gpg(self, *args: str, data: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self._home.path), "--no-options", "--batch", "--no-tty", "--quiet"]
        command += ["--trust-model", "always", *args]
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=_TIMEOUT_S)
        if done.returncode != 0:
            raise RuntimeError(f"gpg failed: {done.stderr.decode()}")
        return done.stdout
