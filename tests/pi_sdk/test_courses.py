"""Prompts, aborts and listeners that meet at awkward moments: sdk spec, sections 10 and 16."""

from __future__ import annotations

import asyncio

import pytest

from pi_sdk import PromptRejectedError
from support.agent_sessions import BUSY, opened, said


def test_abort_right_after_a_prompt_ends_the_run_before_its_first_request(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await asyncio.sleep(0)
            await session.abort()
            settled = seen.types[-1]
            return await run, settled, said(session.messages)

    message, settled, messages = asyncio.run(main())
    assert message.stop_reason == "aborted"
    assert settled == "agent_settled"
    assert messages == [("user", "hi"), ("assistant", "")]
    assert fake.bodies == []


def test_abort_returns_when_every_listener_knows(fake, project, answer):
    async def main():
        fake.answers = [answer(hold=asyncio.Event())]
        async with fake, opened(fake, project) as session:
            told: list[str] = []
            first = asyncio.Event()

            async def slow(event):
                if event.type == "message_update":
                    first.set()
                if event.type == "agent_settled":
                    await asyncio.sleep(0.05)
                    told.append("settled")

            session.subscribe(slow)
            run = asyncio.create_task(session.prompt("hi"))
            await first.wait()
            await asyncio.gather(session.abort(), session.abort())
            told.append("aborted")
            await run
            return told

    assert asyncio.run(main()) == ["settled", "aborted"]


def test_abort_when_idle_does_nothing(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.abort()
            await session.wait_for_idle()
            return seen.events

    assert asyncio.run(main()) == []


@pytest.mark.parametrize("method", ["abort", "steer", "prompt"])
def test_listeners_may_call_the_session(fake, project, method):
    """Nothing that a listener awaits waits for the listener."""

    async def main():
        async with fake, opened(fake, project) as session:
            found: list[object] = []

            async def act(event):
                if event.type != "message_update" or found:
                    return
                found.append("called")
                try:
                    async with asyncio.timeout(2):
                        arguments = () if method == "abort" else ("more",)
                        found.append(await getattr(session, method)(*arguments))
                except PromptRejectedError as error:
                    found.append(str(error))

            session.subscribe(act)
            message = await session.prompt("hi")
            return found, message.stop_reason, said(session.messages)

    found, reason, messages = asyncio.run(main())
    assert found == ["called", BUSY if method == "prompt" else None]
    assert reason == ("aborted" if method == "abort" else "stop")
    assert ("user", "more") in messages if method == "steer" else len(messages) == 2


@pytest.mark.parametrize("method", ["aclose", "wait_for_idle"])
def test_waiting_for_the_run_in_a_listener_is_refused(fake, project, method):
    async def main():
        async with fake, opened(fake, project) as session:
            errors: list[str] = []

            async def act(event):
                if event.type == "turn_start":
                    with pytest.raises(RuntimeError) as raised:
                        await getattr(session, method)()
                    errors.append(str(raised.value))

            session.subscribe(act)
            await session.prompt("hi")
            return errors

    (text,) = asyncio.run(main())
    assert text == f"{method}() in a listener would wait for the listener itself"


def test_a_prompt_in_a_settled_listener_runs_before_the_first_prompt_returns(
    fake, project, recorder
):
    async def main():
        async with fake, opened(fake, project) as session:
            returned: list[object] = []

            async def again(event):
                if event.type == "agent_settled" and len(returned) < 2:
                    returned.append(await session.prompt(f"again {len(returned)}"))
                    with pytest.raises(PromptRejectedError):
                        await session.prompt("one too many")

            session.subscribe(again)
            seen = recorder()
            session.subscribe(seen)
            first = await session.prompt("hi")
            await session.wait_for_idle()
            return first, returned, seen, said(session.messages)

    first, returned, seen, messages = asyncio.run(main())
    assert first.text == "Hello world"
    assert returned == [None, None]
    users = [text for role, text in messages if role == "user"]
    assert users == ["hi", "again 0", "again 1"]
    # The second listener hears of every settlement before the run that follows it.
    marks = [kind for kind in seen.types if kind in {"agent_start", "agent_settled"}]
    assert marks == ["agent_start", "agent_settled"] * 3


def test_a_prompt_during_the_last_event_waits_for_it(fake, project):
    """Another task's prompt is accepted, and its events come after the settlement's."""

    async def main():
        async with fake, opened(fake, project) as session:
            told: list[str] = []
            settling = asyncio.Event()

            async def slow(event):
                if event.type == "agent_settled" and not settling.is_set():
                    settling.set()
                    await asyncio.sleep(0.05)

            session.subscribe(slow)
            session.subscribe(lambda event: told.append(event.type))
            first = asyncio.create_task(session.prompt("one"))
            await settling.wait()
            second = await session.prompt("two")
            assert first.done()
            return second, told

    second, told = asyncio.run(main())
    assert second.text == "Hello world"
    marks = [kind for kind in told if kind in {"agent_start", "agent_settled"}]
    assert marks == ["agent_start", "agent_settled"] * 2


@pytest.mark.parametrize("how", ["abort", "cancel"])
def test_a_prompt_that_waits_for_the_last_event_can_be_stopped(fake, project, how):
    async def main():
        async with fake, opened(fake, project) as session:
            settling, told = asyncio.Event(), list[bool]()

            async def slow(event):
                if event.type == "agent_settled":
                    told.append(event.aborted)
                    settling.set()
                    await asyncio.sleep(0.05)

            session.subscribe(slow)
            first = asyncio.create_task(session.prompt("one"))
            await settling.wait()
            second = asyncio.create_task(session.prompt("two"))
            await asyncio.sleep(0)
            assert session.is_streaming
            if how == "abort":
                await session.abort()
            else:
                second.cancel()
            (stopped,) = await asyncio.gather(second, return_exceptions=True)
            await first
            assert session.is_idle
            await session.prompt("three")
            return stopped, told, said(session.messages)

    stopped, told, messages = asyncio.run(main())
    assert len(fake.bodies) == 2
    if how == "abort":
        assert stopped.stop_reason == "aborted"
        assert told == [False, True, False]
        assert ("user", "two") in messages
    else:
        assert isinstance(stopped, asyncio.CancelledError)
        assert told == [False, False]
        assert ("user", "two") not in messages


def test_cancelling_a_prompt_aborts_the_run_and_leaves_a_session_that_goes_on(
    fake, project, recorder, answer
):
    async def main():
        fake.answers = [answer(hold=asyncio.Event())]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update", 2)
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            told = seen.of("agent_settled")[0].aborted, session.is_idle
            await session.prompt("next")
            return told, said(session.messages)

    told, messages = asyncio.run(main())
    assert told == (True, True)
    assert messages[:2] == [("user", "hi"), ("assistant", "Hello")]
    assert messages[2:] == [("user", "next"), ("assistant", "Hello world")]


def test_a_steering_message_that_an_abort_overtakes_is_not_lost(fake, project, recorder, answer):
    """It has been taken from the queue, but its turn never comes."""

    async def main():
        fake.answers = [answer((), [("bash", {"command": "true"})])]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)

            async def stop(event):
                if event.type == "turn_start" and len(seen.of("turn_start")) == 2:
                    await session.abort()

            session.subscribe(stop)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("tool_execution_start")
            await session.steer("s1")
            await run
            waiting = session.pending_message_count
            await session.prompt("next")
            return waiting, session.pending_message_count, said(session.messages)

    waiting, left, messages = asyncio.run(main())
    users = [text for role, text in messages if role == "user"]
    assert (waiting, left) == (1, 0)
    assert users == ["hi", "next", "s1"]


def test_equal_texts_are_still_two_messages(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            await session.follow_up("same")
            run = asyncio.create_task(session.prompt("same"))
            await seen.saw("message_update")
            pending = session.pending_message_count
            hold.set()
            await run
            return pending, said(session.messages)

    pending, messages = asyncio.run(main())
    assert pending == 1  # the prompt is not the queued one
    assert messages == [("user", "same"), ("assistant", "Hello world")] * 2


def test_an_unknown_streaming_behavior_queues_nothing(fake, project, recorder, answer):
    async def main():
        hold = asyncio.Event()
        fake.answers = [answer(hold=hold)]
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)
            run = asyncio.create_task(session.prompt("hi"))
            await seen.saw("message_update")
            with pytest.raises(ValueError, match="'bogus'"):
                await session.prompt("x", streaming_behavior="bogus")
            pending = session.pending_message_count
            hold.set()
            await run
            return pending

    assert asyncio.run(main()) == 0


def test_a_prompt_whose_acceptance_fails_never_ran(fake, project, recorder):
    async def main():
        async with fake, opened(fake, project) as session:
            seen = recorder()
            session.subscribe(seen)

            def refuse(_disposition):
                raise ConnectionError("nobody to tell")

            with pytest.raises(ConnectionError):
                await session.prompt("hi", on_accepted=refuse)
            events = list(seen.events)
            await session.prompt("again")
            return events, said(session.messages)

    events, messages = asyncio.run(main())
    assert events == []
    assert messages == [("user", "again"), ("assistant", "Hello world")]
