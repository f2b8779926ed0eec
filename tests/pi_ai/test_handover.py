"""A conversation goes from any model to any other and back, and every request is a valid one."""

from __future__ import annotations

import asyncio
from itertools import cycle, islice

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import (
    AssistantMessage,
    Context,
    Message,
    Model,
    TextContent,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.replay import NO_RESULT_TEXT
from support import histories as h
from support.handover import ASKINGS, OTHER, TARGETS, Asking, ask, said_in, strings


def answered(context: Context, message: AssistantMessage) -> Context:
    """The conversation with an answer, and results for all of its calls but the last."""
    results: list[Message] = [
        ToolResultMessage(call.id, call.name, [TextContent("ok"), h.PNG], timestamp=2)
        for call in message.tool_calls[:-1]
    ]
    return replace(context, messages=[*context.messages, message, *results])


async def round_trip(model: Model, context: Context, asking: Asking) -> None:
    """Hand over to `model`, then to the other wire format, and back."""
    for number, each in enumerate([model, OTHER[model.api], model]):
        message, _ = await ask(each, context, asking, number)
        context = answered(context, message)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("maker", h.MAKERS)
def test_histories_of_every_maker_go_to_every_model_and_back(maker: str, target: str) -> None:
    async def run() -> None:
        histories = h.table(h.MAKERS[maker])
        # Every history meets every set of options, over the makers and targets.
        first = [*h.MAKERS].index(maker) + [*TARGETS].index(target)
        askings = islice(cycle(ASKINGS), first, None)
        for (name, history), asking in zip(histories.items(), askings, strict=False):
            context = Context(history, system_prompt="Be brief.", tools=[h.READ])
            try:
                await round_trip(TARGETS[target], context, ASKINGS[asking])
            except AssertionError as error:
                error.add_note(f"history: {name}, {asking}")
                raise

    asyncio.run(run())


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("maker", h.MAKERS)
def test_results_arrive_with_their_calls_and_failed_answers_do_not(maker: str, target: str) -> None:
    async def sent(name: str) -> list[str]:
        context = Context(h.table(h.MAKERS[maker])[name], tools=[h.READ])
        _, body = await ask(TARGETS[target], context, ASKINGS["plain"])
        return [text for one in strings(said_in(body)) for text in one.split("\n")]

    for name in ("tool-round", "parallel", "tools-and-images", "stray-and-twice"):
        assert NO_RESULT_TEXT not in asyncio.run(sent(name))
    assert {"a", "b", "c"} <= set(asyncio.run(sent("parallel")))
    assert not {"stray", "again", "late"} & set(asyncio.run(sent("stray-and-twice")))
    assert NO_RESULT_TEXT in asyncio.run(sent("orphan-calls"))
    assert "hal" not in asyncio.run(sent("aborted"))


@pytest.mark.parametrize("asking", ASKINGS)
@pytest.mark.parametrize("target", TARGETS)
def test_a_conversation_goes_on_with_every_option(target: str, asking: str) -> None:
    """Through every maker's tool round with images, twice to and fro, and one more question."""

    async def run() -> None:
        model = TARGETS[target]
        for maker in h.MAKERS.values():
            context = Context(h.table(maker)["tools-and-images"], tools=[h.READ, h.LOOK])
            for number, each in enumerate([model, model, OTHER[model.api], model]):
                message, _ = await ask(each, context, ASKINGS[asking], number)
                context = answered(context, message)
            messages = [*context.messages, UserMessage("more", timestamp=3)]
            await ask(model, replace(context, messages=messages), ASKINGS[asking])

    asyncio.run(run())


ANY = st.tuples(
    st.sampled_from(sorted(h.MAKERS)),
    st.sampled_from(sorted(TARGETS)),
    st.sampled_from(sorted(ASKINGS)),
)


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(ANY.flatmap(lambda one: st.tuples(st.just(one), h.contexts(h.MAKERS[one[0]]))))
def test_any_history_goes_to_any_model_and_back(
    case: tuple[tuple[str, str, str], Context],
) -> None:
    (_, target, asking), context = case
    asyncio.run(round_trip(TARGETS[target], context, ASKINGS[asking]))
