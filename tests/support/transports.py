"""A transport without a network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from pi_ai.http.transport import HttpRequest


class CannedResponse:
    """An answer that is there already."""

    def __init__(self, pieces: Sequence[bytes], status: int = 200) -> None:
        self.status = status
        self.reason = ""
        self.headers: dict[str, str] = {}
        self._pieces = pieces

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        for piece in self._pieces:
            yield piece

    async def read(self, limit_bytes: int) -> bytes:
        return b"".join(self._pieces)[:limit_bytes]


class CannedTransport:
    """Answers every request with the same pieces; counts what is open."""

    def __init__(self, *pieces: bytes, status: int = 200) -> None:
        self.requests: list[HttpRequest] = []
        self.open = 0
        self._pieces = pieces
        self._status = status

    @asynccontextmanager
    async def post(self, request: HttpRequest) -> AsyncGenerator[CannedResponse, None]:
        self.requests.append(request)
        self.open += 1
        try:
            yield CannedResponse(self._pieces, self._status)
        finally:
            self.open -= 1

    async def aclose(self) -> None:
        return None
