"""Signs releases that stand in a channel already, when other keys become responsible for them. Blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.release import layout, model
from ossdist.release.signing import GpgVerifier
from ossdist.release.trust import require_listed
from ossdist.staged_release import dress_for
from ossdist.swarm.metainfo import load_metainfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ossdist.channel_folder import ChannelFolder
    from ossdist.clock import Clock
    from ossdist.release.channel import Channel, ReleaseEntry
    from ossdist.release.trust import CheckedSignature
    from ossdist.signing_keys import SigningKeys


def sign_releases(
    folder: ChannelFolder,
    channel: Channel,
    root: model.Root,
    keys: SigningKeys,
    *,
    clock: Clock,
    check: Callable[[], None],
) -> None:
    """Adds signatures until every release has as many good ones as it needs. Manifests do not change.

    Older clients do not look at the new signatures, so this is no visible change. The folder may lie on a server that
    others can write to: what is signed is what the channel lists, and what is there already is checked.

    Args:
        folder: The channel's folder.
        channel: The channel, which is believed.
        root: The new root.
        keys: Those that may sign.
        clock: Says which signatures are dated in the future.
        check: Called again and again; what it raises ends this.

    Raises:
        ManifestMismatchError: A manifest is not the one that the channel lists.
        SigningError: A key cannot sign, or too few of them are in the role.
        StorageError: A document cannot be read or written.
    """
    with GpgVerifier(root, clock=clock) as verifier:
        for entry in channel.releases:
            check()
            _sign(folder, entry, root.roles.release, keys, verifier)


def _sign(
    folder: ChannelFolder, entry: ReleaseEntry, role: model.Role, keys: SigningKeys, verifier: GpgVerifier
) -> None:
    document = folder.read(entry.path)
    require_listed(entry, document)
    found = folder.signatures(entry.path, role.keys)
    good = {key: block for key, block in found.items() if _is_good(verifier.verify(document, [block]), key)}
    if len(good) >= role.threshold:
        return
    keys.require(role, "the new root")
    release = model.decode_release(document, document=entry.path)
    signatures = good | keys.sign(document, role)
    for v1 in (False, True):
        path = layout.torrent_path(release.name, release.version, v1=v1)
        metainfo = load_metainfo(folder.read(path), document=path)
        for place, data in dress_for(release, metainfo, document, signatures, v1=v1).items():
            folder.put(place, data)
    for key, signature in signatures.items():
        folder.put(layout.signature_path(entry.path, key), signature)


def _is_good(checked: Sequence[CheckedSignature], key: str) -> bool:
    return any(one.refusal is None and one.fingerprint == key for one in checked)
