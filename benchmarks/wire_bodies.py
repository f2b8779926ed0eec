"""The bytes that the benchmark server sends: whole responses of each wire, record by record.

A case is named in the prompt, such as `case=20000-5-tool-bulk`: deltas, characters per delta, what
is streamed, and how it is delivered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

__all__ = ("Case", "Wire", "response_records")

Wire = Literal["anthropic", "openai", "responses", "codex"]
"""`codex` is `responses` over a WebSocket."""


@dataclass(frozen=True)
class Case:
    """What one response holds: `text` or a `tool` call.

    Delivery: `paced` one event per write with a pause, `bulk` as fast as it goes, `held` like
    bulk but never ended.
    """

    deltas: int
    chars: int
    kind: str
    delivery: str

    def __str__(self) -> str:
        return f"case={self.deltas}-{self.chars}-{self.kind}-{self.delivery}"

    @staticmethod
    def parse(name: bytes) -> Case:
        """The case of `20000-5-tool-bulk`."""
        deltas, chars, kind, delivery = name.decode().split("-")
        return Case(int(deltas), int(chars), kind, delivery)


@lru_cache(maxsize=64)
def response_records(wire: Wire, case: Case) -> list[bytes]:
    """The server-sent events of one response, each with its blank line; for `codex` the frames."""
    match wire:
        case "anthropic":
            return list(_anthropic(case))
        case "openai":
            return list(_openai(case))
        case "responses":
            return [_record(event, payload) for event, payload in _responses(case)]
        case "codex":
            return [_frame(event, payload) for event, payload in _responses(case)]


def _pieces(case: Case) -> Iterator[str]:
    """The deltas, no two neighbours alike. Those of a tool call join to a JSON object."""
    text = "the quick brown fox jumps over a lazy dog, again and again; " * (case.chars // 60 + 2)
    fillers = [text[at : at + case.chars] for at in range(60)]
    if case.kind == "text":
        yield from (fillers[i % 60] for i in range(case.deltas))
        return
    yield '{"a":"'
    yield from (fillers[i % 60] for i in range(case.deltas - 2))
    yield '"}'


def _data(event: str, payload: dict[str, Any]) -> str:
    return json.dumps({"type": event, **payload}, separators=(",", ":"))


def _record(event: str, payload: dict[str, Any]) -> bytes:
    return f"event: {event}\ndata: {_data(event, payload)}\n\n".encode()


def _frame(event: str, payload: dict[str, Any]) -> bytes:
    """A whole text frame of a WebSocket, as a server sends it."""
    data = _data(event, payload).encode()
    size = len(data)
    if size < 126:
        length = bytes([size])
    elif size < 1 << 16:
        length = b"\x7e" + size.to_bytes(2, "big")
    else:
        length = b"\x7f" + size.to_bytes(8, "big")
    return b"\x81" + length + data


def _anthropic(case: Case) -> Iterator[bytes]:
    usage = {
        "input_tokens": 12,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 1,
        "service_tier": "standard",
    }
    message = {
        "id": "msg_01XFDUDYJgAACzvnptvVoYEL",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }
    text = case.kind == "text"
    tool = {
        "type": "tool_use",
        "id": "toolu_01T1x1fJ34qAma2tNTrN7Up6",
        "name": "write",
        "input": {},
    }
    block = {"type": "text", "text": ""} if text else tool
    yield _record("message_start", {"message": message})
    yield _record("content_block_start", {"index": 0, "content_block": block})
    for piece in _pieces(case):
        delta = {"type": "text_delta", "text": piece}
        if not text:
            delta = {"type": "input_json_delta", "partial_json": piece}
        yield _record("content_block_delta", {"index": 0, "delta": delta})
    yield _record("content_block_stop", {"index": 0})
    stop = {"stop_reason": "end_turn" if text else "tool_use", "stop_sequence": None}
    yield _record("message_delta", {"delta": stop, "usage": {"output_tokens": case.deltas}})
    yield _record("message_stop", {})


def _chunk(choices: list[dict[str, Any]], **more: object) -> bytes:
    chunk = {
        "id": "chatcmpl-CKRbbqDTmiHMSzk9q5yjBe4wJ0V8e",
        "object": "chat.completion.chunk",
        "created": 1759488000,
        "model": "gpt-4o-mini-2024-07-18",
        "service_tier": "default",
        "system_fingerprint": "fp_560af6e559",
        "choices": choices,
        "usage": None,
    }
    return f"data: {json.dumps(chunk | more, separators=(',', ':'))}\n\n".encode()


def _openai_delta(delta: dict[str, Any], reason: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return _chunk([choice])


def _openai(case: Case) -> Iterator[bytes]:
    call = {"index": 0, "id": "call_9DTmiHMSzk9q5yjB", "type": "function"}
    opening = {**call, "function": {"name": "write", "arguments": ""}}
    text = case.kind == "text"
    start = {"content": ""} if text else {"content": None, "tool_calls": [opening]}
    yield _openai_delta({"role": "assistant", **start, "refusal": None})
    for piece in _pieces(case):
        more = {"index": 0, "function": {"arguments": piece}}
        yield _openai_delta({"content": piece} if text else {"tool_calls": [more]})
    yield _openai_delta({}, "stop" if text else "tool_calls")
    total = 12 + case.deltas
    usage = {"prompt_tokens": 12, "completion_tokens": case.deltas, "total_tokens": total}
    yield _chunk([], usage=usage)
    yield b"data: [DONE]\n\n"


def _responses(case: Case) -> Iterator[tuple[str, dict[str, Any]]]:
    text = case.kind == "text"
    response = {
        "id": "resp_68e01a6f4bc48196a6c5d3f0b2a19c0d",
        "object": "response",
        "created_at": 1759488000,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": "gpt-5-mini-2025-08-07",
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }
    message = {"id": "msg_68e01a70d1a8", "type": "message", "role": "assistant"}
    call = {"id": "fc_68e01a70d1a8", "type": "function_call", "call_id": "call_9DTmiHMSzk9q5yjB"}
    item = message if text else {**call, "name": "write"}
    opening = {"content": []} if text else {"arguments": ""}
    place = {"item_id": item["id"], "output_index": 0}
    number = 0

    def event(kind: str, **payload: object) -> tuple[str, dict[str, Any]]:
        nonlocal number
        number += 1
        return f"response.{kind}", {"sequence_number": number - 1, **payload}

    yield event("created", response=response)
    yield event("in_progress", response=response)
    running = {**item, **opening, "status": "in_progress"}
    yield event("output_item.added", output_index=0, item=running)
    part = {"type": "output_text", "annotations": [], "logprobs": []}
    if text:
        yield event("content_part.added", **place, content_index=0, part={**part, "text": ""})
    pieces: list[str] = []
    for piece in _pieces(case):
        pieces.append(piece)
        if text:
            more = {"content_index": 0, "delta": piece, "logprobs": [], "obfuscation": "x7Qm2k"}
            yield event("output_text.delta", **place, **more)
        else:
            more = {"delta": piece, "obfuscation": "x7Qm2k"}
            yield event("function_call_arguments.delta", **place, **more)
    whole = "".join(pieces)
    if text:
        yield event("output_text.done", **place, content_index=0, text=whole, logprobs=[])
        done = {**part, "text": whole}
        yield event("content_part.done", **place, content_index=0, part=done)
        ended = {**item, "content": [done], "status": "completed"}
    else:
        yield event("function_call_arguments.done", **place, arguments=whole)
        ended = {**item, "arguments": whole, "status": "completed"}
    yield event("output_item.done", output_index=0, item=ended)
    usage = {
        "input_tokens": 12,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": case.deltas,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 12 + case.deltas,
    }
    last = {**response, "status": "completed", "output": [ended], "usage": usage}
    yield event("completed", response=last)
