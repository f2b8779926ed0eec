"""The callback server against browsers, web pages and worse. Auth spec, sections 4 and 13."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from pi_ai.auth.oauth import callback_server
from pi_ai.auth.oauth.callback_server import CallbackServer, ExpectedCallback
from pi_ai.secrets import Secret
from pi_ai.testing.login_server import free_port
from support.logins import is_free

STATE = "s" * 43
GOOD = f"/callback?code=GOOD&state={STATE}"
EXPECTED = ExpectedCallback(
    provider="Anthropic", path="/callback", state=Secret(STATE), required={}
)


class Browser:
    """Raw requests to a callback server."""

    def __init__(self, server: CallbackServer) -> None:
        self.server = server

    async def send(self, data: bytes, host: str = "127.0.0.1") -> bytes:
        """The whole response to `data`; b"" if the connection just ended."""
        reader, writer = await asyncio.open_connection(host, self.server.port)
        try:
            writer.write(data)
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()

    async def get(self, target: str, method: str = "GET", **headers: str) -> bytes:
        headers = {"Host": f"localhost:{self.server.port}", **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        return await self.send(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))

    async def succeed(self) -> None:
        """A good callback works, as before."""
        assert not self.server.received.done()
        page = asyncio.create_task(self.get(GOOD))
        callback = await asyncio.wait_for(self.server.received, 5)
        callback.answer()
        assert status(await page) == 200
        assert callback.query["code"] == "GOOD"


@asynccontextmanager
async def serving(expected: ExpectedCallback = EXPECTED, **options: Any) -> AsyncIterator[Browser]:
    server = await CallbackServer.start(expected, "127.0.0.1", 0, **options)
    port = server.port
    try:
        yield Browser(server)
    finally:
        await asyncio.wait_for(server.aclose(), 5)
    assert is_free(port)
    assert len(asyncio.all_tasks()) == 1


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def test_auth_check_31_the_page_at_the_end_tells_browsers_to_keep_nothing() -> None:
    async def run() -> bytes:
        async with serving() as browser:
            page = asyncio.create_task(browser.get(GOOD))
            (await browser.server.received).answer()
            return await page

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")
    start, *lines = head.decode().split("\r\n")
    assert start == "HTTP/1.1 200 OK"
    assert dict(line.split(": ", 1) for line in lines) == {
        "content-type": "text/html; charset=utf-8",
        "cache-control": "no-store",
        "connection": "close",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
        "content-length": str(len(body)),
    }
    assert b"Signed in to Anthropic. You may now close this page." in body
    assert b"GOOD" not in body
    assert STATE.encode() not in body


@pytest.mark.parametrize(
    ("target", "method", "expected", "text"),
    [
        pytest.param("/other?code=x&state={S}", "GET", 404, "Not found.", id="path"),
        pytest.param("/callback/?code=x&state={S}", "GET", 404, "Not found.", id="longer-path"),
        pytest.param("/%63allback?code=x&state={S}", "GET", 404, "Not found.", id="escaped-path"),
        pytest.param("/favicon.ico", "GET", 404, "Not found.", id="favicon"),
        pytest.param("/callback?code=x&state=bad", "GET", 400, "State mismatch.", id="state"),
        pytest.param("/callback?code=x&state=", "GET", 400, "State mismatch.", id="empty-state"),
        pytest.param("/callback?code=x", "GET", 400, "State mismatch.", id="no-state"),
        pytest.param("/callback?code=x&state=%C3%A9", "GET", 400, "State mismatch.", id="unicode"),
        pytest.param("/callback?error=x&state=b", "GET", 400, "State mismatch.", id="error-state"),
        pytest.param("/callback?error=x", "GET", 400, "State mismatch.", id="error-no-state"),
        pytest.param(
            "/callback?state={S}", "GET", 400, "Missing authorization code.", id="no-code"
        ),
        pytest.param(
            "/callback?state={S}&code=+", "GET", 400, "Missing authorization code.", id="blank"
        ),
        pytest.param(GOOD, "POST", 404, "Not found.", id="POST"),
        pytest.param(GOOD, "HEAD", 404, "", id="HEAD"),
        pytest.param(GOOD, "OPTIONS", 404, "Not found.", id="OPTIONS"),
        pytest.param(GOOD, "get", 404, "Not found.", id="lower-case"),
        pytest.param(f"{GOOD}&code=x", "GET", 400, "Repeated parameter.", id="two-codes"),
        pytest.param(f"{GOOD}&state={{S}}", "GET", 400, "Repeated parameter.", id="two-states"),
        pytest.param(f"{GOOD}&error=&error=", "GET", 400, "Repeated parameter.", id="two-errors"),
        pytest.param(
            "http://localhost/callback?code=x&state={S}",
            "GET",
            400,
            "Malformed request target.",
            id="absolute",
        ),
        pytest.param("//", "GET", 400, "Malformed request target.", id="slashes"),
        pytest.param("//callback?x", "GET", 400, "Malformed request target.", id="two-slashes"),
        pytest.param("*", "OPTIONS", 400, "Malformed request target.", id="asterisk"),
        pytest.param(f"{GOOD}&x=%zz", "GET", 400, "Malformed request target.", id="percent-escape"),
        pytest.param(f"{GOOD}%", "GET", 400, "Malformed request target.", id="percent-at-end"),
        pytest.param(f"{GOOD}\0", "GET", 400, "Malformed request.", id="NUL"),
        pytest.param(f"{GOOD} x", "GET", 400, "Malformed request.", id="blank-in-target"),
        pytest.param("/callback?\xe9", "GET", 400, "Malformed request.", id="latin-1"),
    ],
)
def test_auth_checks_31_and_33_other_requests_leave_the_login_waiting(
    target: str, method: str, expected: int, text: str
) -> None:
    async def run() -> None:
        async with serving() as browser:
            response = await browser.get(target.replace("{S}", STATE), method)
            assert status(response) == expected
            body = response.partition(b"\r\n\r\n")[2].decode()
            assert (f"<p>{text}</p>" in body) if text else body == ""
            assert b"access-control" not in response.lower()
            await browser.succeed()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("evil.example", 400),
        ("evil.example:1455", 400),
        ("localhost.evil.example", 400),
        ("127.0.0.1.evil.example", 400),
        ("127.0.0.1@evil.example", 400),
        ("[::2]:1", 400),
        ("", 400),
        ("localhost, evil.example", 400),
        ("localhost:99", 404),
        ("LOCALHOST", 404),
        ("127.0.0.1", 404),
        ("[::1]:8080", 404),
    ],
)
def test_auth_check_33_only_own_names_are_answered(host: str, expected: int) -> None:
    async def run() -> None:
        async with serving() as browser:
            assert status(await browser.get("/elsewhere", Host=host)) == expected
            if expected == 400:
                assert status(await browser.get(GOOD, Host=host)) == 400
            await browser.succeed()

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        b"GET /callback HTTP/1.1\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: localhost\r\nno colon\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: localhost\r\nX: a\nb\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: localhost\r\nX: \0\r\n\r\n",
        b"GET /callback HTTP/2\r\nHost: localhost\r\n\r\n",
        b"GET /callback\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
    ],
    ids=["no-host", "two-hosts", "no-colon", "line-feed", "NUL", "HTTP/2", "HTTP/0.9", "TLS"],
)
def test_auth_check_33_malformed_requests_are_refused(data: bytes) -> None:
    async def run() -> None:
        async with serving() as browser:
            assert status(await browser.send(data)) == 400
            await browser.succeed()

    asyncio.run(run())


@pytest.mark.parametrize(
    "data",
    [
        b"GET /callback?x=" + b"a" * 20_480 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /callback?x=" + b"a" * 9_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /callback HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9_000 + b"\r\n\r\n",
        b"GET /callback HTTP/1.1\r\n" + b"X: y\r\n" * 200_000,
    ],
    ids=["20-KiB-query", "9-KiB-query", "9-KiB-header", "endless-headers"],
)
def test_auth_check_33_long_requests_are_cut_off(data: bytes) -> None:
    async def run() -> None:
        async with serving() as browser:
            reader, writer = await asyncio.open_connection("127.0.0.1", browser.server.port)
            writer.write(data)
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)
            assert answer == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
            with suppress(ConnectionError):  # closed over what it would not read
                await asyncio.wait_for(reader.read(), 5)
            writer.close()
            await browser.succeed()

    asyncio.run(run())


def test_auth_check_33_a_second_callback_is_refused() -> None:
    async def run() -> None:
        async with serving() as browser:
            first = asyncio.create_task(browser.get(GOOD))
            callback = await browser.server.received
            second = await browser.get(GOOD.replace("GOOD", "OTHER"))
            assert status(second) == 409
            assert b"This sign-in has already been handled." in second
            assert status(await browser.get("/callback?error=x&state=" + STATE)) == 409
            assert status(await browser.get("/callback?code=x&state=bad")) == 400
            callback.answer()
            assert status(await first) == 200
            assert callback.query["code"] == "GOOD"

    asyncio.run(run())


def test_auth_check_32_a_refusal_is_escaped_on_the_page_and_clean_in_the_message() -> None:
    async def run() -> None:
        async with serving() as browser:
            told = "%3Cscript%3E%22'%26%0d%0aX-Evil:+1%00%1b" + "y" * 500
            page = await browser.get(f"/callback?state={STATE}&error=e&error_description={told}")
            assert status(page) == 400
            assert b"&lt;script&gt;&quot;&#x27;&amp;" in page
            assert b"<script>" not in page
            assert b"\r\nX-Evil" not in page
            denied = (await browser.server.received).denied
            assert denied is not None
            assert denied.startswith("Anthropic authorization failed: <script>\"'&")
            assert denied.isprintable()
            assert len(denied) <= 340

    asyncio.run(run())


def test_a_failure_after_the_callback_is_told_to_the_browser() -> None:
    async def run() -> None:
        async with serving() as browser:
            page = asyncio.create_task(browser.get(GOOD))
            (await browser.server.received).answer("It <failed>")
            answer = await page
            assert status(answer) == 502
            assert b"It &lt;failed&gt;" in answer

    asyncio.run(run())


def test_closing_answers_the_browser_that_waits() -> None:
    async def run() -> bytes:
        async with serving() as browser:
            page = asyncio.create_task(browser.get(GOOD))
            await browser.server.received
        return await page

    answer = asyncio.run(run())
    assert status(answer) == 502
    assert b"The login was cancelled." in answer


@pytest.mark.parametrize("sent", [b"", b"GET /callback?code=x", b"GET / HTTP/1.1\r\nHost: lo"])
def test_auth_check_33_unfinished_requests_are_dropped_in_time(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(callback_server, "_READ_SECONDS", 0.05)

    async def run() -> None:
        async with serving() as browser:
            assert await browser.send(sent) == b""
            await browser.succeed()

    asyncio.run(run())


def test_auth_check_33_idle_connections_are_capped_and_hold_nobody_up() -> None:
    async def run() -> None:
        async with serving() as browser:
            port = browser.server.port
            idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
            for _, writer in idle[:50]:
                writer.write(b"GET /callback")
            await browser.succeed()
            ended = [asyncio.create_task(reader.read()) for reader, _ in idle]
            await asyncio.wait(ended[:60], timeout=5)
            assert sum(task.done() for task in ended) >= 68
            begun = time.monotonic()
            await browser.server.aclose()
            assert time.monotonic() - begun < 0.9  # nobody is waited for
            await asyncio.wait_for(asyncio.gather(*ended, return_exceptions=True), 5)
            for _, writer in idle:
                writer.close()

    asyncio.run(run())


def test_auth_check_33_the_end_of_a_login_does_not_wait_for_a_browsers_spare_connection() -> None:
    async def run() -> None:
        async with serving() as browser:
            spare = await asyncio.open_connection("127.0.0.1", browser.server.port)
            await browser.succeed()
            begun = time.monotonic()
            await browser.server.aclose()
            assert time.monotonic() - begun < 0.9
            assert await asyncio.wait_for(spare[0].read(), 5) == b""
            spare[1].close()

    asyncio.run(run())


def test_a_connection_that_comes_in_after_the_end_is_dropped() -> None:
    async def run() -> None:
        async with serving() as browser:
            reader, writer = await asyncio.open_connection("127.0.0.1", browser.server.port)
            await browser.server.aclose()
            browser.server._connected(reader, writer)  # as asyncio does with one on its way in
            assert writer.transport.is_closing()
            assert len(asyncio.all_tasks()) == 1
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_page_is_whole_although_the_server_closes_at_once() -> None:
    async def run() -> bytes:
        async with serving() as browser:
            page = asyncio.create_task(browser.get(GOOD))
            (await browser.server.received).answer()
            await browser.server.aclose()
            return await page

    answer = asyncio.run(run())
    assert answer.endswith(b"</html>\n")


def test_the_other_loopback_address_is_served_too() -> None:
    async def run() -> None:
        async with serving(also_ipv6=True) as browser:
            data = f"GET {GOOD} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
            page = asyncio.create_task(browser.send(data, host="::1"))
            (await browser.server.received).answer()
            assert status(await page) == 200

    asyncio.run(run())


def test_a_busy_other_loopback_address_is_done_without() -> None:
    async def run() -> None:
        with socket.socket(socket.AF_INET6) as taken:
            taken.bind(("::1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            server = await CallbackServer.start(EXPECTED, "127.0.0.1", port, also_ipv6=True)
            assert server.port == port
            await Browser(server).succeed()
            await server.aclose()

    asyncio.run(run())


@pytest.mark.parametrize("turns", range(8))
def test_a_start_that_is_cancelled_leaves_no_port_open(turns: int) -> None:
    async def run() -> None:
        port = free_port()
        start = CallbackServer.start(EXPECTED, "127.0.0.1", port, also_ipv6=True)
        task = asyncio.create_task(start)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        [started] = await asyncio.gather(task, return_exceptions=True)
        if isinstance(started, CallbackServer):
            await started.aclose()
        assert is_free(port)

    asyncio.run(run())


def test_two_servers_cannot_share_a_port() -> None:
    async def run() -> None:
        async with serving() as browser:
            with pytest.raises(OSError, match="in use"):
                await CallbackServer.start(EXPECTED, "127.0.0.1", browser.server.port)

    asyncio.run(run())


def test_auth_check_57_nothing_shows_state_or_code() -> None:
    async def run() -> None:
        async with serving() as browser:
            page = asyncio.create_task(browser.get(GOOD))
            callback = await browser.server.received
            shown = f"{callback!r} {EXPECTED!r} {browser.server!r}"
            assert STATE not in shown
            assert "GOOD" not in shown
            callback.answer()
            await page

    asyncio.run(run())
