"""Verifies a file that is there already against a signed release, with nothing but files: no network, no session.

The answer is a `VerificationReport`: every check with its outcome. What must be checked and could not be is no pass.
Everything here blocks; from an event loop, call it in a thread.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from ossdist.clock import Clock, SystemClock
from ossdist.errors import (
    FormatError,
    NotFoundError,
    StorageError,
    TorrentMismatchError,
    TrustError,
    UpstreamSignatureError,
)
from ossdist.release import layout, model, trust, update
from ossdist.release.channel import MAX_CHANNEL_BYTES
from ossdist.release.report import Check, Outcome, VerificationReport
from ossdist.release.signing import GpgVerifier
from ossdist.release.torrents import files_in, require_signed, torrent_limit_bytes
from ossdist.store.files import file_length, read_file, reading
from ossdist.store.pieces import PieceHasher, TreeHasher
from ossdist.store.trust_file import read_root
from ossdist.swarm.metainfo import MAX_TORRENT_BYTES, load_metainfo
from ossdist.transfer.outcome import signature_check
from ossdist.upstream import UPSTREAM_SIGNATURE, check_upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ossdist.release.trust import CheckedSignature, SignatureVerifier, TrustedRelease
    from ossdist.transfer.metainfo import Metainfo

_CHUNK_BYTES = 1 << 20
_UNSIGNED = "not read: the release is not signed as the root demands"
_NO_RELEASE = "not checked: there is no release that may be believed"


def verify_file(
    file: Path,
    *,
    release: Path,
    root: Path | bytes,
    path: str | None = None,
    torrent: Path | None = None,
    channel: Path | None = None,
    clock: Clock | None = None,
) -> VerificationReport:
    """Verifies one file.

    Args:
        file: The file.
        release: The signed manifest; its signatures ``<release>.<FPR>.asc`` stand beside it.
        root: The root of trust, its path or bytes.
        path: The file's path in the release; found by the file's name if None.
        torrent: One of the release's two torrents. If None it is looked for beside the manifest and where a
            channel's folder has it; without one, pieces are not checked.
        channel: The channel's document, with its signatures beside it. Without one, whether the channel lists the
            release is not checked.
        clock: Says what has expired; the machine's by default.

    Raises:
        StorageError: One of the files cannot be read.
        FormatError: The root of trust is malformed.
        ProgramMissingError: gpg cannot be run.
    """
    clock = clock or SystemClock()
    _, rules = read_root(root)
    document = read_file(release, limit_bytes=model.MAX_RELEASE_BYTES)
    with GpgVerifier(rules, clock=clock) as verifier:
        signatures = _signatures(verifier, document, release, rules.roles.release.keys)
        judged, trusted = _judge_release(rules, document, signatures, name=release.name)
        checks = [_root_expiry(rules, clock), *judged]
        if trusted is None:
            _require_file(file)
            checks += [Check(name, Outcome.SKIPPED, _NO_RELEASE) for name in ("path", "length", "sha256")]
            return VerificationReport(str(file), tuple(checks))
        checks += _payload_checks(file, trusted, path, _torrent_of(trusted, release, torrent), clock)
        if channel is None:
            checks.append(Check("channel", Outcome.SKIPPED, "no channel was given", required=False))
        else:
            checks.append(_channel_check(rules, verifier, trusted, channel, signatures, clock))
    return VerificationReport(str(file), tuple(checks))


# --- what is signed --------------------------------------------------------------------------------------


def _root_expiry(root: model.Root, clock: Clock) -> Check:
    expired = clock.now() >= root.expires
    verb = "expired at" if expired else "is valid until"
    detail = f"root {root.serial} of channel {root.channel} {verb} {root.expires}"
    return Check("root", Outcome.FAIL if expired else Outcome.PASS, detail)


def _signatures(
    verifier: SignatureVerifier, document: bytes, path: Path, keys: Sequence[str]
) -> list[CheckedSignature]:
    places = (path.with_name(layout.signature_path(path.name, key)) for key in keys)
    there = [place for place in places if file_length(place) is not None]
    return verifier.verify(document, [read_file(place, limit_bytes=model.MAX_SIGNATURE_BYTES) for place in there])


def _judge_release(
    root: model.Root, document: bytes, signatures: Sequence[CheckedSignature], *, name: str
) -> tuple[list[Check], TrustedRelease | None]:
    try:
        signed_by = trust.count_release_signatures(root, signatures, document=name)
    except TrustError as error:
        failed = Check("release signature", Outcome.FAIL, str(error))
        return [failed, Check("release format", Outcome.SKIPPED, _UNSIGNED)], None
    signed = signature_check("release signature", signed_by)
    try:
        trusted = trust.decode_signed_release(root, document, signed_by, document=name)
    except FormatError as error:
        return [signed, Check("release format", Outcome.FAIL, str(error))], None
    return [signed, Check("release format", Outcome.PASS, f"the manifest of {trusted.release.title}")], trusted


def _channel_check(
    root: model.Root,
    verifier: SignatureVerifier,
    trusted: TrustedRelease,
    channel: Path,
    signatures: Sequence[CheckedSignature],
    clock: Clock,
) -> Check:
    data = read_file(channel, limit_bytes=MAX_CHANNEL_BYTES)
    release = trusted.release
    try:
        signed = _signatures(verifier, data, channel, root.roles.channel.keys)
        head = update.accept_channel(root, data, signed, now=clock.now())
        pages = [read_file(channel.parent / page.path, limit_bytes=page.length) for page in head.document.index]
        accepted = update.accept_index(head, pages)
        entry = accepted.entry(release.name, release.version)
        trust.accept_release(root, entry, trusted.document, signatures)
        newest = accepted.entry(release.name, None)
    except (TrustError, FormatError, NotFoundError) as error:
        return Check("channel", Outcome.FAIL, str(error))
    age = "the newest" if newest == entry else f"not the newest, which is {newest.version}"
    detail = f"{release.title} is in channel {accepted.channel.serial}, {age}; {_signers(accepted.signed_by)}"
    return Check("channel", Outcome.PASS, detail)


def _signers(signed_by: trust.SignedBy) -> str:
    return f"signed by {', '.join(signed_by.keys)}"


# --- the file --------------------------------------------------------------------------------------------


def _payload_checks(
    file: Path, trusted: TrustedRelease, path: str | None, torrent: _Torrent, clock: Clock
) -> list[Check]:
    size = _require_file(file)
    signed, found = _find(trusted.release, file, path)
    if signed is None:
        skipped = [Check(name, Outcome.SKIPPED, "the release has no such file") for name in ("length", "sha256")]
        return [found, *skipped]
    metainfo = torrent.metainfo
    entry = files_in(metainfo, trusted.release)[signed.path] if metainfo is not None else None
    pieces = PieceHasher(metainfo, entry) if metainfo is not None and entry is not None else None
    tree = TreeHasher(entry.root) if entry is not None and entry.root is not None else None
    sha256 = _hash(file, [hasher.feed for hasher in (pieces, tree) if hasher is not None])
    same_length = size == signed.length
    return [
        found,
        _compare("length", f"{signed.length} bytes", f"{size} bytes"),
        _compare("sha256", signed.sha256, sha256),
        *torrent.checks,
        pieces.check() if pieces is not None and same_length else _no_pieces("pieces v1", torrent, same_length),
        tree.check() if tree is not None and same_length else _no_pieces("pieces v2", torrent, same_length),
        _upstream_check(trusted.release, signed.path, file, clock),
    ]


def _upstream_check(release: model.Release, path: str, file: Path, clock: Clock) -> Check:
    try:
        return check_upstream(release, {path: file}, clock=clock)[path]
    except (UpstreamSignatureError, FormatError) as error:
        return Check(UPSTREAM_SIGNATURE, Outcome.FAIL, str(error))


def _compare(name: str, expected: str, actual: str) -> Check:
    if expected == actual:
        return Check(name, Outcome.PASS, actual)
    return Check(name, Outcome.FAIL, f"is {actual}, signed is {expected}")


def _no_pieces(name: str, torrent: _Torrent, same_length: bool) -> Check:  # noqa: FBT001  # one of three reasons
    reason = torrent.missing or ("the torrent has none for this file" if same_length else "the length is another")
    return Check(name, Outcome.SKIPPED, reason, required=False)


def _find(release: model.Release, file: Path, path: str | None) -> tuple[model.File | None, Check]:
    """The signed file that ``file`` has to be: the one whose path agrees with most of its own."""
    if path is not None:
        found = [signed for signed in release.files if signed.path == path]
    else:
        own = file.absolute().parts
        scores = {signed: _common_tail(PurePosixPath(signed.path).parts, own) for signed in release.files}
        best = max(scores.values())
        found = [signed for signed, score in scores.items() if score == best and best]
    if len(found) == 1:
        return found[0], Check("path", Outcome.PASS, f"{found[0].path} of {release.title}")
    wanted = path or file.name
    if found:
        several = ", ".join(signed.path for signed in found[:5])
        return None, Check("path", Outcome.FAIL, f"{wanted} may be one of {several}: say which")
    known = ", ".join(signed.path for signed in release.files[:5])
    return None, Check("path", Outcome.FAIL, f"{release.title} has no file {wanted} (it has {known})")


def _common_tail(signed: Sequence[str], own: Sequence[str]) -> int:
    """How many components agree, counted from the file's name."""
    count = 0
    for one, other in zip(reversed(signed), reversed(own), strict=False):
        if one != other:
            break
        count += 1
    return count


# --- the torrent -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Torrent:
    """A torrent that carries what the release signs, or why there is none."""

    metainfo: Metainfo | None = None
    checks: tuple[Check, ...] = ()
    missing: str = ""


def _torrent_of(trusted: TrustedRelease, manifest: Path, given: Path | None) -> _Torrent:
    release = trusted.release
    place = given or _torrent_beside(release, manifest)
    if place is None:
        return _Torrent(missing="no torrent was given, and none stands beside the release")
    limit = min(MAX_TORRENT_BYTES, max(torrent_limit_bytes(release, v1=v1) for v1 in (True, False)))
    try:
        metainfo = load_metainfo(read_file(place, limit_bytes=limit), document=place.name)
        require_signed(release, metainfo, v1=metainfo.info_hashes.v2 is None)
    except (FormatError, TorrentMismatchError) as error:
        return _Torrent(checks=(Check("torrent", Outcome.FAIL, str(error)),), missing="the torrent is refused")
    return _Torrent(metainfo, (Check("torrent", Outcome.PASS, f"{place.name} carries the signed info-hashes"),))


def _torrent_beside(release: model.Release, manifest: Path) -> Path | None:
    inside = Path(layout.torrent_path(release.name, release.version, v1=False))
    # The manifest stands at releases/NAME/VERSION/release.json of the channel's folder.
    places = [manifest.with_name(inside.name), *(folder / inside for folder in manifest.absolute().parents[3:4])]
    return next((place for place in places if file_length(place) is not None), None)


# --- reading ---------------------------------------------------------------------------------------------


def _hash(file: Path, others: Sequence[Callable[[memoryview], None]]) -> str:
    """SHA-256 of a file, which is read once; every chunk is handed to ``others`` too."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with reading(file), file.open("rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            digest.update(buffer[:count])
            for feed in others:
                feed(buffer[:count])
    return digest.hexdigest()


def _require_file(file: Path) -> int:
    """Its length in bytes."""
    length = file_length(file)
    if length is None:
        raise StorageError(f"cannot read {file}: it is no file, or does not exist", path=file)
    return length
