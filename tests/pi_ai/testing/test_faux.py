"""The scripted provider. ai-core spec, section 17."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from pi_ai import AbortController, Context, TextContent, ThinkingContent, Tool, UserMessage
from pi_ai.testing import FauxProvider, FauxRequest, faux_message, faux_tool_call
from support.exchanges import HI, brief

LONG = "The quick brown fox jumps over the lazy dog. " * 3


async def play(faux: FauxProvider, context: Context = HI, **options: Any) -> tuple[list[Any], Any]:
    async with faux.models.stream(faux.model, context, **options) as events:
        return [event async for event in events], await events.result()


def ask(faux: FauxProvider, context: Context = HI, **options: Any) -> tuple[list[Any], Any]:
    return asyncio.run(play(faux, context, **options))


def test_ai_core_check_14_thinking_text_and_a_call() -> None:
    call = faux_tool_call("f", {"path": LONG, "n": 1}, call_id="c1")
    answer = faux_message([ThinkingContent("hm " * 20, "sig"), TextContent(LONG), call])
    seen, message = ask(FauxProvider([answer]))
    kinds = [event.type for event in seen]
    assert kinds[0] == "start"
    assert kinds[-1] == "done"
    deltas: dict[int, str] = {}
    for event in seen[1:-1]:
        if event.type.endswith("_delta"):
            deltas[event.content_index] = deltas.get(event.content_index, "") + event.delta
    assert deltas[0] == "hm " * 20
    assert deltas[1] == LONG
    order = [kind for i, kind in enumerate(kinds) if i == 0 or kind != kinds[i - 1]]
    assert order == [
        "start",
        *("thinking_start", "thinking_delta", "thinking_end"),
        *("text_start", "text_delta", "text_end"),
        *("toolcall_start", "toolcall_delta", "toolcall_end"),
        "done",
    ]
    assert message is seen[-1].message
    assert message.content == answer.content
    assert message.stop_reason == "toolUse"
    assert message.duration_ms is not None
    assert (message.api, message.provider) == (message.api, "faux")
    assert {event.partial.stop_reason for event in seen[:-1]} == {"pending"}


def test_argument_partials_grow() -> None:
    seen, _ = ask(FauxProvider([faux_message(faux_tool_call("f", {"path": LONG}))]))
    shown = [e.partial.content[0].arguments for e in seen if e.type == "toolcall_delta"]
    assert shown[-1] == {"path": LONG}
    paths = [arguments.get("path", "") for arguments in shown]
    assert all(later.startswith(earlier) for earlier, later in pairwise(paths))
    assert len(set(paths)) > 3


def test_ai_core_check_18_without_responses_there_is_one_error() -> None:
    seen, message = ask(FauxProvider())
    assert [brief(event) for event in seen] == [("error", "error")]
    assert message.error_message == "No more faux responses queued"


def test_answers_may_be_functions_that_see_the_request() -> None:
    async def later(request: FauxRequest) -> Any:
        await asyncio.sleep(0)
        return faux_message(f"call {request.call_count}: {request.messages[-1].content}")

    faux = FauxProvider([later, lambda request: faux_message(request.options["session_id"])])
    assert ask(faux)[1].text == "call 1: hi"
    assert ask(faux, session_id="S")[1].text == "S"
    assert faux.call_count == len(faux.requests) == 2


def test_a_function_that_raises_is_an_error_with_its_text() -> None:
    def broken(_request: FauxRequest) -> Any:
        raise RuntimeError("no script")

    assert ask(FauxProvider([broken]))[1].error_message == "no script"


@pytest.mark.parametrize(
    ("reason", "error", "text"),
    [
        ("error", "boom", "boom"),
        ("error", None, "An unknown error occurred"),
        ("pending", None, "Faux response ended without a stop reason"),
    ],
)
def test_scripted_failures_stream_their_content_first(
    reason: Any, error: str | None, text: str
) -> None:
    answer = faux_message("half", stop_reason=reason, error_message=error)
    seen, message = ask(FauxProvider([answer]))
    assert brief(seen[-1]) == ("error", "error")
    assert (message.text, message.error_message) == ("half", text)


def test_ai_core_check_21_abort_keeps_what_was_said() -> None:
    async def main() -> Any:
        controller = AbortController()
        faux = FauxProvider([faux_message(LONG)], tokens_per_second=100)
        asyncio.get_running_loop().call_later(0.15, controller.abort)
        return await play(faux, signal=controller.signal)

    seen, message = asyncio.run(main())
    assert brief(seen[-1]) == ("error", "aborted")
    assert message.error_message == "Request was aborted"
    assert message.text
    assert LONG.startswith(message.text)


def test_ai_core_check_67_a_session_reads_what_it_wrote_to_the_cache() -> None:
    faux = FauxProvider([faux_message("a"), faux_message("b"), faux_message("c")])
    context = Context([UserMessage("question " * 10)], "prompt", [Tool("t", "t", {})])
    first = ask(faux, context, session_id="S")[1].usage
    assert (first.input, first.cache_read) == (0, 0)
    assert first.cache_write > 20
    again = ask(faux, context, session_id="S")[1].usage
    assert (again.input, again.cache_write) == (0, 0)
    assert again.cache_read == first.cache_write
    without = ask(faux, context, session_id="S", cache_retention="none")[1].usage
    assert without.input == first.cache_write


def test_a_seed_repeats_the_pieces() -> None:
    def pieces(seed: int) -> list[str]:
        seen, _ = ask(FauxProvider([faux_message(LONG * 3)], seed=seed))
        return [event.delta for event in seen if event.type == "text_delta"]

    assert pieces(1) == pieces(1)
    assert pieces(1) != pieces(2)
    assert {len(piece) for piece in pieces(1)[:-1]} <= {12, 16, 20}


def test_empty_text_is_one_empty_delta() -> None:
    seen, _ = ask(FauxProvider([faux_message("")]))
    assert [brief(event) for event in seen] == [
        ("start",),
        ("text_start", 0),
        ("text_delta", 0, ""),
        ("text_end", 0, ""),
        ("done", "stop"),
    ]


def test_a_deferred_answer_is_fetched_when_it_is_ready() -> None:
    faux = FauxProvider([faux_message("later")], pending_fetches=1)

    async def run() -> list[Any]:
        message = (await play(faux, deferred=True))[1]
        assert message.stop_reason == "deferred"
        assert message.content == []
        handle = message.deferred
        assert handle is not None
        assert handle.id.startswith("deferred:")
        first = await faux.models.fetch_deferred(handle)
        second = await faux.models.fetch_deferred(handle)
        gone = await faux.models.fetch_deferred(handle)
        assert (first.stop_reason, first.deferred) == ("deferred", handle)
        assert (second.stop_reason, second.text, second.provider) == ("stop", "later", "faux")
        return [
            gone.stop_reason,
            gone.error_message == f"Unknown faux deferred response: {handle.id}",
        ]

    assert asyncio.run(run()) == ["error", True]


def test_a_cancelled_deferred_answer_says_so() -> None:
    faux = FauxProvider([faux_message("later")], pending_fetches=0)

    async def run() -> str | None:
        handle = (await play(faux, deferred={"window": "1h"}))[1].deferred
        await faux.models.cancel_deferred(handle)
        message = await faux.models.fetch_deferred(handle)
        assert message.error_message == f"Faux deferred response was cancelled: {handle.id}"
        return message.stop_reason

    assert asyncio.run(run()) == "error"


def test_a_provider_that_never_defers_says_so() -> None:
    seen, message = ask(FauxProvider([faux_message("now")]), deferred=True)
    assert [event.type for event in seen] == ["error"]
    assert message.error_message == "Provider faux does not support deferred responses"
