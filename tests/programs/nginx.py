"""Nginx as a mirror."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from tests.programs.ports import free_port, listens
from tests.programs.process import Program

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_CONFIG = """\
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    types {{ }}
    default_type application/octet-stream;
    log_format ossdist '$request_method\t$request_uri\t$status\t$body_bytes_sent\t$http_range';
    access_log {folder}/access.log ossdist;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {listen};
        root "{root}";
        {options}
        location / {{ {location} }}
        {server}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered to its end, or was broken off.

    Attributes:
        method: ``GET``, ``HEAD``, …
        target: Path and query, as they were asked for.
        status: The answer's code; 499 if the client hung up first.
        sent_bytes: Bytes of content that were sent.
        range: The ``Range`` header, or an empty string.
    """

    method: str
    target: str
    status: int
    sent_bytes: int
    range: str


class Nginx(Program):
    """A private Nginx that serves a folder.

    Args:
        folder: Its configuration and logs.
        root: What it serves.
        host: An IPv4 or IPv6 address of the loopback interface.
        port: 0 for a free one.
        ranges: It answers range requests (RFC 9110, section 14).
        rate_bytes_per_s: Limit of each connection.
        certificate: PEM file; with ``key`` it speaks TLS.
        key: PEM file.
        location: Directives inside ``location /``.
        server: Directives and locations beside it.
    """

    name: ClassVar[str] = "nginx"

    def __init__(
        self,
        folder: Path,
        root: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        ranges: bool = True,
        rate_bytes_per_s: int | None = None,
        certificate: Path | None = None,
        key: Path | None = None,
        location: str = "",
        server: str = "",
    ) -> None:
        super().__init__(folder)
        options: list[str] = []
        if not ranges:
            options.append("max_ranges 0;")
        if rate_bytes_per_s is not None:
            options.append(f"limit_rate {rate_bytes_per_s};")
        if certificate and key:
            options.append(f'ssl_certificate "{certificate.resolve()}"; ssl_certificate_key "{key.resolve()}";')
        authority = f"[{host}]" if ":" in host else host
        self.host = host
        self.port = port or free_port()
        self.url = f"{'https' if certificate else 'http'}://{authority}:{self.port}/"
        self._config = _CONFIG.format(
            folder=self.folder,
            listen=f"{authority}:{self.port}{' ssl' if certificate else ''}",
            root=root.resolve(),
            options=" ".join(options),
            location=location,
            server=server,
        )

    def _command(self) -> Sequence[str | Path]:
        path = self.folder / "nginx.conf"
        path.write_text(self._config, "utf-8")
        return "nginx", "-e", "stderr", "-p", self.folder, "-c", path

    async def _ready(self) -> bool:
        return await listens(self.host, self.port)

    def requests(self) -> list[Request]:
        """What was asked of it so far, in the order in which the answers ended."""
        lines = (self.folder / "access.log").read_text("utf-8", "replace").splitlines()
        return [_parse(line) for line in lines]


def _parse(line: str) -> Request:
    method, target, status, sent, byte_range = line.split("\t")
    return Request(method, target, int(status), int(sent), "" if byte_range == "-" else byte_range)
