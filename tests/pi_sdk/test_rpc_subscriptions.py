"""Listeners and iterators of an RPC client's events."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from pi_sdk import EventsLostEvent, QueueUpdateEvent, RpcEvent, RpcProcessError
from pi_sdk import rpc_subscriptions as module
from pi_sdk.rpc_subscriptions import Subscriptions

EVENTS = [QueueUpdateEvent([str(number)]) for number in range(10)]


def tell(subscriptions: Subscriptions, *events: RpcEvent, size: int = 100) -> None:
    for event in events:
        subscriptions.tell(event, size)


async def rest(events: module.RpcEvents) -> list[RpcEvent]:
    return [event async for event in events]


def test_an_iterator_gives_what_came_after_it_was_made():
    async def main() -> None:
        subscriptions = Subscriptions()
        tell(subscriptions, EVENTS[0])
        events = subscriptions.iterate(10)
        tell(subscriptions, *EVENTS[1:3])
        assert await anext(events) == EVENTS[1]
        subscriptions.end(None)
        assert await rest(events) == [EVENTS[2]]
        assert await rest(events) == []
        assert await rest(subscriptions.iterate(10)) == []  # made after the end

    asyncio.run(main())


def test_a_reader_that_is_behind_loses_the_oldest_and_is_told_how_many():
    async def main() -> None:
        subscriptions = Subscriptions()
        slow, fast = subscriptions.iterate(3), subscriptions.iterate(None)
        tell(subscriptions, *EVENTS)
        assert [await anext(slow) for _ in range(4)] == [EventsLostEvent(7), *EVENTS[7:]]
        tell(subscriptions, *EVENTS[:2])
        subscriptions.end(None)
        assert await rest(slow) == EVENTS[:2]
        assert await rest(fast) == [*EVENTS, *EVENTS[:2]]

    asyncio.run(main())


def test_few_large_events_count_by_their_size(monkeypatch):
    monkeypatch.setattr(module, "_MAX_WAITING_BYTES", 1000)

    async def main() -> None:
        subscriptions = Subscriptions()
        events = subscriptions.iterate(100)
        tell(subscriptions, *EVENTS[:5], size=400)
        tell(subscriptions, EVENTS[5], size=5000)  # too large, but the newest
        subscriptions.end(None)
        assert await rest(events) == [EventsLostEvent(5), EVENTS[5]]

    asyncio.run(main())


def test_a_waiting_reader_is_woken_and_cancelling_it_loses_nothing():
    async def main() -> None:
        subscriptions = Subscriptions()
        events = subscriptions.iterate(10)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 0.01)
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0)
        tell(subscriptions, EVENTS[0])
        assert await waiting == EVENTS[0]

    asyncio.run(main())


def test_the_end_of_the_server_is_an_error_for_every_reader_after_its_last_event():
    async def main() -> None:
        subscriptions = Subscriptions()
        readers = [subscriptions.iterate(10) for _ in range(3)]
        tell(subscriptions, EVENTS[0])
        subscriptions.end(lambda: RpcProcessError("", "gone", exit_code=3))
        for events in [*readers, subscriptions.iterate(10)]:
            if events in readers:
                assert await anext(events) == EVENTS[0]
            for _ in range(2):
                with pytest.raises(RpcProcessError, match="gone"):
                    await anext(events)
        subscriptions.begin()
        fresh = subscriptions.iterate(10)
        tell(subscriptions, EVENTS[1])
        assert await anext(fresh) == EVENTS[1]

    asyncio.run(main())


def test_an_iterator_that_nobody_holds_is_forgotten():
    async def main() -> None:
        subscriptions = Subscriptions()
        events = subscriptions.iterate(10)
        kept = subscriptions.iterate(10)
        assert len(subscriptions._iterators) == 2
        del events
        gc.collect()
        assert list(subscriptions._iterators) == [kept]

    asyncio.run(main())


def test_rpc_check_54_a_listener_that_raises_hides_no_event_from_others(caplog):
    subscriptions = Subscriptions()
    heard: list[RpcEvent] = []

    def fail(_event: RpcEvent) -> None:
        raise ValueError("mine")

    remove = subscriptions.add(fail)
    subscriptions.add(heard.append)
    with caplog.at_level(logging.ERROR):
        tell(subscriptions, EVENTS[0])
    remove()
    remove()  # a second time does nothing
    tell(subscriptions, EVENTS[1])
    assert heard == EVENTS[:2]
    assert len(caplog.records) == 1


def test_listeners_may_come_and_go_while_an_event_is_told():
    subscriptions = Subscriptions()
    heard: list[str] = []

    def once(event: RpcEvent) -> None:
        heard.append(f"once {event.type}")
        remove()
        subscriptions.add(lambda event: heard.append(f"late {event.type}"))

    remove = subscriptions.add(once)
    tell(subscriptions, EVENTS[0], EVENTS[1])
    assert heard == ["once queue_update", "late queue_update"]
