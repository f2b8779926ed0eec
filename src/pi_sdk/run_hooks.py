"""What changes in a session while a run is active, brought into that run between its requests.

The hooks here stand around those of the host, which are asked first. Source: agent spec, section
13.5.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from pi_agent import AgentMessage, AgentTool, Hooks, NextRequest, Prepared, RunContext, Turn
from pi_agent.declarations import model_messages
from pi_agent.types import MaybeAwaitable
from pi_ai import AbortSignal
from pi_ai.transcript import get_current_system_message
from pi_sdk.auto_compaction import AutoCompaction
from pi_sdk.session_core import MakeSections, SessionCore
from pi_sdk.system_prompt import patch_sections

__all__ = ("RunHooks", "prompt_changes")


def prompt_changes(core: SessionCore, messages: Sequence[AgentMessage]) -> list[AgentMessage]:
    """The message that tells what differs in the system prompt from what `messages` say."""
    current = get_current_system_message(model_messages(messages))
    wanted = core.sections(core.agent.state.tools)
    patch = patch_sections(current.sections if current else None, wanted)
    return [] if patch is None else [patch]


_NOTHING = Prepared()


class RunHooks:
    """The session's part in its agent's runs. `begin` before each of them."""

    __slots__ = (
        "_auto_compaction",
        "_core",
        "_host",
        "_installed",
        "_level",
        "_model",
        "_sections",
        "_tools",
    )

    def __init__(self, core: SessionCore, auto_compaction: AutoCompaction) -> None:
        self._core = core
        self._auto_compaction = auto_compaction
        self._installed: Hooks | None = None
        self._host = Hooks()
        self._tools: tuple[AgentTool, ...] = ()
        self._sections: MakeSections = core.sections
        self._note()

    def begin(self) -> None:
        """Stand around the host's hooks, whatever they are now, and note what a run starts with."""
        agent = self._core.agent
        hooks = agent.hooks
        if hooks is not self._installed:  # the host may share its own with other agents
            hooks = agent.hooks = self._installed = replace(hooks)
        if hooks.prepare_request != self._prepare_request:
            self._host.prepare_request = hooks.prepare_request
            hooks.prepare_request = self._prepare_request
        if hooks.prepare_next_turn != self._prepare_next_turn:
            self._host.prepare_next_turn = hooks.prepare_next_turn
            hooks.prepare_next_turn = self._prepare_next_turn
        self._note()

    def _note(self) -> None:
        state = self._core.agent.state
        self._model, self._level = state.model, state.thinking_level
        self._tools, self._sections = tuple(state.tools), self._core.sections

    # Where nothing has to be waited for, which is nearly always, the hooks are no coroutines: to
    # wait for one under an abort costs the loop a task.

    def _prepare_next_turn(
        self, turn: Turn, signal: AbortSignal
    ) -> MaybeAwaitable[Prepared | None]:
        due = self._auto_compaction.is_due_between_turns()
        if due or self._host.prepare_next_turn is not None:
            return self._prepare_slowly(turn, signal, compact=due)
        return self._with_changes(_NOTHING, turn)

    async def _prepare_slowly(
        self, turn: Turn, signal: AbortSignal, *, compact: bool
    ) -> Prepared | None:
        hook = self._host.prepare_next_turn
        given = await _answer(hook(turn, signal)) if hook is not None else None
        if compact:
            await self._auto_compaction.within_run(signal)
        return self._with_changes(given or _NOTHING, turn)

    def _with_changes(self, given: Prepared, turn: Turn) -> Prepared | None:
        tools = self._core.agent.state.tools
        if _same(tools, self._tools) and self._core.sections is self._sections:
            return self._merged(given, turn.context)
        self._tools, self._sections = tuple(tools), self._core.sections
        changes = prompt_changes(self._core, turn.context.messages)
        given = replace(given, messages=[*changes, *(given.messages or ())])
        return self._merged(given, RunContext(turn.context.messages, list(tools)), changed=True)

    def _prepare_request(
        self, asked: NextRequest, signal: AbortSignal
    ) -> MaybeAwaitable[Prepared | None]:
        due = self._auto_compaction.is_due_before_request()
        if due or self._host.prepare_request is not None:
            return self._prepare_request_slowly(asked, signal, compact=due)
        return self._merged(_NOTHING, asked.context)

    async def _prepare_request_slowly(
        self, asked: NextRequest, signal: AbortSignal, *, compact: bool
    ) -> Prepared | None:
        hook = self._host.prepare_request
        given = await _answer(hook(asked, signal)) if hook is not None else None
        if compact:
            await self._auto_compaction.within_run(signal)
        return self._merged(given or _NOTHING, asked.context)

    def _merged(self, given: Prepared, context: RunContext, *, changed: bool = False) -> Prepared:
        """What the host gave, with what changed in the session; its messages are the truth."""
        core, state = self._core, self._core.agent.state
        if given.context is not None:
            context, changed = RunContext(context.messages, given.context.tools), True
        if not core.context.in_step:
            messages = cast(
                "list[AgentMessage]", core.session_manager.build_session_context().messages
            )
            state.messages = messages
            core.context.begin_run()
            context, changed = RunContext(messages, context.tools), True
        if changed:
            given = replace(given, context=context)
        if state.model is not self._model:
            self._model = state.model
            given = replace(given, model=state.model)
        if state.thinking_level != self._level:
            self._level = state.thinking_level
            given = replace(given, thinking_level=state.thinking_level)
        return given


async def _answer(answer: MaybeAwaitable[Prepared | None]) -> Prepared | None:
    return await answer if inspect.isawaitable(answer) else answer


def _same(tools: Sequence[AgentTool], noted: Sequence[AgentTool]) -> bool:
    return len(tools) == len(noted) and all(map(operator.is_, tools, noted))
