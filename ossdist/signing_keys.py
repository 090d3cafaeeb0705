"""The keys of one publisher, and what they sign: each document by those of them that its role lists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors import SigningError
from ossdist.release import layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ossdist.release import model
    from ossdist.release.trust import Signer


class SigningKeys:
    """Some keys of a keyring.

    Args:
        signer: Signs with them.
        keys: Their primary fingerprints.
    """

    def __init__(self, signer: Signer, keys: Sequence[str]) -> None:
        self._signer = signer
        self.fingerprints = tuple(dict.fromkeys(keys))

    def require(self, role: model.Role, what: str) -> None:
        """Refuses to begin what nobody would believe.

        Args:
            role: The role that has to sign.
            what: What asks for it, for the message.

        Raises:
            SigningError: Fewer of these keys are in the role than its threshold.
        """
        listed = [key for key in self.fingerprints if key in role.keys]
        if len(listed) < role.threshold:
            strangers = [key for key in self.fingerprints if key not in role.keys]
            reason = f"{what} asks for {role.threshold} of {', '.join(role.keys)}"
            advice = "Give --key as often as that needs, or change the root's keys by a rotation."
            raise SigningError(", ".join(strangers) or self.fingerprints[0], reason, advice=advice)

    def sign(self, document: bytes, *roles: model.Role) -> dict[str, bytes]:
        """Detached armored signatures, by fingerprint, of all these keys that one of the roles lists.

        Raises:
            SigningError: A key cannot sign.
        """
        listed = {key for role in roles for key in role.keys}
        return {key: self._signer.sign(document, key) for key in self.fingerprints if key in listed}

    def signed(self, path: str, document: bytes, *roles: model.Role) -> dict[str, bytes]:
        """A document and its signatures, by their paths.

        Raises:
            SigningError: A key cannot sign.
        """
        return beside(path, document, self.sign(document, *roles))

    def public_keys(self, roles: model.Roles, *, known: Mapping[str, str] | None = None) -> dict[str, str]:
        """The armored public keys of all roles: from the keyring, as they are now, else as they were known before.

        Raises:
            SigningError: One is in neither.
        """
        wanted = dict.fromkeys(key for role in (roles.root, roles.channel, roles.release) for key in role.keys)
        return {key: self._public_key(key, known or {}) for key in wanted}

    def others(self, fingerprints: Sequence[str]) -> dict[str, str]:
        """Armored public keys of other people that the keyring holds, by primary fingerprint.

        Raises:
            SigningError: It does not hold one.
        """
        return {key: self._signer.export_public_key(key) for key in fingerprints}

    def _public_key(self, fingerprint: str, known: Mapping[str, str]) -> str:
        try:
            return self._signer.export_public_key(fingerprint)
        except SigningError:
            if fingerprint not in known:
                raise
            return known[fingerprint]


def beside(path: str, document: bytes, signatures: Mapping[str, bytes]) -> dict[str, bytes]:
    """A document and its signatures, by their paths."""
    return {path: document} | {layout.signature_path(path, key): signature for key, signature in signatures.items()}
