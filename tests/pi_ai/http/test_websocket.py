"""WebSockets that are kept for further requests: how long, and how they are closed."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from msgspec.structs import replace

from pi_ai.errors import (
    ProviderConnectionError,
    ProviderError,
    ProviderTimeoutError,
    WebSocketClosedError,
)
from pi_ai.http.client import AiohttpTransport
from pi_ai.http.transport import SocketRequest, SocketTransport
from pi_ai.http.websocket import AiohttpSocket, SocketPool, open_socket, refuse_redirects
from support.sockets import Peer, SocketServer


async def echo(peer: Peer, frame: Any) -> None:
    await peer.send(frame)


def asked(server: SocketServer, *shared_by: str) -> SocketRequest:
    url = server.url.replace("http", "ws")
    return SocketRequest(url=url, headers={"X-Test": "1"}, shared_by=shared_by)


async def one_turn(pool: SocketPool, request: SocketRequest) -> None:
    async with pool.lease(request) as socket:
        await socket.send("1")
        assert await socket.receive(5000) == b"1"


async def wait_in_vain(pool: SocketPool, request: SocketRequest) -> None:
    async with pool.lease(request) as socket:
        await socket.send("0")
        await socket.receive(20)


class Pool:
    """A pool with limits of its own, beside its client session."""

    def __init__(self, **limits: float) -> None:
        self._session = aiohttp.ClientSession(trace_configs=[refuse_redirects()])
        self.pool = SocketPool(self._connect, **limits)

    async def _connect(self, request: SocketRequest) -> AiohttpSocket:
        return await open_socket(self._session, request, None)

    async def __aenter__(self) -> SocketPool:
        return self.pool

    async def __aexit__(self, *_raised: object) -> None:
        await self.pool.aclose()
        await self._session.close()


def test_a_connection_that_is_not_used_is_closed() -> None:
    async def run() -> None:
        async with SocketServer(echo) as server, Pool(idle_seconds=0.03) as pool:
            await one_turn(pool, asked(server, "s"))
            await server.all_closed()
            assert server.handshakes[0].closed == (1000, "idle_timeout")
            await one_turn(pool, asked(server, "s"))
            assert len(server.handshakes) == 2

    asyncio.run(run())


def test_a_connection_in_use_is_not_idle() -> None:
    async def run() -> None:
        async with SocketServer(echo) as server, Pool(idle_seconds=0.02) as pool:
            await one_turn(pool, asked(server, "s"))
            async with pool.lease(asked(server, "s")) as socket:
                await asyncio.sleep(0.06)
                await socket.send("1")
                assert await socket.receive(5000) == b"1"

    asyncio.run(run())


def test_an_old_connection_is_replaced_when_it_is_next_wanted() -> None:
    async def run() -> None:
        async with SocketServer(echo) as server, Pool(max_age_seconds=0) as pool:
            await one_turn(pool, asked(server, "s"))
            assert server.handshakes[0].closed is None
            await one_turn(pool, asked(server, "s"))
            await server.until(lambda: server.handshakes[0].closed is not None)
            assert server.handshakes[0].closed == (1000, "connection_age_limit")
            assert len(server.handshakes) == 2

    asyncio.run(run())


def test_a_connection_that_failed_is_not_kept() -> None:
    async def run() -> None:
        async with SocketServer(echo) as server, Pool() as pool:
            with pytest.raises(RuntimeError, match="mine"):
                async with pool.lease(asked(server, "s")):
                    raise RuntimeError("mine")
            await server.all_closed()
            assert server.handshakes[0].closed == (1000, "done")
            await one_turn(pool, asked(server, "s"))
            assert len(server.handshakes) == 2

    asyncio.run(run())


def test_a_handshake_that_failed_leaves_nothing_behind() -> None:
    async def run() -> None:
        async with SocketServer(echo, refuse=401) as server, Pool() as pool:
            for _ in range(2):
                with pytest.raises(ProviderConnectionError, match="status 401") as raised:
                    await one_turn(pool, asked(server, "s"))
                assert raised.value.status == 401
                assert raised.value.__cause__ is None
            assert repr(pool) == "<SocketPool of 0 connections>"

    asyncio.run(run())


def test_a_session_may_be_forgotten_while_its_connection_is_in_use() -> None:
    async def run() -> None:
        async with SocketServer(echo) as server, Pool() as pool:
            async with pool.lease(asked(server, "s")) as socket:
                pool.forget("s")
                await socket.send("1")
                assert await socket.receive(5000) == b"1"
            await server.all_closed()
            assert server.handshakes[0].closed == (1000, "debug_close")

    asyncio.run(run())


def test_the_transport_offers_sockets_and_closes_them() -> None:
    async def run() -> None:
        transport = AiohttpTransport()
        assert isinstance(transport, SocketTransport)
        transport.forget_sockets("s")
        async with SocketServer(echo) as server:
            async with transport.connect(asked(server, "s")) as socket:
                await socket.send('"x"')
                assert await socket.receive(None) == b'"x"'
            assert repr(socket) == "<AiohttpSocket, open>"
            await transport.aclose()
            await server.all_closed()
            assert repr(socket) == "<AiohttpSocket, closed>"
            assert set(server.handshakes[0].headers) == {
                "host",
                "x-test",
                "upgrade",
                "connection",
                "accept-encoding",
                "sec-websocket-version",
                "sec-websocket-key",
            }

    asyncio.run(run())
    AiohttpTransport().forget_sockets("s")  # where no loop runs there is nothing to close


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_handshake_that_is_sent_elsewhere_takes_its_credentials_nowhere(status: int) -> None:
    async def run() -> int:
        transport = AiohttpTransport()
        async with SocketServer(echo) as thief:
            location = f"{thief.url.replace('127.0.0.1', 'localhost')}/elsewhere"
            async with SocketServer(echo, refuse=status, location=location) as server:
                headers = {"Authorization": "Bearer sekrit", "chatgpt-account-id": "acc"}
                request = replace(asked(server, "s"), headers=headers)
                with pytest.raises(ProviderConnectionError, match=f"status {status}") as raised:
                    async with transport.connect(request):
                        pass
                assert raised.value.status == status
                assert raised.value.__cause__ is None  # it would hold the headers
                assert server.refused == 1
                await transport.aclose()
            return thief.seen

    assert asyncio.run(run()) == 0


def test_what_cannot_be_opened_says_why() -> None:
    async def run() -> None:
        transport = AiohttpTransport()
        async with SocketServer(echo) as server:
            for url, headers, text in (
                ("ws://127.0.0.1:1/", {}, "WebSocket error: "),
                ("nonsense", {}, "Invalid URL: 'nonsense'"),
                (asked(server).url, {"A": "sec\nret"}, "Invalid request header"),
            ):
                with pytest.raises(ProviderError, match=text) as raised:
                    async with transport.connect(SocketRequest(url=url, headers=headers)):
                        pass
                assert "sec" not in str(raised.value)
            await transport.aclose()

    asyncio.run(run())


def test_the_wait_for_a_frame_is_limited_and_not_the_whole_answer() -> None:
    async def say(peer: Peer, frame: Any) -> None:
        for _ in range(frame):
            await asyncio.sleep(0.03)
            await peer.send("x")

    async def run() -> None:
        async with SocketServer(say) as server, Pool() as pool:
            async with pool.lease(asked(server, "s")) as socket:
                await socket.send("6")
                for _ in range(6):  # twice the limit in all
                    assert await socket.receive(90) == b'"x"'
            with pytest.raises(ProviderTimeoutError) as raised:
                await wait_in_vain(pool, asked(server, "s"))  # shorter than the limit before
            assert str(raised.value) == "WebSocket idle timeout after 20ms"
            assert raised.value.retryable
            await server.all_closed()
            assert repr(pool) == "<SocketPool of 0 connections>"

    asyncio.run(run())


def test_a_server_that_hangs_is_not_waited_for() -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await asyncio.sleep(0.5)  # hears no goodbye either

    async def run() -> float:
        async with SocketServer(say) as server, Pool() as pool:
            started = asyncio.get_running_loop().time()
            with pytest.raises(ProviderTimeoutError):
                await wait_in_vain(pool, asked(server))
            return asyncio.get_running_loop().time() - started

    assert asyncio.run(run()) < 0.3


def test_frames_cost_no_timer_each(monkeypatch: pytest.MonkeyPatch) -> None:
    async def say(peer: Peer, frame: Any) -> None:
        await peer.send(*range(frame))

    async def run() -> int:
        timers: list[float] = []
        async with SocketServer(say) as server, Pool() as pool:
            async with pool.lease(asked(server)) as socket:
                await socket.send("200")
                loop = asyncio.get_running_loop()
                real = loop.call_at

                def counted(when: float, *rest: Any, **more: Any) -> Any:
                    if when > loop.time() + 10:
                        timers.append(when)
                    return real(when, *rest, **more)

                monkeypatch.setattr(loop, "call_at", counted)
                for number in range(200):
                    assert await socket.receive(60_000) == str(number).encode()
        return len(timers)

    assert asyncio.run(run()) == 1


def test_how_a_server_closes_is_told() -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await peer.close(4001, "why")

    async def run() -> WebSocketClosedError:
        async with SocketServer(say) as server, Pool() as pool:
            with pytest.raises(WebSocketClosedError) as raised:
                await one_turn(pool, asked(server))
            await server.all_closed()
            return raised.value

    error = asyncio.run(run())
    assert (str(error), error.close_code) == ("WebSocket closed 4001 why", 4001)
    assert error.retryable
