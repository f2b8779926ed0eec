"""`stream_proxy`: have a server make the model requests of an agent.

Source: agent spec, section 11. `pi_ai.serving` is the other side.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

from pi_agent.types import StreamFunction
from pi_ai import AssistantStream, Context, Model, Models, StreamOptions
from pi_ai.builder import MessageBuilder
from pi_ai.check import check_request
from pi_ai.models import default_models
from pi_ai.provider import Call
from pi_ai.stream import EventBatches
from pi_ai.transcript import normalize_context

__all__ = ("AuthToken", "stream_proxy")

AuthToken: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or a function that gives one for each request."""


def stream_proxy(
    *, proxy_url: str, auth_token: AuthToken, models: Models | None = None
) -> StreamFunction:
    """A stream function that asks models through a server, which holds the keys.

        agent = Agent(
            model=get_model("anthropic", "claude-sonnet-4-5"),
            stream=stream_proxy(proxy_url="https://llm.example.com", auth_token=token),
        )

    Requests go to `<proxy_url>/api/stream` with the token as bearer. The server is told the model,
    the transcript and the options that change the answer. Keys stay here; so do time limits,
    retries and callbacks, which hold for the request to the server. `models` lends its connections,
    the default collection unless given. A function as token may be async; what it raises ends the
    stream as its `error` event. Raises ValueError for a URL or token that cannot be used.
    """
    if not proxy_url.startswith(("http://", "https://")):
        raise ValueError(f"proxy_url: expected an http:// or https:// URL, found {proxy_url!r}")
    if isinstance(auth_token, str):
        _checked(auth_token)
    connections = models or default_models

    def stream(model: Model, context: Context, options: StreamOptions) -> AssistantStream:
        check_request(model, context, None, options)
        message = MessageBuilder(model)
        batches = _ask(message, context, options)
        return AssistantStream(message, batches, options.get("signal"))

    async def _ask(
        message: MessageBuilder, context: Context, options: StreamOptions
    ) -> EventBatches:
        from pi_ai.api import proxy  # not before a request is made

        call = Call(
            model=message.model,
            messages=normalize_context(context),
            options=options,
            adapter=proxy.ProxyOptions(proxy_url=proxy_url),
            message=message,
            transport=connections.transport,
            api_key=await _resolve(auth_token),
            headers={},
            env={},
        )
        async with aclosing(proxy.stream(call)) as batches:
            async for events in batches:
                yield events

    return stream


async def _resolve(auth_token: AuthToken) -> str:
    if isinstance(auth_token, str):
        return auth_token
    token = auth_token()
    return _checked(await token if inspect.isawaitable(token) else token)


def _checked(token: str) -> str:
    if not token.strip():
        raise ValueError("auth_token: expected a token, found an empty text")
    return token
