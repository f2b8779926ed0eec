"""Waiting for the code of a browser login: from the callback server or from a paste.

Source: auth spec, section 3.1.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from pi_ai.abort import AbortController
from pi_ai.auth.oauth.interaction import CANCELLED
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.types import AuthUrlEvent, InfoEvent, LoginInteraction, ManualCodePrompt
from pi_ai.errors import AbortError, OAuthError
from pi_ai.secrets import Secret

if TYPE_CHECKING:  # a server's code is loaded when a login starts one
    from pi_ai.auth.oauth.callback_server import Callback, CallbackServer, ExpectedCallback

__all__ = ("callback_server", "receive_code", "take_code")

T = TypeVar("T")

_LOOPBACK = "127.0.0.1"
_HOST_VARIABLE = "PI_OAUTH_CALLBACK_HOST"
# How long a host's question may take to go away once it is withdrawn.
_WITHDRAW_SECONDS = 1.0
_INSTRUCTIONS = (
    "Log in with your browser. If it runs on another machine, paste the address it ends at."
)
_INSTRUCTIONS_WITHOUT_SERVER = (
    "Log in with your browser, then paste the address it ends at: its page cannot load."
)


@asynccontextmanager
async def callback_server(
    expected: ExpectedCallback,
    interaction: LoginInteraction,
    ports: Sequence[int],
    *,
    also_ipv6: bool,
) -> AsyncGenerator[CallbackServer | None, None]:
    """A running callback server on the first of `ports` that is free, closed at the end.

    None if there is none. It listens on loopback, or on the host that PI_OAUTH_CALLBACK_HOST names,
    which containers need.
    """
    from pi_ai.auth.oauth.callback_server import CallbackServer

    host = os.environ.get(_HOST_VARIABLE, "").strip() or _LOOPBACK
    server = None
    for port in ports:
        with suppress(OSError):
            server = await CallbackServer.start(expected, host, port, also_ipv6=also_ipv6)
            break
    if server is None:
        yield None
        return
    try:
        if not _is_loopback(host):
            text = f"{_HOST_VARIABLE} opens the login's callback server at {host} to other machines"
            interaction.notify(InfoEvent(text))
        yield server
    finally:
        await server.aclose()


async def receive_code(
    server: CallbackServer | None,
    interaction: LoginInteraction,
    runtime: OAuthRuntime,
    *,
    url: Secret,
    provider: str,
    message: str,
    placeholder: str,
    from_callback: Callable[[Callback], T],
    from_paste: Callable[[str], T],
) -> T:
    """Send the user to `url`; give what the browser brings or the user pastes, whatever is first.

    `from_callback` and `from_paste` make a result of either. Raises `OAuthError` for a refusal,
    for a paste that is of no use and when the time is up, and what the question raises.
    """
    instructions = _INSTRUCTIONS if server else _INSTRUCTIONS_WITHOUT_SERVER
    interaction.notify(AuthUrlEvent(str(url), instructions=instructions))
    withdraw = AbortController()
    signal = interaction.signal
    forget = signal.add_listener(withdraw.abort) if signal is not None else None
    prompt = ManualCodePrompt(message=message, placeholder=placeholder, signal=withdraw.signal)
    paste = asyncio.create_task(_ask(interaction, prompt))
    callback = server.received if server is not None else None
    limit = runtime.sign_in_timeout_seconds
    try:
        waited = [paste] if callback is None else [paste, callback]
        await asyncio.wait(waited, timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if callback is not None and callback.done():
            return from_callback(_accepted(callback.result()))
        if not paste.done():
            raise OAuthError(f"{provider} sign-in timed out")
        return from_paste(paste.result())
    finally:
        if forget is not None:
            forget()
        withdraw.abort()
        await _end(paste)


def take_code(callback: Callback) -> Secret:
    """The code of a callback; its browser is told of success before the code is exchanged."""
    callback.answer()
    return Secret(callback.query["code"])


async def _ask(interaction: LoginInteraction, prompt: ManualCodePrompt) -> str:
    try:
        return await interaction.prompt(prompt)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise AbortError(CANCELLED) from error  # the host's own task for it was cancelled


def _accepted(callback: Callback) -> Callback:
    if callback.denied is not None:
        raise OAuthError(callback.denied)
    return callback


async def _end(paste: asyncio.Task[str]) -> None:
    """Cancel a question that nobody waits for; what it answers or raises is of no interest."""
    paste.add_done_callback(_look_at)
    paste.cancel()
    await asyncio.wait([paste], timeout=_WITHDRAW_SECONDS)


def _look_at(paste: asyncio.Task[str]) -> None:
    """Keep asyncio from reporting an error that was meant for nobody."""
    if not paste.cancelled():
        paste.exception()


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
