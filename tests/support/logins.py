"""A host that leads a scripted user through logins, and what it was asked and told."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from msgspec.structs import replace

import pi_ai.http.client  # noqa: F401  # loaded now, so that no test's clock counts it
from pi_ai.abort import AbortSignal
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import (
    AuthUrlEvent,
    LoginEvent,
    LoginOptions,
    LoginPrompt,
    OAuthCredential,
    SelectPrompt,
)
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.testing.login_server import free_port

DEVICE_ID = "0A1B2C3D-0000-4000-8000-00000000ABCD"
NOW_MS = 1_700_000_000_000
FROZEN = OAuthRuntime(clock_ms=lambda: NOW_MS)
WITH_DEVICE_ID = LoginOptions(get_device_id=lambda: DEVICE_ID)

Visit = Callable[[str], Coroutine[Any, Any, object]]
Paste = Callable[[str], str | Awaitable[str]]


class Host:
    """A `LoginInteraction`. `visit` is done with the address of a login, `paste` gives the code.

    `seen` holds prompts and events in their order. Without `paste` a question for the code waits
    until it is withdrawn.
    """

    def __init__(
        self,
        *,
        visit: Visit | None = None,
        paste: Paste | str | None = None,
        select: str = "browser",
        signal: AbortSignal | None = None,
    ) -> None:
        self.signal = signal
        self.seen: list[LoginPrompt | LoginEvent] = []
        self.withdrawn = False
        self.asked = asyncio.Event()
        self._visit = visit
        self._paste = paste
        self._select = select
        self._visits: list[asyncio.Task[object]] = []

    @property
    def kinds(self) -> list[str]:
        return [each.type for each in self.seen]

    @property
    def url(self) -> str:
        [event] = [each for each in self.seen if isinstance(each, AuthUrlEvent)]
        return event.url

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.url).query))

    def notify(self, event: LoginEvent) -> None:
        self.seen.append(event)
        if isinstance(event, AuthUrlEvent) and self._visit is not None:
            self._visits.append(asyncio.create_task(self._visit(event.url)))

    async def prompt(self, prompt: LoginPrompt) -> str:
        self.seen.append(prompt)
        if isinstance(prompt, SelectPrompt):
            return self._select
        self.asked.set()
        if self._paste is None:
            withdrawn = asyncio.Event()
            assert prompt.signal is not None
            loop = asyncio.get_running_loop()
            prompt.signal.add_listener(lambda: loop.call_soon_threadsafe(withdrawn.set))
            try:
                await withdrawn.wait()
            finally:
                self.withdrawn = prompt.signal.aborted
            raise RuntimeError("the question was withdrawn")
        answer = self._paste if isinstance(self._paste, str) else self._paste(self.url)
        return answer if isinstance(answer, str) else await answer

    async def pages(self) -> list[Any]:
        """What the visits came to."""
        return await asyncio.gather(*self._visits)


def log_in(
    login: Any,
    host: Host,
    options: LoginOptions = LoginOptions(),  # noqa: B008
) -> Coroutine[Any, Any, OAuthCredential]:
    """A login that fails when it hangs."""
    return asyncio.wait_for(login.login(host, options), 10)


def with_state(query: str) -> Callable[[str], str]:
    """A paste with `{S}` replaced by the state of the attempt."""

    def paste(url: str) -> str:
        return query.replace("{S}", dict(parse_qsl(urlsplit(url).query))["state"])

    return paste


def token_server(
    answer: LoopbackResponse | Callable[[LoopbackRequest], Any],
) -> LoopbackServer:
    """A server that gives `answer` at every path."""
    return LoopbackServer(answer if callable(answer) else lambda _request: answer)


def told(body: bytes, status: int = 200, headers: Mapping[str, str] | None = None) -> Any:
    return LoopbackResponse(body, status, headers or {"Content-Type": "application/json"})


def at(endpoints: Any, url: str, **fields: Any) -> Any:
    """`endpoints` with every URL on the server at `url`, and a callback port of its own."""
    urls = {
        name: f"{url}/{name}" for name in type(endpoints).__struct_fields__ if name.endswith("_url")
    }
    return replace(endpoints, **{**urls, "callback_port": free_port(), **fields})


class TakenPort:
    """A port that another program listens on."""

    def __enter__(self) -> int:
        self._socket = socket.create_server(("127.0.0.1", 0))
        return self._socket.getsockname()[1]

    def __exit__(self, *_error: object) -> None:
        self._socket.close()


def is_free(port: int) -> bool:
    """Whether nothing listens on a port of the loopback interfaces."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with closing(socket.socket(family)) as probe:
            if probe.connect_ex((host, port)) == 0:
                return False
    return True
