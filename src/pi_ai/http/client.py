"""The transport over aiohttp. Only this package imports aiohttp, and only when a request is made.

Connections are pooled per event loop. They are closed by `aclose()`, and otherwise when the loop
shuts its async generators down, as `asyncio.run` does at its end.
"""

from __future__ import annotations

import asyncio
import errno
import math
import os
import urllib.request
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from io import BytesIO
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import aiohttp

from pi_ai.errors import ProviderConnectionError, ProviderError, ProviderTimeoutError
from pi_ai.http.transport import HttpRequest, SocketRequest
from pi_ai.http.websocket import AiohttpSocket, SocketPool, open_socket, refuse_redirects

__all__ = ("AiohttpResponse", "AiohttpTransport")

# aiohttp warns of larger bodies given as bytes, since it would write them in one go.
_LARGE_BODY_BYTES = 1 << 20
# Servers behind several proxies send long headers (policies, traces); aiohttp's limit is 8 KB.
_HEADER_LINE_BYTES = 1 << 16
# How often a waiting response is looked at, and how soon again when its connection seems gone.
_LOOK_SECONDS = 1.0
_LOOK_AGAIN_SECONDS = 0.05
# How long the end of a body may keep an otherwise finished exchange, so that its connection can
# be used again: most servers send the last bytes of a stream together with its end marker.
_DRAIN_SECONDS = 0.05

# Looked at first: collecting every proxy setting walks through the whole environment.
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


class AiohttpTransport:
    """Sends requests with aiohttp. One instance may be shared by any number of agents and loops."""

    def __init__(self) -> None:
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"<AiohttpTransport, {len(self._pools)} loops>"

    @asynccontextmanager
    async def post(self, request: HttpRequest) -> AsyncGenerator[AiohttpResponse, None]:
        """See `Transport.post`."""
        pool = await self._pool()
        raw = await _send(pool.session, request)
        response = AiohttpResponse(raw, request.idle_timeout_ms)
        del request  # its body is not needed while the answer streams
        try:
            yield response
        except BaseException:
            raw.close()
            raise
        else:
            await response.finish()

    @asynccontextmanager
    async def connect(self, request: SocketRequest) -> AsyncGenerator[AiohttpSocket, None]:
        """See `SocketTransport.connect`."""
        pool = await self._pool()
        async with pool.sockets.lease(request) as socket:
            yield socket

    def forget_sockets(self, session_id: str) -> None:
        """See `SocketTransport.forget_sockets`."""
        try:
            pool = self._pools.get(asyncio.get_running_loop())
        except RuntimeError:  # no loop runs here, so that none of its sockets can be closed
            return
        if pool is not None:
            pool.sockets.forget(session_id)

    async def aclose(self) -> None:
        """Close the pool of the running event loop."""
        pool = self._pools.pop(asyncio.get_running_loop(), None)
        if pool is not None:
            await pool.keeper.aclose()

    async def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None or pool.session.closed:
            pool = self._pools[loop] = _Pool(lambda: self._pools.pop(loop, None))
            await pool.open()
        return pool


class _Pool:
    """The connections of one event loop. `forget` is called when they are closed."""

    def __init__(self, forget: Callable[[], object]) -> None:
        self.session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            max_line_size=_HEADER_LINE_BYTES,
            max_field_size=_HEADER_LINE_BYTES,
            trace_configs=[refuse_redirects()],
        )
        self.sockets = SocketPool(self._connect)
        self._forget = forget
        self.keeper = self._keep()

    async def open(self) -> None:
        """Have the event loop close the pool when it shuts down."""
        await anext(self.keeper)

    async def _keep(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._forget()  # the session holds its loop, which the transport knows only weakly
            try:
                await self.sockets.aclose()
            finally:
                await self.session.close()

    async def _connect(self, request: SocketRequest) -> AiohttpSocket:
        return await open_socket(self.session, request, _proxy_for(request.url))


async def _send(session: aiohttp.ClientSession, request: HttpRequest) -> aiohttp.ClientResponse:
    limit = request.header_timeout_ms
    body = request.body if len(request.body) < _LARGE_BODY_BYTES else BytesIO(request.body)
    try:
        async with asyncio.timeout(limit / 1000 if limit else None):
            return await session.post(
                request.url,
                data=body,
                headers=request.headers,
                proxy=_proxy_for(request.url),
                allow_redirects=False,  # a redirect would carry the key to another host
            )
    except TimeoutError as error:
        raise ProviderTimeoutError("Request timed out.", retryable=True) from error
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError) as error:
        raise ProviderError(f"Invalid URL: {request.url!r}. Check the model's base_url.") from error
    except ValueError as error:  # a line break in a header; the text names no value
        raise ProviderError(f"Invalid request header: {error}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise ProviderConnectionError(
            f"Connection error.: {_cause_text(error)}", retryable=True
        ) from error


class AiohttpResponse:
    """An answer whose headers have arrived; see `HttpResponse`."""

    def __init__(self, raw: aiohttp.ClientResponse, idle_timeout_ms: float | None) -> None:
        self._raw = raw
        self._watch = _Watch(raw, idle_timeout_ms)

    def __repr__(self) -> str:
        return f"<AiohttpResponse {self.status}>"

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self._raw.status

    @property
    def reason(self) -> str:
        """What the server calls the status, "" if it says nothing."""
        return self._raw.reason or ""

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, with lower-case names."""
        return {name.lower(): value for name, value in self._raw.headers.items()}

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """The body as it arrives."""
        content = self._raw.content
        watch = self._watch
        try:
            while True:
                watch.wait()
                chunk = await content.readany()
                watch.waiting_since = None
                if not chunk:
                    return
                yield chunk
                del chunk  # not kept while the next one is awaited
        except (aiohttp.ClientError, OSError) as error:
            raise _lost(error) from error
        finally:
            watch.stop()

    async def read(self, limit_bytes: int) -> bytes:
        """The rest of the body, at most `limit_bytes` of it."""
        pieces: list[bytes] = []
        size = 0
        async with aclosing(self.chunks()) as chunks:
            async for chunk in chunks:
                pieces.append(chunk)
                size += len(chunk)
                if size >= limit_bytes:
                    break
        return b"".join(pieces)[:limit_bytes]

    async def finish(self) -> None:
        """Give the connection back to the pool if the body is at its end, else close it."""
        if not self._raw.content.at_eof():
            try:
                async with asyncio.timeout(_DRAIN_SECONDS):
                    while await self._raw.content.readany():
                        pass
            except (TimeoutError, aiohttp.ClientError, OSError, ProviderTimeoutError):
                self._raw.close()
                return
        self._raw.release()


class _Watch:
    """Fails a body that somebody waits for in vain: nothing comes for too long, or ever again.

    One timer per response that looks now and then: a timer per chunk would cost more than
    decoding the chunk does.
    """

    def __init__(self, raw: aiohttp.ClientResponse, limit_ms: float | None) -> None:
        self.waiting_since: float | None = None
        self._raw = raw
        self._limit = limit_ms / 1000 if limit_ms else math.inf
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._seen_gone = False

    def wait(self) -> None:
        """A read begins."""
        self.waiting_since = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_later(min(_LOOK_SECONDS, self._limit), self._look)

    def stop(self) -> None:
        """No further read."""
        self.waiting_since = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._loop.time()
        since = now if self.waiting_since is None else self.waiting_since
        if now - since >= self._limit:
            text = f"Request timed out: no data received for {self._limit:g} s"
            self._fail(ProviderTimeoutError(text, retryable=True))
            return
        pause = _LOOK_SECONDS
        if self.waiting_since is not None and self._is_gone():
            if self._seen_gone:
                self._fail(_lost(aiohttp.ClientPayloadError("the connection was closed")))
                return
            self._seen_gone = True  # its end may be on the way to the reader: look once more
            pause = _LOOK_AGAIN_SECONDS
        self._timer = self._loop.call_at(min(now + pause, since + self._limit), self._look)

    def _is_gone(self) -> bool:
        """Whether the connection is closed. aiohttp does not always tell its reader.

        In 3.14 it forgets to after a broken chunk size and a compressed body that is cut short.
        """
        connection = self._raw.connection
        if connection is None:  # the body has arrived whole
            return False
        return connection.transport is None or connection.transport.is_closing()

    def _fail(self, error: ProviderError) -> None:
        self._timer = None
        self._raw.content.set_exception(error)


def _lost(error: Exception) -> ProviderConnectionError:
    return ProviderConnectionError(f"terminated: {_cause_text(error)}", retryable=True)


def _cause_text(error: BaseException) -> str:
    """The text of the deepest cause, with its errno name if the text lacks it."""
    for _ in range(5):
        deeper = error.__cause__ or (
            error.os_error if isinstance(error, aiohttp.ClientConnectorError) else None
        )
        if deeper is None:
            break
        error = deeper
    text = str(error) or type(error).__name__
    code = errno.errorcode.get(error.errno or 0) if isinstance(error, OSError) else None
    return f"{text} ({code})" if code and code not in text else text


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for this URL, if any."""
    if not any(name in os.environ for name in _PROXY_VARIABLES):
        return None
    proxies = urllib.request.getproxies_environment()
    parts = urlsplit(url)
    host = parts.hostname or ""
    if urllib.request.proxy_bypass(host):  # by the environment alone, as there are proxies in it
        return None
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    proxy = proxies.get(scheme)
    return proxy if proxy and urlsplit(proxy).scheme in {"http", "https"} else None
