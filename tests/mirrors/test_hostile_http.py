"""Mirrors that misbehave over HTTP: each is named with the right reason, and the others bring the release.

Real Nginx where it can be told to do so, and a scripted server for the rest.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest
import trustme

from ossdist import events
from ossdist.client import Client
from ossdist.config import FetchConfig, MirrorConfig
from ossdist.errors import SourcesExhaustedError
from ossdist.release.model import Mirror
from tests.asynchronous import asynchronous
from tests.channels import QUICK, WITH_MIRRORS, TestChannel, make_channel, noise, publish
from tests.mirrors.ranged_server import RangedServer, cut_short, drip, flipping, ranged, stall, whole
from tests.programs.nginx import Nginx
from tests.scripted_server import ScriptedServer, serving

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

    from ossdist.events import TransferEvent
    from ossdist.release.report import DownloadReport
    from tests.keys import Keys
    from tests.mirrors.ranged_server import Body

CONTENT = noise(1_500_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATH = "/files/tool-1.0/tool.bin"
IMPATIENT = replace(
    WITH_MIRRORS,
    peers_enabled=False,
    transfer=replace(QUICK, exhausted_after_s=5.0),
    mirrors=MirrorConfig(silent_s=1.0, slow_after_s=1.5, remember=False, first_range_bytes=200_000),
    fetch=FetchConfig(connect_timeout_s=2.0, read_timeout_s=2.0),
)


@dataclass
class Lab:
    """A channel, a good mirror, and servers that are ended with it.

    Attributes:
        channel: It, with one release.
        good: The good mirror's address.
        authority: Signs certificates that nobody trusts.
        said: What downloads told.
    """

    folder: Path
    channel: TestChannel
    stack: AsyncExitStack
    good: str = ""
    said: list[TransferEvent] = field(default_factory=list["TransferEvent"])
    made: int = 0

    async def nginx(self, **options: object) -> str:
        """One more server of the channel's folder."""
        self.made += 1
        server = Nginx(self.folder / f"nginx-{self.made}", self.channel.folder, **options)  # type: ignore[arg-type]
        await self.stack.enter_async_context(server)
        return server.url

    async def scripted(self, answer: bytes, *, hold: bool = False) -> str:
        """A server that answers with these bytes when it is asked for the file."""
        server = ScriptedServer({PATH: answer}, hold=frozenset({PATH} if hold else ()))
        await self.stack.enter_async_context(serving(server))
        return f"{server.url}/"

    async def ranged(self, body: Body, **options: object) -> str:
        """A server that gives parts of the file in a way of its own."""
        server = RangedServer(CONTENT, body, **options)  # type: ignore[arg-type]
        await self.stack.enter_async_context(ranged(server))
        return server.url

    async def publish(self, *mirrors: str) -> None:
        """Publishes the release, with these mirrors."""
        await publish(self.channel, {"tool.bin": CONTENT}, mirrors=tuple(Mirror(url=url) for url in mirrors))

    async def download(self, *, config: object = IMPATIENT) -> DownloadReport:
        """Downloads it; documents come from the good mirror."""
        async with Client(self.good, root=self.channel.root, config=config) as client:  # type: ignore[arg-type]
            return await client.download("tool", to=self.folder / "to", on_event=self.said.append)

    def reasons(self, mirror: str) -> list[str]:
        """Why a mirror failed, each time."""
        found = [event for event in self.said if isinstance(event, events.SourceFailed)]
        return [event.reason for event in found if event.source.rstrip("/") == mirror.rstrip("/")]


@asynccontextmanager
async def laboratory(tmp_path: Path, keys: Keys) -> AsyncGenerator[Lab]:
    async with AsyncExitStack() as stack:
        lab = Lab(tmp_path, await make_channel(tmp_path, keys), stack)
        lab.good = await lab.nginx()
        yield lab


def page(status: str, *fields: str, body: bytes = b"", length: int | None = None) -> bytes:
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}", *fields]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


TOTAL = len(CONTENT)


# --- what is wrong, and what it is called ----------------------------------------------------------------

BAD: dict[str, tuple[Callable[[Lab], object], str]] = {
    "H1 404": (lambda lab: lab.nginx(location="return 404;"), "status 404"),
    "H1 410": (lambda lab: lab.nginx(location="return 410;"), "status 410"),
    "H2 503": (lambda lab: lab.nginx(location='add_header Retry-After 60 always; return 503 "x";'), "status 503"),
    "H2 429": (lambda lab: lab.nginx(location="return 429;"), "status 429"),
    "403": (lambda lab: lab.nginx(location="return 403;"), "status 403"),
    "500": (lambda lab: lab.nginx(location="return 500;"), "status 500"),
    "H4 wrong Content-Range": (
        lambda lab: lab.scripted(page("206 Partial Content", f"Content-Range: bytes 5-9/{TOTAL}", body=b"12345")),
        "instead of bytes",
    ),
    "H4 no Content-Range": (lambda lab: lab.scripted(page("206 Partial Content", body=b"12345")), "instead of bytes"),
    "H4 another length in it": (
        lambda lab: lab.scripted(page("206 Partial Content", "Content-Range: bytes 0-4/99", body=b"12345")),
        "has 99 bytes",
    ),
    "H5 416": (lambda lab: lab.scripted(page("416 Range Not Satisfiable", f"Content-Range: bytes */{TOTAL}")), "416"),
    "H5 416 of another length": (
        lambda lab: lab.scripted(page("416 Range Not Satisfiable", "Content-Range: bytes */7")),
        "has 7 bytes",
    ),
    "H6 cut short": (lambda lab: lab.ranged(cut_short), "broke off"),
    "H7 content coding": (
        lambda lab: lab.nginx(location="add_header Content-Encoding gzip always;"),
        "content coding 'gzip'",
    ),
    "H8 redirect loop": (lambda lab: lab.nginx(location="return 302 $request_uri;"), "redirects"),
    "redirect to nowhere": (lambda lab: lab.nginx(location="return 302 ftp://a.example/x;"), "not allowed"),
    "H10 captive portal": (
        lambda lab: lab.nginx(location='default_type text/html; return 200 "<html>Sign in</html>";'),
        "a page (text/html)",
    ),
    "H10 captive portal, elsewhere": (
        lambda lab: lab.nginx(
            location="return 302 /portal;",
            server='location = /portal { default_type text/html; return 200 "<html>Sign in</html>"; }',
        ),
        "a page (text/html)",
    ),
    "H13 drip-feed": (lambda lab: lab.ranged(drip), "bytes came within"),
    "H14 silent": (lambda lab: lab.scripted(b"", hold=True), "nothing came for 1 s"),
    "silent in the middle": (lambda lab: lab.ranged(stall), "nothing came for 1 s"),
    "no HTTP": (lambda lab: lab.scripted(b"SSH-2.0-OpenSSH_9.2\r\n"), "HTTP"),
    "hangs up": (lambda lab: lab.scripted(b""), "closed the connection"),
    "nobody there": (lambda _: asyncio.sleep(0, "http://127.0.0.1:9/"), "refused"),
    "no such host": (lambda _: asyncio.sleep(0, "http://nowhere.invalid/"), "name"),
}


@pytest.mark.parametrize("kind", BAD)
@asynchronous
async def test_a_bad_mirror_beside_a_good_one_is_named_and_costs_nothing(tmp_path: Path, keys: Keys, kind: str) -> None:
    make, reason = BAD[kind]
    async with laboratory(tmp_path, keys) as lab:
        bad = str(await make(lab))  # type: ignore[misc]
        await lab.publish(bad, lab.good)
        # The good one is slow, or the bad one would never be needed.
        report = await lab.download(
            config=replace(IMPATIENT, mirrors=replace(IMPATIENT.mirrors, mirror_bytes_per_s=8e5))
        )
    assert report.files[0].verified
    assert hashlib.sha256((tmp_path / "to" / "tool.bin").read_bytes()).hexdigest() == SHA256
    assert lab.reasons(bad)
    assert reason in lab.reasons(bad)[0]
    assert not lab.reasons(lab.good)
    assert {source.url: source.bytes for source in report.sources}[lab.good] >= TOTAL - 200_000


@pytest.mark.parametrize("kind", BAD)
@asynchronous
async def test_nothing_but_a_bad_mirror_ends_in_time_with_the_reason(tmp_path: Path, keys: Keys, kind: str) -> None:
    make, reason = BAD[kind]
    async with laboratory(tmp_path, keys) as lab:
        bad = str(await make(lab))  # type: ignore[misc]
        await lab.publish(bad)
        async with asyncio.timeout(20):
            with pytest.raises(SourcesExhaustedError) as caught:
                await lab.download()
    assert reason in caught.value.attempts[bad]
    assert not (tmp_path / "to" / "tool.bin").exists()


@asynccontextmanager
async def trusted_pair(tmp_path: Path, keys: Keys) -> AsyncGenerator[tuple[Lab, str]]:
    """A good mirror over TLS, and the certificates' folder for another one."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    pem = tmp_path / "server.pem"
    async with laboratory(tmp_path, keys) as lab:
        yield (
            lab,
            await lab.nginx(certificate=pem, key=pem, server="location = /down { return 302 http://127.0.0.1:9/; }"),
        )


@asynchronous
async def test_h15_a_certificate_that_is_not_trusted(tmp_path: Path, keys: Keys) -> None:
    async with trusted_pair(tmp_path, keys) as (lab, secure):
        await lab.publish(secure, lab.good)
        await lab.download()
        assert "certificate not trusted" in lab.reasons(secure)[0]
        lab.said.clear()
        (tmp_path / "to" / "tool.bin").unlink()
        trusting = replace(IMPATIENT, fetch=replace(IMPATIENT.fetch, ca_bundle=tmp_path / "ca.pem"))
        report = await lab.download(config=replace(trusting, mirrors=replace(trusting.mirrors, order=(secure,))))
        assert not lab.reasons(secure)
        assert {source.url: source.bytes for source in report.sources}[secure] == TOTAL


@asynchronous
async def test_h9_no_redirect_from_https_to_http(tmp_path: Path, keys: Keys) -> None:
    async with trusted_pair(tmp_path, keys) as (lab, _):
        pem = tmp_path / "server.pem"
        bad = await lab.nginx(certificate=pem, key=pem, location=f"return 302 {lab.good}$request_uri;")
        await lab.publish(bad, lab.good)
        await lab.download(config=replace(IMPATIENT, fetch=replace(IMPATIENT.fetch, ca_bundle=tmp_path / "ca.pem")))
        assert "not allowed" in lab.reasons(bad)[0]


@asynchronous
async def test_a_redirect_to_another_host_is_followed(tmp_path: Path, keys: Keys) -> None:
    async with laboratory(tmp_path, keys) as lab:
        away = await lab.nginx(location=f"return 307 {lab.good.rstrip('/')}$request_uri;")
        await lab.publish(away)
        report = await lab.download()
        assert {source.url: source.bytes for source in report.sources}[away] == TOTAL
        assert not lab.reasons(away)


@asynchronous
async def test_h11_a_file_of_another_length(tmp_path: Path, keys: Keys) -> None:
    async with laboratory(tmp_path, keys) as lab:
        other = tmp_path / "other" / "files" / "tool-1.0"
        other.mkdir(parents=True)
        (other / "tool.bin").write_bytes(CONTENT + b"more")
        server = Nginx(tmp_path / "nginx-other", tmp_path / "other")
        await lab.stack.enter_async_context(server)
        await lab.publish(server.url, lab.good)
        await lab.download()
        assert f"its file has {TOTAL + 4} bytes, signed are {TOTAL}" in lab.reasons(server.url)[0]


@asynchronous
async def test_h3_a_server_without_ranges_is_of_use_if_nobody_else_is(tmp_path: Path, keys: Keys) -> None:
    async with laboratory(tmp_path, keys) as lab:
        plain = await lab.nginx(ranges=False)
        await lab.publish(plain)
        report = await lab.download()
        assert report.files[0].verified
        assert "whole file instead of the part" in lab.reasons(plain)[0]
        assert {source.url: source.bytes for source in report.sources}[plain] == TOTAL


@asynchronous
async def test_h3_beside_one_with_ranges_it_is_not_asked_again(tmp_path: Path, keys: Keys) -> None:
    async with laboratory(tmp_path, keys) as lab:
        plain = await lab.nginx(ranges=False)
        await lab.publish(plain, lab.good)
        await lab.download()
        assert len(lab.reasons(plain)) == 1


@asynchronous
async def test_h16_etags_that_differ_mean_nothing(tmp_path: Path, keys: Keys) -> None:
    async with laboratory(tmp_path, keys) as lab:
        urls = [await lab.ranged(whole, fields=(f'ETag: "{number}"',)) for number in range(2)]
        await lab.publish(*urls)
        report = await lab.download(config=replace(IMPATIENT, mirrors=replace(IMPATIENT.mirrors, connections=1)))
        given = {source.url: source.bytes for source in report.sources}
        assert all(given[url] > 0 for url in urls)
        assert report.files[0].verified


@pytest.mark.parametrize(
    ("field", "right"),
    [
        ('Repr-Digest "sha-256=:{}:"', True),
        ('Repr-Digest "sha-256=:{}:"', False),
        ('Digest "SHA-256={}"', False),
        ('Repr-Digest "unixsum=1"', True),
    ],
)
@asynchronous
async def test_a_server_that_announces_another_file_is_not_read(
    tmp_path: Path, keys: Keys, field: str, *, right: bool
) -> None:
    """RFC 9530, RFC 3230: it says itself that it has not the signed bytes."""
    digest = hashlib.sha256(CONTENT if right else b"another").digest()
    said = field.format(base64.b64encode(digest).decode())
    async with laboratory(tmp_path, keys) as lab:
        server = await lab.nginx(location=f"add_header {said};")
        await lab.publish(server)
        if right:
            assert (await lab.download()).files[0].verified
            assert not lab.reasons(server)
        else:
            with pytest.raises(SourcesExhaustedError):
                await lab.download()
            (reason,) = lab.reasons(server)
            assert reason == f"its file has SHA-256 {digest.hex()}, signed is {SHA256}"


@asynchronous
async def test_h12_one_flipped_byte_costs_one_piece(tmp_path: Path, keys: Keys) -> None:
    """Four mirrors, one of them with one wrong byte: nothing but its piece is fetched again."""
    async with laboratory(tmp_path, keys) as lab:
        servers = [RangedServer(CONTENT, flipping(700_000) if number == 0 else whole) for number in range(4)]
        for server in servers:
            await lab.stack.enter_async_context(ranged(server))
        await lab.publish(*(server.url for server in servers))
        once = MirrorConfig(order=tuple(server.url for server in servers), connections=1, remember=False)
        report = await lab.download(config=replace(IMPATIENT, mirrors=once))
        refused = [event for event in lab.said if isinstance(event, events.PieceRefused)]
        assert report.files[0].verified
        assert len(refused) <= 1
        bad = lab.reasons(servers[0].url)
        assert bad in ([], [f"wrong data in piece {refused[0].index}"] if refused else [])


@asynchronous
async def test_h12_alone_it_is_named_and_left(tmp_path: Path, keys: Keys) -> None:
    """The same mirror again sends a wrong piece: it is not asked any more in this transfer."""
    async with laboratory(tmp_path, keys) as lab:
        bad = RangedServer(CONTENT, flipping(*range(0, TOTAL, 10_000)))
        await lab.stack.enter_async_context(ranged(bad))
        await lab.publish(bad.url, lab.good)
        slow = replace(IMPATIENT.mirrors, mirror_bytes_per_s=8e5, connections=1)
        await lab.download(config=replace(IMPATIENT, mirrors=slow))
        assert all("wrong data in piece" in reason for reason in lab.reasons(bad.url))
        assert 1 <= len(lab.reasons(bad.url)) <= 2
        asked = len(bad.heads)
        lab.said.clear()
        (tmp_path / "to" / "tool.bin").unlink()
        with pytest.raises(SourcesExhaustedError, match="wrong data"):
            await lab.download(config=replace(IMPATIENT, mirrors=replace(slow, order=(bad.url,))))
        assert len(bad.heads) > asked


@asynchronous
async def test_a_mirror_that_was_bad_comes_back(tmp_path: Path, keys: Keys) -> None:
    """It answers 503 at first; after its pause it is asked again, and gives everything."""
    async with laboratory(tmp_path, keys) as lab:
        answers = 0

        async def moody(writer: asyncio.StreamWriter, first: int, part: bytes) -> None:
            nonlocal answers
            answers += 1
            await (cut_short if answers <= 2 else whole)(writer, first, part)

        mirror = await lab.ranged(moody)
        await lab.publish(mirror)
        report = await lab.download(config=replace(IMPATIENT, mirrors=replace(IMPATIENT.mirrors, connections=1)))
        assert report.files[0].verified
        assert lab.reasons(mirror)
