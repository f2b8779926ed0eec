"""The seam to the network: what an adapter asks of an HTTP client. No client is imported here."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from pi_ai.secrets import Masked

__all__ = (
    "HttpRequest",
    "HttpResponse",
    "Socket",
    "SocketRequest",
    "SocketTransport",
    "Transport",
    "merge_headers",
)


class HttpRequest(Masked, frozen=True, kw_only=True):
    """One POST. A limit of None means none; headers and body never show in the repr."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    header_timeout_ms: float | None = None
    idle_timeout_ms: float | None = None

    def __repr__(self) -> str:
        return f"<HttpRequest {self.url}, {len(self.body)} bytes>"


class HttpResponse(Protocol):
    """An answer whose headers have arrived."""

    @property
    def status(self) -> int:
        """The HTTP status."""
        ...

    @property
    def reason(self) -> str:
        """What the server calls the status, "" if it says nothing."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with lower-case names."""
        ...

    def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives, each piece as soon as it is there."""
        ...

    async def read(self, limit_bytes: int) -> bytes:
        """The rest of the body, at most `limit_bytes` of it."""
        ...


class Transport(Protocol):
    """Sends requests. One transport may serve any number of requests and event loops."""

    def post(self, request: HttpRequest) -> AbstractAsyncContextManager[HttpResponse]:
        """Send `request`; the block gets the response, leaving it ends the exchange.

        Raises `ProviderConnectionError` and `ProviderTimeoutError`, also from reading the body.
        Error statuses are responses like any other; redirects are not followed.
        """
        ...

    async def aclose(self) -> None:
        """Close the connections of the running event loop."""
        ...


class SocketRequest(Masked, frozen=True, kw_only=True):
    """One WebSocket to open, or to use again. A limit of None means none.

    `shared_by`: the session, and whatever else parts its connections; requests with the same
    value use one connection after the other. Empty for a connection of its own.
    """

    url: str
    headers: Mapping[str, str]
    shared_by: tuple[str, ...] = ()
    connect_timeout_ms: float | None = None

    def __repr__(self) -> str:
        return f"<SocketRequest {self.url}>"


class Socket(Protocol):
    """An open WebSocket. `notes` stays with the connection, for its users to leave word.

    `reused`: it served an earlier request, so that the server may have closed it unseen.
    """

    notes: object
    reused: bool

    async def send(self, text: str) -> None:
        """Send one text frame. Raises `ProviderConnectionError`."""
        ...

    async def receive(self, idle_timeout_ms: float | None) -> bytes:
        """The next frame, of text in UTF-8 or of bytes.

        Raises `WebSocketClosedError` and `ProviderTimeoutError`.
        """
        ...


@runtime_checkable
class SocketTransport(Transport, Protocol):
    """A transport that opens WebSockets too; another one is asked over HTTP alone."""

    def connect(self, request: SocketRequest) -> AbstractAsyncContextManager[Socket]:
        """A WebSocket for the block; leaving it by an exception closes it.

        Raises `ProviderConnectionError` and `ProviderTimeoutError`.
        """
        ...

    def forget_sockets(self, session_id: str) -> None:
        """Close the WebSockets that the running event loop keeps for a session."""
        ...


def merge_headers(*layers: Mapping[str, str | None] | None) -> dict[str, str | None]:
    """Join header layers; names compare without case, the later layer wins with its spelling.

    None values stay in, to show that a header was removed.
    """
    merged: dict[str, tuple[str, str | None]] = {}
    for layer in layers:
        for name, value in (layer or {}).items():
            key = name.lower()
            merged.pop(key, None)
            merged[key] = (name, value)
    return dict(merged.values())
