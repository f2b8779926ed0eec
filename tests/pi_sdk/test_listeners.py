"""The way of an event through several listeners."""

from __future__ import annotations

import asyncio
from typing import Any

from pi_sdk.events import AgentSettledEvent, QueueUpdateEvent, SessionEvent
from pi_sdk.listeners import SessionListeners

ONE, TWO = QueueUpdateEvent(["1"], []), QueueUpdateEvent(["2"], [])


def test_every_listener_hears_events_in_the_same_order():
    async def main() -> list[list[SessionEvent]]:
        listeners = SessionListeners()
        heard: list[list[SessionEvent]] = [[], []]

        async def slow(event: SessionEvent) -> None:
            heard[0].append(event)
            await asyncio.sleep(0.02 if event is ONE else 0)

        listeners.add(slow)
        listeners.add(heard[1].append)
        await asyncio.gather(listeners.tell(ONE), listeners.tell(TWO))
        return heard

    assert asyncio.run(main()) == [[ONE, TWO], [ONE, TWO]]


def test_a_listener_and_what_it_awaits_may_tell_events_without_a_deadlock():
    async def main() -> list[SessionEvent]:
        listeners = SessionListeners()
        heard: list[SessionEvent] = []

        async def nested(event: SessionEvent) -> None:
            heard.append(event)
            if event is ONE:
                assert listeners.inside
                await asyncio.wait_for(listeners.tell(TWO), 1)
                await asyncio.create_task(listeners.tell(TWO))

        listeners.add(nested)
        async with asyncio.timeout(2):
            await listeners.tell(ONE)
        assert not listeners.inside
        return heard

    assert asyncio.run(main()) == [ONE, TWO, TWO]


def test_a_task_that_a_listener_left_behind_is_not_inside_any_more():
    async def main() -> tuple[bool, bool]:
        listeners = SessionListeners()
        go = asyncio.Event()
        left: list[asyncio.Task[bool]] = []

        async def later() -> bool:
            await go.wait()
            return listeners.inside

        def leave(_event: SessionEvent) -> None:
            left.append(asyncio.create_task(later()))

        listeners.add(leave)
        await listeners.tell(ONE)
        go.set()
        return await left[0], listeners.inside

    assert asyncio.run(main()) == (False, False)


def test_a_listener_of_one_session_is_not_inside_another():
    async def main() -> list[tuple[bool, bool]]:
        first, second = SessionListeners(), SessionListeners()
        seen: list[tuple[bool, bool]] = []

        async def relay(event: SessionEvent) -> None:
            seen.append((first.inside, second.inside))
            await second.tell(event)

        first.add(relay)
        second.add(lambda _event: seen.append((first.inside, second.inside)))
        await first.tell(AgentSettledEvent())
        return seen

    assert asyncio.run(main()) == [(True, False), (True, True)]


def test_listeners_may_come_and_go_during_an_event():
    async def main() -> list[Any]:
        listeners = SessionListeners()
        heard: list[Any] = []

        def first(_event: SessionEvent) -> None:
            heard.append("first")
            heard.append(remove())
            listeners.add(late)

        def late(_event: SessionEvent) -> None:
            heard.append("late")

        listeners.add(first)
        remove = listeners.add(lambda _event: heard.append("removed"))
        await listeners.tell(ONE)
        heard.append(remove())
        await listeners.tell(TWO)
        return heard

    assert asyncio.run(main()) == ["first", True, False, "first", False, "late"]
