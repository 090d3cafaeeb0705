"""The parsers of hostile bytes: what each reads, what it may raise, and good documents to begin with."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ossdist.errors import OssdistError
from ossdist.metalink import headers, lists, xml
from ossdist.release import armor, layout, model, verdict
from ossdist.release.channel import MAX_CHANNEL_BYTES, MAX_PAGE_BYTES, decode_channel, decode_page
from ossdist.release.formats.filename import parse_filename
from ossdist.release.memory import ChannelMemory, TrustMemory, mark
from ossdist.store.trust_file import TrustFile
from ossdist.swarm.metainfo import MAX_TORRENT_BYTES, load_metainfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from ossdist.metalink.document import Metalink
    from tools.fuzzing.mutation import Kind

VECTORS = Path(__file__).resolve().parents[2] / "torrents"
_NOW = datetime(2024, 6, 1, tzinfo=UTC)
_FINGERPRINT = "AB" * 20
_NAMES = (
    "demo_tool-1.0-py3-none-any.whl", "demo-tool-1.0.tar.gz", "linux-image-6.1_6.1.0-1~deb12u1_amd64.deb",
    "bash-5.2.15-1.fc38.x86_64.rpm", "zlib-1:1.3-2-x86_64.pkg.tar.zst", "a.b", "",
)  # fmt: skip
_PATHS = ("bin/tool", "a/b/c/d", "größe/ß", "x" * 200, "COM1.txt", "a b", "..a", "a.", "-")
_STATUS = f"""\
[GNUPG:] NEWSIG
[GNUPG:] KEY_CONSIDERED {_FINGERPRINT} 0
[GNUPG:] SIG_ID abc 2024-04-20 1713603600
[GNUPG:] KEYEXPIRED 1713700000
[GNUPG:] GOODSIG {_FINGERPRINT[-16:]} A. Nobody <a@example.org>
[GNUPG:] VALIDSIG {_FINGERPRINT} 2024-04-20 1713603600 0 4 0 22 10 00 {_FINGERPRINT}
[GNUPG:] NEWSIG
[GNUPG:] ERRSIG {_FINGERPRINT[-16:]} 1 2 00 1713603600 9 {_FINGERPRINT}
[GNUPG:] NO_PUBKEY {_FINGERPRINT[-16:]}
gpg: some text
"""


_METALINK = f"""<?xml version="1.0" encoding="UTF-8"?>
<metalink xmlns="{xml.NAMESPACE}"><generator>A/1</generator><origin dynamic="true">https://a.example/m</origin>
<published>2030-01-02T03:04:05Z</published><file name="a/b.iso"><identity>A</identity><size>7</size>
<hash type="sha-256">{"ab" * 32}</hash><pieces length="4" type="sha-1"><hash>{"01" * 20}</hash></pieces>
<signature mediatype="application/pgp-signature">-----BEGIN
x</signature><metaurl mediatype="torrent" priority="2" name="b">https://a.example/t</metaurl>
<url location="de" priority="1">https://a.example/b.iso</url></file></metalink>
"""
_LIST = "# ours\nhttps://a.example/\tpriority:1 arch:amd64\nhttp://b.example/pub/\n"
_FIELDS = f"""<http://a.example/f>; rel=duplicate; pri=1; geo=de; pref, <f.meta4>; rel="describedby"; type="{"x" * 9}/y"
sha-256=:{base64.b64encode(bytes(32)).decode()}:
SHA-256={base64.b64encode(bytes(32)).decode()}"""


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        name: Its name.
        kind: What its documents are written in.
        read: Parses bytes.
        refusals: What it may raise.
        corpus: Good documents.
        limit_bytes: What it refuses unread; 0 if its callers bound it.
        write: Makes bytes of what ``read`` gave, where that can be; reading them again gives the same.
    """

    name: str
    kind: Kind
    read: Callable[[bytes], object]
    refusals: tuple[type[Exception], ...]
    corpus: tuple[bytes, ...]
    limit_bytes: int = 0
    write: Callable[[object], bytes] | None = None


def targets(folder: Path) -> tuple[Target, ...]:
    """All of them.

    Args:
        folder: For those that read files.
    """
    ours = (OssdistError,)
    signatures, keys = _vectors("*.json.*.asc"), tuple(path.read_bytes() for path in VECTORS.glob("keys/*.public.asc"))
    return (
        Target("root", "json", model.decode_root, ours, _vectors("*root.json"), model.MAX_ROOT_BYTES, _encode),
        Target("channel", "json", decode_channel, ours, _vectors(layout.CHANNEL), MAX_CHANNEL_BYTES, _encode),
        Target("page", "json", _read_page, ours, _vectors("index/*.json"), MAX_PAGE_BYTES, _encode),
        Target(
            "release", "json", model.decode_release, ours, _vectors("release.json"), model.MAX_RELEASE_BYTES, _encode
        ),
        Target("torrent", "bencode", load_metainfo, ours, _vectors("*.torrent"), MAX_TORRENT_BYTES),
        Target("signature", "text", armor.count_signatures, (ValueError,), signatures),
        Target("key", "text", armor.check_public_key, (ValueError,), keys),
        Target("binary signature", "text", _read_binary_signature, (ValueError,), tuple(map(_packets, signatures))),
        Target("gpg's status", "text", _read_status, (), (_STATUS.encode(),)),
        Target("memory", "json", _MemoryReader(folder), ours, (_memory(folder),)),
        Target("file name", "text", _read_name, (), tuple(name.encode() for name in _NAMES)),
        Target("path", "text", _read_path, ours, tuple(path.encode() for path in _PATHS)),
        Target("metalink", "text", _read_metalink, ours, (_METALINK.encode(),), xml.MAX_BYTES, _write_metalink),
        Target("mirror list", "text", _read_list, ours, (_LIST.encode(),), lists.MAX_BYTES),
        Target("link fields", "text", _read_fields, (), (_FIELDS.encode(),)),
    )


def _vectors(pattern: str) -> tuple[bytes, ...]:
    """Every document of a kind in the conformance vectors, each once, in an order that is always the same."""
    return tuple(dict.fromkeys(path.read_bytes() for path in sorted(VECTORS.glob(f"*/**/{pattern}"))))


def _packets(block: bytes) -> bytes:
    """What stands in armor; of a block that is no armor, the block."""
    body = b"".join(block.partition(b"\n\n")[2].partition(b"\n=")[0].split())
    try:
        return base64.b64decode(body, validate=True)
    except ValueError:
        return block


def _encode(value: object) -> bytes:
    return model.encode(cast("model.Document", value))


def _read_page(data: bytes) -> object:
    return decode_page(data, document="index/page.json")


def _read_binary_signature(data: bytes) -> object:
    return armor.count_signatures(armor.armored_signature(data))


def _read_status(data: bytes) -> object:
    lines = verdict.status_lines(data.decode("latin-1"))
    return verdict.judge(lines, packets=2, returncode=0, known=(_FINGERPRINT,), now=_NOW)


def _read_name(data: bytes) -> object:
    return parse_filename(data.decode("utf-8", "replace"))


def _read_path(data: bytes) -> object:
    return layout.check_path(data.decode("utf-8", "surrogateescape"), document="release.json")


def _read_metalink(data: bytes) -> object:
    return xml.decode(data, document="a.meta4")


def _write_metalink(value: object) -> bytes:
    return xml.encode(cast("Metalink", value))


def _read_list(data: bytes) -> object:
    return lists.sites(lists.decode(data, document="mirrors.txt"))


def _read_fields(data: bytes) -> object:
    links, _, rest = data.decode("latin-1").partition("\n")
    repr_digest, _, digest = rest.partition("\n")
    fields = (("Link", links), ("Repr-Digest", repr_digest), ("Digest", digest))
    return headers.read(fields, url="https://a.example/f")


def _memory(folder: Path) -> bytes:
    """What a client remembers, without its checksum."""
    root = (VECTORS / "accept-ed25519" / layout.ROOT).read_bytes()
    channel = (VECTORS / "accept-ed25519" / "channel" / layout.CHANNEL).read_bytes()
    file = TrustFile(folder / "good")
    file.save(TrustMemory(root, (mark(root),), ChannelMemory(channel, ())))
    return (folder / "good").read_bytes().partition(b"\n")[2]


@dataclass(frozen=True)
class _MemoryReader:
    """Reads the memory behind a right checksum, so that the fault is seen at all."""

    folder: Path

    def __call__(self, data: bytes) -> object:
        path = self.folder / "hurt"
        path.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)
        return TrustFile(path).load()
