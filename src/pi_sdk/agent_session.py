"""`AgentSession`: one conversation that is stored as it happens.

Every finished message is appended to the session file first and told to listeners then. What is
seen and set is in `session_state` and `session_controls`, what a prompt brings about in
`session_runs`. Source: sdk spec, sections 9, 10 and 15, with section 16.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Literal, TypeAlias

from pi_agent import Agent, AgentMessage, AgentTool
from pi_ai import AssistantMessage, ImageContent, Model, TextContent, UserMessage
from pi_ai.models import Models
from pi_sdk.arguments import check_choice, check_type
from pi_sdk.auto_compaction import AutoCompaction
from pi_sdk.compacting import Compacting
from pi_sdk.context_tracker import ContextTracker
from pi_sdk.courses import Courses
from pi_sdk.custom_messages import CustomMessages, DeliverAs
from pi_sdk.errors import PromptRejectedError
from pi_sdk.listeners import SessionListener, SessionListeners
from pi_sdk.message_images import check_images
from pi_sdk.queues import QueuedMessages, StreamingBehavior
from pi_sdk.recovery import AutoRetry
from pi_sdk.session_core import MakeSections, SessionCore
from pi_sdk.session_operations import Reloaded, SessionOperations
from pi_sdk.session_runs import SessionRuns
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.settings import SettingsManager
from pi_sdk.tree_moves import restore_tools
from pi_sdk.user_commands import UserCommands
from pi_session import CustomMessage, SessionManager
from pi_tools import BashOperations

__all__ = ("AgentSession", "Disposition")

Disposition: TypeAlias = Literal["started", "queued"]
"""What became of a prompt: it is being answered, or it waits."""

_BUSY = (
    "Agent is already processing. Specify streamingBehavior ('steer' or 'followUp') "
    "to queue the message."
)
_COMPACTING = (
    "Cannot submit a prompt while compaction is in progress. "
    "Wait for compaction to finish and retry."
)


class AgentSession(SessionOperations):
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
        settings: SettingsManager,
        sections: MakeSections,
        model_fallback_message: str | None = None,
        session_settings: SessionSettings | None = None,
        scoped_models: Sequence[ScopedModel] = (),
        registered_tools: Sequence[AgentTool] | None = None,
        custom_tool_names: Sequence[str] = (),
        restores_tools: bool = False,
        tool_changes: Sequence[str] = (),
        bash_operations: BashOperations | None = None,
        reload: Callable[[], Awaitable[Reloaded]] | None = None,
    ) -> None:
        """For `create_agent`; `SessionCore` tells what its parts are.

        `session_settings` take the place of what `settings` say of sessions; `tool_changes` are
        made to the tools that the session ended with; `bash_operations` run the user's commands;
        `reload` reads again what files say.
        """
        self.model_fallback_message = model_fallback_message
        core = SessionCore(
            agent=agent,
            session_manager=session_manager,
            models=models,
            model=model,
            sections=sections,
            settings_manager=settings,
            fixed_settings=session_settings,
            scoped_models=tuple(scoped_models),
            registered_tools=agent.state.tools if registered_tools is None else registered_tools,
            custom_tool_names=custom_tool_names,
            restores_tools=restores_tools,
            listeners=SessionListeners(),
            context=ContextTracker(session_manager),
        )
        self._queued = QueuedMessages(agent)
        self._custom = CustomMessages(core)
        retry, compacting = AutoRetry(core), Compacting(core)
        commands = UserCommands(core, bash_operations)
        runs = SessionRuns(
            core,
            queued=self._queued,
            retry=retry,
            auto_compaction=AutoCompaction(core, compacting),
            custom=self._custom,
            commands=commands,
        )
        super().__init__(
            core,
            courses=Courses(core.listeners, runs.run),
            retry=retry,
            compacting=compacting,
            commands=commands,
            reload=reload,
        )
        restore_tools(core, tool_changes)
        core.sync_agent()

    def __repr__(self) -> str:
        model = f"{self.model.provider}/{self.model.id}" if self.model else "no model"
        state = "closed" if self._closed else "idle" if self.is_idle else "running"
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
        """Abort what runs, commands too, wait until it has settled, give up the session file.

        What was set of the settings is written, and credentials that are being stored are waited
        for. A second call does nothing. Raises RuntimeError in a listener, which it would wait for.
        """
        self._refuse_inside("aclose")
        self._closed = True  # nothing new starts while the run comes to its end
        try:
            self._commands.abort()
            await self.abort()
            await self._commands.wait()
            await self.models.credentials.settled()
        finally:
            self._listeners.clear()
            self.models.forget_session(self.session_id)
            self.session_manager.close()
            await self.save_settings()

    # --- talking ------------------------------------------------------------------------------

    @property
    def pending_message_count(self) -> int:
        """How many messages of the user wait in the queues."""
        return len(self._queued)

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
        it is the answer's `stop_reason`. What else ends a run is raised once that has settled:
        what a hook raised, OSError or `SessionError` when a message could not be stored.
        """
        message = _user_message(text, images)
        check_choice("streaming_behavior", streaming_behavior, ("steer", "followUp"))
        if not self.is_streaming:
            await self._require_ready()
        if self.is_streaming:  # since before, or since this waited for a store of credentials
            if streaming_behavior is None:
                raise PromptRejectedError(_BUSY)
            await self._queue(message, streaming_behavior)
            if on_accepted is not None:
                on_accepted("queued")
            return None
        accept = None if on_accepted is None else lambda: on_accepted("started")
        return await self._answer(message, accept)

    async def steer(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for the next turn of the run, or for the next run."""
        await self._queue(_user_message(text, images), "steer")

    async def follow_up(self, text: str, images: Sequence[ImageContent] = ()) -> None:
        """Queue a message for when the run would otherwise end."""
        await self._queue(_user_message(text, images), "followUp")

    async def send_custom_message(
        self,
        message: CustomMessage,
        *,
        trigger_turn: bool | None = None,
        deliver_as: DeliverAs | None = None,
    ) -> None:
        """Put a message of the host into the conversation; the model reads it as the user's.

        "nextTurn" keeps it for behind the next prompt. While a run is active it is queued like
        the user's, to steer unless `deliver_as` says "followUp"; with `trigger_turn` False it is
        appended after the turn. Otherwise it is appended at once, or, with `trigger_turn`,
        answered; then this waits and raises as `prompt` does.
        """
        check_type("message", message, CustomMessage, optional=False)
        check_choice("deliver_as", deliver_as, ("steer", "followUp", "nextTurn"))
        self._require_open()
        starts = trigger_turn and deliver_as != "nextTurn"
        if starts and not self.is_streaming:
            await self._require_ready()
        if deliver_as == "nextTurn":
            self._custom.hold_for_prompt(message)
        elif self.is_streaming and trigger_turn is False:
            self._custom.hold_for_turn_end(message)
        elif self.is_streaming and deliver_as == "followUp":
            self.agent.follow_up(message)
        elif self.is_streaming:
            self.agent.steer(message)
        elif trigger_turn:
            await self._answer(message, None)
        else:
            await self._custom.append(message)

    async def clear_queue(self) -> dict[str, list[str]]:
        """Drop what is queued, and give its texts as `steering` and `followUp`."""
        dropped = self._queued.clear()
        await self._listeners.tell(self._queued.event())
        return dropped

    def subscribe(self, listener: SessionListener) -> Callable[[], bool]:
        """Call `listener` with every event; returns the unsubscriber, True the first time."""
        if not callable(listener):
            raise TypeError(f"listener: expected a function, found {type(listener).__name__}")
        return self._listeners.add(listener)

    # --- what must hold -----------------------------------------------------------------------

    async def _require_ready(self) -> None:
        """Raise unless a message could be answered now. Others may be accepted meanwhile."""
        self._require_free()
        if self.session_manager.read_only:
            raise PromptRejectedError(
                f"The session can only be read: {self.session_file}. Fork it to go on."
            )
        await self._core.require_model()
        self._require_open()

    def _require_free(self) -> None:
        if self._compacting.is_manual or self._moves.is_running:
            raise PromptRejectedError(_COMPACTING)
        self._require_open()

    async def _answer(
        self, message: AgentMessage, on_accepted: Callable[[], object] | None
    ) -> AssistantMessage | None:
        """Answer a message; whoever comes meanwhile finds a busy session."""
        self._require_free()
        return await self._courses.see_through(self._courses.reserve(message, on_accepted))

    async def _queue(self, message: UserMessage, behavior: StreamingBehavior) -> None:
        self._require_open()
        self._queued.put(message, behavior)
        await self._listeners.tell(self._queued.event())


def _user_message(text: str, images: Sequence[ImageContent]) -> UserMessage:
    """The user's message. Raises TypeError for what is no text, and for what is no image."""
    check_type("text", text, str, optional=False)
    check_images(images)
    return UserMessage([TextContent(text), *images])
