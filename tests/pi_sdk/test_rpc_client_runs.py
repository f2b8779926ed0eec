"""Runs, their events, time limits and dialogs of RpcClient: rpc spec, sections 6, 10 and 11."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pi_ai import ImageContent, TextContent, ThinkingContent, ToolCall
from pi_sdk import (
    AgentSettledEvent,
    EventsLostEvent,
    RpcClient,
    RpcEvent,
    RpcProcessError,
    RpcTimeoutError,
    ThinkingLevelChangedEvent,
    UnknownEvent,
    rpc_child,
)
from support.rpc_clients import run, stand_in

IMAGE = ImageContent("aGk=", "image/png")


# --- runs and their events --------------------------------------------------------------------


def test_an_answer_arrives_as_typed_events():
    async def main(client: RpcClient) -> list[RpcEvent]:
        heard: list[RpcEvent] = []
        client.on_event(heard.append)
        events = await client.prompt_and_wait("answer", [IMAGE])
        assert events == heard
        return events

    events = run(main)
    assert events[-1] == AgentSettledEvent()
    updates = [event for event in events if event.type == "message_update"]
    assert updates[3].message.content == [ThinkingContent("hm"), TextContent("Hel")]
    (end,) = [event for event in events if event.type == "message_end"]
    assert end.message.content == [
        ThinkingContent("hm, so", "s"),
        TextContent("Hello"),
        ToolCall("call_2", "bash", {"command": "echo"}),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [("handled", []), ("settle", [])],
    ids=["handled by an extension", "queued"],
)
def test_a_prompt_that_starts_no_run_is_not_waited_for(message, expected):
    assert run(lambda client: client.prompt_and_wait(message)) == expected


def test_idle_is_seen_whether_it_came_before_or_comes_later():
    async def main(client: RpcClient) -> list[bool]:
        await client.wait_for_idle()  # nothing ever ran: no event will come
        await client.prompt_and_wait("answer")
        await client.wait_for_idle()
        await client.prompt("hang")
        waiting = [
            asyncio.ensure_future(client.wait_for_idle()),
            asyncio.ensure_future(client.collect_events()),
        ]
        await client.get_state()  # says that nothing runs, but a prompt was accepted
        before = [task.done() for task in waiting]
        await client.prompt("settle")
        await asyncio.gather(*waiting)
        return before

    assert run(main) == [False, False]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda c: c.wait_for_idle(0.05), "Timeout waiting for the agent to settle. Stderr: "),
        (lambda c: c.collect_events(0.05), "Timeout waiting for the agent to settle. Stderr: "),
        (
            lambda c: c.prompt_and_wait("silence", timeout=0.05),
            "Timeout waiting for the agent to settle. Stderr: ",
        ),
    ],
    ids=["idle", "collect", "prompt and wait"],
)
def test_a_wait_that_takes_too_long_is_an_error(call, text):
    async def main(client: RpcClient) -> str:
        await client.prompt("hang")
        with pytest.raises(RpcTimeoutError) as raised:
            await call(client)
        assert isinstance(raised.value, TimeoutError)
        return str(raised.value)

    assert run(main) == text


def test_a_reader_that_does_not_read_stalls_nothing_and_holds_little():
    async def main(client: RpcClient) -> list[RpcEvent]:
        idle = client.events(max_waiting=10)
        events = await client.prompt_and_wait("flood 20000")
        assert events[0] == AgentSettledEvent(True)  # of a run before: not the end of this one
        assert len(events) == 20_003
        assert (await client.get_state()).session_id == "01a202c1"
        return [await anext(idle) for _ in range(11)]

    held = run(main)
    assert held == [
        EventsLostEvent(19_993),
        *(ThinkingLevelChangedEvent(str(number)) for number in range(19_991, 20_000)),
        AgentSettledEvent(),
    ]


def test_an_iterator_ends_with_the_client():
    async def main() -> list[RpcEvent]:
        client = stand_in()
        events = client.events()  # before the start counts
        async with client:
            await client.prompt("answer")
        return [event async for event in events]

    assert asyncio.run(main())[-1] == AgentSettledEvent()


# --- lines that are no protocol ---------------------------------------------------------------


def test_garbage_between_records_harms_nothing():
    lines = [
        "",
        "   ",
        "Traceback (most recent call last):",
        "null",
        "[1]",
        "{}",
        '{"type":7}',
        '{"type":"from_the_future","x":1}',
        '{"type":"response","command":"parse","success":false,"error":"Failed to parse"}',
        '{"id":"req_99","type":"response","command":"abort","success":true}',
        '{"type":"queue_update","steering":["\u2028\u0085"],"followUp":[]}\r',
        "\udcff\udcfe",
    ]

    async def main(client: RpcClient) -> list[RpcEvent]:
        events = await client.prompt_and_wait("raw " + "\n".join(lines) + "\n")
        await client.get_state()
        return events

    told = run(main)
    assert [(e.type, getattr(e, "raw", None)) for e in told[1:]] == [
        ("from_the_future", {"type": "from_the_future", "x": 1}),
        ("response", {"command": "parse", "success": False, "error": "Failed to parse"}),
        ("response", {"command": "abort", "success": True, "id": "req_99"}),
        ("queue_update", None),
        ("agent_settled", None),
    ]
    assert told[4].steering == ["\u2028\u0085"]


def test_a_line_without_an_end_is_not_collected_for_ever(monkeypatch):
    monkeypatch.setattr(rpc_child, "_MAX_LINE_BYTES", 100_000)

    async def main(client: RpcClient) -> RpcProcessError:
        with pytest.raises(RpcProcessError) as raised:
            await client.prompt("line 1000000")
        return raised.value

    raised = run(main)
    assert raised.signal == "SIGKILL"
    assert "Killed: a line of more than 100000 bytes" in raised.stderr


# --- time limits and cancellation -------------------------------------------------------------


def test_a_request_without_an_answer_times_out_and_those_that_may_take_long_do_not():
    async def main(client: RpcClient) -> str:
        client._request_timeout = 0.05  # after the start, which may take longer
        patient = asyncio.ensure_future(client.prompt("silence"))
        with pytest.raises(RpcTimeoutError) as raised:
            await client._request("extension_ui_response", {}, timed=True)
        assert not patient.done()  # though it was sent first
        patient.cancel()
        assert raised.value.command == "extension_ui_response"
        return str(raised.value)

    text = run(main)
    assert text == "Timeout waiting for response to extension_ui_response. Stderr: "


@pytest.mark.parametrize("timeout", [None, 0])
def test_no_time_limit(timeout):
    assert run(lambda client: client.get_last_assistant_text(), request_timeout=timeout) is None


def test_cancelling_a_request_leaves_the_client_as_it_was():
    async def main(client: RpcClient) -> None:
        for call in (client.prompt("silence"), client.bash("make"), client.get_messages()):
            task = asyncio.ensure_future(call)
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await client.get_available_thinking_levels() == ["off", "high"]
        assert client._connection is not None
        assert client._connection._pending == {}

    run(main)


# --- dialogs of extensions --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "answer", "sent"),
    [
        ("select", None, {"cancelled": True}),
        ("input", "text", {"value": "text"}),
        ("confirm", False, {"confirmed": False}),
        ("confirm", True, {"confirmed": True}),
        ("editor", ValueError("mine"), {"cancelled": True}),
    ],
)
@pytest.mark.parametrize("waits", [False, True], ids=["plain", "async"])
def test_dialogs_are_answered(method, answer, sent, waits, caplog):
    asked: list[tuple[str, str | None]] = []

    def plain(request: Any) -> Any:
        asked.append((request.method, request.title))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def later(request: Any) -> Any:
        await asyncio.sleep(0)
        return plain(request)

    caplog.set_level(logging.CRITICAL)
    assert answered(method, on_dialog=later if waits else plain) == sent
    assert asked == [(method, "Sure?")]  # and not the notification before it


def test_dialogs_are_cancelled_if_nobody_answers():
    assert answered("input") == {"cancelled": True}


def answered(method: str, **options: Any) -> dict[str, Any]:
    """What the stand-in was sent after it opened a dialog."""

    async def main(client: RpcClient) -> Any:
        events = client.events()
        await client.prompt(f"dialog {method}")
        async for event in events:
            if isinstance(event, UnknownEvent):
                return event.raw["answer"]

    record = run(main, **options)
    assert (record.pop("type"), record.pop("id")) == ("extension_ui_response", "u1")
    return record
