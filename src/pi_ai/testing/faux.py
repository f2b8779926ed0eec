"""A scripted provider inside the process: no server, no network, the same streams.

Source: ai-core spec, section 17.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from pi_ai.builder import MessageBuilder
from pi_ai.errors import ProviderError
from pi_ai.events import AssistantEvent
from pi_ai.ids import uuid7
from pi_ai.json_text import js_json
from pi_ai.models import Models
from pi_ai.provider import Call, ProviderSpec
from pi_ai.stream import EventBatches
from pi_ai.transcript import block_signature, get_system_message_text
from pi_ai.types import (
    AssistantContent,
    AssistantMessage,
    DeferredHandle,
    ImageContent,
    Message,
    Model,
    StopReason,
    StreamOptions,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)

__all__ = ("FauxProvider", "FauxRequest", "FauxStep", "faux_message", "faux_tool_call")


@dataclass(frozen=True)
class FauxRequest:
    """What a scripted answer may look at: the transcript, the options, the number of the call."""

    messages: Sequence[Message]
    options: StreamOptions = field(repr=False)
    model: Model
    call_count: int


FauxStep: TypeAlias = (
    AssistantMessage | Callable[[FauxRequest], AssistantMessage | Awaitable[AssistantMessage]]
)
"""An answer, or a function that makes it when the request starts."""


def faux_message(
    content: str | AssistantContent | Sequence[AssistantContent] = (),
    *,
    stop_reason: StopReason | None = None,
    error_message: str | None = None,
    response_id: str | None = None,
) -> AssistantMessage:
    """A scripted answer. It stops with `toolUse` if it holds a tool call, else with `stop`."""
    if isinstance(content, str):
        blocks: list[AssistantContent] = [TextContent(content)]
    elif isinstance(content, TextContent | ThinkingContent | ToolCall):
        blocks = [content]
    else:
        blocks = list(content)
    calls = any(isinstance(block, ToolCall) for block in blocks)
    return AssistantMessage(
        blocks,
        stop_reason=stop_reason or ("toolUse" if calls else "stop"),
        error_message=error_message,
        response_id=response_id,
    )


def faux_tool_call(name: str, arguments: dict[str, object], *, call_id: str = "") -> ToolCall:
    """A tool call with an id of its own unless one is given."""
    return ToolCall(call_id or f"tool:{uuid7()}", name, arguments)


class FauxProvider:
    """Answers requests from `responses`, in order.

    `models` is a collection that knows only this provider; `model` its model. Texts come in
    pieces of 3 to 5 tokens of four characters; `seed` makes their sizes repeatable.
    `tokens_per_second` slows it down. With `pending_fetches`, requests may be deferred: so many
    fetches find the answer still waiting.
    """

    def __init__(
        self,
        responses: Iterable[FauxStep] = (),
        *,
        model: Model | None = None,
        tokens_per_second: float | None = None,
        seed: int | None = None,
        pending_fetches: int | None = None,
    ) -> None:
        self.responses: list[FauxStep] = list(responses)
        self.call_count = 0
        self.requests: list[FauxRequest] = []
        self.model = model or Model(
            id="faux-1",
            name="Faux Model",
            api=f"faux:{uuid7()}",
            provider="faux",
            base_url="http://localhost:0",
            input=["text", "image"],
            context_window=128_000,
            max_tokens=16_384,
        )
        self._seconds_per_token = 1 / tokens_per_second if tokens_per_second else 0.0
        self._random = random.Random(seed)
        self._last_prompts: dict[str, list[str]] = {}
        # By identity; the entry holds the message, so that its id stays its own.
        self._texts: dict[int, tuple[Message, str]] = {}
        self._deferred = _Deferred(self.model, pending_fetches or 0)
        defers = pending_fetches is not None
        self.models = Models(())
        self.models.set_provider(
            ProviderSpec(
                self.model.provider,
                needs_key=False,
                apis={self.model.api: self._stream},
                fetch_deferred=self._deferred.fetch if defers else None,
                cancel_deferred=self._deferred.cancel if defers else None,
            ),
            [self.model],
        )

    def __repr__(self) -> str:
        return f"<FauxProvider, {len(self.responses)} responses left>"

    async def _stream(self, call: Call[Struct], /) -> EventBatches:
        self.call_count += 1
        request = FauxRequest(call.messages, call.options, call.model, self.call_count)
        self.requests.append(request)
        if not self.responses:
            raise ProviderError("No more faux responses queued")
        step = self.responses.pop(0)
        answer = step if isinstance(step, AssistantMessage) else step(request)
        if inspect.isawaitable(answer):
            answer = await answer
        builder = call.message
        builder.set_response(response_id=answer.response_id)
        builder.set_usage(self._usage(request, answer))
        yield [builder.start()]
        if call.options.get("deferred"):
            builder.defer(self._deferred.keep(answer, builder.usage))
            return
        for block in answer.content:
            for events in self._play(builder, block):
                yield events
                await asyncio.sleep(self._pause(events))
        match answer.stop_reason:
            case "error" | "aborted":
                raise ProviderError(answer.error_message or "An unknown error occurred")
            case "pending":
                raise ProviderError("Faux response ended without a stop reason")
            case reason:
                builder.stop(reason)

    def _pause(self, events: Sequence[AssistantEvent]) -> float:
        size = sum(len(getattr(event, "delta", "")) for event in events)
        return math.ceil(size / 4) * self._seconds_per_token

    def _play(
        self, builder: MessageBuilder, block: AssistantContent
    ) -> Iterator[list[AssistantEvent]]:
        match block:
            case TextContent():
                start, add, text = builder.text_start(), builder.text, block.text
            case ThinkingContent():
                start = builder.thinking_start(redacted=block.redacted)
                add, text = builder.thinking, block.thinking
            case ToolCall():
                start = builder.tool_call_start(block.id, block.name)
                add, text = builder.tool_call, js_json(block.arguments)
        yield [start]
        for piece in self._cut(text):
            yield [add(start.content_index, piece)]
        signature = block_signature(block)
        if signature:
            builder.sign(start.content_index, signature)
        yield [builder.end(start.content_index)]

    def _cut(self, text: str) -> Iterator[str]:
        at = 0
        while at < len(text) or not at:
            size = 4 * self._random.randint(3, 5)
            yield text[at : at + size]
            at += size

    def _usage(self, request: FauxRequest, answer: AssistantMessage) -> Usage:
        """A token per four characters; a session's repeated prompt counts as cached."""
        prompt = [self._prompt_text(message) for message in request.messages]
        output = math.ceil(len("".join(_block_text(block) for block in answer.content)) / 4)
        length = _joined_length(prompt)
        tokens = math.ceil(length / 4)
        session = request.options.get("session_id")
        usage = Usage(input=tokens, output=output)
        if session and request.options.get("cache_retention") != "none":
            common = _common_length(self._last_prompts.get(session, ()), prompt)
            self._last_prompts[session] = prompt
            read = tokens if common == length else common // 4
            usage = Usage(output=output, cache_read=read, cache_write=tokens - read)
        usage.total_tokens = tokens + output
        return usage

    def _prompt_text(self, message: Message) -> str:
        """`message` as text, made once: a conversation's messages come back at every request."""
        found = self._texts.get(id(message))
        if found is None or found[0] is not message:
            found = self._texts[id(message)] = (message, f"{message.role}:{_text_of(message)}")
        return found[1]


class _Deferred:
    """Answers that wait to be fetched."""

    def __init__(self, model: Model, pending_fetches: int) -> None:
        self._model = model
        self._pending_fetches = pending_fetches
        self._waiting: dict[str, tuple[AssistantMessage, int]] = {}
        self._cancelled: set[str] = set()

    def keep(self, answer: AssistantMessage, usage: Usage) -> DeferredHandle:
        """Store an answer; gives the handle to fetch it with."""
        model = self._model
        handle = DeferredHandle(model.provider, model.id, model.api, f"deferred:{uuid7()}")
        self._waiting[handle.id] = (replace(answer, usage=usage), self._pending_fetches)
        return handle

    async def fetch(self, handle: DeferredHandle) -> AssistantMessage:
        """The answer, or a message that is still deferred; a fault is an error message."""
        if handle.id in self._cancelled:
            return self._stamped(_fault(f"Faux deferred response was cancelled: {handle.id}"))
        answer, left = self._waiting.get(handle.id, (None, 0))
        if answer is None:
            return self._stamped(_fault(f"Unknown faux deferred response: {handle.id}"))
        if left:
            self._waiting[handle.id] = (answer, left - 1)
            return self._stamped(AssistantMessage([], stop_reason="deferred", deferred=handle))
        del self._waiting[handle.id]
        return self._stamped(answer)

    async def cancel(self, handle: DeferredHandle) -> None:
        """Call an answer off."""
        self._waiting.pop(handle.id, None)
        self._cancelled.add(handle.id)

    def _stamped(self, message: AssistantMessage) -> AssistantMessage:
        model = self._model
        return replace(message, api=model.api, provider=model.provider, model=model.id)


def _fault(text: str) -> AssistantMessage:
    return AssistantMessage([], stop_reason="error", error_message=text)


def _joined_length(texts: Sequence[str]) -> int:
    """The length of the texts with a blank line between each two."""
    return sum(map(len, texts)) + 2 * max(len(texts) - 1, 0)


def _common_length(before: Sequence[str], after: Sequence[str]) -> int:
    """How many characters two prompts have in common at their beginning."""
    pairs = zip(before, after, strict=False)
    same = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))
    common = _joined_length(after[:same])
    if same < len(before) and same < len(after):
        letters = zip(before[same], after[same], strict=False)
        shorter = min(len(before[same]), len(after[same]))
        common += 2 if same else 0
        common += next((i for i, (a, b) in enumerate(letters) if a != b), shorter)
    return common


def _block_text(block: AssistantContent | ImageContent) -> str:
    match block:
        case TextContent():
            return block.text
        case ThinkingContent():
            return block.thinking
        case ToolCall():
            return f"{block.name}:{js_json(block.arguments)}"
        case ImageContent():
            return f"[image:{block.mime_type}:{len(block.data)}]"


def _text_of(message: Message) -> str:
    match message:
        case SystemMessage():
            tools = [f"tool+:{js_json(msgspec.to_builtins(t))}" for t in message.tools_added or ()]
            gone = [f"tool-:{tool.name}" for tool in message.tools_removed or ()]
            return "\n".join([get_system_message_text(message), *tools, *gone])
        case UserMessage(content=content):
            if isinstance(content, str):
                return content
            return "\n".join(_block_text(block) for block in content)
        case AssistantMessage(content=blocks):
            return "\n".join(_block_text(block) for block in blocks)
        case ToolResultMessage(content=blocks):
            return "\n".join(_block_text(block) for block in blocks)
