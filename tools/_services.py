"""A tracker and a mirror for the quickstart, on the loopback interface.

nginx and opentracker are used if they are installed; without nginx a mirror is embedded, without opentracker there is
no tracker.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import re
import signal
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from _process import HOST, START_S, Child, ServiceError, child, find_program, free_port, listens
from aiohttp import ClientError, ClientSession, ClientTimeout, web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from pathlib import Path

_ATTEMPTS = 3
_STREAM_BYTES = 64 << 10


# --- the tracker -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Tracker:
    """A running opentracker.

    Attributes:
        url: Its announce address.
    """

    url: str
    _child: Child
    _allowed: Path
    _hashes: list[str] = field(default_factory=list[str])

    async def allow(self, info_hashes: Sequence[str]) -> None:
        """Makes it serve these torrents; Debian's build serves none that is not on its list.

        Raises:
            ServiceError: It does not.
        """
        self._hashes += info_hashes
        _write_list(self._allowed, self._hashes)
        self._child.send(signal.SIGHUP)
        probe = "&peer_id=-OT0000-quickstart00&port=1&left=1&event=stopped"

        async def serves() -> bool:
            answers = [await _get(f"{self.url}?info_hash={_quoted(one)}{probe}") for one in info_hashes]
            return all(answer and b"failure" not in answer for answer in answers)

        await self._child.until(serves, "serving the torrents", timeout_s=START_S)

    async def knows(self, info_hash: str, *, seeds: int) -> None:
        """Waits until so many seeds have announced themselves (BEP 48).

        Raises:
            ServiceError: They have not in time.
        """
        url = f"{self.url.removesuffix('announce')}scrape?info_hash={_quoted(info_hash)}"

        async def enough() -> bool:
            found = re.search(rb"8:completei(\d+)e", await _get(url))
            return found is not None and int(found[1]) >= seeds

        await self._child.until(enough, f"told of {seeds} seeds", timeout_s=START_S)


@asynccontextmanager
async def opentracker(folder: Path, env: Mapping[str, str]) -> AsyncGenerator[Tracker | None]:
    """Runs opentracker; gives None if it is not installed or does not start.

    Args:
        folder: Below it the tracker gets a folder, into which it locks itself if it may.
        env: Its variables.
    """
    program = find_program("opentracker")
    home = folder / "tracker"
    home.mkdir()
    home.chmod(0o755)  # it drops root's rights
    _write_list(home / "allowed", [])
    user = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    for _ in range(_ATTEMPTS if program is not None else 0):
        port = free_port()
        argv = (str(program), "-i", HOST, "-p", str(port), "-P", str(port), "-d", home, "-u", user, "-w", "allowed")
        async with child("opentracker", argv, folder=folder, env=env) as running:
            try:
                await running.until(lambda port=port: listens(port), "ready", timeout_s=START_S)
            except ServiceError:
                continue
            yield Tracker(f"http://{HOST}:{port}/announce", running, home / "allowed")
            return
    yield None


def _write_list(path: Path, info_hashes: Sequence[str]) -> None:
    path.write_text("".join(f"{text}\n" for text in info_hashes), "ascii")
    path.chmod(0o644)


def _quoted(info_hash: str) -> str:
    return quote(bytes.fromhex(info_hash), safe="")


async def _get(url: str) -> bytes:
    try:
        async with ClientSession(timeout=ClientTimeout(total=2)) as session, session.get(URL(url, encoded=True)) as got:
            return await got.read()
    except (ClientError, TimeoutError, OSError):
        return b""


# --- the mirror ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mirror:
    """A running HTTP server of a channel's folder.

    Attributes:
        name: What it is.
        url: Its base address.
    """

    name: str
    url: str


_NGINX = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    types {{ }}
    default_type application/octet-stream;
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        root "{root}";
        location /files/ {{ limit_rate {rate}; }}
    }}
}}
"""


@asynccontextmanager
async def mirror(folder: Path, root: Path, env: Mapping[str, str], *, rate_bytes_per_s: int) -> AsyncGenerator[Mirror]:
    """Serves a folder, with ranges: through nginx, or embedded if nginx is not installed or does not start.

    Args:
        folder: Below it nginx gets a folder.
        root: What is served.
        env: The server's variables.
        rate_bytes_per_s: Of the payload, each connection.
    """
    program = find_program("nginx")
    home = folder / "mirror"
    home.mkdir()
    for _ in range(_ATTEMPTS if program is not None else 0):
        port = free_port()
        text = _NGINX.format(folder=home, host=HOST, port=port, root=root, rate=rate_bytes_per_s)
        (home / "nginx.conf").write_text(text, "utf-8")
        argv = (str(program), "-e", "stderr", "-p", home, "-c", home / "nginx.conf")
        async with child("nginx", argv, folder=folder, env=env) as running:
            try:
                await running.until(lambda port=port: listens(port), "ready", timeout_s=START_S)
            except ServiceError:
                continue
            yield Mirror("nginx", f"http://{HOST}:{port}/")
            return
    async with _embedded(root, rate_bytes_per_s) as url:
        yield Mirror("embedded", url)


@asynccontextmanager
async def _embedded(root: Path, rate_bytes_per_s: int) -> AsyncGenerator[str]:
    async def payload(request: web.Request) -> web.StreamResponse:
        return await _slowly(request, root / "files", rate_bytes_per_s)

    app = web.Application()
    app.router.add_get("/files/{path:.+}", payload, allow_head=False)
    app.router.add_static("/", root)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, 0)
        await site.start()
        _, port = runner.addresses[0]
        yield f"http://{HOST}:{port}/"
    finally:
        await runner.cleanup()


async def _slowly(request: web.Request, folder: Path, rate_bytes_per_s: int) -> web.StreamResponse:
    path = folder / request.match_info["path"]
    if ".." in path.parts or not await asyncio.to_thread(path.is_file):
        raise web.HTTPNotFound
    size = path.stat().st_size
    try:
        begin, end, _ = request.http_range.indices(size)
    except ValueError as error:
        raise web.HTTPRequestRangeNotSatisfiable from error
    headers = {"Accept-Ranges": "bytes", "Content-Length": str(end - begin)}
    ranged = "Range" in request.headers
    if ranged:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    response = web.StreamResponse(status=206 if ranged else 200, headers=headers)
    await response.prepare(request)
    with path.open("rb") as stream:
        stream.seek(begin)
        while begin < end:
            data = await asyncio.to_thread(stream.read, min(_STREAM_BYTES, end - begin))
            if not data:
                break
            await response.write(data)
            begin += len(data)
            await asyncio.sleep(len(data) / rate_bytes_per_s)
    await response.write_eof()
    return response
