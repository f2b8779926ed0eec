"""The server side of `pi-messages` and of `pi_agent.stream_proxy`, for any web framework.

`decode_proxy_request` reads what a client asks for, `proxy_records` writes the answer. Both
protocols get the same records. Source: agent spec, sections 11 and 12.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable
from typing import Annotated, Literal, NoReturn, cast

import msgspec
from msgspec import Meta, Struct, field

from pi_ai._content_checks import check_messages, check_tools
from pi_ai.api._pi_records import DONE_REASONS, EventRecord
from pi_ai.errors import ModelsError
from pi_ai.events import AssistantEvent, DoneEvent, ErrorEvent
from pi_ai.stream import AssistantStream
from pi_ai.transcript import block_signature
from pi_ai.types import (
    AssistantMessage,
    CacheRetention,
    Context,
    JsonObject,
    Model,
    Reasoning,
    StreamOptions,
    ThinkingBudgets,
    ThinkingContent,
    ToolCall,
    Wire,
)
from pi_ai.wire import decode, encode, to_json_value

__all__ = ("ProxyRequest", "decode_proxy_request", "encode_proxy_event", "proxy_records")

_NOT_CARRIED = "This protocol cannot carry a deferred answer"

_SAMPLING_PARAMS = frozenset(
    {
        "frequency_penalty",
        "logit_bias",
        "min_p",
        "presence_penalty",
        "repetition_penalty",
        "seed",
        "stop",
        "temperature",
        "top_k",
        "top_p",
    }
)
"""They are merged into the provider's request, where others could name another model."""


# --- the request ------------------------------------------------------------------------------


class ProxyRequest(Struct, frozen=True, kw_only=True):
    """What a client asks for. `options` are for `Models.stream`, `Agent` and the like.

    Of the model only names are taken: address, headers and prices are the server's to know.
    `provider` is None where the protocol has none.
    """

    model_id: str
    provider: str | None
    context: Context
    options: StreamOptions

    def __repr__(self) -> str:
        return f"<ProxyRequest for {self._name}, {len(self.context.messages)} messages>"

    def choose_model(self, offered: Iterable[Model]) -> Model:
        """The first of the server's own models that the client names.

        A client of `pi-messages` may name `provider/id` too. Raises `ModelsError` if there is none.
        """
        for model in offered:
            named = model.id == self.model_id and self.provider in {None, model.provider}
            if named or (self.provider is None and f"{model.provider}/{model.id}" == self.model_id):
                return model
        raise ModelsError(f"Model not offered here: {self._name}", code="model")

    @property
    def _name(self) -> str:
        return self.model_id if self.provider is None else f"{self.provider}/{self.model_id}"


class _ModelName(Wire):
    id: str
    provider: str


class _Options(Wire):
    """What is taken from a client; headers and all else are passed over."""

    temperature: float | None = None
    sampling_params: JsonObject | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    reasoning: Reasoning | None = None
    tool_choice: Literal["auto", "none"] | None = None
    cache_retention: CacheRetention | None = None
    session_id: str | None = None
    metadata: JsonObject | None = None
    thinking_budgets: ThinkingBudgets | None = None
    max_retry_delay_ms: Annotated[float, Meta(ge=0)] | None = None


class _Body(Wire):
    model: _ModelName | str
    context: Context
    options: _Options = field(default_factory=_Options)


def decode_proxy_request(body: bytes | str) -> ProxyRequest:
    """The body of a request, as either protocol sends it.

    Unknown options, and those that only a server may set, are passed over. Raises ValueError,
    which names the field, what was expected and what was found: the text of a 400.
    """
    try:
        told = decode(body, _Body)
        check_messages(told.context.messages)
        check_tools("context.tools", told.context.tools or ())
    except RecursionError as error:
        raise ValueError("Invalid request body: JSON is nested too deeply") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"Invalid request body: {error}") from error
    for name in told.options.sampling_params or ():
        if name not in _SAMPLING_PARAMS:
            _refuse_sampling_param(name)
    given = {
        name: value
        for name, value in msgspec.structs.asdict(told.options).items()
        if value is not None
    }
    model = told.model
    return ProxyRequest(
        model_id=model if isinstance(model, str) else model.id,
        provider=None if isinstance(model, str) else model.provider,
        context=told.context,
        options=cast("StreamOptions", given),
    )


def _refuse_sampling_param(name: str) -> NoReturn:
    known = ", ".join(sorted(_SAMPLING_PARAMS))
    raise ValueError(
        f"Invalid request body: options.samplingParams: expected only {known}; found {name!r}"
    )


# --- the answer -------------------------------------------------------------------------------


async def proxy_records(stream: AssistantStream) -> AsyncGenerator[bytes, None]:
    """The answer, a server-sent event at a time: the body of a 200, type `text/event-stream`.

    The stream is closed, and its request stopped, when the generator is: close it, or cancel the
    task that reads it, when the client goes away.
    """
    async with stream:
        async for event in stream:
            yield encode_proxy_event(event)


def encode_proxy_event(event: AssistantEvent) -> bytes:
    """One event as a server-sent event, `data: {...}` and a blank line."""
    return b"data: %b\n\n" % encode(_record(event))


def _record(event: AssistantEvent) -> EventRecord:
    match event.type:
        case "start":
            return EventRecord("start")
        case "text_start" | "thinking_start":
            return EventRecord(event.type, event.content_index)
        case "text_delta" | "thinking_delta" | "toolcall_delta":
            return EventRecord(event.type, event.content_index, delta=event.delta)
        case "toolcall_start":
            call = event.partial.content[event.content_index]
            assert isinstance(call, ToolCall)
            return EventRecord(event.type, event.content_index, id=call.id, tool_name=call.name)
        case "text_end" | "thinking_end":
            block = event.partial.content[event.content_index]
            return EventRecord(
                event.type,
                event.content_index,
                content=event.content,
                content_signature=block_signature(block),
                redacted=(isinstance(block, ThinkingContent) and block.redacted) or None,
            )
        case "toolcall_end":
            return EventRecord(
                event.type, event.content_index, tool_call=to_json_value(event.tool_call)
            )
        case "done" | "error":
            return _last(event)


def _last(event: DoneEvent | ErrorEvent) -> EventRecord:
    if isinstance(event, ErrorEvent):
        message = event.error
        return _end("error", event.reason, message, error=message.error_message)
    if event.reason in DONE_REASONS:
        return _end("done", event.reason, event.message)
    return _end("error", "error", event.message, error=_NOT_CARRIED)


def _end(
    kind: str, reason: str, message: AssistantMessage, *, error: str | None = None
) -> EventRecord:
    return EventRecord(
        kind,
        reason=reason,
        error_message=error,
        usage=message.usage,
        response_id=message.response_id,
        response_model=message.response_model,
        provider_thinking_level=message.provider_thinking_level,
    )
