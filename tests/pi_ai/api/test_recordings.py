"""Real API streams give upstream's events and messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pi_ai import Context, Model, Models
from pi_ai.api.anthropic_messages import AnthropicOptions
from pi_ai.api.openai_completions import CompletionsOptions
from pi_ai.api.openai_responses import ResponsesOptions
from pi_ai.testing import LoopbackResponse, LoopbackServer
from pi_ai.wire import from_json_value, to_json_value
from support.shared import cases, load

ADAPTERS = {
    "anthropic-messages": AnthropicOptions,
    "openai-completions": CompletionsOptions,
    "openai-responses": ResponsesOptions,
}
GOLDENS = [
    *cases("recordings", "anthropic-messages--", ".golden.json"),
    *cases("recordings", "openai-completions--", ".golden.json"),
    *cases("recordings", "openai-responses--", ".golden.json"),
]


def in_pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(body), size):
            yield body[at : at + size]
            await asyncio.sleep(0)

    return pieces()


async def replay(path: Path, size: int) -> tuple[Any, list[Any], Any]:
    recording = json.loads(path.with_name(path.name.replace(".golden", "")).read_text())
    body = recording["response_body"].encode()

    def answer(_request: object) -> LoopbackResponse:
        headers = {"Content-Type": recording["response_content_type"]}
        return LoopbackResponse(in_pieces(body, size), recording["status"], headers)

    models = Models()
    async with LoopbackServer(answer) as server:
        golden = load(path, server.url)
        model = from_json_value(golden["model"], Model)
        options = {"api_key": golden["options"].get("apiKey", "k")}
        adapter = ADAPTERS[golden["api"]]()
        context = from_json_value(golden["context"], Context)
        async with models.stream(model, context, adapter=adapter, **options) as events:
            seen = [event async for event in events]
            final = await events.result()
        await models.aclose()
    return golden, seen, final


def merged(events: list[Any]) -> list[Any]:
    """Events without empty deltas, consecutive deltas of one block joined."""
    out: list[Any] = []
    for event in events:
        event = {k: v for k, v in event.items() if k not in {"partial", "message", "error"}}
        if event["type"].endswith("_delta"):
            if not event["delta"]:
                continue
            last = out[-1] if out else {}
            same = ("type", "contentIndex")
            if all(last.get(key) == event[key] for key in same):
                last["delta"] += event["delta"]
                continue
        out.append(dict(event))
    return out


SIGNATURES = {"thinkingSignature", "textSignature", "thoughtSignature"}


def plain(value: Any, *, name: str = "") -> Any:
    """`value` with signatures that are JSON parsed, so that they compare by meaning."""
    if isinstance(value, dict):
        return {key: plain(item, name=key) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if name in SIGNATURES and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def departures(golden: Any) -> Any:
    """Upstream's result with what this library makes differently of the same bytes."""
    # Content that comes as a list of parts: upstream writes each part as `[object Object]`, the
    # text of the parts is read here (there is none in the recorded ones). Providers spec, 8.
    golden = json.loads(json.dumps(golden).replace("[object Object]", ""))
    golden["events"] = [e for e in golden["events"] if not isinstance(e.get("delta"), list)]
    return golden


@pytest.mark.parametrize("size", [1 << 20, 61, 7], ids=["whole", "61-bytes", "7-bytes"])
@pytest.mark.parametrize("path", GOLDENS)
def test_recorded_stream_gives_the_golden_message_and_events(path: Path, size: int) -> None:
    golden, seen, final = asyncio.run(replay(path, size))
    golden = departures(golden)
    message = to_json_value(final)
    for key in ("timestamp", "durationMs"):
        message.pop(key, None)
    wanted = golden["final"]
    cost = message["usage"].pop("cost")
    assert cost == pytest.approx(wanted["usage"].pop("cost"), rel=1e-9)
    assert plain(message) == plain(wanted)
    assert plain(merged([to_json_value(event) for event in seen])) == plain(
        merged(golden["events"])
    )


@pytest.mark.parametrize("path", GOLDENS)
def test_deltas_add_up_and_every_snapshot_shows_its_own_moment(path: Path) -> None:
    _, seen, final = asyncio.run(replay(path, 97))
    texts: dict[int, str] = {}
    for event in seen[:-1]:
        if event.type.endswith("_delta"):
            texts[event.content_index] = texts.get(event.content_index, "") + event.delta
            block = event.partial.content[event.content_index]
            if event.type == "text_delta":
                assert block.text == texts[event.content_index]
            elif event.type == "thinking_delta":
                assert block.thinking == texts[event.content_index]
    for index, text in texts.items():
        block = final.content[index]
        if block.type == "text":
            assert block.text == text
