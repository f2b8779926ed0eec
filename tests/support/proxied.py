"""One request through a proxy on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

from pi_agent import stream_proxy
from pi_ai import Context, Model, Models
from pi_ai.testing import LoopbackResponse, LoopbackServer
from pi_ai.types import ModelCost
from support.exchanges import HI, Exchanged, pi_text

TOKEN = "proxy-token-0123456789"
MODEL = Model(
    id="m",
    api="anthropic-messages",
    provider="anthropic",
    base_url="https://api.example.com",
    max_tokens=4096,
    context_window=200_000,
    cost=ModelCost(input=3, output=15),
)
ABC = pi_text("abc")


def ask(
    answer: LoopbackResponse | bytes, context: Context = HI, *, model: Model = MODEL, **options: Any
) -> Exchanged:
    """Send one request through a server that gives `answer`, and read the whole stream."""
    response = LoopbackResponse(answer) if isinstance(answer, bytes) else answer

    async def main() -> Exchanged:
        models = Models()
        async with LoopbackServer(lambda _request: response) as server:
            stream = stream_proxy(proxy_url=server.url + "/", auth_token=TOKEN, models=models)
            async with stream(model, context, options) as events:
                seen = [event async for event in events]
                message = await events.result()
            await models.aclose()
            return Exchanged(server.requests, seen, message)

    return asyncio.run(main())
