"""Signs releases that stand in a channel already, when other keys become responsible for them. Blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ossdist.release import layout, model
from ossdist.staged_release import dress_for
from ossdist.swarm.metainfo import load_metainfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ossdist.channel_folder import ChannelFolder
    from ossdist.release.channel import Channel
    from ossdist.signing_keys import SigningKeys


def sign_releases(
    folder: ChannelFolder, channel: Channel, role: model.Role, keys: SigningKeys, check: Callable[[], None]
) -> None:
    """Adds signatures until every release has as many of the role's as it needs. Manifests do not change.

    Older clients do not look at the new signatures, so this is no visible change.

    Args:
        folder: The channel's folder.
        channel: The channel.
        role: The role ``release`` of the new root.
        keys: Those that may sign.
        check: Called again and again; what it raises ends this.

    Raises:
        SigningError: A key cannot sign, or too few of them are in the role.
        StorageError: A document cannot be read or written.
    """
    for entry in channel.releases:
        check()
        there = folder.signatures(entry.path, role.keys)
        if len(there) >= role.threshold:
            continue
        keys.require(role, "the new root")
        document = folder.read(entry.path)
        release = model.decode_release(document, document=entry.path)
        signatures = there | keys.sign(document, role)
        for v1 in (False, True):
            path = layout.torrent_path(release.name, release.version, v1=v1)
            metainfo = load_metainfo(folder.read(path), document=path)
            for place, data in dress_for(release, metainfo, document, signatures, v1=v1).items():
                folder.put(place, data)
        for key, signature in signatures.items():
            folder.put(layout.signature_path(entry.path, key), signature)
