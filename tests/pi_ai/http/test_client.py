"""The aiohttp transport: connections, bodies, limits and what its failures are called."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pi_ai.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
)
from pi_ai.http.client import AiohttpTransport
from pi_ai.http.transport import HttpRequest
from pi_ai.testing import LoopbackResponse, LoopbackServer
from support.raw_server import CHUNKED, OK_HEAD, Peer, RawServer, piece


def request(url: str, body: bytes = b"{}", **limits: Any) -> HttpRequest:
    return HttpRequest(url=url, headers={"X-Test": "1"}, body=body, **limits)


async def read_all(transport: AiohttpTransport, asked: HttpRequest) -> bytes:
    async with transport.post(asked) as response:
        return b"".join([chunk async for chunk in response.chunks()])


async def fetch(url: str, **limits: Any) -> bytes:
    transport = AiohttpTransport()
    try:
        return await read_all(transport, request(url, **limits))
    finally:
        await transport.aclose()


def test_only_the_headers_of_the_request_are_sent() -> None:
    async def run() -> LoopbackServer:
        async with LoopbackServer(lambda _request: LoopbackResponse(b"x")) as server:
            await fetch(server.url)
            return server

    [got] = asyncio.run(run()).requests
    assert got.method == "POST"
    assert set(got.headers) == {"host", "x-test", "accept-encoding", "content-length"}


def test_a_connection_is_used_again_once_its_body_was_read() -> None:
    async def run() -> tuple[int, int]:
        connections = 0

        async def script(peer: Peer) -> None:
            nonlocal connections
            connections += 1
            answer = OK_HEAD + b"Content-Length: 1\r\n\r\nx"
            await peer.send(answer)
            await asyncio.sleep(0.05)
            await peer.send(answer)
            await peer.stall()

        transport = AiohttpTransport()
        async with RawServer(script) as server:
            await read_all(transport, request(server.url))
            await read_all(transport, request(server.url))
            still_open = server.open
            await transport.aclose()
            await asyncio.wait_for(server.all_closed(), 1)
        return connections, still_open

    assert asyncio.run(run()) == (1, 1)


def test_leaving_early_closes_the_connection() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, piece(b"x"))
        await peer.stall()

    async def run() -> None:
        transport = AiohttpTransport()
        async with RawServer(script) as server:
            async with transport.post(request(server.url)) as response:
                chunks = response.chunks()
                assert await anext(chunks) == b"x"
                await chunks.aclose()
            await asyncio.wait_for(server.all_closed(), 1)
        await transport.aclose()

    asyncio.run(run())


def test_a_large_body_arrives_whole_and_without_a_warning() -> None:
    body = bytes(range(256)) * 16_384  # 4 MB

    async def run() -> bytes:
        async with LoopbackServer(lambda _request: LoopbackResponse(b"ok")) as server:
            transport = AiohttpTransport()
            await read_all(transport, request(server.url, body))
            await transport.aclose()
            return server.requests[0].body

    assert asyncio.run(run()) == body


def test_long_response_headers_are_accepted() -> None:
    answer = LoopbackResponse(b"ok", headers={"X-Policy": "p" * 20_000})

    async def run() -> bytes:
        async with LoopbackServer(lambda _request: answer) as server:
            return await fetch(server.url)

    assert asyncio.run(run()) == b"ok"


def test_reading_is_limited_in_size() -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0)

    async def run() -> bytes:
        transport = AiohttpTransport()
        async with LoopbackServer(lambda _request: LoopbackResponse(endless())) as server:
            async with transport.post(request(server.url)) as response:
                body = await response.read(2500)
            await transport.aclose()
            return body

    assert asyncio.run(run()) == b"x" * 2500


async def closed_port() -> str:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    return f"http://127.0.0.1:{port}/"


def failure(url: str) -> ProviderError:
    async def run() -> ProviderError:
        with pytest.raises(ProviderError) as caught:
            await fetch(url)
        return caught.value

    return asyncio.run(run())


def test_refused_connection_names_its_cause() -> None:
    error = failure(asyncio.run(closed_port()))
    assert isinstance(error, ProviderConnectionError)
    assert error.retryable
    assert str(error).startswith("Connection error.: ")
    assert "ECONNREFUSED" in str(error) or "refused" in str(error)


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/", "no url", "http://", "http://[::1/", "http:///path"]
)
def test_invalid_urls_are_told_apart_from_lost_connections(url: str) -> None:
    error = failure(url)
    assert str(error).startswith("Invalid URL: ")
    assert not error.retryable


def test_a_line_break_in_a_header_is_refused_without_showing_the_value() -> None:
    async def run() -> ProviderError:
        transport = AiohttpTransport()
        async with LoopbackServer(lambda _request: LoopbackResponse()) as server:
            asked = HttpRequest(url=server.url, headers={"A": "se\ncret"}, body=b"")
            with pytest.raises(ProviderError) as caught:
                await read_all(transport, asked)
        await transport.aclose()
        return caught.value

    error = asyncio.run(run())
    assert not error.retryable
    assert "cret" not in str(error)


def test_idle_limit_does_not_count_the_time_the_reader_takes() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, piece(b"a"))
        await asyncio.sleep(0.05)
        await peer.send(piece(b"b"), piece(b""))

    async def run() -> list[bytes]:
        transport = AiohttpTransport()
        got: list[bytes] = []
        async with RawServer(script) as server:
            asked = request(server.url, idle_timeout_ms=100)
            async with transport.post(asked) as response:
                async for chunk in response.chunks():
                    got.append(chunk)
                    await asyncio.sleep(0.25)
            await transport.aclose()
        return got

    assert asyncio.run(run()) == [b"a", b"b"]


def test_idle_limit_ends_a_body_that_stalls() -> None:
    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, piece(b"a"))
        await peer.stall()

    async def run() -> ProviderError:
        async with RawServer(script) as server:
            with pytest.raises(ProviderTimeoutError) as caught:
                await fetch(server.url, idle_timeout_ms=80)
            await asyncio.wait_for(server.all_closed(), 1)
        return caught.value

    error = asyncio.run(run())
    assert str(error) == "Request timed out: no data received for 0.08 s"
    assert error.retryable


def test_one_transport_serves_one_loop_after_the_other_and_keeps_none_of_them() -> None:
    transport = AiohttpTransport()

    async def run() -> weakref.ref[Any]:
        async with LoopbackServer(lambda _request: LoopbackResponse(b"ok")) as server:
            assert await read_all(transport, request(server.url)) == b"ok"
        return weakref.ref(asyncio.get_running_loop())

    loops = [asyncio.run(run()) for _ in range(2)]  # no aclose: the loop's end closes the pool
    assert repr(transport) == "<AiohttpTransport, 0 loops>"
    gc.collect()
    assert [loop() for loop in loops] == [None, None]


def test_proxies_of_the_environment_are_used_unless_excluded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def run() -> list[str]:
        async with LoopbackServer(lambda _request: LoopbackResponse(b"proxied")) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            assert await fetch("http://model.example/v1") == b"proxied"
            monkeypatch.setenv("no_proxy", "127.0.0.1")
            async with LoopbackServer(lambda _request: LoopbackResponse(b"direct")) as server:
                assert await fetch(server.url) == b"direct"
            return [seen.path for seen in proxy.requests]

    assert asyncio.run(run()) == ["http://model.example/v1"]
