"""WebSockets over aiohttp, and those of one event loop that wait to be used again.

Source: spec of openai-codex-responses, sections 9.2 and 9.3.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiohttp

from pi_ai.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    WebSocketClosedError,
)
from pi_ai.http.transport import SocketRequest

__all__ = ("AiohttpSocket", "SocketPool", "open_socket", "refuse_redirects")

_DATA = (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY)
_NORMAL = 1000
_NO_CLOSE_FRAME = 1006
_TOO_BIG = 1009
_CLOSE_SECONDS = 1.0
"""How long a server may take to answer that a connection is to be closed."""
# An attrs class, of whose fields a type checker does not know.
_CLOSING = aiohttp.ClientWSTimeout(ws_close=_CLOSE_SECONDS)  # pyright: ignore[reportCallIssue]
_IDLE_SECONDS = 300.0
_MAX_AGE_SECONDS = 3300.0


class AiohttpSocket:
    """An open WebSocket; see `Socket`."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.notes: object = None
        self.reused = False
        self._raw = raw
        self._watch = _IdleWatch(raw)

    def __repr__(self) -> str:
        return f"<AiohttpSocket, {'closed' if self._raw.closed else 'open'}>"

    async def send(self, text: str) -> None:
        """Send one text frame."""
        try:
            await self._raw.send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            raise _failed(error) from error

    async def receive(self, idle_timeout_ms: float | None) -> bytes:
        """The next frame, of text in UTF-8 or of bytes."""
        self._watch.begin(idle_timeout_ms)
        try:
            message = await self._raw.receive()
        finally:
            self._watch.end()
        match message.type:
            case aiohttp.WSMsgType.TEXT:
                return message.data.encode()
            case aiohttp.WSMsgType.BINARY:
                return message.data
            case aiohttp.WSMsgType.CLOSE:
                raise _closed(message.data, message.extra or "")
            case aiohttp.WSMsgType.ERROR:
                raise _failed(message.data)
            case _ if self._watch.closing is not None:
                text = f"WebSocket idle timeout after {idle_timeout_ms:g}ms"
                raise ProviderTimeoutError(text, retryable=True)
            case _:
                raise _closed(_NO_CLOSE_FRAME, "")

    async def is_open(self) -> bool:
        """Whether the connection can be used again; a look, not a wait.

        What the server said behind its last answer is thrown away.
        """
        try:
            async with asyncio.timeout(0):
                while (await self._raw.receive()).type in _DATA:
                    pass
        except TimeoutError:
            return not self._raw.closed
        return False

    async def close(self, reason: str) -> None:
        """Say goodbye with a reason; gives up on a server that does not answer."""
        self._watch.stop()
        if self._watch.closing is not None:
            await self._watch.closing
        await self._raw.close(code=_NORMAL, message=reason.encode())


class _IdleWatch:
    """Closes a connection whose frame somebody waits for in vain.

    One timer that looks when the time may be up: a timer per frame costs more than the frame does.
    """

    def __init__(self, raw: aiohttp.ClientWebSocketResponse) -> None:
        self.closing: asyncio.Task[bool] | None = None
        self._raw = raw
        self._loop = asyncio.get_running_loop()
        self._limit_ms: float | None = None
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, limit_ms: float | None) -> None:
        """A wait begins, which may take this long; None or 0: for ever."""
        self._since = self._loop.time()
        if limit_ms != self._limit_ms:
            self.stop()
            self._limit_ms = limit_ms
        if limit_ms and self._timer is None:
            self._timer = self._loop.call_at(self._since + limit_ms / 1000, self._look)

    def end(self) -> None:
        """The wait is over."""
        self._since = None

    def stop(self) -> None:
        """Look no more, until the next wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._since is None or not self._limit_ms:
            return
        due = self._since + self._limit_ms / 1000
        if self._loop.time() >= due:
            self.closing = self._loop.create_task(self._raw.close(code=_NORMAL, message=b"done"))
        else:
            self._timer = self._loop.call_at(due, self._look)


async def open_socket(
    session: aiohttp.ClientSession, request: SocketRequest, proxy: str | None
) -> AiohttpSocket:
    """A WebSocket that has been opened; frames may be of any size.

    `session` must have been made with `refuse_redirects`.
    """
    limit = request.connect_timeout_ms
    try:
        async with asyncio.timeout(limit / 1000 if limit else None):
            raw = await session.ws_connect(
                request.url,
                headers=request.headers,
                proxy=proxy,
                max_msg_size=0,
                timeout=_CLOSING,
            )
    except TimeoutError as error:
        text = f"WebSocket connect timeout after {limit:g}ms"
        raise ProviderTimeoutError(text, retryable=True) from error
    except aiohttp.WSServerHandshakeError as error:
        text = f"WebSocket error: the server refused the connection with status {error.status}"
        # The cause holds the headers of the request, and with them the key.
        raise ProviderConnectionError(text, status=error.status, retryable=True) from None
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise ProviderError(f"Invalid URL: {request.url!r}. Check the model's base_url.") from error
    except ValueError as error:  # a line break in a header; the text names no value
        raise ProviderError(f"Invalid request header: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise _failed(error) from error
    return AiohttpSocket(raw)


def refuse_redirects() -> aiohttp.TraceConfig:
    """What makes a session fail a handshake that is sent elsewhere.

    aiohttp has no option for it: it would follow, and take the key to the other host.
    """
    trace = aiohttp.TraceConfig()
    trace.on_request_redirect.append(_refuse_redirect)
    return trace


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: object,
    redirect: aiohttp.TraceRequestRedirectParams,
) -> None:
    answer = redirect.response
    answer.close()
    raise aiohttp.WSServerHandshakeError(answer.request_info, (), status=answer.status)


def _failed(error: BaseException) -> ProviderConnectionError:
    text = str(error) or type(error).__name__
    return ProviderConnectionError(f"WebSocket error: {text}", retryable=True)


def _closed(code: int, reason: str) -> WebSocketClosedError:
    if code == _TOO_BIG and not reason:
        reason = "message too big"
    return WebSocketClosedError(f"WebSocket closed {code} {reason}".rstrip(), close_code=code)


# --- the pool ---------------------------------------------------------------------------------


class _Kept:
    """The connection behind one key; `socket` is None while it is opened."""

    def __init__(self) -> None:
        self.socket: AiohttpSocket | None = None
        self.busy = True
        self.opened_at = 0.0
        self.timer: asyncio.TimerHandle | None = None


class SocketPool:
    """The WebSockets of one event loop that are kept for further requests, one per key.

    A connection that is in use is not waited for: the request gets one of its own. Closing takes
    place in tasks of the pool, so that nobody waits for a server's goodbye; `aclose` awaits them.
    """

    def __init__(
        self,
        connect: Callable[[SocketRequest], Awaitable[AiohttpSocket]],
        *,
        idle_seconds: float = _IDLE_SECONDS,
        max_age_seconds: float = _MAX_AGE_SECONDS,
    ) -> None:
        self._connect = connect
        self._idle_seconds = idle_seconds
        self._max_age_seconds = max_age_seconds
        self._kept: dict[tuple[str, ...], _Kept] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<SocketPool of {len(self._kept)} connections>"

    @asynccontextmanager
    async def lease(self, request: SocketRequest) -> AsyncGenerator[AiohttpSocket, None]:
        """A connection for the block. One that is left by an exception is not used again."""
        key = request.shared_by
        known = self._kept.get(key)
        if not key or (known is not None and known.busy):
            socket = await self._connect(request)
            try:
                yield socket
            finally:
                self._close(socket, "done")
            return
        kept = known or self._kept.setdefault(key, _Kept())
        try:
            yield await self._take(kept, request)
        except BaseException:
            self._drop(key, kept)
            if kept.socket is not None:
                self._close(kept.socket, "done")
            raise
        self._put_back(key, kept)

    def forget(self, session_id: str) -> None:
        """Keep no connection of a session any longer; those in use are closed after it."""
        for key, kept in list(self._kept.items()):
            if key[0] == session_id:
                self._drop(key, kept)
                if kept.socket is not None and not kept.busy:
                    self._close(kept.socket, "debug_close")

    async def aclose(self) -> None:
        """Close every connection, and wait until that is done."""
        for key, kept in list(self._kept.items()):
            self._drop(key, kept)
            if kept.socket is not None:
                self._close(kept.socket, "done")
        while self._closing:
            await asyncio.wait(self._closing)

    # --- one connection -----------------------------------------------------------------------

    async def _take(self, kept: _Kept, request: SocketRequest) -> AiohttpSocket:
        """The kept connection if it can still be used, else a new one in its place."""
        loop = asyncio.get_running_loop()
        kept.busy = True
        _stop_timer(kept)
        if (old := kept.socket) is not None:
            aged = loop.time() - kept.opened_at >= self._max_age_seconds
            if not aged and await old.is_open():
                old.reused = True
                return old
            kept.socket = None
            self._close(old, "connection_age_limit" if aged else "done")
        kept.socket = await self._connect(request)
        kept.opened_at = loop.time()
        return kept.socket

    def _put_back(self, key: tuple[str, ...], kept: _Kept) -> None:
        assert kept.socket is not None
        if self._kept.get(key) is not kept:  # the session was forgotten meanwhile
            self._close(kept.socket, "debug_close")
            return
        kept.busy = False
        loop = asyncio.get_running_loop()
        kept.timer = loop.call_later(self._idle_seconds, self._expire, key, kept)

    def _expire(self, key: tuple[str, ...], kept: _Kept) -> None:
        self._drop(key, kept)
        if kept.socket is not None:
            self._close(kept.socket, "idle_timeout")

    def _drop(self, key: tuple[str, ...], kept: _Kept) -> None:
        _stop_timer(kept)
        if self._kept.get(key) is kept:
            del self._kept[key]

    def _close(self, socket: AiohttpSocket, reason: str) -> None:
        task = asyncio.get_running_loop().create_task(socket.close(reason))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _stop_timer(kept: _Kept) -> None:
    if kept.timer is not None:
        kept.timer.cancel()
        kept.timer = None
