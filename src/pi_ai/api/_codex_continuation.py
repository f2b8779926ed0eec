"""What a WebSocket's server remembers of a conversation, so that only what is new need be sent.

Of what was sent only hashes are kept: a conversation may be large. Pure.
Source: spec of openai-codex-responses, section 9.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import cast

import msgspec
from msgspec import Struct

from pi_ai.json_text import js_json_bytes
from pi_ai.types import JsonObject, JsonValue

__all__ = ("Continuation", "continue_from", "remember")

_PLACE = {"input", "previous_response_id"}


class Continuation(Struct, frozen=True):
    """The state behind a response: its id, and hashes of the body and of the items up to it."""

    response_id: str
    settings: bytes
    items: tuple[bytes, ...]


def remember(
    body: JsonObject, response_id: str, answer_items: Sequence[JsonObject]
) -> Continuation:
    """The state after `body`, the full one, was answered by what becomes `answer_items`."""
    items = [*_input(body), *answer_items]
    return Continuation(response_id, _hash(_settings(body)), tuple(map(_hash, items)))


def continue_from(known: Continuation, body: JsonObject) -> JsonObject | None:
    """`body` with the new items alone; None if it does not continue what is known."""
    items = _input(body)
    count = len(known.items)
    if len(items) <= count or _hash(_settings(body)) != known.settings:
        return None
    if tuple(map(_hash, items[:count])) != known.items:
        return None
    return {**body, "previous_response_id": known.response_id, "input": items[count:]}


def _settings(body: JsonObject) -> JsonObject:
    return {name: value for name, value in body.items() if name not in _PLACE}


def _input(body: JsonObject) -> list[JsonValue]:
    items: JsonValue = body.get("input")
    return cast("list[JsonValue]", items) if isinstance(items, list) else []


def _hash(value: JsonValue) -> bytes:
    """Of the JSON text, not of the value: `1 == True` in Python."""
    try:
        text = msgspec.json.encode(value, order="sorted")
    except UnicodeEncodeError:
        text = js_json_bytes(value)
    return blake2b(text, digest_size=16).digest()
