"""Abort signals, and the scopes that turn them into cancellation."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Coroutine
from typing import Any

import pytest

from pi_ai.abort import AbortController, AbortSignal, abort_scope
from pi_ai.errors import AbortError


def run(scenario: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(5):
            await scenario

    asyncio.run(limited())


async def hang() -> None:
    await asyncio.Event().wait()


def cancelling() -> int:
    task = asyncio.current_task()
    assert task is not None
    return task.cancelling()


def soon(controller: AbortController) -> None:
    asyncio.get_running_loop().call_later(0.01, controller.abort)


# --- signals ----------------------------------------------------------------------------------


def test_a_signal_is_set_once_with_its_reason() -> None:
    controller = AbortController()
    signal = controller.signal
    assert (signal.aborted, signal.reason, repr(signal)) == (False, None, "<AbortSignal clear>")
    signal.throw_if_aborted()
    controller.abort("first")
    controller.abort("second")
    assert (signal.aborted, signal.reason) == (True, "first")
    assert repr(signal) == "<AbortSignal aborted>"
    with pytest.raises(AbortError, match=r"^Request was aborted$"):
        signal.throw_if_aborted()


def test_listeners_are_called_once_and_late_ones_at_once() -> None:
    controller = AbortController()
    log: list[str] = []
    controller.signal.add_listener(lambda: log.append("early"))
    controller.abort()
    controller.abort()
    assert log == ["early"]
    remove = controller.signal.add_listener(lambda: log.append("late"))
    assert log == ["early", "late"]
    remove()


def test_a_removed_listener_is_not_called() -> None:
    controller = AbortController()
    log: list[str] = []
    remove = controller.signal.add_listener(lambda: log.append("removed"))
    remove()
    remove()
    controller.abort()
    assert log == []


def test_a_listener_may_use_the_signal() -> None:
    controller = AbortController()
    seen: list[bool] = []
    controller.signal.add_listener(lambda: seen.append(controller.signal.aborted))
    controller.signal.add_listener(
        lambda: seen.append(controller.signal.add_listener(lambda: seen.append(True)) is not None)
    )
    controller.abort()
    assert seen == [True, True, True]


def test_every_listener_is_called_once_whichever_thread_wins() -> None:
    for _ in range(20):
        controller = AbortController()
        calls: list[int] = []
        barrier = threading.Barrier(4)

        def listen(
            base: int,
            signal: AbortSignal = controller.signal,
            calls: list[int] = calls,
            barrier: threading.Barrier = barrier,
        ) -> None:
            barrier.wait()
            for number in range(50):
                signal.add_listener(lambda number=base + number: calls.append(number))

        def abort(
            controller: AbortController = controller, barrier: threading.Barrier = barrier
        ) -> None:
            barrier.wait()
            controller.abort()

        threads = [threading.Thread(target=listen, args=(base,)) for base in (0, 50)]
        threads += [threading.Thread(target=abort) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(calls) == list(range(100))


# --- scopes -----------------------------------------------------------------------------------


def test_abort_ends_the_block() -> None:
    async def scenario() -> None:
        controller = AbortController()
        soon(controller)
        with pytest.raises(AbortError, match=r"^Request was aborted$"):
            with abort_scope(controller.signal):
                await hang()
        assert cancelling() == 0
        await asyncio.sleep(0)

    run(scenario())


def test_abort_from_another_thread_ends_the_block() -> None:
    async def scenario() -> None:
        controller = AbortController()
        thread = threading.Timer(0.01, controller.abort)
        thread.start()
        with pytest.raises(AbortError):
            with abort_scope(controller.signal):
                await hang()
        thread.join()
        assert cancelling() == 0

    run(scenario())


def test_a_signal_set_before_keeps_the_block_from_running() -> None:
    async def scenario() -> None:
        controller = AbortController()
        controller.abort()
        with pytest.raises(AbortError):
            with abort_scope(controller.signal):
                pytest.fail("the block ran")

    run(scenario())


def test_no_signal_makes_no_scope() -> None:
    async def scenario() -> None:
        with abort_scope(None):
            await asyncio.sleep(0)
        with pytest.raises(ZeroDivisionError):
            with abort_scope(None):
                _ = 1 / 0

    run(scenario())


def test_the_block_can_clean_up() -> None:
    async def scenario() -> None:
        controller = AbortController()
        soon(controller)
        log: list[str] = []

        async def work() -> None:
            try:
                await hang()
            finally:
                await asyncio.sleep(0)
                log.append("cleaned")

        with pytest.raises(AbortError):
            with abort_scope(controller.signal):
                await work()
        assert log == ["cleaned"]

    run(scenario())


def test_the_callers_cancellation_stays_a_cancellation() -> None:
    async def work() -> None:
        with abort_scope(AbortController().signal):
            await hang()

    async def scenario() -> None:
        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel("by the caller")
        with pytest.raises(asyncio.CancelledError, match="by the caller"):
            await task

    run(scenario())


@pytest.mark.parametrize("abort_first", [True, False])
def test_the_callers_cancellation_wins_over_an_abort(abort_first: bool) -> None:
    async def scenario() -> None:
        controller = AbortController()

        async def work() -> None:
            with abort_scope(controller.signal):
                await hang()

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        if abort_first:
            controller.abort()
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            task.cancel()
            controller.abort()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(scenario())


def test_a_timeout_inside_or_outside_stays_a_timeout() -> None:
    async def scenario() -> None:
        signal = AbortController().signal

        async def inside() -> None:
            with abort_scope(signal):
                async with asyncio.timeout(0.01):
                    await hang()

        async def outside() -> None:
            async with asyncio.timeout(0.01):
                with abort_scope(signal):
                    await hang()

        for work in (inside, outside):
            with pytest.raises(TimeoutError):
                await work()
            assert cancelling() == 0

    run(scenario())


def test_an_abort_passes_through_a_timeout_and_a_task_group() -> None:
    async def scenario() -> None:
        controller = AbortController()
        soon(controller)

        async def work() -> None:
            async with asyncio.timeout(5), asyncio.TaskGroup() as group:
                group.create_task(hang())
                await hang()

        with pytest.raises(AbortError):
            with abort_scope(controller.signal):
                await work()
        assert cancelling() == 0

    run(scenario())


def test_the_inner_of_two_scopes_ends_alone() -> None:
    async def scenario() -> None:
        inner, outer = AbortController(), AbortController()
        soon(inner)
        with abort_scope(outer.signal):
            with pytest.raises(AbortError):
                with abort_scope(inner.signal):
                    await hang()
            await asyncio.sleep(0)

    run(scenario())


def test_the_outer_signal_ends_both_scopes() -> None:
    async def scenario() -> None:
        outer = AbortController()
        soon(outer)
        left: list[type[BaseException]] = []

        async def work() -> None:
            try:
                with abort_scope(AbortController().signal):
                    await hang()
            except BaseException as error:
                left.append(type(error))
                raise

        with pytest.raises(AbortError):
            with abort_scope(outer.signal):
                await work()
        assert left == [asyncio.CancelledError]
        assert cancelling() == 0

    run(scenario())


def test_one_signal_may_rule_nested_scopes() -> None:
    async def scenario() -> None:
        controller = AbortController()
        soon(controller)
        with pytest.raises(AbortError):
            with abort_scope(controller.signal), abort_scope(controller.signal):
                await hang()
        assert cancelling() == 0
        await asyncio.sleep(0)

    run(scenario())


def test_scopes_of_two_tasks_end_with_one_signal() -> None:
    async def scenario() -> None:
        controller = AbortController()

        async def work() -> None:
            with abort_scope(controller.signal):
                await hang()

        tasks = [asyncio.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        controller.abort()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in results] == [AbortError] * 3

    run(scenario())


def test_a_task_that_outlived_a_cancellation_can_still_be_aborted() -> None:
    async def scenario() -> None:
        controller = AbortController()

        async def work() -> str:
            try:
                await hang()
            except asyncio.CancelledError:
                assert cancelling() == 1
            soon(controller)
            try:
                with abort_scope(controller.signal):
                    await hang()
            except AbortError:
                return "aborted"
            return "not aborted"

        task = asyncio.create_task(work())
        await asyncio.sleep(0)
        task.cancel()
        assert await task == "aborted"

    run(scenario())


def test_an_abort_after_the_block_disturbs_nothing() -> None:
    async def scenario() -> None:
        controller = AbortController()
        with abort_scope(controller.signal):
            await asyncio.sleep(0)
        controller.abort()
        await asyncio.sleep(0.01)
        assert cancelling() == 0

    run(scenario())


def test_an_abort_that_comes_as_the_block_ends_disturbs_nothing() -> None:
    async def scenario() -> None:
        controller = AbortController()
        with abort_scope(controller.signal):
            controller.abort()
        await asyncio.sleep(0.01)
        assert cancelling() == 0

    run(scenario())


def test_the_blocks_own_error_passes() -> None:
    async def scenario() -> None:
        controller = AbortController()
        soon(controller)

        async def work() -> None:
            try:
                await hang()
            except asyncio.CancelledError:
                raise ValueError("own") from None

        with pytest.raises(ValueError, match="own"):
            with abort_scope(controller.signal):
                await work()
        assert cancelling() == 0

    run(scenario())


def test_a_scope_needs_a_task() -> None:
    loop = asyncio.new_event_loop()
    errors: list[Exception] = []

    def enter() -> None:
        try:
            with abort_scope(AbortController().signal):
                pass
        except RuntimeError as error:
            errors.append(error)

    try:
        loop.call_soon(enter)
        loop.call_soon(loop.stop)
        loop.run_forever()
    finally:
        loop.close()
    assert [str(error) for error in errors] == ["abort_scope needs a running asyncio task"]


def test_a_left_scope_is_not_kept_by_its_signal() -> None:
    async def scenario() -> None:
        controller = AbortController()

        async def work() -> None:
            with abort_scope(controller.signal):
                await asyncio.sleep(0)

        task = asyncio.create_task(work())
        await task
        gone = weakref.ref(task)
        del task
        await asyncio.sleep(0)  # the loop itself lets go of it
        gc.collect()
        assert gone() is None
        assert not controller.signal.aborted

    run(scenario())
