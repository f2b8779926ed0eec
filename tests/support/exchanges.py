"""One request against a loopback server: what was sent, what came back."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

import pi_ai.http.client  # noqa: F401  # loaded now, so that no test's clock counts it
from pi_ai import AssistantEvent, AssistantMessage, Context, Model, Models, UserMessage
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_ai.types import ModelCost

HI = Context([UserMessage("hi")])
DONE = b"data: [DONE]\n\n"

# The custom models of the providers spec, section 11; `{server}` is put in when they are used.
M = Model(
    id="m",
    api="openai-completions",
    provider="custom",
    base_url="{server}/v1",
    input=["text", "image"],
    max_tokens=4096,
    context_window=128_000,
    cost=ModelCost(input=1, output=2, cache_read=0.1, cache_write=1.25),
)
C = Model(
    id="c",
    api="anthropic-messages",
    provider="custom",
    base_url="{server}",
    input=["text", "image"],
    max_tokens=8192,
    context_window=200_000,
    cost=ModelCost(input=3, output=15, cache_read=0.3, cache_write=3.75),
)
R = Model(
    id="gpt-5.5",
    api="openai-responses",
    provider="openai",
    base_url="{server}/v1",
    reasoning=True,
    input=["text", "image"],
    max_tokens=4096,
    context_window=128_000,
    cost=ModelCost(input=2, output=8, cache_read=0.5, cache_write=1),
)
X = replace(R, api="openai-codex-responses", provider="openai-codex", base_url="{server}")
A = replace(R, api="azure-openai-responses", provider="azure", base_url="{server}/openai/v1")
P = Model(
    id="p",
    api="pi-messages",
    provider="custom",
    base_url="{server}",
    input=["text", "image"],
    max_tokens=4096,
    context_window=128_000,
    cost=ModelCost(input=1, output=2),
)


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **fields: Any) -> bytes:
    """A record of a Chat Completions stream, `c(d)` in the spec."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return data({"id": "chatcmpl-1", "model": "m", "choices": choices, **fields})


def data(value: Any) -> bytes:
    """A record without an event name."""
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def record(kind: str, **fields: Any) -> bytes:
    """A record of an Anthropic stream."""
    value = json.dumps({"type": kind, **fields})
    return f"event: {kind}\ndata: {value}\n\n".encode()


def message_start(**fields: Any) -> bytes:
    """The first record of an Anthropic stream."""
    message: dict[str, Any] = {"id": "msg_1", "model": "c", **fields}
    message.setdefault("usage", {"input_tokens": 1, "output_tokens": 1})
    return record("message_start", message=message)


def text_block(*pieces: str, index: int = 0) -> bytes:
    """A whole text block of an Anthropic stream."""
    start = record("content_block_start", index=index, content_block={"type": "text", "text": ""})
    deltas = (
        record("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
        for piece in pieces
    )
    return b"".join([start, *deltas, record("content_block_stop", index=index)])


def message_end(reason: str = "end_turn", **usage: Any) -> bytes:
    """The last two records of an Anthropic stream."""
    delta = record("message_delta", delta={"stop_reason": reason}, usage=usage)
    return delta + record("message_stop")


def event(kind: str, **fields: Any) -> bytes:
    """An event of a Responses stream."""
    return record(kind, **fields)


def responses_item(index: int, item: dict[str, Any], *deltas: bytes, **final: Any) -> bytes:
    """An item of a Responses stream: added, its deltas, and done with the fields of `final`."""
    added = event("response.output_item.added", output_index=index, item=item)
    done = event("response.output_item.done", output_index=index, item=item | final)
    return b"".join([added, *deltas, done])


def responses_delta(kind: str, delta: str, index: int = 0) -> bytes:
    """A piece of an item, such as `output_text`."""
    return event(f"response.{kind}.delta", output_index=index, delta=delta)


def responses_text(*pieces: str, index: int = 0, **fields: Any) -> bytes:
    """A whole message of a Responses stream."""
    item = {"type": "message", "id": f"msg_{index + 1}", "role": "assistant", "content": []}
    deltas = [responses_delta("output_text", piece, index) for piece in pieces]
    content = [{"type": "output_text", "text": "".join(pieces)}]
    return responses_item(index, item | fields, *deltas, content=content)


RESPONSE_CREATED = event("response.created", response={"id": "resp_1", "status": "in_progress"})


def responses_end(kind: str = "completed", **fields: Any) -> bytes:
    """The last event of a Responses stream."""
    response = {"id": "resp_1", "status": kind, **fields}
    return event(f"response.{kind}", response=response)


def chatgpt_token(account_id: str = "acc-1") -> str:
    """An access token of a ChatGPT account, as far as a client reads one."""
    claims = {"https://api.openai.com/auth": {"chatgpt_account_id": account_id}, "pad": "??>>"}
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"h.{payload}.s"


def pi_record(kind: str, index: Any = 0, **fields: Any) -> bytes:
    """A record of pi's own protocol about one content block."""
    return data({"type": kind, "contentIndex": index, **fields})


PI_USAGE = {
    "input": 10,
    "output": 5,
    "cacheRead": 0,
    "cacheWrite": 0,
    "totalTokens": 15,
    "cost": {"input": 0.5, "output": 0.25, "cacheRead": 0, "cacheWrite": 0, "total": 0.75},
}


def pi_end(kind: str = "done", reason: str = "stop", **fields: Any) -> bytes:
    """The last record of pi's own protocol."""
    return data({"type": kind, "reason": reason, "usage": PI_USAGE, **fields})


def pi_text(text: str) -> bytes:
    """The beginning of an answer in pi's own protocol: a text that has not ended."""
    start = data({"type": "start"}) + pi_record("text_start")
    return start + pi_record("text_delta", delta=text)


BODIES = {
    "openai-completions": chunk({"content": "ok"}) + chunk({}, "stop") + DONE,
    "anthropic-messages": message_start() + text_block("ok") + message_end(),
    "pi-messages": pi_text("ok") + pi_record("text_end", content="ok") + pi_end(),
    **dict.fromkeys(
        ("openai-responses", "openai-codex-responses", "azure-openai-responses"),
        RESPONSE_CREATED + responses_text("ok") + responses_end(),
    ),
}
"""A short good answer per wire format."""


def streamed(*pieces: bytes, pause: float = 0) -> AsyncIterator[bytes]:
    """A body in pieces, `pause` seconds after each."""

    async def body() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(pause)

    return body()


@dataclass
class Exchanged:
    """What went over the wire for one call of `exchange`, and its result."""

    requests: Sequence[LoopbackRequest]
    events: list[AssistantEvent]
    message: AssistantMessage

    @property
    def request(self) -> LoopbackRequest:
        [request] = self.requests
        return request

    @property
    def body(self) -> Any:
        return json.loads(self.request.body)

    @property
    def told(self) -> list[tuple[Any, ...]]:
        """The events as short tuples: type, index, and what they carry."""
        return [brief(event) for event in self.events]


def brief(event: AssistantEvent) -> tuple[Any, ...]:
    match event.type:
        case "start":
            return ("start",)
        case "done" | "error":
            return (event.type, event.reason)
        case "text_start" | "thinking_start" | "toolcall_start":
            return (event.type, event.content_index)
        case "text_end" | "thinking_end":
            return (event.type, event.content_index, event.content)
        case "toolcall_end":
            call = event.tool_call
            return (event.type, event.content_index, call.id, call.name, call.arguments)
        case _:
            return (event.type, event.content_index, event.delta)


Answer = LoopbackResponse | bytes | Callable[[LoopbackRequest], Any]


def exchange(
    model: Model,
    answer: Answer | None = None,
    context: Context = HI,
    *,
    adapter: Struct | None = None,
    **options: Any,
) -> Exchanged:
    """Send one request to a server that gives `answer`, and read the whole stream.

    `{server}` in the model's base URL is the server's origin.
    """
    return asyncio.run(_exchange(model, answer, context, adapter, options))


async def _exchange(
    model: Model, answer: Answer | None, context: Context, adapter: Any, options: Any
) -> Exchanged:
    if answer is None:
        answer = BODIES[model.api]
    options = {"api_key": "k", **options}
    models = Models()
    async with LoopbackServer(as_handler(answer)) as server:
        model = replace(model, base_url=model.base_url.replace("{server}", server.url))
        async with models.stream(model, context, adapter=adapter, **options) as events:
            seen = [event async for event in events]
            message = await events.result()
        await models.aclose()
        return Exchanged(server.requests, seen, message)


def as_handler(answer: Answer) -> Callable[[LoopbackRequest], Any]:
    if isinstance(answer, bytes):
        return lambda _request: LoopbackResponse(answer)
    if isinstance(answer, LoopbackResponse):
        return lambda _request: answer
    return answer
