"""The web service of the examples, as a process: what browsers get, and what they cost."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientResponse, ClientSession, CookieJar

from support.raw_server import CHUNKED, Peer, RawServer, Script, piece

EXAMPLE = Path(__file__).resolve().parents[1] / "examples/web_service"
KEY = "sk-very-secret-key"


def chunk(finish: str | None = None, **delta: Any) -> bytes:
    """One event of a streamed chat completion."""
    told = {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
    return piece(b"data: " + json.dumps(told).encode() + b"\n\n")


END = chunk("stop") + piece(b"data: [DONE]\n\n") + piece(b"")


async def answer(peer: Peer) -> None:
    await peer.send(CHUNKED, chunk(content="Nine "), chunk(content="to five."), END)


@dataclass
class Service:
    """The example as a process, behind it a provider."""

    process: asyncio.subprocess.Process
    provider: RawServer
    url: str

    def browser(self) -> ClientSession:
        return ClientSession(self.url, cookie_jar=CookieJar(unsafe=True))

    def asked(self, number: int) -> list[str]:
        """Who said something in a request to the provider, without the system."""
        body = json.loads(self.provider.requests[number].partition(b"\r\n\r\n")[2])
        return [message["role"] for message in body["messages"]][1:]


@contextlib.asynccontextmanager
async def serving(script: Script, files: Path, **environment: str) -> AsyncIterator[Service]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with RawServer(script) as provider:
        config = {"baseUrl": f"{provider.url}/v1", "api": "openai-completions", "apiKey": KEY}
        models = {"providers": {"own": {**config, "models": [{"id": "m"}]}}}
        path = Path.home() / ".pi/agent/models.json"  # HOME is the test's own
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(models))
        told = {"PORT": str(port), "MODEL": "own/m", "FILES": str(files), **environment}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(EXAMPLE)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **told},
        )
        try:
            assert process.stdout is not None
            assert b"Running on" in await process.stdout.readline()
            yield Service(process, provider, f"http://127.0.0.1:{port}")
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def records(response: ClientResponse) -> list[tuple[str, Any]]:
    """The events of a whole answer."""
    assert response.status == 200, await response.text()
    assert response.content_type == "text/event-stream"
    found = []
    for record in (await response.text()).split("\n\n")[:-1]:
        if not record.startswith(":"):
            name, data = record.split("\n")
            found.append((name.removeprefix("event: "), json.loads(data.removeprefix("data: "))))
    return found


async def begun(response: ClientResponse) -> None:
    """Read on until a piece of text has arrived."""
    async for line in response.content:
        if line == b"event: text\n":
            return


def test_browsers_talk_to_agents_of_their_own_and_see_no_secrets(tmp_path):
    (tmp_path / "hours.txt").write_text("private: nine to five")

    async def script(peer: Peer) -> None:
        if peer.number > 1:
            return await answer(peer)
        call = {"name": "read", "arguments": '{"path": "hours.txt"}'}
        calls = [{"index": 0, "id": "c", "type": "function", "function": call}]
        await peer.send(CHUNKED, chunk(tool_calls=calls), chunk("tool_calls"), END)

    async def main() -> None:
        async with serving(script, tmp_path) as service:
            async with service.browser() as one, service.browser() as other:
                async with one.get("/") as page:
                    assert "text/html" in page.headers["Content-Type"]
                async with one.post("/prompt", data="hi") as refused:
                    assert refused.status == 403
                for browser in (one, other, one):
                    async with browser.post("/conversation") as begun:
                        assert begun.status == 204
                cookies = {cookie.value for b in (one, other) for cookie in b.cookie_jar}
                assert len(cookies) == 2
                async with one.post("/prompt", data="When?") as response:
                    seen = str(response.headers) + await response.text()
                    text = [("text", "Nine "), ("text", "to five."), ("done", "stop")]
                    assert await records(response) == [("tool", "read"), *text]
                async with other.post("/prompt", data="And me?") as response:
                    assert await records(response) == text
                async with one.post("/prompt", data="Again?") as response:
                    assert await records(response) == text
            assert KEY in service.provider.requests[0].decode()
            for secret in (KEY, "private", "hours.txt", "toolCall", service.provider.url):
                assert secret not in seen
            first = ["user", "assistant", "tool"]
            assert [service.asked(n) for n in range(4)] == [
                ["user"],
                first,
                ["user"],
                [*first, "assistant", "user"],
            ]

    asyncio.run(main())


def test_a_browser_that_leaves_aborts_its_run_and_can_ask_again(tmp_path):
    async def script(peer: Peer) -> None:
        if peer.number > 1:
            return await answer(peer)
        await peer.send(CHUNKED, chunk(content="Half an answ"))
        await peer.stall()

    async def main() -> None:
        async with serving(script, tmp_path) as service, service.browser() as browser:
            await browser.post("/conversation")
            async with browser.post("/prompt", data="When?") as response:
                await begun(response)
                async with browser.post("/prompt", data="Well?") as busy:
                    assert busy.status == 409
                response.close()
            async with asyncio.timeout(5):
                await service.provider.all_closed()
                while True:
                    async with browser.post("/prompt", data="Again?") as response:
                        if response.status != 409:  # it has yet to settle
                            assert (await records(response))[-1] == ("done", "stop")
                            break
            assert service.asked(1) == ["user", "user"]
            assert len(service.provider.requests) == 2

    asyncio.run(main())


def test_silence_is_filled(tmp_path):
    async def script(peer: Peer) -> None:
        await peer.stall()

    async def main() -> None:
        async with (
            serving(script, tmp_path, HEARTBEAT_SECONDS="0.1") as service,
            service.browser() as browser,
        ):
            await browser.post("/conversation")
            async with browser.post("/prompt", data="When?") as response:
                lines = [await response.content.readline() for _ in range(6)]
            assert lines == [b": still here\n", b"\n"] * 3

    asyncio.run(main())


def test_a_browser_that_does_not_read_costs_no_memory(tmp_path):
    """200 MB of an answer for it; they stay with the provider."""
    sent = 0

    async def script(peer: Peer) -> None:
        nonlocal sent
        await peer.send(CHUNKED)
        while sent < 20_000:
            await peer.send(chunk(content="x" * 10_000))
            sent += 1

    async def main() -> tuple[int, int]:
        async with serving(script, tmp_path) as service, service.browser() as browser:
            await browser.post("/conversation")
            async with browser.post("/prompt", data="When?") as response:
                await begun(response)
                before = resident_mb(service.process.pid)
                await asyncio.sleep(1.5)
                sent_before = sent
                await asyncio.sleep(0.5)
                growth = resident_mb(service.process.pid) - before
                return growth, sent - sent_before

    growth, more = asyncio.run(main())
    assert growth < 40
    assert more == 0


def resident_mb(pid: int) -> int:
    told = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=True)
    return int(told.stdout) // 1024


def test_the_oldest_conversation_gives_way(tmp_path):
    async def main() -> None:
        async with (
            serving(answer, tmp_path, MAX_CONVERSATIONS="1") as service,
            service.browser() as one,
            service.browser() as other,
        ):
            for browser in (one, other):
                await browser.post("/conversation")
            async with one.post("/prompt", data="hi") as refused:
                assert refused.status == 403
            async with other.post("/prompt", data="hi") as response:
                assert (await records(response))[-1] == ("done", "stop")

    asyncio.run(main())


def test_a_signal_ends_it_and_its_answers(tmp_path):
    async def script(peer: Peer) -> None:
        await peer.send(CHUNKED, chunk(content="Half an answ"))
        await peer.stall()

    async def main() -> tuple[int | None, bytes]:
        async with serving(script, tmp_path) as service, service.browser() as browser:
            await browser.post("/conversation")
            async with browser.post("/prompt", data="When?") as response:
                await begun(response)
                service.process.send_signal(signal.SIGTERM)
                rest = await response.text()
            assert rest.endswith('event: done\ndata: "aborted"\n\n')
            async with asyncio.timeout(10):
                _, err = await service.process.communicate()
            return service.process.returncode, err

    assert asyncio.run(main()) == (0, b"")


def test_a_prompt_that_cannot_be_answered_says_no_more_than_that(tmp_path):
    async def main() -> tuple[list[tuple[str, Any]], str]:
        async with (
            serving(answer, tmp_path, MODEL="xai/grok-4") as service,
            service.browser() as browser,
        ):
            await browser.post("/conversation")
            async with browser.post("/prompt", data="When?") as response:
                found = await records(response)
            service.process.send_signal(signal.SIGTERM)
            _, err = await service.process.communicate()
            return found, err.decode()

    found, err = asyncio.run(main())
    assert found == [("done", "error")]
    assert "No API key found for xai" in err
