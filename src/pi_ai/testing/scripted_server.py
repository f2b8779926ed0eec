"""A model server on loopback that answers from a script, in a real provider's wire format.

Everything between a program and this server is real: HTTP, server-sent events, adapter, loop.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from types import TracebackType
from typing import TypeAlias

from pi_ai.json_text import js_json
from pi_ai.testing.loopback import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import (
    AssistantMessage,
    JsonObject,
    Model,
    ModelCost,
    TextContent,
    ThinkingContent,
    ToolCall,
)
from pi_ai.wire import encode

__all__ = (
    "ScriptedServer",
    "ScriptedStep",
    "anthropic_events",
    "completions_chunks",
    "responses_events",
)

ScriptedStep: TypeAlias = (
    AssistantMessage | Callable[[JsonObject], AssistantMessage | Awaitable[AssistantMessage]]
)
"""An answer, or a function from the request's body to it."""

_PIECE_CHARS = 12


class ScriptedServer:
    """Answers each request with the next step, as Anthropic or OpenAI would stream it.

    `/v1/messages` speaks Anthropic Messages, `/v1/chat/completions` speaks Chat Completions and
    `/v1/responses` speaks Responses. When the script is over it answers with status 500. `delay`
    is the pause between two events, in seconds.
    """

    def __init__(self, steps: Iterable[ScriptedStep] = (), *, delay: float = 0) -> None:
        self.steps: list[ScriptedStep] = list(steps)
        self.delay = delay
        self._server = LoopbackServer(self._answer)

    async def __aenter__(self) -> ScriptedServer:
        await self._server.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._server.__aexit__(kind, error, traceback)

    @property
    def url(self) -> str:
        """The server's origin."""
        return self._server.url

    @property
    def requests(self) -> list[JsonObject]:
        """The bodies of the requests so far."""
        return [request.json() for request in self._server.requests]

    def model(self, api: str = "anthropic-messages", *, model_id: str = "scripted") -> Model:
        """A model that this server serves."""
        path = "" if api == "anthropic-messages" else "/v1"
        return Model(
            id=model_id,
            name="Scripted model",
            api=api,
            provider="scripted",
            base_url=self.url + path,
            reasoning=True,
            input=["text", "image"],
            cost=ModelCost(input=3, output=15, cache_read=0.3, cache_write=3.75),
            context_window=200_000,
            max_tokens=8192,
        )

    async def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        if not self.steps:
            body: JsonObject = {"error": {"type": "script", "message": "The script is over"}}
            return LoopbackResponse(
                encode(body), status=500, headers={"Content-Type": "application/json"}
            )
        step = self.steps.pop(0)
        message = step if isinstance(step, AssistantMessage) else step(request.json())
        if inspect.isawaitable(message):
            message = await message
        if "/chat/completions" in request.path:
            return LoopbackResponse(self._paced(completions_chunks(message)))
        if "/responses" in request.path:
            return LoopbackResponse(self._paced(responses_events(message)))
        return LoopbackResponse(self._paced(anthropic_events(message)))

    async def _paced(self, events: Iterable[bytes]) -> AsyncIterator[bytes]:
        for event in events:
            yield event
            await asyncio.sleep(self.delay)


def _cut(text: str) -> Iterator[str]:
    return (text[i : i + _PIECE_CHARS] for i in range(0, len(text), _PIECE_CHARS))


# --- Anthropic Messages -----------------------------------------------------------------------

_ANTHROPIC_STOPS = {"stop": "end_turn", "length": "max_tokens", "toolUse": "tool_use"}


def anthropic_events(message: AssistantMessage) -> Iterator[bytes]:
    """A message as the records of an Anthropic stream."""

    def record(kind: str, **fields: object) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields}))

    usage = message.usage
    yield record(
        "message_start",
        message={
            "id": message.response_id or "msg_scripted",
            "type": "message",
            "role": "assistant",
            "model": message.model or "scripted",
            "content": [],
            "usage": {
                "input_tokens": usage.input,
                "cache_read_input_tokens": usage.cache_read,
                "cache_creation_input_tokens": usage.cache_write,
                "output_tokens": 1,
            },
        },
    )
    for index, block in enumerate(message.content):
        start, deltas = _anthropic_block(block)
        yield record("content_block_start", index=index, content_block=start)
        for delta in deltas:
            yield record("content_block_delta", index=index, delta=delta)
        yield record("content_block_stop", index=index)
    yield record(
        "message_delta",
        delta={"stop_reason": _ANTHROPIC_STOPS.get(message.stop_reason, "end_turn")},
        usage={"output_tokens": usage.output},
    )
    yield record("message_stop")


def _anthropic_block(
    block: TextContent | ThinkingContent | ToolCall,
) -> tuple[JsonObject, Iterator[JsonObject]]:
    match block:
        case TextContent():
            deltas = ({"type": "text_delta", "text": piece} for piece in _cut(block.text))
            return {"type": "text", "text": ""}, deltas
        case ThinkingContent():
            return {"type": "thinking", "thinking": "", "signature": ""}, _anthropic_thinking(block)
        case ToolCall():
            pieces = _cut(js_json(block.arguments))
            deltas = ({"type": "input_json_delta", "partial_json": piece} for piece in pieces)
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}, deltas


def _anthropic_thinking(block: ThinkingContent) -> Iterator[JsonObject]:
    for piece in _cut(block.thinking):
        yield {"type": "thinking_delta", "thinking": piece}
    yield {"type": "signature_delta", "signature": block.thinking_signature or "scripted"}


# --- Chat Completions -------------------------------------------------------------------------

_COMPLETIONS_STOPS = {"stop": "stop", "length": "length", "toolUse": "tool_calls"}


def completions_chunks(message: AssistantMessage) -> Iterator[bytes]:
    """A message as the chunks of a Chat Completions stream."""

    def chunk(choices: list[JsonObject], **fields: object) -> bytes:
        told = {
            "id": message.response_id or "chatcmpl-scripted",
            "object": "chat.completion.chunk",
            "model": message.model or "scripted",
            "choices": choices,
            **fields,
        }
        return b"data: %b\n\n" % encode(told)

    def delta(content: JsonObject) -> bytes:
        return chunk([{"index": 0, "delta": content, "finish_reason": None}])

    calls = 0
    for block in message.content:
        match block:
            case TextContent():
                for piece in _cut(block.text):
                    yield delta({"content": piece})
            case ThinkingContent():
                for piece in _cut(block.thinking):
                    yield delta({"reasoning_content": piece})
            case ToolCall():
                for call in _completions_call(block, calls):
                    yield delta({"tool_calls": [call]})
                calls += 1
    reason = _COMPLETIONS_STOPS.get(message.stop_reason, "stop")
    yield chunk([{"index": 0, "delta": {}, "finish_reason": reason}])
    usage = message.usage
    yield chunk(
        [],
        usage={
            "prompt_tokens": usage.input + usage.cache_read + usage.cache_write,
            "completion_tokens": usage.output,
            "prompt_tokens_details": {"cached_tokens": usage.cache_read},
        },
    )
    yield b"data: [DONE]\n\n"


def _completions_call(call: ToolCall, index: int) -> Iterator[JsonObject]:
    function: JsonObject = {"name": call.name, "arguments": ""}
    yield {"index": index, "id": call.id, "type": "function", "function": function}
    for piece in _cut(js_json(call.arguments)):
        yield {"index": index, "function": {"arguments": piece}}


# --- Responses --------------------------------------------------------------------------------


def responses_events(message: AssistantMessage) -> Iterator[bytes]:
    """A message as the events of a Responses stream."""

    def event(kind: str, **fields: object) -> bytes:
        return b"event: %b\ndata: %b\n\n" % (kind.encode(), encode({"type": kind, **fields}))

    response: JsonObject = {"id": message.response_id or "resp_scripted", "status": "in_progress"}
    yield event("response.created", response=response)
    for index, block in enumerate(message.content):
        item, kind, text, final = _responses_item(block, index)
        yield event("response.output_item.added", output_index=index, item=item)
        for piece in _cut(text):
            yield event(f"response.{kind}.delta", output_index=index, delta=piece)
        yield event("response.output_item.done", output_index=index, item=item | final)
    usage = message.usage
    prompt_tokens = usage.input + usage.cache_read + usage.cache_write
    cut_short = message.stop_reason == "length"
    response |= {
        "status": "incomplete" if cut_short else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut_short else None,
        "usage": {
            "input_tokens": prompt_tokens,
            "input_tokens_details": {"cached_tokens": usage.cache_read},
            "output_tokens": usage.output,
            "total_tokens": prompt_tokens + usage.output,
        },
    }
    yield event(f"response.{response['status']}", response=response)


def _responses_item(
    block: TextContent | ThinkingContent | ToolCall, index: int
) -> tuple[JsonObject, str, str, JsonObject]:
    """An item as it begins, what its pieces are called, their text, and what its end adds."""
    match block:
        case TextContent():
            item: JsonObject = {"type": "message", "role": "assistant", "content": []}
            final = {"content": [{"type": "output_text", "text": block.text}]}
            return item, "output_text", block.text, final
        case ThinkingContent():
            item = {"type": "reasoning", "id": f"rs_{index}", "summary": []}
            final = {"summary": [{"type": "summary_text", "text": block.thinking}]}
            return item, "reasoning_summary_text", block.thinking, final
        case ToolCall():
            arguments = js_json(block.arguments)
            item = {"type": "function_call", "name": block.name, "arguments": ""}
            item["call_id"], _, item_id = block.id.partition("|")
            if item_id:
                item["id"] = item_id
            return item, "function_call_arguments", arguments, {"arguments": arguments}
