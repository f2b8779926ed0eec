"""`AgentSession`: one conversation that is stored as it happens.

Every finished message is appended to the session file first and told to listeners then. Source:
sdk spec, sections 9, 10 and 15, with section 16.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, cast

from msgspec import UNSET

from pi_agent import (
    Agent,
    AgentEndEvent,
    AgentEvent,
    AgentMessage,
    AgentTool,
    MessageEndEvent,
    MessageStartEvent,
)
from pi_agent.declarations import model_messages
from pi_ai import (
    AssistantMessage,
    Cost,
    ImageContent,
    Message,
    Model,
    ModelsError,
    SystemMessage,
    TextContent,
    ThinkingLevel,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.cost import sum_usage
from pi_ai.models import Models
from pi_ai.thinking import clamp_thinking_level, get_supported_thinking_levels
from pi_ai.transcript import content_text, get_current_system_message
from pi_sdk.errors import NoModelError, PromptRejectedError
from pi_sdk.events import (
    AgentSettledEvent,
    QueueUpdateEvent,
    RunEndEvent,
    SessionEvent,
    ThinkingLevelChangedEvent,
)
from pi_sdk.system_prompt import patch_sections, render_sections
from pi_session import (
    CustomMessage,
    SessionManager,
    SessionMessage,
    convert_to_llm,
)

__all__ = ("AgentSession", "Disposition", "SessionListener", "StreamingBehavior")

_log = logging.getLogger(__name__)

SessionListener: TypeAlias = Callable[[SessionEvent], object | Awaitable[object]]
"""Called with every event, in order; awaited if it returns an awaitable. Its errors are logged."""

StreamingBehavior: TypeAlias = Literal["steer", "followUp"]
Disposition: TypeAlias = Literal["started", "queued"]

_BUSY = (
    "Agent is already processing. Specify streamingBehavior ('steer' or 'followUp') "
    "to queue the message."
)
_PLACEHOLDER = Model(id="unknown", api="unknown", provider="unknown")


class AgentSession:
    """A conversation: an agent, the session it is stored in, and queues of what comes next.

    Made by `create_agent`. `subscribe` to follow it, `prompt` to talk to it, `aclose` (or leave
    the `async with` block) to end it.
    """

    def __init__(
        self,
        *,
        agent: Agent,
        session_manager: SessionManager,
        models: Models,
        model: Model | None,
        sections: Callable[[Sequence[AgentTool]], dict[str, str]],
        model_fallback_message: str | None = None,
    ) -> None:
        """For `create_agent`; `sections` makes the system prompt for the active tools."""
        self.agent = agent
        self.session_manager = session_manager
        self.models = models
        self.model_fallback_message = model_fallback_message
        self._model = model
        self._sections = sections
        self._listeners: list[SessionListener] = []
        self._reserved = False
        self._settled = asyncio.Event()
        self._settled.set()
        self._abort_requested = False
        self._failure: Exception | None = None
        self._queue_shown: tuple[list[str], list[str]] = ([], [])
        agent.convert_to_llm = _to_llm
        agent.subscribe(self._on_agent_event)
        self._sync_agent()

    def __repr__(self) -> str:
        model = f"{self._model.provider}/{self._model.id}" if self._model else "no model"
        state = "running" if self.is_streaming else "idle"
        return f"<AgentSession {self.session_id} {model}, {state}>"

    async def __aenter__(self) -> AgentSession:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Abort what runs, wait until it has settled, and give up the session file."""
        await self.abort()
        self._listeners.clear()
        self.session_manager.close()

    # --- looking ------------------------------------------------------------------------------

    @property
    def model(self) -> Model | None:
        """The model that answers; None if there is none yet."""
        return self._model

    @property
    def thinking_level(self) -> ThinkingLevel:
        """How hard the model thinks."""
        return self.agent.state.thinking_level

    @property
    def messages(self) -> list[AgentMessage]:
        """What the model sees of the session, finished messages only."""
        return list(self.session_manager.build_session_context().messages)

    @property
    def is_streaming(self) -> bool:
        """True from the acceptance of a prompt until just before `agent_settled`."""
        return self._reserved

    @property
    def is_idle(self) -> bool:
        """Nothing runs."""
        return not self._reserved

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.session_manager.session_id

    @property
    def session_file(self) -> Path | None:
        """Where the session is, or will be, stored; None in memory."""
        return self.session_manager.session_file

    @property
    def session_name(self) -> str | None:
        """The display name, if one was set."""
        return self.session_manager.get_session_name()

    @property
    def system_prompt(self) -> str:
        """The prompt that the next run is made with."""
        return render_sections(self._sections(self.agent.state.tools))

    @property
    def pending_message_count(self) -> int:
        """How many messages wait in the queues."""
        return len(self.agent.steering_queue) + len(self.agent.follow_up_queue)

    def get_active_tool_names(self) -> list[str]:
        """The tools the model may call, in order."""
        return [tool.name for tool in self.agent.state.tools]

    def last_assistant_text(self) -> str | None:
        """The text of the last answer; None if there is none or it has no text."""
        for message in reversed(self.messages):
            if isinstance(message, AssistantMessage):
                if message.stop_reason == "aborted" and not message.content:
                    continue
                return message.text.strip() or None
        return None

    def total_cost(self) -> Cost:
        """What the answers of this session's current context have cost, in USD."""
        usages = [m.usage for m in self.messages if isinstance(m, AssistantMessage)]
        return sum_usage(usages).cost

    # --- talking ------------------------------------------------------------------------------

    async def prompt(
        self,
        text: str,
        *,
        images: Sequence[ImageContent] = (),
        streaming_behavior: StreamingBehavior | None = None,
        on_accepted: Callable[[Disposition], object] | None = None,
    ) -> AssistantMessage | None:
        """Send a message and wait until the session has settled; gives the last answer.

        While a run is active, `streaming_behavior` queues the message instead (and None comes
        back at once); without it `PromptRejectedError` is raised. `on_accepted` is called once
        the prompt will be answered. Raises `NoModelError` without a model or credentials; a
        provider's failure raises nothing, it is the answer's `stop_reason`.
        """
        message = UserMessage([TextContent(text), *images])
        if self._reserved:
            await self._queue(message, streaming_behavior)
            if on_accepted is not None:
                on_accepted("queued")
            return None
        self._require_model()
        self._reserved = True  # before anything is awaited: a second prompt sees this one
        self._settled.clear()
        self._abort_requested = False
        try:
            prompts = self._prompts(message)
            if on_accepted is not None:
                on_accepted("started")
            answer = await self._run(prompts)
        finally:
            self._reserved = False
            try:
                await self._tell(AgentSettledEvent(self._abort_requested))
            finally:
                self._settled.set()
        return answer

    async def steer(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for the next turn of the run, or for the next run."""
        await self._queue(UserMessage([TextContent(text), *images]), "steer")

    async def follow_up(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for when the run would otherwise end."""
        await self._queue(UserMessage([TextContent(text), *images]), "followUp")

    async def clear_queue(self) -> dict[str, list[str]]:
        """Drop what is queued, and give its texts as `steering` and `followUp`."""
        dropped = {
            "steering": _texts(self.agent.steering_queue.clear()),
            "followUp": _texts(self.agent.follow_up_queue.clear()),
        }
        await self._tell_queue()
        return dropped

    async def abort(self) -> None:
        """Stop the active run and wait until it has settled. What is queued stays queued."""
        if self._reserved:
            self._abort_requested = True
            self.agent.abort()
            await self._settled.wait()

    async def wait_for_idle(self) -> None:
        """Wait until the active run has settled. Not for use in a listener."""
        await self._settled.wait()

    def subscribe(self, listener: SessionListener) -> Callable[[], bool]:
        """Call `listener` with every event; returns the unsubscriber, True the first time."""
        if listener not in self._listeners:
            self._listeners.append(listener)

        def unsubscribe() -> bool:
            if listener not in self._listeners:
                return False
            self._listeners.remove(listener)
            return True

        return unsubscribe

    # --- settings of the session --------------------------------------------------------------

    async def set_model(self, model: Model) -> None:
        """Answer with another model from the next run on. Raises `NoModelError` without a key."""
        self._check_credentials(model)
        self._model = model
        self.agent.state.model = model
        self.session_manager.append_model_change(model.provider, model.id)
        await self.set_thinking_level(self.thinking_level)

    async def set_thinking_level(self, level: ThinkingLevel) -> None:
        """Think harder or less hard, as far as the model can."""
        clamped = clamp_thinking_level(self._model, level) if self._model else level
        if clamped != self.thinking_level:
            self.agent.state.thinking_level = clamped
            self.session_manager.append_thinking_level_change(clamped)
            await self._tell(ThinkingLevelChangedEvent(clamped))

    def get_available_thinking_levels(self) -> list[ThinkingLevel]:
        """The levels the model knows."""
        return get_supported_thinking_levels(self._model or _PLACEHOLDER)

    def set_session_name(self, name: str) -> None:
        """Set the session's display name."""
        self.session_manager.append_session_info(name)

    # --- one run ------------------------------------------------------------------------------

    async def _run(self, prompts: Sequence[AgentMessage]) -> AssistantMessage | None:
        self._failure = None
        answer = await self.agent.prompt(prompts)
        while self._goes_on(answer):
            answer = await self.agent.continue_()
        if self._failure is not None:
            raise self._failure
        return answer

    def _goes_on(self, answer: AssistantMessage | None) -> bool:
        """Whether queued messages are still to be answered after a run."""
        failed = answer is None or answer.stop_reason in {"error", "aborted"}
        return self.agent.has_queued_messages() and not self._abort_requested and not failed

    def _prompts(self, message: UserMessage) -> list[AgentMessage]:
        """The message, behind what changed in the system prompt since the last one."""
        self._sync_agent()
        current = get_current_system_message(model_messages(self.agent.state.messages))
        wanted = self._sections(self.agent.state.tools)
        patch = patch_sections(current.sections if current else None, wanted)
        return [message] if patch is None else [patch, message]

    def _sync_agent(self) -> None:
        """The session is the truth: the agent works on what it holds."""
        self.agent.state.messages = self.messages
        self.agent.session_id = self.session_id
        self.agent.session_file = self.session_file
        if self._model is not None:
            self.agent.state.model = self._model

    async def _queue(self, message: UserMessage, behavior: StreamingBehavior | None) -> None:
        match behavior:
            case "steer":
                self.agent.steer(message)
            case "followUp":
                self.agent.follow_up(message)
            case None:
                raise PromptRejectedError(_BUSY)
            case _:
                raise ValueError(
                    f"streaming_behavior: expected 'steer' or 'followUp', found {behavior!r}"
                )
        await self._tell_queue()

    def _require_model(self) -> None:
        if self._model is None:
            raise NoModelError(
                "No model selected.\n\nSet a provider's key, such as ANTHROPIC_API_KEY or "
                "OPENAI_API_KEY, or pass model= to create_agent."
            )
        self._check_credentials(self._model)

    def _check_credentials(self, model: Model) -> None:
        try:
            self.models.check_credentials(model, **self.agent.stream_options)
        except ModelsError as error:
            raise NoModelError(f"No API key found for {model.provider}.\n\n{error}") from error

    # --- events -------------------------------------------------------------------------------

    async def _on_agent_event(self, event: AgentEvent) -> None:
        """Store what is finished, then tell."""
        match event:
            case MessageStartEvent(message=UserMessage()):
                # The queues were drained by now: the display goes first, as clients expect.
                if self._queue_shown != self._queue_texts():
                    await self._tell_queue()
                await self._tell(event)
            case MessageEndEvent(message=message):
                self._store(message)
                await self._tell(event)
            case AgentEndEvent(messages=messages):
                await self._tell(RunEndEvent(messages))
            case _:
                await self._tell(event)

    def _store(self, message: AgentMessage) -> None:
        match message:
            case CustomMessage():
                details = None if message.details is UNSET else message.details
                self.session_manager.append_custom_message_entry(
                    message.custom_type, message.content, message.display, details=details
                )
            case SystemMessage() | UserMessage() | AssistantMessage() | ToolResultMessage():
                try:
                    self.session_manager.append_message(message)
                except Exception as error:
                    self._failure = error
                    raise
            case _:
                pass  # stored where it is made

    async def _tell(self, event: SessionEvent) -> None:
        for listener in tuple(self._listeners):
            try:
                told = listener(event)
                if inspect.isawaitable(told):
                    await told
            except Exception:  # noqa: BLE001  # one listener's fault is not the run's
                _log.exception("A session listener failed on %s", event.type)

    def _queue_texts(self) -> tuple[list[str], list[str]]:
        return _texts(self.agent.steering_queue), _texts(self.agent.follow_up_queue)

    async def _tell_queue(self) -> None:
        self._queue_shown = self._queue_texts()
        await self._tell(QueueUpdateEvent(*self._queue_shown))


def _to_llm(messages: Sequence[AgentMessage]) -> list[Message]:
    # Only messages that a session can hold get into the agent of a session.
    return convert_to_llm(cast("Sequence[SessionMessage]", messages))


def _texts(messages: Iterable[AgentMessage]) -> list[str]:
    return [content_text(m.content, "") for m in messages if isinstance(m, UserMessage)]
