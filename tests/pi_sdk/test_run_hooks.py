"""Hooks of the host beside those of the session: agent spec, section 13.5."""

from __future__ import annotations

import asyncio
import json

import pytest

from pi_agent import Hooks, Prepared, RunContext, tool
from pi_ai import UserMessage
from pi_sdk import AgentSession, SessionBusyError, SessionSettings, SettingsManager
from pi_sdk.session_operations import Reloaded
from pi_session import CompactionSettings, SessionManager
from support.agent_sessions import opened, said


@tool
async def look() -> str:
    """Look around."""
    return "nothing"


def test_hooks_of_the_host_are_asked_and_left_as_they_are(fake, project, answer):
    asked = []

    async def prepare_next_turn(turn, _signal):
        asked.append("next turn")
        return Prepared(messages=[UserMessage("one more thing")])

    def prepare_request(request, _signal):
        asked.append(request.model.id)
        return Prepared(thinking_level="low")

    async def main():
        fake.answers = [answer((), [("look", {})])]
        hooks = Hooks(prepare_next_turn=prepare_next_turn, prepare_request=prepare_request)
        async with fake, opened(fake, project, hooks=hooks, custom_tools=[look]) as session:
            await session.prompt("hi")
            await session.prompt("again")
            return hooks, said(session.messages)

    hooks, messages = asyncio.run(main())
    assert asked == ["m1", "next turn", "m1", "m1"]
    assert hooks.prepare_request is prepare_request
    assert hooks.prepare_next_turn is prepare_next_turn
    assert ("user", "one more thing") in messages
    assert [body["reasoning_effort"] for body in fake.bodies] == ["low"] * 3


def test_hooks_may_be_replaced_between_runs(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.prompt("one")
            seen = []
            session.agent.hooks = Hooks(prepare_request=lambda request, _signal: seen.append(1))
            await session.prompt("two")
            session.agent.hooks.prepare_request = None
            await session.prompt("three")
            await session.set_model(fake.models.get_model("fake", "m2"))
            await session.prompt("four")
            return seen, [body["model"] for body in fake.bodies]

    assert asyncio.run(main()) == ([1], ["m1", "m1", "m1", "m2"])


def test_messages_that_a_hook_makes_up_are_not_sent(fake, project):
    """The session is the truth; tools that the hook gives are those that run."""

    def made_up(request, _signal):
        return Prepared(context=RunContext([UserMessage("made up")], request.context.tools))

    async def main():
        hooks = Hooks(prepare_request=made_up)
        async with fake, opened(fake, project, hooks=hooks) as session:
            session.agent.state.messages = [UserMessage("assigned")]
            await session.prompt("hi")
            return json.dumps(fake.bodies[0]["messages"])

    sent = asyncio.run(main())
    assert '"hi"' in sent
    assert "made up" not in sent
    assert "assigned" not in sent


def test_a_hook_that_raises_before_a_request_ends_the_prompt(fake, project, recorder):
    def fail(_request, _signal):
        raise LookupError("no quota left")

    async def main():
        async with (
            fake,
            opened(fake, project, hooks=Hooks(prepare_request=fail)) as session,
        ):
            seen = recorder()
            session.subscribe(seen)
            with pytest.raises(LookupError, match="no quota left"):
                await session.prompt("hi")
            return seen

    assert asyncio.run(main()).types[-2:] == ["agent_end", "agent_settled"]


def test_an_abort_before_the_prompt_is_accepted_keeps_its_text(fake, project, recorder, answer):
    """While the context is compacted for it."""
    long = "All of it matters. " * 40

    async def main():
        fake.answers = [*[answer((long,), prompt_tokens=7000)] * 2, answer(hold=asyncio.Event())]
        settings = SessionSettings(compaction=CompactionSettings(keep_recent_tokens=250))
        async with fake, opened(fake, project, session_settings=settings) as session:
            await session.prompt("a" + long)
            await session.prompt("b" + long)
            await session.set_model(fake.models.get_model("fake", "m2"))
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("c"))
            await seen.saw("compaction_start")
            await session.abort()
            return await run, seen, said(session.messages)

    last, seen, messages = asyncio.run(main())
    assert last.stop_reason == "aborted"
    assert seen.of("compaction_end")[0].aborted is True
    assert seen.of("agent_settled")[0].aborted is True
    assert messages[-2:] == [("user", "c"), ("assistant", "")]
    assert len(fake.bodies) <= 3


def test_compacting_in_a_listener_of_the_end_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            errors = []

            async def listen(event):
                if event.type == "agent_settled" and not errors:
                    with pytest.raises(RuntimeError, match="would wait for the listener") as raised:
                        await session.compact()
                    errors.append(raised.value)

            session.subscribe(listen)
            await session.prompt("hi")
            return len(errors)

    assert asyncio.run(main()) == 1


def test_reloading_takes_over_settings_and_prompt(fake, project):
    async def main():
        async with fake:
            given = await opened(fake, project)

            settings = SettingsManager.in_memory()

            async def read():
                settings.set("steeringMode", "all")
                return Reloaded(
                    stream_options=given.agent.stream_options,
                    sections=lambda _tools: {"preamble": "B"},
                    registered_tools=given.agent.state.tools,
                    added_tools=(),
                )

            session = AgentSession(
                agent=given.agent,
                session_manager=SessionManager.in_memory(project),
                models=given.models,
                model=given.model,
                settings=settings,
                sections=lambda _tools: {"preamble": "A"},
                reload=read,
            )
            async with session:
                await session.prompt("one")
                await session.reload()
                await session.prompt("two")
                prompts = [m.sections for m in session.messages if m.role == "system"]
                mode = session.steering_mode
            await given.aclose()
            return prompts, mode

    prompts, mode = asyncio.run(main())
    assert prompts == [{"preamble": "A"}, {"preamble": "B"}]
    assert mode == "all"


def test_reloading_waits_for_a_compaction(fake, project, answer):
    long = "All of it matters. " * 40

    async def main():
        fake.answers = [*[answer((long,))] * 2, answer(hold=asyncio.Event())]
        settings = SessionSettings(compaction=CompactionSettings(keep_recent_tokens=250))
        async with fake, opened(fake, project, session_settings=settings) as session:
            await session.prompt("a" + long)
            await session.prompt("b" + long)
            run = asyncio.create_task(session.compact())
            await asyncio.sleep(0)
            found = []
            for work in (session.reload(), session.navigate_tree("x")):
                with pytest.raises(SessionBusyError) as raised:
                    await work
                found.append(str(raised.value))
            await session.abort()
            await asyncio.wait([run])
            assert run.exception() is not None
            return found

    assert asyncio.run(main()) == [
        "Wait for the current compaction to finish before reloading.",
        "Wait for the current compaction or tree navigation to finish before navigating the "
        "session tree.",
    ]
