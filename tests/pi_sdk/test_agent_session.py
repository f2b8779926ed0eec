"""AgentSession against a real server on loopback and real session files."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pi_agent import tool
from pi_ai import AssistantMessage, Cost, Usage, UserMessage
from pi_ai.retry import RetryPolicy
from pi_sdk import (
    AgentSession,
    NoModelError,
    PromptRejectedError,
    SessionSettings,
    create_agent,
)
from pi_session import SessionManager
from support.agent_sessions import BUSY, opened, said


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_sdk_check_03_events_of_a_prompt_come_in_order(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            answer = await session.prompt("hi")
            return answer, seen

    answer, seen = asyncio.run(main())
    assert answer.text == "Hello world"
    assert seen.types == [
        "agent_start",
        "turn_start",
        *("message_start", "message_end") * 2,
        "message_start",
        *("message_update",) * 4,
        "message_end",
        "turn_end",
        "agent_end",
        "agent_settled",
    ]
    starts = [event.message for event in seen.of("message_start")]
    assert [message.role for message in starts] == ["system", "user", "assistant"]
    assert starts[2].stop_reason == "pending"
    assert seen.of("agent_end")[0].will_retry is False
    assert seen.of("agent_settled")[0].aborted is False


def test_sdk_check_04_a_second_prompt_sends_no_system_message(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.prompt("one")
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("two")
            return seen

    seen = asyncio.run(main())
    assert [event.message.role for event in seen.of("message_end")] == ["user", "assistant"]


def test_sdk_check_05_a_prompt_during_a_run_is_refused(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            with pytest.raises(PromptRejectedError) as refused:
                await session.prompt("x")
            hold.set()
            return str(refused.value), await run, said(session.messages)

    text, message, messages = asyncio.run(main())
    assert text == BUSY
    assert message.stop_reason == "stop"
    assert messages == [("user", "hi"), ("assistant", "Hello world")]


def test_sdk_check_06_queued_messages_are_delivered_in_order(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            await session.steer("s1")
            await session.follow_up("f1")
            assert session.pending_message_count == 2
            hold.set()
            await run
            return seen, session.pending_message_count

    seen, pending = asyncio.run(main())
    shown = [(event.steering, event.follow_up) for event in seen.of("queue_update")]
    assert shown == [(["s1"], []), (["s1"], ["f1"]), ([], ["f1"]), ([], [])]
    for text in ("s1", "f1"):
        at = next(
            index
            for index, event in enumerate(seen.events)
            if event.type == "message_start" and said([event.message]) == [("user", text)]
        )
        before = seen.events[at - 1]
        assert before.type == "queue_update"
        assert text not in [*before.steering, *before.follow_up]
    (ended,) = seen.of("agent_end")
    roles = [message.role for message in ended.messages if message.role != "system"]
    assert roles == ["user", "assistant"] * 3
    assert pending == 0


def test_sdk_check_07_mode_all_delivers_steering_in_one_request(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            session.agent.steering_queue.mode = "all"
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            await session.steer("s1")
            await session.steer("s2")
            hold.set()
            await run
            return seen

    seen = asyncio.run(main())
    assert len(fake.bodies) == 2
    last = fake.bodies[1]["messages"][-2:]
    assert [message["role"] for message in last] == ["user", "user"]
    assert ["s1" in json.dumps(last[0]), "s2" in json.dumps(last[1])] == [True, True]
    shown = [event.steering for event in seen.of("queue_update")]
    assert shown == [["s1"], ["s1", "s2"], ["s2"], []]


def test_sdk_check_08_idle_steering_waits_for_the_next_prompt(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.steer("q")
            waiting = session.pending_message_count, len(fake.bodies)
            await session.prompt("go")
            return waiting, said(session.messages)

    waiting, messages = asyncio.run(main())
    assert waiting == (1, 0)
    assert messages == [("user", "go"), ("user", "q"), ("assistant", "Hello world")]
    assert len(fake.bodies) == 1


def test_sdk_check_09_clear_queue_gives_the_texts_back(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            await session.steer("s1")
            await session.steer("s2")
            await session.follow_up("f1")
            seen = recorder()
            session.subscribe(seen)
            return await session.clear_queue(), seen, session.pending_message_count

    dropped, seen, pending = asyncio.run(main())
    assert dropped == {"steering": ["s1", "s2"], "followUp": ["f1"]}
    (shown,) = seen.events
    assert (shown.steering, shown.follow_up, pending) == ([], [], 0)


def test_sdk_check_10_abort_keeps_the_partial_answer_and_the_queue(
    fake, project, recorder, answer, tmp_path
):
    async def main():
        fake.answers = [answer(hold=asyncio.Event())]
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake, opened(fake, project, session_manager=manager) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update", 2)
            await session.follow_up("f1")
            await session.abort()
            told = seen.of("agent_settled")[0].aborted, session.pending_message_count
            requests = len(fake.bodies)
            stopped = await run
            await session.prompt("next")
            return stopped, told, requests, said(session.messages), session.session_file

    stopped, told, requests, messages, path = asyncio.run(main())
    assert (stopped.stop_reason, stopped.text) == ("aborted", "Hello")
    assert stopped.error_message == "Request was aborted"
    assert told == (True, 1)
    assert requests == 1
    assert messages == [
        ("user", "hi"),
        ("assistant", "Hello"),
        ("user", "next"),
        ("assistant", "Hello world"),
        ("user", "f1"),
        ("assistant", "Hello world"),
    ]
    with SessionManager.open(path) as reopened:
        assert said(reopened.build_session_context().messages) == messages


def test_sdk_check_11_abort_ends_a_tool_that_sleeps(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer((), [("bash", {"command": "echo start; sleep 30"})])]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.until(
                lambda _events: any(
                    event.partial_result.content for event in seen.of("tool_execution_update")
                )
            )
            await session.abort()
            return await run, seen, session.messages

    answer_, seen, messages = asyncio.run(main())
    assert [message.role for message in messages][-3:] == ["assistant", "toolResult", "assistant"]
    assert messages[-2].is_error
    assert "Command aborted" in messages[-2].content[0].text
    assert (answer_.stop_reason, answer_.content) == ("aborted", [])
    assert seen.of("agent_settled")[0].aborted is True
    assert len(fake.bodies) == 1


def test_sdk_check_12_of_two_prompts_in_one_tick_one_runs(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            both = await asyncio.gather(
                session.prompt("a"), session.prompt("b"), return_exceptions=True
            )
            return both, seen, said(session.messages)

    (first, second), seen, messages = asyncio.run(main())
    assert first.text == "Hello world"
    assert isinstance(second, PromptRejectedError)
    assert str(second) == BUSY
    assert len(seen.of("agent_settled")) == 1
    assert messages == [("user", "a"), ("assistant", "Hello world")]


def test_sdk_check_48_a_raising_listener_harms_nobody(fake, project, recorder, caplog):
    async def main():
        async with fake, opened(fake, project) as session:

            def faulty(event):
                raise ValueError(f"no {event.type}")

            async def cancelled(_event):
                waiting = asyncio.get_running_loop().create_future()
                waiting.cancel()
                await waiting

            seen = recorder()
            for listener in (faulty, cancelled, seen):
                session.subscribe(listener)
            await session.prompt("hi")
            return seen, said(session.messages)

    with caplog.at_level(logging.ERROR, "pi_sdk"):
        seen, messages = asyncio.run(main())
    assert seen.types[0] == "agent_start"
    assert seen.types[-1] == "agent_settled"
    assert messages == [("user", "hi"), ("assistant", "Hello world")]
    assert len(caplog.records) == 2 * len(seen.events)


def test_a_message_is_in_the_file_before_listeners_hear_of_it(fake, project, tmp_path):
    async def main():
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake, opened(fake, project, session_manager=manager) as session:
            stored: list[tuple[str, bool]] = []

            def check(event):
                if event.type == "message_end" and event.message.role != "system":
                    last = lines(session.session_file)[-1]
                    stored.append((event.message.role, last["message"]["role"]))

            session.subscribe(check)
            await session.prompt("hi")
            return stored

    assert asyncio.run(main()) == [("user", "user"), ("assistant", "assistant")]


# --- what goes wrong --------------------------------------------------------------------------


def test_a_session_file_that_cannot_be_written_raises_and_leaves_the_session_usable(
    fake, project, recorder, answer, tmp_path
):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake, opened(fake, project, session_manager=manager) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("one"))
            await seen.saw("message_update")
            away = session.session_file.with_suffix(".away")
            os.rename(session.session_file, away)
            hold.set()
            with pytest.raises(Exception, match="Session file was deleted") as failed:
                await run
            states = session.is_streaming, seen.types[-2:]
            os.rename(away, session.session_file)
            again = await session.prompt("two")
            return failed.value, states, again, session.session_file

    failed, states, again, path = asyncio.run(main())
    assert type(failed).__name__ == "SessionConflictError"
    assert states == (False, ["agent_end", "agent_settled"])
    assert again.stop_reason == "stop"
    with SessionManager.open(path) as reopened:
        messages = said(reopened.build_session_context().messages)
    assert messages == [("user", "one"), ("user", "two"), ("assistant", "Hello world")]


def test_a_session_directory_that_is_lost_before_the_first_message_raises(
    fake, project, recorder, tmp_path
):
    async def main():
        manager = SessionManager.create(project, tmp_path / "sessions" / "here")
        async with fake, opened(fake, project, session_manager=manager) as session:
            (tmp_path / "sessions").write_text("in the way")
            seen = recorder()
            session.subscribe(seen)
            with pytest.raises(OSError, match="sessions"):
                await session.prompt("one")
            (tmp_path / "sessions").unlink()
            await session.prompt("two")
            return seen, session.session_file

    seen, path = asyncio.run(main())
    assert seen.types.count("agent_settled") == 2
    assert lines(path)[0]["type"] == "session"
    assert "two" in path.read_text()


def test_a_provider_failure_raises_nothing(fake, project, answer):
    async def main():
        fake.answers = [answer(status=401, error="bad key")]
        async with fake, opened(fake, project) as session:
            message = await session.prompt("hi")
            return message, session.last_assistant_text(), session.is_idle

    message, text, idle = asyncio.run(main())
    assert message.stop_reason == "error"
    assert "bad key" in message.error_message
    assert text is None
    assert idle


def test_queued_messages_are_delivered_after_a_failed_answer(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(("",), hold=hold), answer(status=400), answer()]
        settings = SessionSettings(retry=RetryPolicy(max_retries=0, base_delay_ms=0))
        async with fake, opened(fake, project, session_settings=settings) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.until(lambda _e: len(fake.bodies) == 1)
            await session.follow_up("f1")
            await session.follow_up("f2")
            hold.set()
            return await run, seen, said(session.messages)

    last, seen, messages = asyncio.run(main())
    assert last.text == "Hello world"
    assert [text for role, text in messages if role == "user"] == ["hi", "f1", "f2"]
    assert len(seen.of("agent_end")) == 2
    assert len(seen.of("agent_settled")) == 1


def test_hooks_that_end_every_run_do_not_make_it_go_round_for_ever(fake, project, answer):
    from pi_agent import Hooks

    async def main():
        fake.answers = [answer((), [("bash", {"command": "true"})]) for _ in range(5)]
        hooks = Hooks(finish_turn=lambda _turn, _signal: "end")
        async with fake, opened(fake, project, hooks=hooks) as session:
            await session.follow_up("later")
            await session.prompt("hi")
            return session.pending_message_count

    assert asyncio.run(main()) == 1
    assert len(fake.bodies) == 2


def test_a_prompt_without_credentials_leaves_no_trace(fake, project):
    async def main():
        async with fake:
            models = fake.models
            model = replace(
                models.get_model("fake", "m1"), provider="away", base_url="http://x.test"
            )
            async with opened(fake, project, model=model) as session:
                with pytest.raises(NoModelError, match=r"^No API key found for away\.\n\n"):
                    await session.prompt("hi")
                return session.messages, session.is_idle

    assert asyncio.run(main()) == ([], True)


def test_without_a_model_a_prompt_says_so_and_leaves_no_trace(project):
    async def main():
        from pi_ai import Models

        manager = SessionManager.in_memory(project)
        async with create_agent(cwd=project, models=Models(()), session_manager=manager) as session:
            with pytest.raises(NoModelError, match=r"^No model selected\."):
                await session.prompt("hi")
            return session.model, session.messages, session.model_fallback_message

    model, messages, message = asyncio.run(main())
    assert (model, messages) == (None, [])
    assert message.splitlines()[0] == "No models available."


def test_a_read_only_session_can_be_looked_at_but_not_prompted(fake, project, tmp_path):
    async def main():
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake:
            async with opened(fake, project, session_manager=manager) as session:
                await session.prompt("hi")
                path = session.session_file
            manager = SessionManager.open(path, read_only=True)
            before = path.read_bytes()
            async with opened(fake, project, session_manager=manager) as session:
                with pytest.raises(PromptRejectedError, match="can only be read"):
                    await session.prompt("more")
                return said(session.messages), before == path.read_bytes()

    messages, unchanged = asyncio.run(main())
    assert messages == [("user", "hi"), ("assistant", "Hello world")]
    assert unchanged


# --- closing ----------------------------------------------------------------------------------


def test_closing_during_a_run_stores_the_partial_answer_and_frees_the_file(
    fake, project, recorder, answer, tmp_path
):
    async def main():
        fake.answers = [answer(hold=asyncio.Event())]
        manager = SessionManager.create(project, tmp_path / "sessions")
        async with fake:
            session = await opened(fake, project, session_manager=manager)
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update", 2)
            await session.follow_up("never")
            await asyncio.gather(session.aclose(), session.aclose())
            await session.aclose()
            stopped = await run
            for call in (session.prompt("x"), session.steer("x")):
                with pytest.raises(PromptRejectedError, match="The session is closed"):
                    await call
            return stopped, seen.types[-1], session.session_file, repr(session)

    stopped, last, path, shown = asyncio.run(main())
    assert (stopped.stop_reason, stopped.text) == ("aborted", "Hello")
    assert last == "agent_settled"
    assert "closed" in shown
    with SessionManager.open(path) as reopened:
        assert not reopened.read_only
        messages = said(reopened.build_session_context().messages)
    assert messages == [("user", "hi"), ("assistant", "Hello")]


def test_closing_leaves_no_task_behind(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(hold=asyncio.Event())]
        async with fake:
            before = asyncio.all_tasks()
            async with opened(fake, project) as session:
                seen = recorder()
                session.subscribe(seen)
                run = asyncio.create_task(session.prompt("hi"))
                await seen.saw("message_update")
            await run
            return {task.get_name() for task in asyncio.all_tasks() - before}

    left = asyncio.run(main())
    assert len(left) <= 1  # the server's end of the connection


# --- the rest ---------------------------------------------------------------------------------


def test_total_cost_counts_every_branch(project):
    def answered(total: float) -> AssistantMessage:
        return AssistantMessage(usage=Usage(cost=Cost(total=total)))

    with SessionManager.in_memory(project) as manager:
        first = manager.append_message(UserMessage("q"))
        manager.append_message(answered(1))
        manager.append_usage("cache_warm", "p", "m", Usage(cost=Cost(total=0.25)))
        manager.branch(first)
        manager.append_message(answered(2))
        manager.append_compaction("short", None, 10, usage=Usage(cost=Cost(total=0.5)))

        async def main() -> AgentSession:
            from pi_ai import Models

            return await create_agent(cwd=project, models=Models(()), session_manager=manager)

        assert asyncio.run(main()).total_cost().total == 3.75


def test_set_model_is_stored_and_answers_the_next_prompt(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.set_model(fake.models.get_model("fake", "m2"))
            level = session.thinking_level, [event.level for event in seen.events]
            message = await session.prompt("hi")
            kinds = [entry.type for entry in session.session_manager.get_entries()]
            return level, message.model, kinds

    level, model, kinds = asyncio.run(main())
    assert level == ("off", ["off"])
    assert model == "m2"
    assert kinds[2:4] == ["model_change", "thinking_level_change"]


def test_set_model_without_a_key_changes_nothing(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            away = replace(session.model, provider="p", id="m", base_url="http://x.test")
            with pytest.raises(NoModelError, match=r"^No API key for p/m"):
                await session.set_model(away)
            return session.model.id, len(session.session_manager.get_entries())

    assert asyncio.run(main()) == ("m1", 2)


def test_custom_tools_run(fake, project, answer):
    @tool
    async def shout(text: str) -> str:
        """Make a text loud.

        Args:
            text: What to say.
        """
        return text.upper()

    async def main():
        fake.answers = [answer((), [("shout", {"text": "hey"})])]
        async with fake, opened(fake, project, custom_tools=[shout]) as session:
            await session.prompt("hi")
            return session.messages

    result = next(m for m in asyncio.run(main()) if m.role == "toolResult")
    assert result.content[0].text == "HEY"


def test_unsubscribing_is_true_once(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            unsubscribe = session.subscribe(seen)
            results = [unsubscribe(), unsubscribe()]
            await session.prompt("hi")
            return results, seen.events

    assert asyncio.run(main()) == ([True, False], [])
