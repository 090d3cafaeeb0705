"""One HTTP request, for the programs that are steered over HTTP."""

from __future__ import annotations

import asyncio
import http.client
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Response:
    """What a server answered.

    Attributes:
        status: Its code.
        headers: By name in lower case.
        body: The content.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


async def fetch(
    url: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    context: ssl.SSLContext | None = None,
    timeout_s: float = 10,
) -> Response:
    """Sends one request, past every proxy of the environment.

    Raises:
        OSError: The server could not be reached, or was too slow.
        http.client.HTTPException: The answer was not HTTP.
    """

    def exchange() -> Response:
        address = urlsplit(url)
        host = address.hostname or ""
        connection = (
            http.client.HTTPSConnection(host, address.port, timeout=timeout_s, context=context)
            if address.scheme == "https"
            else http.client.HTTPConnection(host, address.port, timeout=timeout_s)
        )
        target = address.path or "/"
        try:
            connection.request(
                method, f"{target}?{address.query}" if address.query else target, body, dict(headers or {})
            )
            answer = connection.getresponse()
            content = answer.read()
        finally:
            connection.close()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, content)

    return await asyncio.to_thread(exchange)
