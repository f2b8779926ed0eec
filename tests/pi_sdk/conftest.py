"""The fake provider of the sdk spec, section 17, a recorder of events, and sessions on both."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from pi_ai import Model, ModelCost, Models, ProviderSpec
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer
from pi_sdk.events import SessionEvent
from support.rpc_process import Server, running


@dataclass
class Answer:
    """One answer: text in pieces, then tool calls. `hold` keeps the rest after the first piece."""

    pieces: Sequence[str] = ("Hello", " world")
    calls: Sequence[tuple[str, dict[str, Any]]] = ()
    hold: asyncio.Event | None = None
    status: int = 200
    error: str = "overloaded"
    finish: str | None = None
    prompt_tokens: int = 100


@dataclass
class FakeProvider:
    """OpenAI-compatible, in an `async with` block; says "Hello world" when `answers` is empty."""

    answers: list[Answer] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    async def __aenter__(self) -> FakeProvider:
        self.server = LoopbackServer(self._answer)
        await self.server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.server.aclose()

    @property
    def url(self) -> str:
        return f"{self.server.url}/v1"

    @property
    def models(self) -> Models:
        """A collection with m1 and m2 alone."""
        models = Models(())
        models.set_provider(
            ProviderSpec("fake", needs_key=False),
            [
                Model(
                    id="m1",
                    name="Model One",
                    api="openai-completions",
                    provider="fake",
                    base_url=self.url,
                    reasoning=True,
                    context_window=128_000,
                    max_tokens=4096,
                    cost=ModelCost(input=1, output=2, cache_read=0.1, cache_write=1.25),
                ),
                Model(
                    id="m2",
                    api="openai-completions",
                    provider="fake",
                    base_url=self.url,
                    context_window=8000,
                    max_tokens=4096,
                ),
            ],
        )
        return models

    def config(self, **fields: Any) -> dict[str, Any]:
        """The same as a provider of models.json."""
        model = {"cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1.25}}
        return {
            "baseUrl": self.url,
            "api": "openai-completions",
            "models": [
                {"id": "m1", "name": "Model One", "reasoning": True, "maxTokens": 4096, **model},
                {"id": "m2", "contextWindow": 8000, "maxTokens": 4096},
            ],
            **fields,
        }

    def _answer(self, request: LoopbackRequest) -> LoopbackResponse:
        self.bodies.append(request.json())
        answer = self.answers.pop(0) if self.answers else Answer()
        if answer.status != 200:
            body = json.dumps({"error": {"message": answer.error, "type": "x"}}).encode()
            return LoopbackResponse(
                body, status=answer.status, headers={"Content-Type": "application/json"}
            )
        return LoopbackResponse(self._chunks(answer, len(self.bodies)))

    async def _chunks(self, answer: Answer, number: int) -> AsyncIterator[bytes]:
        def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
            choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
            told = {"id": f"chatcmpl-{number}", "model": "m1", "choices": choices, **more}
            return b"data: " + json.dumps(told).encode() + b"\n\n"

        for index, piece in enumerate(answer.pieces):
            yield chunk({"content": piece})
            if index == 0 and answer.hold is not None:
                await answer.hold.wait()
        for index, (name, arguments) in enumerate(answer.calls):
            call = {"index": index, "id": f"call_{number}_{index}", "type": "function"}
            yield chunk({"tool_calls": [{**call, "function": {"name": name, "arguments": ""}}]})
            text = json.dumps(arguments)
            for part in (text[: len(text) // 2], text[len(text) // 2 :]):
                yield chunk({"tool_calls": [{"index": index, "function": {"arguments": part}}]})
        usage = {"prompt_tokens": answer.prompt_tokens, "completion_tokens": 10}
        finish = answer.finish or ("tool_calls" if answer.calls else "stop")
        yield chunk({}, finish, usage=usage)
        yield b"data: [DONE]\n\n"


class Recorder:
    """A listener that keeps what it is told and lets others wait for it."""

    def __init__(self) -> None:
        self.events: list[SessionEvent] = []
        self._told = asyncio.Event()

    def __call__(self, event: SessionEvent) -> None:
        self.events.append(event)
        self._told.set()

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    def of(self, kind: str) -> list[Any]:
        return [event for event in self.events if event.type == kind]

    async def until(self, wanted: Callable[[list[SessionEvent]], object]) -> None:
        async with asyncio.timeout(5):
            while not wanted(self.events):
                self._told.clear()
                await self._told.wait()

    async def saw(self, kind: str, count: int = 1) -> None:
        await self.until(lambda _events: len(self.of(kind)) >= count)


@pytest.fixture
def answer() -> type[Answer]:
    return Answer


@pytest.fixture
def fake() -> FakeProvider:
    return FakeProvider()


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def agent_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "agent"
    directory.mkdir()
    return directory


@pytest.fixture
def project(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def write_models(agent_dir: Path) -> Callable[[object], Path]:
    """Writes models.json, from its text or from its providers."""

    def write(content: object) -> Path:
        path = agent_dir / "models.json"
        if isinstance(content, dict):
            content = json.dumps({"providers": content})
        path.write_text(str(content), encoding="utf-8")
        return path

    return write


@pytest.fixture
def start(fake, agent_dir, project, write_models):
    """Starts a server on the fake provider, whose models are in models.json."""

    @contextlib.asynccontextmanager
    async def started(*arguments: str, **env: str) -> AsyncIterator[Server]:
        async with fake:
            write_models({"fake": fake.config()})
            async with running(agent_dir, project, *arguments, **env) as server:
                yield server

    return started
