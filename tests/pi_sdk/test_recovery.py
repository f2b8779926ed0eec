"""Auto-retry against a server that fails: sdk spec, section 11."""

from __future__ import annotations

import asyncio
import json

import pytest

from pi_agent import Hooks
from pi_ai.retry import RetryPolicy, retry_delay_ms
from pi_sdk import SessionSettings
from pi_session import SessionManager
from support.agent_sessions import opened, said

FAST = SessionSettings(retry=RetryPolicy(max_retries=3, base_delay_ms=1))
SLOW = SessionSettings(retry=RetryPolicy(max_retries=3, base_delay_ms=60_000))


def outline(seen):
    """The events' types, without those of messages and turns that are always there."""
    return [kind for kind in seen.types if not kind.startswith(("message_", "turn_start"))]


def test_sdk_check_13_a_passing_failure_is_retried_and_hidden(
    fake, project, recorder, answer, tmp_path
):
    async def main():
        fake.answers = [answer(status=503)]
        manager = SessionManager.create(project, tmp_path / "sessions")
        settings = SessionSettings(retry=RetryPolicy(max_retries=3, base_delay_ms=200))
        options = {"session_manager": manager, "session_settings": settings}
        async with fake, opened(fake, project, **options) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("hi")
            return seen, said(session.messages), session.session_file

    seen, messages, path = asyncio.run(main())
    assert outline(seen) == [
        "agent_start",
        "turn_end",
        "agent_end",
        "auto_retry_start",
        "entry_appended",
        "agent_start",
        "auto_retry_end",
        "turn_end",
        "agent_end",
        "agent_settled",
    ]
    first, second = seen.of("agent_end")
    assert (first.will_retry, second.will_retry) == (True, False)
    (start,), (end,) = seen.of("auto_retry_start"), seen.of("auto_retry_end")
    assert (start.attempt, start.max_attempts, start.delay_ms) == (1, 3, 200)
    assert "overloaded" in start.error_message
    (edit,) = seen.of("entry_appended")
    assert (edit.entry.type, edit.entry.replacement) == ("context_edit", None)
    assert (end.success, end.attempt, end.final_error) == (True, 1, None)
    at = seen.types.index("auto_retry_end")
    assert seen.types[at - 1 : at + 2] == ["message_end", "auto_retry_end", "turn_end"]
    assert "overloaded" not in json.dumps(fake.bodies[1])
    assert messages == [("user", "hi"), ("assistant", "Hello world")]
    stored = path.read_text()
    assert '"stopReason":"error"' in stored


def test_sdk_check_14_the_last_failure_stays_in_sight(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(status=503)] * 3
        settings = SessionSettings(retry=RetryPolicy(max_retries=2, base_delay_ms=20))
        async with fake, opened(fake, project, session_settings=settings) as session:
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("hi")
            reasons = [m.stop_reason for m in session.messages if m.role == "assistant"]
            return seen, last, reasons, session.is_retrying

    seen, last, reasons, retrying = asyncio.run(main())
    assert [event.delay_ms for event in seen.of("auto_retry_start")] == [20, 40]
    (end,) = seen.of("auto_retry_end")
    assert (end.success, end.attempt, end.final_error) == (False, 2, last.error_message)
    assert [event.will_retry for event in seen.of("agent_end")] == [True, True, False]
    assert reasons == ["error"]
    assert len(fake.bodies) == 3
    assert retrying is False


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "bad key"), (503, "insufficient_quota"), (400, "prompt is too long")],
    ids=["401", "quota", "overflow"],
)
def test_sdk_check_15_a_final_failure_is_not_retried(
    fake, project, recorder, answer, status, error
):
    async def main():
        fake.answers = [answer(status=status, error=error)]
        async with fake, opened(fake, project, session_settings=FAST) as session:
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("hi")
            return seen, last

    seen, last = asyncio.run(main())
    assert last.stop_reason == "error"
    assert not [kind for kind in seen.types if kind.startswith("auto_retry")]
    assert [event.will_retry for event in seen.of("agent_end")] == [False]


@pytest.mark.parametrize("method", ["abort_retry", "abort"])
def test_sdk_check_16_the_wait_can_be_stopped(fake, project, recorder, answer, method):
    async def main():
        fake.answers = [answer(status=503)]
        async with fake, opened(fake, project, session_settings=SLOW) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("entry_appended")
            assert (session.is_retrying, session.retry_attempt, session.is_idle) == (True, 1, False)
            if method == "abort":
                await session.abort()
            else:
                session.abort_retry()
            last = await run
            return seen, last, session.is_retrying

    seen, last, retrying = asyncio.run(main())
    (end,) = seen.of("auto_retry_end")
    assert (end.success, end.attempt, end.final_error) == (False, 1, "Retry cancelled")
    assert seen.of("agent_settled")[0].aborted is (method == "abort")
    assert last.stop_reason == "error"
    assert retrying is False
    assert len(fake.bodies) == 1


def test_sdk_check_17_the_delay_has_a_limit():
    assert retry_delay_ms(SessionSettings().retry, 10) == 60_000


def test_retries_can_be_turned_off(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(status=503)]
        async with fake, opened(fake, project, session_settings=FAST) as session:
            session.set_auto_retry_enabled(False)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("hi")
            return seen, last, session.auto_retry_enabled

    seen, last, enabled = asyncio.run(main())
    assert (last.stop_reason, enabled) == ("error", False)
    assert "auto_retry_start" not in seen.types


def test_steering_during_the_wait_goes_out_with_the_next_attempt(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(status=503)]
        settings = SessionSettings(retry=RetryPolicy(max_retries=3, base_delay_ms=100))
        async with fake, opened(fake, project, session_settings=settings) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("auto_retry_start")
            await session.steer("faster")
            await run
            return said(session.messages)

    assert asyncio.run(main()) == [
        ("user", "hi"),
        ("user", "faster"),
        ("assistant", "Hello world"),
    ]
    assert len(fake.bodies) == 2


def test_each_prompt_has_all_its_attempts(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(status=503), answer(), answer(status=503), answer()]
        async with fake, opened(fake, project, session_settings=FAST) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("one")
            await session.prompt("two")
            return [event.attempt for event in seen.of("auto_retry_start")]

    assert asyncio.run(main()) == [1, 1]


def test_cancelling_the_prompt_in_the_wait_settles(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer(status=503)]
        async with fake, opened(fake, project, session_settings=SLOW) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("entry_appended")
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            again = await session.prompt("again")
            return seen, again

    seen, again = asyncio.run(main())
    assert again.stop_reason == "stop"
    assert [event.success for event in seen.of("auto_retry_end")] == [False]
    assert [event.aborted for event in seen.of("agent_settled")] == [True, False]


def test_what_a_hook_raises_is_raised_and_told_but_never_retried(fake, project, recorder):
    """Its text looks like a passing failure of the provider."""

    def fail(_messages, _signal):
        raise RuntimeError("connection error")

    async def main():
        async with (
            fake,
            opened(
                fake, project, session_settings=FAST, hooks=Hooks(transform_context=fail)
            ) as session,
        ):
            seen = recorder()
            session.subscribe(seen)
            with pytest.raises(RuntimeError, match="connection error") as raised:
                await session.prompt("hi")
            return seen, raised.value, session.agent.state.error, said(session.messages)

    seen, raised, cause, messages = asyncio.run(main())
    assert raised is cause
    assert [event.will_retry for event in seen.of("agent_end")] == [False]
    assert seen.of("message_end")[-1].message.error_message == "connection error"
    assert seen.types[-1] == "agent_settled"
    assert messages == [("user", "hi"), ("assistant", "")]
    assert fake.bodies == []
