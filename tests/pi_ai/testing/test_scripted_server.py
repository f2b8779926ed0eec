"""The scripted model server speaks three wire formats."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import Context, Models, TextContent, ThinkingContent, ToolCall, Usage, UserMessage
from pi_ai.testing import ScriptedServer, faux_message

APIS = ["anthropic-messages", "openai-completions", "openai-responses"]
ANSWER = [
    ThinkingContent("Let me think about this for a while.", "reasoning_content"),
    TextContent("Hello there, é🙈, how are you today?"),
    ToolCall("call_1", "read", {"path": "a very long path/to a file.txt", "n": 1}),
    ToolCall("call_2", "read", {}),
]


@pytest.mark.parametrize("api", APIS)
def test_a_scripted_message_arrives_as_it_was_written(api: str) -> None:
    scripted = faux_message(ANSWER, response_id="id-1")
    scripted.usage = Usage(input=10, output=20, cache_read=5)

    async def main() -> Any:
        async with ScriptedServer([scripted]) as server:
            models = Models()
            context = Context([UserMessage("hi")])
            message = await models.complete(server.model(api), context)
            await models.aclose()
            return message, server.requests

    message, [body] = asyncio.run(main())
    if api == "openai-responses":  # which signs thinking with the whole item
        item = message.content[0].thinking_signature
        assert item.startswith('{"type":"reasoning","id":"rs_0","summary":[{')
        message.content[0].thinking_signature = ANSWER[0].thinking_signature
    assert message.content == ANSWER
    assert (message.stop_reason, message.response_id) == ("toolUse", "id-1")
    usage = message.usage
    assert (usage.input, usage.output, usage.cache_read) == (10, 20, 5)
    assert body["stream"] is True


@pytest.mark.parametrize("api", APIS)
def test_steps_may_look_at_the_request_and_the_script_ends(api: str) -> None:
    async def step(body: Any) -> Any:
        said = body.get("messages") or body["input"]
        return faux_message(f"{len(said)} messages", stop_reason="length")

    async def main() -> Any:
        async with ScriptedServer([step]) as server:
            models = Models()
            model = replace(server.model(api), provider="another")
            context = Context([UserMessage("hi")])
            first = await models.complete(model, context)
            second = await models.complete(model, context)
            await models.aclose()
            return first, second

    first, second = asyncio.run(main())
    assert (first.text, first.stop_reason) == ("1 messages", "length")
    assert second.stop_reason == "error"
    assert "The script is over" in second.error_message
