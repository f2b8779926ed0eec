"""What becomes of one prompt: runs of the agent, stored as they happen, until all is settled.

Source: sdk spec, sections 10, 11 and 15.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, TypeAlias, cast

from pi_agent import (
    AgentEndEvent,
    AgentEvent,
    AgentMessage,
    AgentStartEvent,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    TurnEndEvent,
)
from pi_ai import (
    AbortError,
    AssistantMessage,
    Message,
    ToolResultMessage,
    UserMessage,
)
from pi_sdk.auto_compaction import AutoCompaction
from pi_sdk.courses import Course
from pi_sdk.custom_messages import CustomMessages
from pi_sdk.events import RunEndEvent, SessionEvent
from pi_sdk.message_images import BlockedImages, fit_prompt_images, fit_result_images
from pi_sdk.queues import QueuedMessages
from pi_sdk.recovery import AutoRetry
from pi_sdk.run_hooks import RunHooks, prompt_changes
from pi_sdk.session_core import SessionCore
from pi_sdk.user_commands import UserCommands
from pi_session import SessionMessage, convert_to_llm

__all__ = ("SessionRuns",)

_log = logging.getLogger(__name__)

_Next: TypeAlias = Literal["again", "queue", "settle"]
"""After a run: ask again, answer what is queued, or come to an end."""


class SessionRuns:
    """Drives the agent of a session, and listens to it."""

    def __init__(
        self,
        core: SessionCore,
        *,
        queued: QueuedMessages,
        retry: AutoRetry,
        auto_compaction: AutoCompaction,
        custom: CustomMessages,
        commands: UserCommands,
    ) -> None:
        self._core = core
        self._queued = queued
        self._retry = retry
        self._auto_compaction = auto_compaction
        self._custom = custom
        self._commands = commands
        self._hooks = RunHooks(core, auto_compaction)
        self._blocked_images = BlockedImages()
        self._course: Course | None = None
        self._answer_id: str | None = None
        core.agent.convert_to_llm = self._to_llm
        core.agent.subscribe(self._on_agent_event)

    async def run(self, course: Course) -> AssistantMessage | None:
        """Answer the course's message and what is queued; gives the last answer.

        Raises what broke a run, unless it was the provider, and what storing raises.
        """
        self._course = course
        try:
            return await self._run(course)
        finally:
            self._course = None
            await self._note_asides()

    async def _run(self, course: Course) -> AssistantMessage | None:
        core, agent = self._core, self._core.agent
        self._record_level()
        core.sync_agent()
        prompts = [*prompt_changes(core, agent.state.messages), course.message]
        await self._auto_compaction.before_prompt(prompts)
        course.accept()
        prompts += self._custom.take_for_prompt()
        await self._fit_images(course.message)
        self._begin()
        answer = await agent.prompt(prompts)
        due: AgentMessage | None = None
        while (step := await self._next(course, answer)) != "settle":
            waiting = next(iter(agent.peek_queued_messages()), None)
            if step == "queue" and waiting is due:
                break  # a hook ends the runs before they get to it; the next prompt may
            due = waiting
            self._begin()
            answer = await agent.continue_()
        if course.failure is not None:
            raise course.failure
        return answer

    def _begin(self) -> None:
        """The agent works on what the session holds, within the session's hooks."""
        if not self._core.context.in_step:
            self._core.sync_agent()
        self._hooks.begin()
        self._answer_id = None

    def _record_level(self) -> None:
        """After a move in the tree the branch may imply another level than the live one."""
        session = self._core.session_manager
        level = self._core.agent.state.thinking_level
        if session.build_session_context().thinking_level != level:
            session.append_thinking_level_change(level)

    async def _note_asides(self) -> None:
        """Store what was held back while the run was active."""
        await self._custom.flush()
        self._commands.flush()

    # --- after a run --------------------------------------------------------------------------

    async def _next(self, course: Course, answer: AssistantMessage | None) -> _Next:
        core, entry_id = self._core, self._answer_id
        broke = core.agent.state.error
        if broke is not None and not (course.aborted and isinstance(broke, AbortError)):
            course.failure = course.failure or broke
        if course.failure is not None or course.aborted or answer is None or entry_id is None:
            await self._retry.cancelled()
            return "settle"
        if self._retry.expects(answer):
            return "again" if await self._retry.wait(answer, entry_id) else "settle"
        if answer.stop_reason == "error":
            await self._retry.failed(answer)
        elif answer.stop_reason == "aborted":
            await self._retry.cancelled()
        if await self._auto_compaction.after_run(entry_id) and not course.aborted:
            return "again"
        waits = core.agent.has_queued_messages() and not course.aborted
        return "queue" if waits else "settle"

    def _will_retry(self, messages: Sequence[AgentMessage]) -> bool:
        course = self._course
        if course is None or course.aborted or course.failure is not None:
            return False
        if self._core.agent.run_error is not None:
            return False
        answers = (m for m in reversed(messages) if isinstance(m, AssistantMessage))
        answer = next(answers, None)
        return answer is not None and self._retry.expects(answer)

    # --- events -------------------------------------------------------------------------------

    async def _on_agent_event(self, event: AgentEvent) -> None:
        """Store what is finished, then tell."""
        if isinstance(event, MessageUpdateEvent):  # nearly all are
            await self._core.listeners.tell(event)
            return
        told: SessionEvent = event
        match event:
            case AgentStartEvent():
                if self._course is not None and self._course.aborted:
                    self._core.agent.abort()  # asked for before there was a run
            case MessageStartEvent(message=message):
                if self._queued.deliver(message):
                    await self._fit_images(message)
                    await self._core.listeners.tell(self._queued.event())
                elif isinstance(message, ToolResultMessage):
                    await self._fit_images(message)
            case MessageEndEvent(message=message):
                self._store(message)
            case AgentEndEvent(messages=messages):
                told = RunEndEvent(messages, self._will_retry(messages))
            case _:
                pass
        await self._core.listeners.tell(told)
        match event:
            case MessageEndEvent(message=AssistantMessage(stop_reason=reason)):
                if reason not in {"error", "aborted"}:
                    await self._retry.succeeded()
            case TurnEndEvent():
                await self._custom.flush()
            case _:
                pass

    def _store(self, message: AgentMessage) -> None:
        """Append a message. The first failure of a course breaks the run, which then ends.

        What is told of that end is stored if it can be.
        """
        try:
            entry_id = self._core.context.store(message)
        except Exception as error:
            course = self._course
            if course is None:
                raise
            if course.failure is None:
                course.failure = error
                raise
            _log.warning("Could not store a %s message either: %s", _role(message), error)
            return
        self._auto_compaction.notice(message)
        if isinstance(message, AssistantMessage):
            self._answer_id = entry_id

    async def _fit_images(self, message: AgentMessage) -> None:
        model, resize = self._core.model, self._core.settings.auto_resize_images
        if model is None:
            return
        if isinstance(message, UserMessage):
            await fit_prompt_images(message, model, resize=resize)
        elif isinstance(message, ToolResultMessage):
            await fit_result_images(message, model, resize=resize)

    def _to_llm(self, messages: Sequence[AgentMessage]) -> list[Message]:
        # Only messages that a session can hold get into the agent of a session.
        converted = convert_to_llm(cast("Sequence[SessionMessage]", messages))
        if self._core.settings.block_images:
            return self._blocked_images.without_images(converted)
        return converted


def _role(message: AgentMessage) -> str:
    return str(getattr(message, "role", type(message).__name__))
