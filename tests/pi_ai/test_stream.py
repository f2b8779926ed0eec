"""`AssistantStream`: pulled, one consumer, one terminal event, nothing left behind."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

import pytest

from pi_ai import AbortController, Model
from pi_ai.abort import AbortSignal
from pi_ai.builder import MessageBuilder
from pi_ai.errors import ProviderError, StreamEndedError
from pi_ai.stream import AssistantStream
from support.exchanges import brief

MODEL = Model(id="m", api="a", provider="p")
Adapter = Callable[[MessageBuilder], AsyncGenerator[Any, None]]


class Script:
    """An adapter that counts what happened to it."""

    def __init__(self, *, failure: Exception | None = None, stop: bool = True, wait: float = 0):
        self.pulled = 0
        self.closed = False
        self.failure = failure
        self.stop = stop
        self.wait = wait

    async def __call__(self, message: MessageBuilder) -> AsyncGenerator[Any, None]:
        try:
            self.pulled += 1
            yield [message.start(), message.text_start()]
            self.pulled += 1
            yield [message.text(0, "a"), message.text(0, "b")]
            await asyncio.sleep(self.wait)
            self.pulled += 1
            if self.failure is not None:
                raise self.failure
            yield [message.end(0)]
            if self.stop:
                message.stop("stop")
        finally:
            self.closed = True


def opened(script: Script, signal: AbortSignal | None = None) -> AssistantStream:
    message = MessageBuilder(MODEL)
    return AssistantStream(message, script(message), signal)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def and_look() -> Any:
        result = await main
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        return result

    result = asyncio.run(and_look(), debug=True)
    gc.collect(1)  # a coroutine or generator left behind would warn, and warnings are errors
    return result


ALL = [
    ("start",),
    ("text_start", 0),
    ("text_delta", 0, "a"),
    ("text_delta", 0, "b"),
    ("text_end", 0, "ab"),
    ("done", "stop"),
]


def test_nothing_happens_before_somebody_pulls() -> None:
    async def main() -> None:
        script = Script()
        stream = opened(script)
        await asyncio.sleep(0.01)
        assert script.pulled == 0
        await stream.aclose()
        assert script.pulled == 0

    run(main())


def test_every_event_is_handed_out_once_and_result_is_the_last_message() -> None:
    async def main() -> None:
        stream = opened(Script())
        seen = [event async for event in stream]
        assert [brief(event) for event in seen] == ALL
        assert await stream.result() is seen[-1].message
        assert await stream.result() is stream.message

    run(main())


def test_ai_core_check_16_iterating_again_yields_nothing_and_the_result_stays() -> None:
    async def main() -> None:
        stream = opened(Script())
        first = [event async for event in stream]
        assert [event async for event in stream] == []
        assert (await stream.result()).text == "ab"
        assert len(first) == len(ALL)

    run(main())


def test_a_batch_is_handed_out_before_the_next_is_pulled() -> None:
    async def main() -> None:
        script = Script()
        stream = opened(script)
        pulls = []
        async for _ in stream:
            pulls.append(script.pulled)
        assert pulls == [1, 1, 2, 2, 3, 3]

    run(main())


def test_two_loops_share_the_events_of_one_stream() -> None:
    async def main() -> None:
        stream = opened(Script())
        seen = []
        async for event in stream:
            seen.append(brief(event))
            if event.type == "text_start":
                break
        seen += [brief(event) async for event in stream]
        assert seen == ALL

    run(main())


def test_result_alone_drives_the_stream_and_leaves_the_terminal_event() -> None:
    async def main() -> None:
        script = Script()
        stream = opened(script)
        assert (await stream.result()).text == "ab"
        assert script.closed
        assert [brief(event) async for event in stream] == [("done", "stop")]

    run(main())


def test_ai_core_check_14_15_duration_and_pending_partials() -> None:
    async def main() -> None:
        stream = opened(Script(wait=0.03))
        await asyncio.sleep(0.1)  # before the first read nothing runs, so this does not count
        began = time.monotonic()
        seen = [event async for event in stream]
        message = await stream.result()
        assert message.duration_ms is not None
        assert 25 <= message.duration_ms <= (time.monotonic() - began) * 1000 + 1
        partials = [event.partial for event in seen[:-1]]
        assert {partial.stop_reason for partial in partials} == {"pending"}
        assert {partial.duration_ms for partial in partials} == {None}

    run(main())


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        pytest.param(ProviderError("no luck"), "no luck", id="provider-error"),
        pytest.param(KeyError("x"), "'x'", id="any-exception"),
        pytest.param(ValueError(), "ValueError", id="without-a-text"),
    ],
)
def test_a_failure_is_one_error_event_that_keeps_the_content(failure: Exception, text: str) -> None:
    async def main() -> None:
        stream = opened(Script(failure=failure))
        seen = [brief(event) async for event in stream]
        assert seen == [*ALL[:4], ("error", "error")]
        message = await stream.result()
        assert (message.stop_reason, message.error_message) == ("error", text)
        assert message.text == "ab"

    run(main())


def test_an_adapter_that_ends_without_a_stop_reason_failed() -> None:
    async def main() -> None:
        message = await opened(Script(stop=False)).result()
        assert message.stop_reason == "error"
        assert message.error_message == "Stream ended without a stop reason"

    run(main())


def test_result_of_a_stream_closed_early_raises() -> None:
    async def main() -> None:
        script = Script()
        async with opened(script) as stream:
            await anext(stream)
        assert script.closed
        assert [event async for event in stream] == []
        with pytest.raises(StreamEndedError):
            await stream.result()
        await stream.aclose()

    run(main())


def test_an_exception_in_the_block_closes_the_stream_and_passes() -> None:
    async def main() -> None:
        script = Script()

        async def fail() -> None:
            async with opened(script) as stream:
                async for _ in stream:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert script.closed

    run(main())


def test_cancelling_the_reader_closes_the_stream_and_stays_a_cancellation() -> None:
    async def main() -> None:
        script = Script(wait=30)
        stream = opened(script)
        reader = asyncio.create_task(stream.result())
        await asyncio.sleep(0.01)
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert script.closed
        with pytest.raises(StreamEndedError):
            await stream.result()
        assert stream.message.text == "ab"

    run(main())


@pytest.mark.parametrize("moment", ["before", "between-pulls", "inside-a-pull"])
def test_ai_core_check_21_abort_is_one_aborted_event(moment: str) -> None:
    async def main() -> None:
        controller = AbortController()
        script = Script(wait=30 if moment == "inside-a-pull" else 0)
        stream = opened(script, controller.signal)
        if moment == "before":
            controller.abort()
        else:
            asyncio.get_running_loop().call_later(0.03, controller.abort)
        seen = []
        async for event in stream:
            seen.append(brief(event))
            if moment == "between-pulls" and event.type == "text_delta":
                await asyncio.sleep(0.05)
        assert seen == ([] if moment == "before" else ALL[:4]) + [("error", "aborted")]
        message = await stream.result()
        assert message.stop_reason == "aborted"
        assert message.error_message == "Request was aborted"
        assert message.text == ("" if moment == "before" else "ab")
        assert script.closed is (moment != "before")

    run(main())


def test_abort_after_the_end_changes_nothing() -> None:
    async def main() -> None:
        controller = AbortController()
        stream = opened(Script(), controller.signal)
        message = await stream.result()
        controller.abort()
        assert await stream.result() is message
        assert message.stop_reason == "stop"

    run(main())


def test_a_second_consumer_is_told_so_and_the_first_goes_on() -> None:
    async def main() -> None:
        stream = opened(Script(wait=0.05))
        first = asyncio.create_task(stream.result())
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="one consumer"):
            await stream.result()
        with pytest.raises(RuntimeError, match="one consumer"):
            await anext(stream)
        with pytest.raises(RuntimeError, match="one consumer"):
            await stream.aclose()
        assert (await first).text == "ab"

    run(main())


def test_the_callers_own_timeout_ends_the_stream() -> None:
    async def main() -> None:
        script = Script(wait=30)
        async with opened(script, AbortController().signal) as stream:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await stream.result()
        assert script.closed

    run(main())


def test_repr_tells_the_model_and_the_state() -> None:
    async def main() -> None:
        stream = opened(Script())
        assert repr(stream) == "<AssistantStream m: open>"
        await stream.result()
        assert repr(stream) == "<AssistantStream m: stop>"

    run(main())
