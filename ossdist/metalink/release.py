"""Releases as Metalinks, and Metalinks as mirrors of a release. Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ossdist.errors import FormatError
from ossdist.metalink.document import MAX_PRIORITY, TORRENT, FileUrl, Metalink, MetalinkFile, MetaUrl, Pieces
from ossdist.mirrors.sites import Place, Site
from ossdist.release import layout
from ossdist.release.torrents import paths_in_torrent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ossdist.release.model import File, Mirror, Release
    from ossdist.transfer.metainfo import Metainfo, TorrentFile

GENERATOR = "OSSDist"


# --- from a release --------------------------------------------------------------------------------------


def of_release(
    release: Release, *, mirrors: Sequence[Mirror] = (), torrent: Metainfo | None = None, pieces: bool = True
) -> Metalink:
    """A release's files, with all places where they are.

    Args:
        release: It.
        mirrors: Copies of the channel's folder beside those that the release names.
        torrent: The release's hybrid or v1 torrent, for hashes of pieces.
        pieces: Write them, as far as the torrent has any of a file's own.
    """
    places = {mirror.url: mirror for mirror in (*release.mirrors, *mirrors)}.values()
    files = {file.path: file for file in torrent.files} if torrent is not None and pieces else {}
    inside = paths_in_torrent(release)
    found: list[MetalinkFile] = []
    for file in release.files:
        in_torrent = files.get(inside[file.path])
        parts = _pieces(torrent, in_torrent) if torrent is not None and in_torrent is not None else None
        found.append(
            MetalinkFile(
                name=file.path,
                size=file.length,
                hashes=(("sha-256", file.sha256),),
                pieces=() if parts is None else (parts,),
                urls=tuple(_file_url(release, file, mirror) for mirror in places),
                metaurls=tuple(_metaurls(release, inside[file.path], places)),
                identity=release.name,
                version=release.version,
                signature=file.upstream_signature or "",
            )
        )
    return Metalink(files=tuple(found), generator=GENERATOR, published=release.issued)


def _file_url(release: Release, file: File, mirror: Mirror) -> FileUrl:
    url = layout.url(mirror.url, layout.file_path(release.name, release.version, file.path))
    return FileUrl(url=url, location=mirror.location or "", priority=mirror.priority)


def _metaurls(release: Release, path: str, mirrors: Iterable[Mirror]) -> Iterable[MetaUrl]:
    """The v1 torrent's addresses: readers that know hybrids take it too, and older ones take nothing else."""
    for mirror in mirrors:
        url = layout.url(mirror.url, layout.torrent_path(release.name, release.version, v1=True))
        # Single-file torrents are the file; of others, the name tells which file is meant.
        name = path if len(release.files) > 1 else ""
        yield MetaUrl(url=url, mediatype=TORRENT, priority=mirror.priority, name=name)


def _pieces(torrent: Metainfo, file: TorrentFile) -> Pieces | None:
    """The torrent's hashes of a file's parts; None if they are not all of this file's bytes alone."""
    length = torrent.piece_length
    first, end = file.offset // length, -(-(file.offset + file.length) // length)
    is_last = file.offset + file.length == torrent.total
    if not file.length or file.offset % length or not torrent.piece_hashes:
        return None
    if file.length % length and not is_last:
        return None  # its last piece goes on with padding, or with the next file
    return Pieces(length=length, type="sha-1", hashes=tuple(each.hex() for each in torrent.piece_hashes[first:end]))


# --- to a release's mirrors ------------------------------------------------------------------------------


def sites_of(metalink: Metalink, release: Release, *, document: str) -> tuple[Site, ...]:
    """The mirrors that a Metalink names for a release; of each host the best.

    The Metalink is a hint and no more: whatever a mirror sends is checked against what was signed. A mirror of which
    not every file of the release is named is left out.

    Args:
        metalink: From anywhere.
        release: What is signed.
        document: What to call the Metalink in a message.

    Raises:
        FormatError: It describes other files than the release's, or none of them.
    """
    described = _matched(metalink, release, document)
    inside = paths_in_torrent(release)
    folders: dict[str, list[FileUrl]] = defaultdict(list)
    hosts: dict[str, dict[str, FileUrl]] = defaultdict(dict)
    for path, file in described.items():
        ending = "/" + layout.file_path(release.name, release.version, path)
        for url in sorted(file.urls, key=_priority_of):
            if unquote(urlsplit(url.url).path).endswith(ending) and not urlsplit(url.url).query:
                # Escapes may be written in many ways, but none has a slash: as many components are ours.
                base = url.url.rsplit("/", ending.count("/"))[0] + "/"
                folders[base].append(url)
            else:
                hosts[_host(url.url)].setdefault(inside[path], url)
    sites = [_folder(base, urls) for base, urls in folders.items()]
    sites += [_scattered(base, urls) for base, urls in hosts.items() if len(urls) == len(release.files)]
    return tuple(sites)


def _matched(metalink: Metalink, release: Release, document: str) -> Mapping[str, MetalinkFile]:
    """The Metalink's files by the release's paths."""
    named = {file.name: file for file in metalink.files}
    found: dict[str, MetalinkFile] = {}
    for file in release.files:
        described = named.get(file.path)
        if described is None and len(release.files) == len(metalink.files) == 1:
            described = metalink.files[0]  # a single file may have another name elsewhere
        if described is None:
            continue
        sha256 = dict(described.hashes).get("sha-256", file.sha256)
        if (described.size if described.size is not None else file.length, sha256) != (file.length, file.sha256):
            raise FormatError(
                f"describes another {file.path!r} than {release.title} has: {described.size} bytes, SHA-256 {sha256}",
                document=document,
            )
        found[file.path] = described
    if not found:
        raise FormatError(f"describes no file of {release.title}", document=document)
    return found


def _host(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/"


def _folder(base: str, urls: list[FileUrl]) -> Site:
    return Site(url=base, place=_place(urls), priority=min(_priority_of(url) for url in urls))


def _scattered(base: str, urls: Mapping[str, FileUrl]) -> Site:
    found = list(urls.values())
    addresses = {path: url.url for path, url in urls.items()}
    return Site(url=base, place=_place(found), priority=min(_priority_of(url) for url in found), files=addresses)


def _place(urls: Sequence[FileUrl]) -> Place:
    countries = {url.location for url in urls if url.location}
    return Place(country=countries.pop()) if len(countries) == 1 else Place()


def _priority_of(url: FileUrl) -> int:
    return MAX_PRIORITY if url.priority is None else url.priority
