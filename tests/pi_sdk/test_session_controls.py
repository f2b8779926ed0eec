"""Model, level, tools, modes and name in mid-session: sdk spec, sections 7.2, 8.7 and 9."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from pi_agent import tool
from pi_ai.wire import to_json_value
from pi_sdk import NoModelError, ScopedModel, SessionSettings, SettingsManager
from pi_session import SessionManager
from support.agent_sessions import opened, said


@tool
async def shout(text: str) -> str:
    """Make a text loud."""
    return text.upper()


def told(body):
    """Every text of a request's messages."""
    return json.dumps(body["messages"])


def names(body):
    return [one["function"]["name"] for one in body.get("tools", ())]


# --- levels -----------------------------------------------------------------------------------


def test_sdk_check_26_levels_are_clamped(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            found = []
            await session.set_thinking_level("max")
            found.append(session.thinking_level)
            levels = {"off": None, "minimal": None, "low": "low", "xhigh": "x", "max": "m"}
            mapped = replace(session.model, id="mapped", thinking_level_map=levels)
            await session.set_model(mapped)
            await session.set_thinking_level("off")
            found.append(session.thinking_level)
            await session.set_model(fake.models.get_model("fake", "m2"))
            before = len(seen.events)
            await session.set_thinking_level("high")
            found += [session.thinking_level, len(seen.events) - before]
            return found

    assert asyncio.run(main()) == ["high", "low", "off", 0]


def test_sdk_check_27_cycling_levels(fake, project):
    async def main():
        async with fake, opened(fake, project, thinking_level="high") as session:
            found = [await session.cycle_thinking_level(), session.thinking_level]
            await session.set_model(fake.models.get_model("fake", "m2"))
            return [*found, await session.cycle_thinking_level()]

    assert asyncio.run(main()) == ["off", "off", None]


# --- models -----------------------------------------------------------------------------------


def test_sdk_check_28_cycling_scoped_models(fake, project):
    async def main():
        async with fake:
            m1, m2 = fake.models.get_models("fake")
            options = {
                "model": m1,
                "thinking_level": "low",
                "scoped_models": [ScopedModel(m1, "low"), ScopedModel(m2)],
            }
            async with opened(fake, project, **options) as session:
                found = [(session.model.id, session.thinking_level)]
                await session.set_thinking_level("high")
                for _ in range(2):
                    cycled = await session.cycle_model()
                    found.append((cycled.model.id, cycled.thinking_level, cycled.is_scoped))
                session.set_scoped_models([ScopedModel(m1)])
                return [*found, await session.cycle_model()]

    assert asyncio.run(main()) == [("m1", "low"), ("m2", "off", True), ("m1", "low", True), None]


def test_cycling_all_models_in_both_directions(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            away = replace(session.model, id="other")
            found = []
            for direction in ("forward", "backward"):
                await session.set_model(away)
                cycled = await session.cycle_model(direction)
                found.append((cycled.model.id, cycled.is_scoped))
            with pytest.raises(
                ValueError, match="direction: expected one of forward, backward, found 'up'"
            ):
                await session.cycle_model("up")
            return found

    assert asyncio.run(main()) == [("m1", False), ("m2", False)]


def test_sdk_check_29_a_model_without_a_key_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            away = replace(session.model, provider="p", id="m", base_url="http://x.test")
            with pytest.raises(NoModelError, match=r"^No API key for p/m"):
                await session.set_model(away)

    asyncio.run(main())


def test_a_chosen_model_starts_at_the_users_level(fake, project):
    settings = SessionSettings(
        default_thinking_level="minimal", model_thinking_levels={"fake/m1": "high"}
    )

    async def main():
        async with fake, opened(fake, project, session_settings=settings) as session:
            m1, m2 = fake.models.get_models("fake")
            other = replace(m1, id="other")
            found = []
            for model in (m1, other, m2, other):
                await session.set_model(model)
                found.append(session.thinking_level)
            return found

    assert asyncio.run(main()) == ["high", "minimal", "off", "minimal"]


def test_what_is_persisted_goes_to_the_users_settings(fake, project, agent_dir):
    file = agent_dir / "settings.json"

    async def main():
        options = {"settings": SettingsManager.create(project, agent_dir)}
        async with fake, opened(fake, project, **options) as session:
            await session.set_model(fake.models.get_model("fake", "m1"))
            assert not file.exists()
            await session.set_model(fake.models.get_model("fake", "m1"), persist=True)
            await session.set_thinking_level("max", persist=True)
            early = json.loads(file.read_text())
            session.set_auto_compaction_enabled(False)
            session.set_auto_retry_enabled(False)
            session.set_steering_mode("all")
            session.set_follow_up_mode("all")
            return early, session.thinking_level, session.steering_mode, session.follow_up_mode

    start = {"defaultProvider": "fake", "defaultModel": "m1", "defaultThinkingLevel": "max"}
    assert asyncio.run(main()) == (start, "high", "all", "all")
    assert json.loads(file.read_text()) == start | {
        "compaction": {"enabled": False},
        "retry": {"enabled": False},
        "steeringMode": "all",
        "followUpMode": "all",
    }


def test_switches_hold_against_settings_that_win_over_the_users(fake, project):
    async def main():
        settings = SettingsManager.in_memory()
        settings.apply_overrides({"retry": {"enabled": True}, "compaction": {"enabled": True}})
        async with fake, opened(fake, project, settings=settings) as session:
            session.set_auto_retry_enabled(False)
            session.set_auto_compaction_enabled(False)
            settings.set("images.blockImages", True)
            found = session.session_settings
            assert found.block_images
            assert found is session.session_settings
            off = session.auto_retry_enabled, session.auto_compaction_enabled
            settings.set("retry.enabled", True)
            await session.reload()
            return off, session.auto_retry_enabled, session.auto_compaction_enabled

    assert asyncio.run(main()) == ((False, False), True, False)


def test_an_unknown_mode_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            with pytest.raises(
                ValueError, match="mode: expected one of all, one-at-a-time, found 'some'"
            ):
                session.set_steering_mode("some")
            return session.steering_mode

    assert asyncio.run(main()) == "one-at-a-time"


# --- changes in the middle of a run -----------------------------------------------------------


def changing(fake, project, change, **options):
    """Two requests of one run, with `change` made between them."""

    async def main():
        async with fake, opened(fake, project, custom_tools=[shout], **options) as session:

            async def listen(event):
                if event.type == "turn_end" and event.tool_results:
                    await change(session)

            session.subscribe(listen)
            await session.prompt("hi")
            return session.messages

    return asyncio.run(main())


def test_a_model_set_in_a_run_answers_its_next_request(fake, project, answer):
    async def change(session):
        await session.set_model(fake.models.get_model("fake", "m2"))

    fake.answers = [answer((), [("shout", {"text": "a"})])]
    messages = changing(fake, project, change)
    assert [body["model"] for body in fake.bodies] == ["m1", "m2"]
    assert [m.model for m in messages if m.role == "assistant"] == ["m1", "m2"]


def test_a_level_set_in_a_run_is_that_of_its_next_request(fake, project, answer):
    async def change(session):
        await session.set_thinking_level("high")

    fake.answers = [answer((), [("shout", {"text": "a"})])]
    changing(fake, project, change)
    assert [body["reasoning_effort"] for body in fake.bodies] == ["medium", "high"]


def test_tools_set_in_a_run_are_told_to_its_next_request(fake, project, answer):
    async def change(session):
        session.set_active_tools_by_name(["write", "nope", "read"])

    fake.answers = [answer((), [("shout", {"text": "a"})])]
    messages = changing(fake, project, change)
    assert names(fake.bodies[0]) == ["read", "bash", "edit", "write", "shout"]
    assert names(fake.bodies[1]) == ["read", "write"]
    changes = [m for m in messages if m.role == "system"][1]
    assert [tool.name for tool in changes.tools_removed] == ["bash", "edit", "shout"]
    assert set(changes.sections) == {"tools", "rules"}


def test_what_is_edited_in_a_run_is_not_sent_again(fake, project, answer):
    """The session is the truth, whoever changes it."""

    async def change(session):
        manager = session.session_manager
        user = next(entry for entry in manager.get_entries() if entry.role == "user")
        manager.append_context_edit(user.id, {"content": "something else"})

    fake.answers = [answer((), [("shout", {"text": "a"})])]
    changing(fake, project, change)
    assert '"hi"' in told(fake.bodies[0])
    assert '"hi"' not in told(fake.bodies[1])
    assert "something else" in told(fake.bodies[1])


# --- tools ------------------------------------------------------------------------------------


def test_active_tools_keep_their_place(fake, project):
    async def main():
        async with fake, opened(fake, project, exclude_tools=["bash"]) as session:
            session.set_active_tools_by_name(["write", "nope", "bash", "read"])
            first = session.get_active_tool_names()
            session.set_active_tools_by_name(["edit", "write", "read"])
            return first, session.get_active_tool_names(), [t.name for t in session.get_all_tools()]

    first, second, everything = asyncio.run(main())
    assert first == ["read", "write"]
    assert second == ["read", "write", "edit"]
    assert everything == ["read", "edit", "write", "grep", "find", "ls"]


def test_a_resumed_session_has_the_tools_it_ended_with(fake, project, tmp_path):
    async def main():
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake, opened(fake, project, session_manager=manager) as session:
            session.set_active_tools_by_name(["read"])
            await session.prompt("hi")
            return session.session_file

    async def resume(path):
        found = []
        for options in (
            {},
            {"custom_tools": [shout]},
            {"tools": ["write"]},
            {"tools": ["+grep", "-bash"], "custom_tools": [shout]},
            {"tools": ["-read", "+write"]},
            {"tools": ["+grep"], "no_tools": "builtin"},
        ):
            again = SessionManager.open(path)
            async with fake, opened(fake, project, session_manager=again, **options) as session:
                found.append(session.get_active_tool_names())
        return found

    path = asyncio.run(main())
    assert asyncio.run(resume(path)) == [
        ["read"],
        ["read", "shout"],
        ["write"],
        ["read", "shout", "grep"],
        ["write"],
        ["grep"],
    ]


# --- name and numbers -------------------------------------------------------------------------


def test_a_name_is_stored_and_told(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.set_session_name(" two\r\nlines ")
            name = session.session_name
            await session.set_session_name("")
            return name, [event.name for event in seen.events], session.session_name

    assert asyncio.run(main()) == ("two lines", ["two lines", None], None)


def test_statistics_have_the_shape_of_upstream(fake, project, answer):
    async def main():
        fake.answers = [answer((), [("shout", {"text": "a"})])]
        async with fake, opened(fake, project, custom_tools=[shout]) as session:
            await session.prompt("hi")
            points = session.get_user_messages_for_forking()
            return session.get_session_stats(), points, session.session_manager

    totals, points, manager = asyncio.run(main())
    found = to_json_value(totals)
    assert found.pop("cost") == pytest.approx(0.00024)
    assert found.pop("sessionId") == manager.session_id
    assert found == {
        "userMessages": 1,
        "assistantMessages": 2,
        "toolCalls": 1,
        "toolResults": 1,
        "totalMessages": 5,
        "tokens": {"input": 200, "output": 20, "cacheRead": 0, "cacheWrite": 0, "total": 220},
        "contextUsage": {"tokens": 110, "contextWindow": 128000, "percent": 110 / 1280},
    }
    assert [(manager.get_entry(one.entry_id).role, one.text) for one in points] == [("user", "hi")]


def test_the_active_branch_is_exported(fake, project, tmp_path):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.prompt("hi")
            return session.export_to_jsonl(tmp_path / "out.jsonl"), said(session.messages)

    path, messages = asyncio.run(main())
    with SessionManager.open(path) as exported:
        assert said(exported.build_session_context().messages) == messages
