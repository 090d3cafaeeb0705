"""Asks an HTTP server for something: redirects within policy, certificates, proxies, credentials. Blocks.

Documents (`ossdist.mirrors.documents`) and payload (`ossdist.mirrors.ranges`) are asked for through this.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

import requests
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from ossdist.errors import MirrorError, MirrorFault
from ossdist.foreign_text import shown
from ossdist.mirrors import failures
from ossdist.mirrors.connections import WatchedAdapter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ossdist.config import FetchConfig
    from ossdist.mirrors.connections import Request

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MOST_CONNECTIONS = 64
"""Kept for further requests, by host."""


class HttpClient:
    """Connections to HTTP servers, kept and used again. Used from worker threads.

    Args:
        config: Time-outs, redirects, certificates, proxies, credentials.
    """

    def __init__(self, config: FetchConfig) -> None:
        self._config = config
        self._session = _Session()
        # What is signed is what is stored: a content coding would hide its length.
        self._session.headers["Accept-Encoding"] = "identity"
        self._session.headers["User-Agent"] = config.user_agent
        # A server may close a kept connection at the very moment at which we use it again.
        once_more = Retry(total=1, connect=0, redirect=0, status=0, other=0, respect_retry_after_header=False)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, WatchedAdapter(max_retries=once_more, pool_maxsize=_MOST_CONNECTIONS))
        self._session.proxies.update(config.proxies)
        # Given with each request: requests lets an environment variable override the session's own.
        self._verify = str(config.ca_bundle) if config.ca_bundle is not None else True

    def close(self) -> None:
        """Closes the connections."""
        self._session.close()

    def get(self, request: Request, url: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Asks for something, and follows redirects: the answer's head has come, its body not. Close it.

        Args:
            request: The running one, so that it can be ended from outside.
            url: What to ask for.
            headers: Fields beside those of the configuration.

        Raises:
            MirrorError: There is no answer, or a redirect that is not followed.
        """
        try:
            return self._follow(request, url, headers or {})
        # An address that a server sends us can be wrong in ways that requests has no exception for.
        except (OSError, ValueError, HTTPError) as error:
            raise self.failure(url, error) from error

    def failure(self, url: str, error: BaseException) -> MirrorError:
        """What requests, urllib3 or the system raised, as our error."""
        waited = {"connect_timeout_s": self._config.connect_timeout_s, "read_timeout_s": self._config.read_timeout_s}
        return MirrorError(url, failures.reason(error, **waited), fault=failures.fault(error))

    def _follow(self, request: Request, url: str, headers: Mapping[str, str]) -> requests.Response:
        address = url
        for _ in range(self._config.redirects + 1):
            request.require_wanted()
            response = self._session.get(
                address,
                stream=True,
                allow_redirects=False,
                headers={**self._own_headers(address), **headers},
                auth=_keep_headers,
                verify=self._verify,
                timeout=(self._config.connect_timeout_s, self._config.read_timeout_s),
            )
            if response.status_code not in _REDIRECTS:
                return response
            with response:
                location = response.headers.get("Location", "")
            target = urljoin(address, location.encode("latin-1").decode("utf-8"))
            if urlsplit(target).scheme not in _allowed_next(urlsplit(address).scheme):
                reason = f"redirected to {target!r}, which is not allowed"
                raise MirrorError(url, reason, fault=MirrorFault.REDIRECT)
            address = target
        raise MirrorError(url, f"more than {self._config.redirects} redirects", fault=MirrorFault.REDIRECT)

    def _own_headers(self, address: str) -> dict[str, str]:
        """The fields that the configuration gives this address; after a redirect to another host, that host's."""
        found: dict[str, str] = {}
        for base, fields in self._config.headers.items():
            if _below(address, base):
                found.update(fields)
        for base, (user, password) in self._config.credentials.items():
            if _below(address, base):
                token = base64.b64encode(f"{user}:{password}".encode()).decode("ascii")
                found["Authorization"] = f"Basic {token}"  # RFC 7617
        return found


def refusal(url: str, response: requests.Response) -> MirrorError:
    """An answer whose status says that there will be no body of the kind that was asked for."""
    status = response.status_code
    reason = f"status {status} {shown(response.reason or '')}".rstrip()
    fault, wait_s = failures.status_fault(status), None
    if fault is MirrorFault.BUSY:
        wait_s = failures.retry_after_s(response.headers.get("Retry-After"), response.headers.get("Date"))
    return MirrorError(url, reason, fault=fault, retry_after_s=wait_s)


def require_uncoded(url: str, response: requests.Response) -> None:
    """Refuses a body that is coded (RFC 9110, section 8.4).

    Raises:
        MirrorError: It is.
    """
    coding = response.headers.get("Content-Encoding", "identity")
    if coding != "identity":
        reason = f"sent with content coding {coding!r}, which was not asked for"
        raise MirrorError(url, reason, fault=MirrorFault.CODED)


class _Session(requests.Session):
    """Leaves redirects to us: requests would read such an answer's body first, however long it is."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:  # noqa: ARG002  # inherited
        return None


def _keep_headers(prepared: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps requests from looking for credentials in the user's ``.netrc``, which nobody has asked it to."""
    return prepared


def _below(address: str, base: str) -> bool:
    """Whether an address is the base, or below it; host and scheme must be the same."""
    one, other = urlsplit(address), urlsplit(base)
    same = (one.scheme, one.hostname, one.port) == (other.scheme, other.hostname, other.port)
    folder = other.path.rstrip("/") + "/"
    return same and (one.path + "/").startswith(folder)


def _allowed_next(scheme: str) -> frozenset[str]:
    return frozenset({"https"}) if scheme == "https" else frozenset({"http", "https"})
