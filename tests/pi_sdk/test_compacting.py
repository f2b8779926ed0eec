"""Compaction of a running session against a real server: sdk spec, section 12."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from pi_agent import Hooks, tool
from pi_ai.retry import RetryPolicy
from pi_sdk import (
    CompactionCancelledError,
    PromptRejectedError,
    SessionBusyError,
    SessionSettings,
)
from pi_session import CompactionError, CompactionSettings, SummaryError
from support.agent_sessions import opened, said

LONG = "All of it matters. " * 40
SMALL = SessionSettings(
    compaction=CompactionSettings(reserve_tokens=1000, keep_recent_tokens=250),
    retry=RetryPolicy(max_retries=2, base_delay_ms=1),
)
TOO_SMALL = "Nothing to compact (session too small)"
IN_PROGRESS = (
    "Cannot submit a prompt while compaction is in progress. "
    "Wait for compaction to finish and retry."
)


def windowed(fake, tokens=10_000):
    return replace(fake.models.get_model("fake", "m1"), context_window=tokens)


def session_of(fake, project, *, window=10_000, session_settings=SMALL, **options):
    """A session whose model has a small window. To be made inside `async with fake`."""
    return opened(
        fake, project, model=windowed(fake, window), session_settings=session_settings, **options
    )


def around(seen, kind, count=1):
    """The type of an event and those next to it."""
    at = [index for index, each in enumerate(seen.types) if each == kind][count - 1]
    return seen.types[at - 1 : at + 2]


def compactions(seen):
    return [
        (event.type, event.reason)
        for event in seen.events
        if event.type in ("compaction_start", "compaction_end")
    ]


# --- by hand ----------------------------------------------------------------------------------


def test_sdk_check_18_an_empty_session_cannot_be_compacted(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            with pytest.raises(CompactionError) as raised:
                await session.compact()
            return seen, str(raised.value), session.is_idle

    seen, text, idle = asyncio.run(main())
    assert (text, idle) == (TOO_SMALL, True)
    assert seen.types == ["compaction_start", "compaction_end"]
    start, end = seen.events
    assert (start.reason, end.reason, end.aborted, end.result) == ("manual", "manual", False, None)
    assert end.error_message == f"Compaction failed: {TOO_SMALL}"


def test_sdk_check_19_compaction_by_hand(fake, project, recorder, answer):
    async def main():
        fake.answers = [*[answer()] * 3, answer(("## Goal\nall",))]
        settings = SessionSettings(compaction=CompactionSettings(keep_recent_tokens=50))
        async with fake, opened(fake, project, session_settings=settings) as session:
            for text in "abc":
                await session.prompt(text + LONG)
            seen = recorder()
            session.subscribe(seen)
            result = await session.compact("numbers")
            roles = [message.role for message in session.messages]
            usage = session.get_context_usage()
            with pytest.raises(CompactionError, match=r"^Already compacted$"):
                await session.compact()
            await session.prompt("go on")
            return seen, result, roles, usage, session.get_context_usage()

    seen, result, roles, usage, later = asyncio.run(main())
    assert roles == ["system", "compactionSummary", "user", "assistant"]
    assert (usage.tokens, usage.percent, usage.context_window) == (None, None, 128_000)
    assert later.tokens == 110
    assert result.summary.startswith("## Goal")
    assert result.first_kept_entry_id
    assert (result.tokens_before, result.estimated_tokens_after > 0) == (110, True)
    assert result.usage.input == 100
    assert (result.details.read_files, result.details.modified_files) == ([], [])
    assert "Additional focus: numbers" in json.dumps(fake.bodies[3])
    assert seen.events[1].result == result
    assert "agent_settled" not in seen.types[:2]


def test_the_session_is_idle_when_the_end_of_a_compaction_is_told(fake, project, answer):
    async def main():
        fake.answers = [answer((LONG,))] * 2
        async with fake, opened(fake, project, session_settings=SMALL) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            states = []

            async def listen(event):
                if event.type == "compaction_start":
                    states.append((session.is_compacting, session.is_idle))
                    with pytest.raises(PromptRejectedError) as refused:
                        await session.prompt("too early")
                    states.append(str(refused.value))
                if event.type == "compaction_end":
                    states.append((session.is_compacting, session.is_idle))
                    await session.prompt("after")

            session.subscribe(listen)
            await session.compact()
            return states, said(session.messages)

    states, messages = asyncio.run(main())
    assert states == [(True, False), IN_PROGRESS, (False, True)]
    assert messages[-2:] == [("user", "after"), ("assistant", "Hello world")]


@pytest.mark.parametrize("how", ["abort", "abort_compaction", "compact"])
def test_a_compaction_can_be_stopped(fake, project, recorder, answer, how):
    async def main():
        hold = asyncio.Event()
        fake.answers = [*[answer((LONG,))] * 2, answer(hold=hold)]
        async with fake, opened(fake, project, session_settings=SMALL) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            before = said(session.messages)
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.compact())
            await seen.saw("compaction_start")
            while len(fake.bodies) < 3:
                await asyncio.sleep(0.001)
            match how:
                case "abort":
                    await session.abort()
                case "abort_compaction":
                    session.abort_compaction()
                case _:
                    await session.compact()
            with pytest.raises(CompactionCancelledError, match=r"^Compaction cancelled$"):
                await run
            return seen, before, said(session.messages), session.is_idle

    seen, before, after, idle = asyncio.run(main())
    ends = seen.of("compaction_end")
    assert (ends[0].aborted, ends[0].error_message, ends[0].result) == (True, None, None)
    assert idle
    if how == "compact":
        assert [end.aborted for end in ends] == [True, False]
        assert seen.types[:2] == ["compaction_start", "compaction_end"]
    else:
        assert after == before


def test_compacting_stops_a_run_first_and_does_not_resume_it(fake, project, recorder, answer):
    async def main():
        fake.answers = [*[answer((LONG,))] * 2, answer(hold=asyncio.Event())]
        async with fake, opened(fake, project, session_settings=SMALL) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("c"))
            await seen.saw("message_update", 2)
            result = await session.compact()
            stopped = await run
            return seen, result, stopped.stop_reason

    seen, result, reason = asyncio.run(main())
    assert reason == "aborted"
    assert result.summary
    assert seen.types[-3:] == ["agent_settled", "compaction_start", "compaction_end"]


def test_compacting_in_a_listener_of_a_run_is_refused(fake, project):
    async def main():
        async with fake, opened(fake, project) as session:
            texts = []

            async def listen(event):
                if event.type == "turn_start":
                    with pytest.raises(RuntimeError) as raised:
                        await session.compact()
                    texts.append(str(raised.value))

            session.subscribe(listen)
            await session.prompt("hi")
            return texts

    assert asyncio.run(main()) == ["compact() in a listener would wait for the listener itself"]


def test_a_summary_that_fails_is_retried_and_told(fake, project, recorder, answer):
    async def main():
        fake.answers = [
            *[answer((LONG,))] * 2,
            answer(status=503),
            answer(status=503),
            answer(status=400, error="no such thing"),
        ]
        async with fake, opened(fake, project, session_settings=SMALL) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            seen = recorder()
            session.subscribe(seen)
            with pytest.raises(SummaryError, match="no such thing") as raised:
                await session.compact()
            return seen, str(raised.value)

    seen, text = asyncio.run(main())
    assert seen.types == [
        "compaction_start",
        *("summarization_retry_scheduled", "summarization_retry_attempt_start") * 2,
        "summarization_retry_finished",
        "compaction_end",
    ]
    scheduled = seen.of("summarization_retry_scheduled")
    assert [(one.attempt, one.max_attempts, one.delay_ms) for one in scheduled] == [
        (1, 2, 1),
        (2, 2, 2),
    ]
    started = seen.of("summarization_retry_attempt_start")[0]
    assert (started.source, started.reason) == ("compaction", "manual")
    assert seen.events[-1].error_message == f"Compaction failed: {text}"


def test_a_summary_is_asked_for_as_answers_are_but_for_its_length(fake, project, answer):
    async def main():
        fake.answers = [answer((LONG,))] * 2
        options = {
            "stream_options": {"max_tokens": 100, "temperature": 0.5},
            "hooks": Hooks(get_api_key=lambda provider: f"key of {provider}"),
        }
        async with fake, opened(fake, project, session_settings=SMALL, **options) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            await session.compact()
            return [request.headers["authorization"] for request in fake.server.requests]

    assert asyncio.run(main()) == ["Bearer key of fake"] * 3
    limits = [body.get("max_completion_tokens", body.get("max_tokens")) for body in fake.bodies]
    assert limits == [100, 100, 4096]
    assert [body["temperature"] for body in fake.bodies] == [0.5] * 3


# --- by itself --------------------------------------------------------------------------------


def test_sdk_check_20_a_full_context_is_compacted_after_the_run(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer((LONG,)), answer((LONG,), prompt_tokens=9500)]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("b" + LONG)
            return seen

    seen = asyncio.run(main())
    assert seen.types[-4:] == ["agent_end", "compaction_start", "compaction_end", "agent_settled"]
    start, end = seen.events[-3:-1]
    assert (start.reason, end.reason, end.will_retry, end.aborted) == (
        "threshold",
        "threshold",
        False,
        False,
    )
    assert end.result.tokens_before == 9510


@tool
async def look() -> str:
    """Look around."""
    return LONG


def test_sdk_check_21_a_full_context_is_compacted_between_turns(fake, project, recorder, answer):
    async def main():
        fake.answers = [
            answer((LONG,)),
            answer((), [("look", {})], prompt_tokens=9500),
            answer(("the summary",)),
            answer(("done",)),
        ]
        async with fake, session_of(fake, project, custom_tools=[look]) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("b" + LONG)
            return seen, last, fake.bodies[-1]["messages"]

    seen, last, sent = asyncio.run(main())
    assert last.text == "done"
    at = seen.types.index("compaction_start")
    assert seen.types[at - 1 : at + 3] == [
        "turn_end",
        "compaction_start",
        "compaction_end",
        "turn_start",
    ]
    assert len(seen.of("agent_end")) == 1
    assert "the summary" in json.dumps(sent)
    calls = [call["id"] for m in sent for call in m.get("tool_calls", ())]
    assert calls == [m["tool_call_id"] for m in sent if m["role"] == "tool"] != []


OVERFLOW = "prompt is too long"


def test_sdk_check_22_an_overflow_is_recovered_from_once(fake, project, recorder, answer):
    async def main():
        fake.answers = [
            answer((LONG,)),
            answer(status=400, error=OVERFLOW),
            answer(("the summary",)),
        ]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("b" + LONG)
            return seen, last, said(session.messages)

    seen, last, messages = asyncio.run(main())
    assert last.text == "Hello world"
    assert around(seen, "compaction_start") == [
        "entry_appended",
        "compaction_start",
        "compaction_end",
    ]
    assert around(seen, "compaction_end")[2] == "agent_start"
    (end,) = seen.of("compaction_end")
    assert (end.reason, end.will_retry, end.error_message) == ("overflow", True, None)
    assert [event.will_retry for event in seen.of("agent_end")] == [False, False]
    assert [m.role for m in seen.of("agent_end")[1].messages] == ["assistant"]
    assert messages[-2:] == [("user", "b" + LONG), ("assistant", "Hello world")]


def test_sdk_check_22_a_second_overflow_is_told(fake, project, recorder, answer):
    async def main():
        failed = answer(status=400, error=OVERFLOW)
        fake.answers = [answer((LONG,)), failed, answer(("the summary",)), failed]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("b" + LONG)
            return seen, last, session.messages[-1]

    seen, last, visible = asyncio.run(main())
    assert last.stop_reason == visible.stop_reason == "error"
    assert compactions(seen) == [
        ("compaction_start", "overflow"),
        ("compaction_end", "overflow"),
        ("compaction_end", "overflow"),
    ]
    end = seen.of("compaction_end")[1]
    assert (end.aborted, end.will_retry, end.result) == (False, False, None)
    assert end.error_message == (
        "Context overflow recovery failed after one compact-and-retry attempt. "
        "Try reducing context or switching to a larger-context model."
    )


def test_sdk_check_23_an_overflow_that_nothing_helps_stays_in_sight(
    fake, project, recorder, answer
):
    async def main():
        fake.answers = [answer(status=400, error=OVERFLOW)]
        async with fake, session_of(fake, project, session_settings=SessionSettings()) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("hi")
            return seen, session.messages[-1]

    seen, last = asyncio.run(main())
    assert compactions(seen) == [("compaction_end", "overflow")]
    (end,) = seen.of("compaction_end")
    assert end.error_message == f"Context overflow recovery failed: {TOO_SMALL}"
    assert last.stop_reason == "error"
    assert len(fake.bodies) == 1


@pytest.mark.parametrize("overflow", [False, True], ids=["full", "overflow"])
def test_sdk_check_24_nothing_is_compacted_when_turned_off(
    fake, project, recorder, answer, overflow
):
    async def main():
        full = answer((LONG,), prompt_tokens=12_000)
        last = answer(status=400, error=OVERFLOW) if overflow else full
        fake.answers = [answer((LONG,)), full, last]
        async with fake, session_of(fake, project) as session:
            session.set_auto_compaction_enabled(False)
            seen = recorder()
            session.subscribe(seen)
            for text in "abc":
                await session.prompt(text + LONG)
            return seen, session.auto_compaction_enabled

    seen, enabled = asyncio.run(main())
    assert enabled is False
    assert compactions(seen) == []
    assert "entry_appended" not in seen.types
    assert len(fake.bodies) == 3


def test_sdk_check_25_a_smaller_model_compacts_before_it_accepts(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer((LONG,)), answer((LONG,), prompt_tokens=9500)]
        async with fake, opened(fake, project, session_settings=SMALL) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            await session.set_model(fake.models.get_model("fake", "m2"))
            seen = recorder()
            session.subscribe(seen)
            accepted = []

            def accept(disposition):
                accepted.append((disposition, seen.types[:]))

            last = await session.prompt("c", on_accepted=accept)
            return seen, accepted, last

    seen, accepted, last = asyncio.run(main())
    assert accepted == [("started", ["compaction_start", "compaction_end"])]
    assert seen.events[0].reason == "threshold"
    assert last.model == "m2"


def test_a_failed_automatic_compaction_is_told_and_not_raised(fake, project, recorder, answer):
    async def main():
        fake.answers = [
            answer((LONG,)),
            answer((LONG,), prompt_tokens=9500),
            answer(status=400, error="no such thing"),
        ]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("b" + LONG)
            return seen, last

    seen, last = asyncio.run(main())
    assert last.stop_reason == "stop"
    (end,) = seen.of("compaction_end")
    assert end.error_message.startswith("Auto-compaction failed: Summarization failed: ")
    assert seen.types[-1] == "agent_settled"


def test_an_abort_stops_an_automatic_compaction(fake, project, recorder, answer):
    async def main():
        fake.answers = [
            answer((LONG,)),
            answer((), [("look", {})], prompt_tokens=9500),
            answer(hold=asyncio.Event()),
        ]
        async with fake, session_of(fake, project, custom_tools=[look]) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("b" + LONG))
            await seen.saw("compaction_start")
            assert session.is_compacting
            await session.abort()
            return seen, await run

    seen, last = asyncio.run(main())
    assert last.stop_reason == "aborted"
    (end,) = seen.of("compaction_end")
    assert (end.aborted, end.error_message) == (True, None)
    assert seen.events[-1].aborted is True


def test_a_long_prompt_is_compacted_for_before_it_is_sent(fake, project, recorder, answer):
    """It would not have left the reserve free, though the answer before did."""

    async def main():
        fake.answers = [*[answer((LONG,), prompt_tokens=4000)] * 2, answer(("the summary",))]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            seen = recorder()
            session.subscribe(seen)
            await session.prompt("x" * 4 * 5500)
            return seen

    seen = asyncio.run(main())
    assert seen.types[:2] == ["compaction_start", "compaction_end"]
    assert seen.events[0].reason == "threshold"


def test_an_answer_cut_where_the_caller_wanted_is_no_overflow(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer((LONG,)), answer((LONG,), finish="length")]
        options = {"stream_options": {"max_tokens": 10}}
        async with fake, session_of(fake, project, **options) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            return seen, await session.prompt("b" + LONG)

    seen, last = asyncio.run(main())
    assert last.stop_reason == "length"
    assert compactions(seen) == []


def test_an_answer_cut_for_want_of_room_is_asked_for_again(fake, project, recorder, answer):
    async def main():
        fake.answers = [answer((LONG,)), answer(("cut",), finish="length"), answer(("summary",))]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("b" + LONG)
            return seen, last, said(session.messages)

    seen, last, messages = asyncio.run(main())
    assert last.text == "Hello world"
    assert compactions(seen) == [("compaction_start", "overflow"), ("compaction_end", "overflow")]
    assert ("assistant", "cut") not in messages


def test_navigating_and_reloading_wait_for_the_run(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            texts = []
            for work in (session.navigate_tree("x"), session.reload()):
                with pytest.raises(SessionBusyError) as raised:
                    await work
                texts.append(str(raised.value))
            hold.set()
            await run
            return texts

    assert asyncio.run(main()) == [
        "Wait for the current response to finish before navigating the session tree.",
        "Wait for the current response to finish before reloading.",
    ]


def test_the_next_prompt_after_a_failed_recovery_is_simply_asked(fake, project, recorder, answer):
    """Nothing is hidden or told again; its own overflow is recovered from."""

    async def main():
        failed = answer(status=400, error=OVERFLOW)
        fake.answers = [answer((LONG,)), failed, answer(("the summary",)), failed]
        async with fake, session_of(fake, project) as session:
            await session.prompt("a" + LONG)
            await session.prompt("b" + LONG)
            seen = recorder()
            session.subscribe(seen)
            last = await session.prompt("c")
            return seen, last

    seen, last = asyncio.run(main())
    assert last.text == "Hello world"
    assert compactions(seen) == []
    assert "entry_appended" not in seen.types
