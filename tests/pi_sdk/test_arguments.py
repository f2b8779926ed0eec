"""What a host passes by mistake is named at once, and leaves the session usable."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pi_sdk import SdkError, create_agent
from pi_session import SessionManager
from support.agent_sessions import opened

LEVELS = "off, minimal, low, medium, high, xhigh, max"


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"cwd": 5}, TypeError, "cwd: expected str or PathLike, found int"),
        ({"model": {"id": "m"}}, TypeError, "model: expected Model or str, found dict"),
        (
            {"thinking_level": "much"},
            SdkError,
            f"thinking_level: expected one of {LEVELS}, found 'much'",
        ),
        ({"no_tools": "x"}, SdkError, "no_tools: expected one of builtin, all, found 'x'"),
        (
            {"tools": "read"},
            TypeError,
            "tools: expected a sequence of str, found str. Write ['read']",
        ),
        ({"tools": [1]}, TypeError, "tools[0]: expected str, found int"),
        (
            {"exclude_tools": "bash"},
            TypeError,
            "exclude_tools: expected a sequence of str, found str. Write ['bash']",
        ),
        (
            {"custom_tools": [len]},
            TypeError,
            "custom_tools[0]: expected AgentTool, found builtin_function_or_method",
        ),
        (
            {"tool_options": {"bsh": {}}},
            SdkError,
            "tool_options: expected one of read, bash, edit, write, grep, find, ls, found 'bsh'",
        ),
        (
            {"append_system_prompt": "x"},
            TypeError,
            "append_system_prompt: expected a sequence of str, found str. Write ['x']",
        ),
        ({"context_files": None}, TypeError, "context_files: expected bool, found NoneType"),
        ({"settings": {}}, TypeError, "settings: expected SettingsManager, found dict"),
        ({"session_manager": "a.jsonl"}, TypeError, "session_manager: expected SessionManager"),
        ({"models": []}, TypeError, "models: expected Models, found list"),
        (
            {"stream_options": {"temprature": 1}},
            TypeError,
            "Unknown option: temprature. Did you mean temperature?",
        ),
        ({"scoped_models": "m1"}, TypeError, "scoped_models: expected a sequence of ScopedModel"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_option_that_is_none_is_named(fake, project, options, kind, text):
    manager = SessionManager.create(project, project / "sessions")

    async def main() -> None:
        async with fake:
            given = {"session_manager": manager, "models": fake.models, **options}
            await create_agent(**given)

    with pytest.raises(kind) as raised:
        asyncio.run(main())
    assert str(raised.value).startswith(text)
    assert manager.read_only or options.keys() == {"session_manager"}  # given up


async def nothing() -> None:
    """So that what is not awaited can stand beside what is."""


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda s: s.prompt(None), TypeError, "text: expected str, found NoneType"),
        (lambda s: s.steer(5), TypeError, "text: expected str, found int"),
        (lambda s: s.follow_up(None), TypeError, "text: expected str, found NoneType"),
        (
            lambda s: s.prompt("x", streaming_behavior="later"),
            ValueError,
            "streaming_behavior: expected one of steer, followUp, found 'later'",
        ),
        (
            lambda s: s.send_custom_message("x"),
            TypeError,
            "message: expected CustomMessage, found str",
        ),
        (
            lambda s: s.set_thinking_level("much"),
            ValueError,
            f"level: expected one of {LEVELS}, found 'much'",
        ),
        (lambda s: s.set_model("m1"), TypeError, "model: expected Model, found str"),
        (lambda s: s.set_session_name(None), TypeError, "name: expected str, found NoneType"),
        (lambda s: s.execute_bash(None), TypeError, "command: expected str, found NoneType"),
        (lambda s: s.compact(5), TypeError, "instructions: expected str, found int"),
        (
            lambda s: s.set_active_tools_by_name("read") or nothing(),
            TypeError,
            "names: expected a sequence of str, found str. Write ['read']",
        ),
        (
            lambda s: s.set_scoped_models([s.model]) or nothing(),
            TypeError,
            "models[0]: expected ScopedModel, found Model",
        ),
        (
            lambda s: s.subscribe(None) and nothing(),
            TypeError,
            "listener: expected a function, found NoneType",
        ),
    ],
)
def test_an_argument_that_is_none_is_named_and_harms_nothing(fake, project, call, kind, text):
    async def main() -> Any:
        async with fake, opened(fake, project) as session:
            with pytest.raises(kind) as raised:
                await call(session)
            assert str(raised.value) == text
            assert (session.messages, session.pending_message_count) == ([], 0)
            assert len(session.get_active_tool_names()) == 4
            return await session.prompt("hi")

    assert asyncio.run(main()).text == "Hello world"
