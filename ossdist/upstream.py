"""Whether the project that made a release's files signed these very files.

A channel distributes what others made. Where such a project signs its files with OpenPGP, the release can carry its
signatures and the keys that they are by. The publisher vouches for those keys: they are as good as the release's own
signatures. The signatures show that a distributor, or whoever could make one sign, changed no byte of the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.errors import UpstreamSignatureError
from ossdist.release.report import Check, Outcome
from ossdist.release.signing import GpgVerifier

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ossdist.clock import Clock
    from ossdist.release import model

UPSTREAM_SIGNATURE = "upstream signature"
"""The check's name in reports."""

_SLOWEST_BYTES_PER_S = 10e6
"""gpg hashes about 250 MB/s (SHA-512); a slow disk must not look like a gpg that hangs."""

_GPG_S = 20.0


def check_upstream(release: model.Release, files: Mapping[str, Path], *, clock: Clock) -> dict[str, Check]:
    """Checks the upstream signatures of files that have the release's bytes, each in one pass. It blocks.

    Args:
        release: The release, which is believed.
        files: Where they are, by their paths in the release.
        clock: Says which signatures are dated in the future.

    Returns:
        The check of each of ``files``: passed, or skipped where there is no signature.

    Raises:
        UpstreamSignatureError: A file was not signed by one of the release's upstream keys.
        FormatError: One of these keys is malformed.
        ProgramMissingError: gpg cannot be run, or does not answer.
        TargetNotWritableError: The temporary folder is full.
    """
    signed = {file.path: file for file in release.files if file.path in files and file.upstream_signature is not None}
    checks = {path: not_signed() for path in files}
    if not signed:
        return checks
    seconds = _GPG_S + max(file.length for file in signed.values()) / _SLOWEST_BYTES_PER_S
    title = f"release {release.title}"
    with GpgVerifier(release.upstream_keys, clock=clock, document=title, timeout_s=seconds) as verifier:
        for path, file in signed.items():
            found = verifier.verify(files[path], [(file.upstream_signature or "").encode()])
            good = sorted({one.fingerprint for one in found if one.refusal is None and one.fingerprint is not None})
            if not good:
                refused = [one.refusal for one in found if one.refusal is not None]
                raise UpstreamSignatureError(document=title, path=path, refused=refused)
            detail = f"signed by {', '.join(good)}, a key that the release names"
            checks[path] = Check(UPSTREAM_SIGNATURE, Outcome.PASS, detail)
    return checks


def not_signed() -> Check:
    """The check of a file for which the release has no upstream signature."""
    return Check(UPSTREAM_SIGNATURE, Outcome.SKIPPED, "the release carries none for this file", required=False)
