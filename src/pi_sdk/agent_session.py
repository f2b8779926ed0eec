"""`AgentSession`: one conversation that is stored as it happens.

Every finished message is appended to the session file first and told to listeners then. Source:
sdk spec, sections 9, 10 and 15, with section 16.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, TypeAlias, cast

from pi_agent import (
    Agent,
    AgentEndEvent,
    AgentEvent,
    AgentMessage,
    AgentStartEvent,
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
    TextContent,
    ThinkingLevel,
    UserMessage,
)
from pi_ai.models import Models
from pi_ai.thinking import clamp_thinking_level, get_supported_thinking_levels
from pi_ai.transcript import get_current_system_message
from pi_sdk.courses import Course, Courses
from pi_sdk.errors import NoModelError, PromptRejectedError
from pi_sdk.events import RunEndEvent, SessionEvent, ThinkingLevelChangedEvent
from pi_sdk.listeners import SessionListener, SessionListeners
from pi_sdk.queues import QueuedMessages, StreamingBehavior
from pi_sdk.recording import append_agent_message
from pi_sdk.system_prompt import patch_sections, render_sections
from pi_session import SessionManager, SessionMessage, convert_to_llm

__all__ = ("AgentSession", "Disposition")

_log = logging.getLogger(__name__)

Disposition: TypeAlias = Literal["started", "queued"]
"""What became of a prompt: it is being answered, or it waits."""

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
        self._listeners = SessionListeners()
        self._queued = QueuedMessages(agent)
        self._courses = Courses(self._listeners, self._run)
        self._closed = False
        agent.convert_to_llm = _to_llm
        agent.subscribe(self._on_agent_event)
        self._sync_agent()

    def __repr__(self) -> str:
        model = f"{self._model.provider}/{self._model.id}" if self._model else "no model"
        state = "closed" if self._closed else "running" if self.is_streaming else "idle"
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
        """Abort what runs, wait until it has settled, and give up the session file.

        A second call does nothing. Raises RuntimeError in a listener, which it would wait for.
        """
        self._refuse_inside("aclose")
        self._closed = True  # nothing new starts while the run comes to its end
        try:
            await self.abort()
            await self.models.credentials.settled()
        finally:
            self._listeners.clear()
            self.models.forget_session(self.session_id)
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
        return self._courses.current is not None

    @property
    def is_idle(self) -> bool:
        """Nothing runs."""
        return self._courses.current is None

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
        """How many messages of the user wait in the queues."""
        return len(self._queued)

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
        """What the whole session has cost, all branches, summaries and tools included, in USD."""
        return self.session_manager.stats().usage.cost

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
        the prompt will be answered. In a listener of `agent_settled` None comes back at once too:
        the prompt whose end was told goes on with this one when all listeners are done.

        Raises `NoModelError` without a model or credentials. A provider's failure raises nothing,
        it is the answer's `stop_reason`; OSError or `SessionError` is raised, once the run has
        settled, when a message could not be stored.
        """
        message = UserMessage([TextContent(text), *images])
        if self._courses.current is None:
            await self._require_ready()
        if self._courses.current is not None:  # since before, or since this waited for a store
            if streaming_behavior is None:
                raise PromptRejectedError(_BUSY)
            await self._queue(message, streaming_behavior)
            if on_accepted is not None:
                on_accepted("queued")
            return None
        course = self._courses.reserve(message)  # whoever comes next finds a busy session
        try:
            if on_accepted is not None:
                on_accepted("started")
        except BaseException:
            self._courses.give_up(course)
            raise
        return await self._courses.see_through(course)

    async def steer(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for the next turn of the run, or for the next run."""
        await self._queue(UserMessage([TextContent(text), *images]), "steer")

    async def follow_up(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for when the run would otherwise end."""
        await self._queue(UserMessage([TextContent(text), *images]), "followUp")

    async def clear_queue(self) -> dict[str, list[str]]:
        """Drop what is queued, and give its texts as `steering` and `followUp`."""
        dropped = self._queued.clear()
        await self._listeners.tell(self._queued.event())
        return dropped

    async def abort(self) -> None:
        """Stop the active run and wait until it has settled. What is queued stays queued.

        In a listener it does not wait, as the run waits for the listener.
        """
        if self._courses.current is not None:
            self._courses.current.aborted = True
            self.agent.abort()
        if not self._listeners.inside:
            await self._courses.wait_for_latest()

    async def wait_for_idle(self) -> None:
        """Wait until nothing runs. Raises RuntimeError in a listener, which it would wait for."""
        self._refuse_inside("wait_for_idle")
        await self._courses.wait_for_all()

    def subscribe(self, listener: SessionListener) -> Callable[[], bool]:
        """Call `listener` with every event; returns the unsubscriber, True the first time."""
        return self._listeners.add(listener)

    # --- settings of the session --------------------------------------------------------------

    async def set_model(self, model: Model) -> None:
        """Answer with another model from the next run on. Raises `NoModelError` without a key."""
        await self._require_credentials(model, f"No API key for {model.provider}/{model.id}")
        self.session_manager.append_model_change(model.provider, model.id)
        self._model = self.agent.state.model = model
        await self.set_thinking_level(self.thinking_level)

    async def set_thinking_level(self, level: ThinkingLevel) -> None:
        """Think harder or less hard, as far as the model can, from the next run on."""
        clamped = clamp_thinking_level(self._model, level) if self._model else level
        if clamped != self.thinking_level:
            self.session_manager.append_thinking_level_change(clamped)
            self.agent.state.thinking_level = clamped
            await self._listeners.tell(ThinkingLevelChangedEvent(clamped))

    def get_available_thinking_levels(self) -> list[ThinkingLevel]:
        """The levels the model knows."""
        return get_supported_thinking_levels(self._model or _PLACEHOLDER)

    def set_session_name(self, name: str) -> None:
        """Set the session's display name."""
        self.session_manager.append_session_info(name)

    # --- what must hold -----------------------------------------------------------------------

    def _require_open(self) -> None:
        if self._closed:
            raise PromptRejectedError("The session is closed")

    async def _require_ready(self) -> None:
        self._require_open()
        if self.session_manager.read_only:
            raise PromptRejectedError(
                f"The session can only be read: {self.session_file}. Fork it to go on."
            )
        if self._model is None:
            raise NoModelError(
                "No model selected.\n\nSet a provider's key, such as ANTHROPIC_API_KEY or "
                "OPENAI_API_KEY, or pass model= to create_agent."
            )
        model = self._model
        await self._require_credentials(model, f"No API key found for {model.provider}.")
        self._require_open()

    async def _require_credentials(self, model: Model, text: str) -> None:
        try:
            if self.agent.stream_options.get("api_key") is None:
                await self.models.credentials.list()
            self.models.check_credentials(model, **self.agent.stream_options)
        except ModelsError as error:
            raise NoModelError(f"{text}\n\n{error}") from error

    def _refuse_inside(self, method: str) -> None:
        if self._listeners.inside:
            raise RuntimeError(f"{method}() in a listener would wait for the listener itself")

    # --- one run ------------------------------------------------------------------------------

    async def _run(self, course: Course) -> AssistantMessage | None:
        """One run after another, until no queued message is left that can be answered."""
        answer = await self.agent.prompt(self._prompts(course.message))
        while self.agent.has_queued_messages() and not course.aborted and course.failure is None:
            due = self.agent.peek_queued_messages()[0]
            answer = await self.agent.continue_()
            still = self.agent.peek_queued_messages()
            if still and still[0] is due:
                break  # a hook ends the runs before they get to it; the next prompt may
        if course.failure is not None:
            raise course.failure
        return answer

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

    async def _queue(self, message: UserMessage, behavior: StreamingBehavior) -> None:
        self._require_open()
        self._queued.put(message, behavior)
        await self._listeners.tell(self._queued.event())

    # --- events -------------------------------------------------------------------------------

    async def _on_agent_event(self, event: AgentEvent) -> None:
        """Store what is finished, then tell."""
        told: SessionEvent = event
        match event:
            case AgentStartEvent():
                course = self._courses.current
                if course is not None and course.aborted:
                    self.agent.abort()  # asked for before there was a run
            case MessageStartEvent(message=message):
                if self._queued.deliver(message):
                    await self._listeners.tell(self._queued.event())
            case MessageEndEvent(message=message):
                self._store(message)
            case AgentEndEvent(messages=messages):
                told = RunEndEvent(messages)
            case _:
                pass
        await self._listeners.tell(told)

    def _store(self, message: AgentMessage) -> None:
        """Append a message. The first failure of a course breaks the run, which then ends.

        What is told of that end is stored if it can be.
        """
        try:
            append_agent_message(self.session_manager, message)
        except Exception as error:
            course = self._courses.current
            if course is None:
                raise
            if course.failure is None:
                course.failure = error
                raise
            _log.warning("Could not store a %s message either: %s", _role(message), error)


def _role(message: AgentMessage) -> str:
    return str(getattr(message, "role", type(message).__name__))


def _to_llm(messages: Sequence[AgentMessage]) -> list[Message]:
    # Only messages that a session can hold get into the agent of a session.
    return convert_to_llm(cast("Sequence[SessionMessage]", messages))
