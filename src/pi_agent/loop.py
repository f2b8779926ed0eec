"""The loop: turns, steering, follow-ups. It retries nothing and stores nothing.

Source: agent spec, section 3, with section 16 (3).
"""

from __future__ import annotations

from collections.abc import Sequence

from pi_agent.declarations import declare_tool_changes
from pi_agent.events import AgentEndEvent, AgentStartEvent, TurnEndEvent, TurnStartEvent
from pi_agent.response import aborted_response, stream_response
from pi_agent.run import Run, resolve
from pi_agent.tool_calls import Batch, execute_calls, fail_truncated_calls
from pi_agent.types import AgentMessage, NextRequest, Turn, TurnDecision
from pi_ai import AssistantMessage

__all__ = ("run_loop",)


async def run_loop(run: Run, prompts: Sequence[AgentMessage] | None) -> None:
    """Answer `prompts`, or go on from the transcript when they are None, until nothing is left.

    Emits every event of the run. Raises what hooks, listeners and the stream function raise; what
    was committed before stays committed.
    """
    await run.emit(AgentStartEvent())
    await _begin_turn(run)
    if prompts is not None:
        for message in declare_tool_changes(run.messages, prompts, run.tools):
            await run.add(message)
    await _Loop(run).main()


async def _begin_turn(run: Run) -> None:
    run.turn_open = True
    await run.emit(TurnStartEvent())


class _Loop:
    """The course of one run."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.last: Turn | None = None
        self.pending: Sequence[AgentMessage] = ()

    async def main(self) -> None:
        """Turn after turn: tools first, then steering, then follow-ups."""
        run = self.run
        self.pending = await self._steering()
        wants_turn = True
        while wants_turn:
            decision, more = await self._turn()
            if decision == "end":
                break
            self.pending = await self._steering()
            wants_turn = more or bool(self.pending)
            if not wants_turn:
                self.pending = await self._follow_ups()
                # `continue` asks for one more request only where nothing else does
                wants_turn = bool(self.pending) or decision == "continue"
        await run.emit(AgentEndEvent(list(run.new_messages)))

    async def _turn(self) -> tuple[TurnDecision | None, bool]:
        """One response and its calls; returns the host's decision and whether calls want more."""
        run = self.run
        if self.last is not None and not run.signal.aborted:
            await self._prepare_next(self.last)
        if self.last is not None:
            await _begin_turn(run)
        if run.signal.aborted and self.last is not None:
            message = await aborted_response(run)
        else:
            await self._inject(self.pending)
            message = await self._respond()
        self.pending = ()
        if message.stop_reason in {"error", "aborted"}:
            await self._finish(message, Batch([], terminate=False))
            return "end", False
        batch = Batch([], terminate=True)
        if message.tool_calls:
            truncated = message.stop_reason == "length"
            batch = await (fail_truncated_calls if truncated else execute_calls)(run, message)
        return await self._finish(message, batch), not batch.terminate

    async def _prepare_next(self, last: Turn) -> None:
        hook = self.run.config.hooks.prepare_next_turn
        if hook is not None:
            prepared = await resolve(hook(last, self.run.signal))
            self.run.apply(prepared)
            if not self.pending:
                self.pending = await self._steering()
            if prepared is not None and prepared.messages:
                self.pending = [*prepared.messages, *self.pending]

    async def _inject(self, messages: Sequence[AgentMessage]) -> None:
        run = self.run
        for message in declare_tool_changes(run.messages, messages, run.tools):
            await run.add(message)

    async def _respond(self) -> AssistantMessage:
        run = self.run
        if run.signal.aborted:
            return await aborted_response(run)
        if run.config.hooks.prepare_request is not None:
            asked = NextRequest(run.context, run.model, run.thinking_level)
            run.apply(await resolve(run.config.hooks.prepare_request(asked, run.signal)))
        return await stream_response(run)

    async def _finish(self, message: AssistantMessage, batch: Batch) -> TurnDecision | None:
        run = self.run
        self.last = Turn(message, batch.results, run.context, run.new_messages)
        decision: TurnDecision | None = None
        if run.config.hooks.finish_turn is not None:
            decision = await resolve(run.config.hooks.finish_turn(self.last, run.signal))
        run.turn_open = False
        await run.emit(TurnEndEvent(message, batch.results))
        return decision

    async def _steering(self) -> Sequence[AgentMessage]:
        if self.run.signal.aborted:
            return ()  # what is queued stays queued
        return await self.run.config.get_steering_messages()

    async def _follow_ups(self) -> Sequence[AgentMessage]:
        if self.run.signal.aborted:
            return ()
        return await self.run.config.get_follow_up_messages()
