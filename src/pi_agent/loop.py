"""The loop: turns, steering, follow-ups. It retries nothing and stores nothing.

Source: agent spec, section 3, with section 16 (3).
"""

from __future__ import annotations

import operator
from collections.abc import Sequence

from pi_agent.declarations import declare_tool_changes
from pi_agent.events import AgentEndEvent, AgentStartEvent, TurnEndEvent, TurnStartEvent
from pi_agent.response import aborted_response, stream_response
from pi_agent.run import Run
from pi_agent.tool_calls import Batch, execute_calls, fail_truncated_calls
from pi_agent.types import AgentMessage, NextRequest, Turn, TurnDecision
from pi_ai import AssistantMessage, SystemMessage

__all__ = ("begin_turn", "end_run", "run_loop")


async def run_loop(run: Run, prompts: Sequence[AgentMessage] | None) -> None:
    """Answer `prompts`, or go on from the transcript when they are None, until nothing is left.

    Emits every event of the run. Raises what hooks, listeners and the stream function raise; what
    was committed before stays committed.
    """
    await run.emit(AgentStartEvent())
    await begin_turn(run)
    if prompts is not None:
        await _inject(run, prompts)
    await _Loop(run).main()


async def begin_turn(run: Run) -> None:
    """Tell that a turn begins."""
    run.turn_open = True
    await run.emit(TurnStartEvent())


async def end_run(run: Run) -> None:
    """Tell that the run is over."""
    run.over = True
    await run.emit(AgentEndEvent(list(run.new_messages)))


async def _inject(run: Run, messages: Sequence[AgentMessage]) -> None:
    declared = _with_tool_changes(run, messages)
    for left, message in zip(reversed(range(len(declared))), declared, strict=True):
        run.owed = min(run.owed, left)
        await run.add(message)


def _with_tool_changes(run: Run, messages: Sequence[AgentMessage]) -> Sequence[AgentMessage]:
    if not any(isinstance(message, SystemMessage) for message in messages):
        known, tools = run.declared, run.tools
        if known is not None and len(known) == len(tools) and all(map(operator.is_, known, tools)):
            return messages  # as at almost every request
    run.declared = tuple(run.tools)
    return declare_tool_changes(run.system_messages, messages, run.tools)


class _Loop:
    """The course of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last: Turn | None = None
        self.pending: Sequence[AgentMessage] = ()

    async def main(self) -> None:
        """Turn after turn: tools first, then steering, then follow-ups."""
        await self._poll_steering()
        wants_turn = True
        while wants_turn:
            decision, more = await self._turn()
            if decision == "end":
                break
            await self._poll_steering()
            wants_turn = more or bool(self.pending)
            if not wants_turn:
                await self._poll_follow_up()
                # `continue` asks for one more request only where nothing else does
                wants_turn = bool(self.pending) or decision == "continue"
        await end_run(self.run)

    async def _turn(self) -> tuple[TurnDecision | None, bool]:
        """One response and its calls; returns the host's decision and whether calls want more."""
        run = self.run
        if self.last is not None:
            if not run.signal.aborted:
                await self._prepare_next(self.last)
            await begin_turn(run)
        message = await self._respond()
        if message.stop_reason in {"error", "aborted"}:
            await self._finish(message, Batch([], terminate=False))
            return "end", False
        batch = Batch([], terminate=True)
        if run.calls:
            truncated = message.stop_reason == "length"
            batch = await (fail_truncated_calls if truncated else execute_calls)(run)
        return await self._finish(message, batch), not batch.terminate

    async def _prepare_next(self, last: Turn) -> None:
        hook = self.run.config.hooks.prepare_next_turn
        if hook is None:
            return
        prepared = await self.run.ask(hook(last, self.run.signal))
        self.run.apply(prepared)
        if not self.pending:
            await self._poll_steering()
        if prepared is not None and prepared.messages:
            self.pending = [*prepared.messages, *self.pending]

    async def _respond(self) -> AssistantMessage:
        run = self.run
        if run.signal.aborted and self.last is not None:
            return await aborted_response(run)  # messages still pending go back to their queue
        await _inject(run, self.pending)
        self.pending = ()
        if run.signal.aborted:
            return await aborted_response(run)
        hook = run.config.hooks.prepare_request
        if hook is not None:
            asked = NextRequest(run.context, run.model, run.thinking_level)
            run.apply(await run.ask(hook(asked, run.signal)))
        return await stream_response(run)

    async def _finish(self, message: AssistantMessage, batch: Batch) -> TurnDecision | None:
        run = self.run
        run.calls = []
        self.last = Turn(message, batch.results, run.context, run.new_messages)
        decision: TurnDecision | None = None
        hook = run.config.hooks.finish_turn
        if hook is not None:
            decision = await run.ask(hook(self.last, run.signal))
        run.turn_open = False
        await run.emit(TurnEndEvent(message, batch.results))
        return decision

    async def _poll_steering(self) -> None:
        if not self.run.signal.aborted:  # else what is queued stays queued
            self._take(await self.run.config.get_steering_messages())

    async def _poll_follow_up(self) -> None:
        if not self.run.signal.aborted:
            self._take(await self.run.config.get_follow_up_messages())

    def _take(self, messages: Sequence[AgentMessage]) -> None:
        self.pending = messages
        self.run.owed = len(messages)
