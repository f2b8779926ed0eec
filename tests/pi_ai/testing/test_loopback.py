"""The loopback server: what it receives, what it sends, how it breaks off."""

from __future__ import annotations

import asyncio
import gc

import aiohttp
import pytest

from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from support.exchanges import streamed


def test_a_request_is_seen_whole_and_answered() -> None:
    def answer(request: LoopbackRequest) -> LoopbackResponse:
        return LoopbackResponse(request.body[::-1], 201, {"X-Own": "1"})

    async def main() -> None:
        async with LoopbackServer(answer) as server, aiohttp.ClientSession() as session:
            url = f"{server.url}/path?q=1"
            async with session.post(url, data=b'{"a":1}', headers={"X-Name": "v"}) as response:
                assert response.status == 201
                assert response.headers["X-Own"] == "1"
                assert await response.read() == b'}1:"a"{'
            [request] = server.requests
            assert (request.method, request.path) == ("POST", "/path?q=1")
            assert request.headers["x-name"] == "v"
            assert request.json() == {"a": 1}

    asyncio.run(main())


def test_a_streamed_body_arrives_piece_by_piece() -> None:
    async def main() -> list[bytes]:
        answer = LoopbackResponse(streamed(b"a", b"b", b"c", pause=0.02))
        async with LoopbackServer(lambda _request: answer) as server:
            async with aiohttp.ClientSession() as session, session.get(server.url) as response:
                return [chunk async for chunk in response.content.iter_any()]

    assert asyncio.run(main()) == [b"a", b"b", b"c"]


@pytest.mark.parametrize("status", [204, 304, 418, 529, 599])
def test_any_status_can_be_sent(status: int) -> None:
    async def main() -> tuple[int, int]:
        answer = LoopbackResponse(status=status)
        async with LoopbackServer(lambda _request: answer) as server:
            async with aiohttp.ClientSession() as session:
                async with session.get(server.url) as first:
                    await first.read()
                async with session.get(server.url) as second:
                    await second.read()
                return first.status, second.status

    assert asyncio.run(main()) == (status, status)


def test_abort_breaks_the_body_off() -> None:
    async def main() -> None:
        answer = LoopbackResponse(b"half", abort=True)
        async with LoopbackServer(lambda _request: answer) as server:
            async with aiohttp.ClientSession() as session, session.get(server.url) as response:
                with pytest.raises(aiohttp.ClientError):
                    await response.read()

    asyncio.run(main())


def test_closing_ends_answers_that_still_run_and_leaves_no_task() -> None:
    async def main() -> None:
        answer = LoopbackResponse(streamed(b"a", b"b", pause=30))
        async with aiohttp.ClientSession() as session:
            async with LoopbackServer(lambda _request: answer) as server:
                response = await session.get(server.url)
                assert await response.content.readany() == b"a"
                assert server.open_connections == 1
            with pytest.raises(aiohttp.ClientError):
                await response.read()
            response.close()
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(main())
    gc.collect()


def test_a_client_that_left_during_an_answer_is_not_counted() -> None:
    async def main() -> None:
        answer = LoopbackResponse(streamed(b"a", b"b", pause=30))
        async with LoopbackServer(lambda _request: answer) as server:
            async with aiohttp.ClientSession() as session, session.get(server.url) as response:
                await response.content.readany()
            async with asyncio.timeout(1):
                while server.open_connections:
                    await asyncio.sleep(0.005)

    asyncio.run(main())


def test_the_url_is_known_only_while_it_runs() -> None:
    server = LoopbackServer(lambda _request: LoopbackResponse())
    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
