"""Sessions that live long, sessions by the thousand, and what is left of them: nothing."""

from __future__ import annotations

import asyncio
import gc
import pkgutil
import tracemalloc
import weakref
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import pi_sdk
from pi_ai import Model, Models, ProviderSpec
from pi_ai.testing import LoopbackRequest, LoopbackResponse, LoopbackServer, faux_message
from pi_ai.testing.scripted_server import anthropic_events
from pi_sdk import AgentSession, SessionSettings, create_agent
from pi_session import CompactionSettings, SessionManager

MODEL = Model(
    id="quick", api="quick", provider="quick", base_url="http://localhost:0", context_window=6000
)


LEARNT = "learnt " * 1000


async def quick(call: Any) -> Any:
    """Answers at once, and learns something about each session."""
    session_id = call.options.get("session_id")
    call.memory.remember(session_id, f"{LEARNT}{session_id}")
    message = call.message
    yield [message.start()]
    start = message.text_start()
    yield [start, message.text(start.content_index, "done"), message.end(start.content_index)]
    message.stop("stop")


def quick_models() -> Models:
    models = Models(())
    models.set_provider(ProviderSpec("quick", needs_key=False, apis={"quick": quick}), [MODEL])
    return models


def options(project: Path, models: Models) -> dict[str, Any]:
    return {
        "cwd": project,
        "agent_dir": project,
        "model": MODEL,
        "models": models,
        "system_prompt": "Be brief.",
        "no_tools": "all",
        "context_files": False,
        "session_settings": SessionSettings(
            compaction=CompactionSettings(reserve_tokens=3000, keep_recent_tokens=500)
        ),
    }


def objects() -> int:
    """How many objects there are that can hold others, which the lines of a session cannot."""
    gc.collect()
    return len(gc.get_objects())


@pytest.mark.parametrize("stored", [False, True], ids=["in-memory", "on-disk"])
def test_two_thousand_prompts_leave_nothing_but_their_messages(project, stored):
    """The session keeps what was said; the context and all else is as large as at the start."""

    async def main() -> tuple[list[int], list[int], int, int]:
        where = project / "sessions"
        manager = (
            SessionManager.create(project, where) if stored else SessionManager.in_memory(project)
        )
        given = options(project, quick_models())
        held: list[int] = []
        kept: list[int] = []
        before = objects()
        async with create_agent(**given, session_manager=manager) as session:
            compactions = 0

            def count(event: Any) -> None:
                nonlocal compactions
                compactions += event.type == "compaction_end"

            session.subscribe(count)
            for number in range(2000):
                await session.prompt(f"{number}: " + "word " * 20)
                if number % 500 == 499:
                    held.append(objects() - before)
                    kept.append(len(session.agent.state.messages))
            assert len(asyncio.all_tasks()) == 1
        del session, manager
        return held, kept, compactions, objects() - before

    held, kept, compactions, left = asyncio.run(main())
    assert compactions > 10
    assert max(kept) < 300
    messages = 2 * 500  # the session keeps those of its lines
    steps = [later - earlier for earlier, later in pairwise(held)]
    assert max(steps) < 1.1 * messages
    assert left < 500  # what is made once, and kept for the next session


def test_a_closed_session_is_gone_with_all_it_held(project):
    async def main() -> list[Any]:
        models = quick_models()
        seen: list[Any] = []
        for _ in range(20):
            manager = SessionManager.in_memory(project)
            async with create_agent(**options(project, models), session_manager=manager) as session:
                session.subscribe(lambda _event: None)
                await session.prompt("hi")
                await session.execute_bash("true")
                with_parts = (session, session.agent, manager, *session.messages)
                seen += [weakref.ref(part) for part in with_parts if _can_be_watched(part)]
            del session, manager, with_parts
        gc.collect()
        return [ref() for ref in seen if ref() is not None]

    assert asyncio.run(main()) == []


def test_closing_one_of_many_sessions_frees_its_bytes(project):
    """Texts and all, and not only what can be watched."""
    most = 250

    async def main() -> tuple[int, int, int]:
        models = quick_models()

        async def talked(number: int) -> AgentSession:
            manager = SessionManager.in_memory(project)
            session = await create_agent(**options(project, models), session_manager=manager)
            session.subscribe(lambda _event: number)
            await session.prompt(f"{number}: " + "word " * 1000)
            return session

        async def held() -> int:
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        await (await talked(0)).aclose()  # makes what is made once
        tracemalloc.start()
        try:
            before = await held()
            sessions = [await talked(number) for number in range(most)]
            full = await held()
            for _ in range(10):
                await sessions.pop(most // 2).aclose()
            ten_less = await held()
            while sessions:
                await sessions.pop().aclose()
            return full - before, full - ten_less, await held() - before
        finally:
            tracemalloc.stop()

    grown, freed, left = asyncio.run(main())
    assert grown > most * len(LEARNT)
    assert freed > 0.9 * grown * 10 / most
    assert left < 0.01 * grown


def module_state() -> dict[str, Any]:
    """A copy of everything in pi_sdk's modules that could be changed."""
    names = [f"pi_sdk.{found.name}" for found in pkgutil.iter_modules(pi_sdk.__path__)]
    return {
        f"{name}.{key}": value.copy()
        for name in names
        for key, value in vars(import_module(name)).items()
        if isinstance(value, dict | list | set) and not key.startswith("__")
    }


def test_sessions_leave_nothing_in_the_package_itself(project):
    before = module_state()

    async def main() -> None:
        given = options(project, quick_models())
        for _ in range(3):
            session = await create_agent(**given, session_manager=SessionManager.in_memory(project))
            session.subscribe(lambda _event: None)
            await session.prompt("hi")
            await session.steer("later")
            await session.execute_bash("true")
            await session.reload()
            # Not closed: there is no place that could still hold it.

    asyncio.run(main())
    assert module_state() == before


def _can_be_watched(part: object) -> bool:
    try:
        weakref.ref(part)
    except TypeError:
        return False
    return True


def test_a_thousand_sessions_share_one_pool_of_connections(project):
    """All of them are open at once, and each has its own conversation."""
    most = 1000

    async def answer(request: LoopbackRequest) -> LoopbackResponse:
        body: Any = request.json()
        said = body["messages"][-1]["content"]
        text = said if isinstance(said, str) else said[0]["text"]
        return LoopbackResponse(b"".join(anthropic_events(faux_message(f"to {text}"))))

    async def main() -> tuple[list[str], int, int]:
        async with LoopbackServer(answer) as server:
            models = Models()
            model = Model(
                id="m",
                api="anthropic-messages",
                provider="scripted",
                base_url=server.url,
                context_window=100_000,
                max_tokens=99,
            )
            given = {**options(project, models), "model": model, "stream_options": {"api_key": "k"}}
            sessions = [
                await create_agent(**given, session_manager=SessionManager.in_memory(project))
                for _ in range(most)
            ]
            room = asyncio.Semaphore(8)

            async def ask(number: int) -> str:
                async with room:
                    message = await sessions[number].prompt(f"question {number}")
                assert message is not None
                return message.text

            texts = await asyncio.gather(*map(ask, range(most)))
            connections = server.open_connections
            watched = [weakref.ref(session) for session in sessions]
            for session in sessions:
                await session.aclose()
            sessions.clear()
            del session
            gc.collect()
            await models.aclose()
            return texts, connections, sum(ref() is not None for ref in watched)

    texts, connections, left = asyncio.run(main())
    assert texts == [f"to question {number}" for number in range(most)]
    assert connections <= 8
    assert left == 0
