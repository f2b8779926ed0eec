"""What can be seen of a session: its model, messages, numbers, and what it is doing.

Source: sdk spec, sections 9 and 14.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pi_agent import Agent, AgentMessage, AgentTool
from pi_agent.types import QueueMode
from pi_ai import AssistantMessage, Cost, Model, ThinkingLevel, Wire
from pi_ai.models import Models
from pi_ai.thinking import get_supported_thinking_levels
from pi_ai.transcript import content_text
from pi_ai.types import THINKING_LEVELS, UserMessage
from pi_sdk.session_core import SessionCore
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.session_totals import SessionTotals, context_usage, session_totals
from pi_sdk.settings import SettingsManager
from pi_sdk.system_prompt import render_sections
from pi_session import ContextUsage, SessionManager

__all__ = ("ForkPoint", "SessionState")


class ForkPoint(Wire):
    """A message of the user that a session can be forked at."""

    entry_id: str
    text: str


class SessionState:
    """The part of `AgentSession` that changes nothing."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    @property
    def agent(self) -> Agent:
        """The agent that answers. What is assigned to its state is neither stored nor sent."""
        return self._core.agent

    @property
    def session_manager(self) -> SessionManager:
        """The stored session, the truth about every finished message."""
        return self._core.session_manager

    @property
    def models(self) -> Models:
        """The collection of models that requests go through."""
        return self._core.models

    @property
    def settings(self) -> SettingsManager:
        """The settings in layers, as the user's files say and as was set since."""
        return self._core.settings_manager

    @property
    def session_settings(self) -> SessionSettings:
        """How the session behaves where nobody says otherwise."""
        return self._core.settings

    # --- model and tools ----------------------------------------------------------------------

    @property
    def model(self) -> Model | None:
        """The model that answers; None if there is none yet."""
        return self._core.model

    @property
    def thinking_level(self) -> ThinkingLevel:
        """How hard the model thinks."""
        return self.agent.state.thinking_level

    @property
    def scoped_models(self) -> Sequence[ScopedModel]:
        """The models that cycling stops at; empty for all that can be used."""
        return self._core.scoped_models

    def get_available_thinking_levels(self) -> list[ThinkingLevel]:
        """The levels the model knows; all of them without a model."""
        model = self.model
        return list(THINKING_LEVELS) if model is None else get_supported_thinking_levels(model)

    def get_active_tool_names(self) -> list[str]:
        """The tools the model may call, in order."""
        return [tool.name for tool in self.agent.state.tools]

    def get_all_tools(self) -> list[AgentTool]:
        """Every tool that can be made active."""
        return list(self._core.registered_tools)

    @property
    def system_prompt(self) -> str:
        """The prompt that the next request is made with."""
        return render_sections(self._core.sections(self.agent.state.tools))

    # --- the conversation ---------------------------------------------------------------------

    @property
    def messages(self) -> list[AgentMessage]:
        """What the model sees of the session, finished messages only."""
        return list(self.session_manager.build_session_context().messages)

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

    def last_assistant_text(self) -> str | None:
        """The text of the last answer; None if there is none or it has no text."""
        for message in reversed(self.messages):
            if isinstance(message, AssistantMessage):
                if message.stop_reason == "aborted" and not message.content:
                    continue
                return message.text.strip() or None
        return None

    def get_user_messages_for_forking(self) -> list[ForkPoint]:
        """Every message of the user with text, of all branches, in the order they were stored."""
        found: list[ForkPoint] = []
        for entry in self.session_manager.get_entries():
            if isinstance(message := entry.message, UserMessage):
                text = content_text(message.content, "")
                if text:
                    found.append(ForkPoint(entry.id, text))
        return found

    def export_to_jsonl(self, path: str | Path | None = None) -> Path:
        """Write the active branch as a session file of its own; gives its path.

        By default `session-<time>.jsonl` in the process's directory. Raises OSError.
        """
        return self.session_manager.export_jsonl(path)

    # --- numbers ------------------------------------------------------------------------------

    def total_cost(self) -> Cost:
        """What the whole session has cost, all branches, summaries and tools included, in USD."""
        return self.session_manager.stats().usage.cost

    def get_session_stats(self) -> SessionTotals:
        """Messages, tokens and cost of all branches, and how full the context is."""
        return session_totals(self.session_manager, self.model)

    def get_context_usage(self) -> ContextUsage | None:
        """How full the context window is; None if the model's window is unknown."""
        return context_usage(self.session_manager, self.model)

    # --- modes --------------------------------------------------------------------------------

    @property
    def steering_mode(self) -> QueueMode:
        """How much steering one turn takes: the oldest message, or all."""
        return self.agent.steering_queue.mode

    @property
    def follow_up_mode(self) -> QueueMode:
        """How many follow-ups are taken when a run would end: the oldest one, or all."""
        return self.agent.follow_up_queue.mode

    @property
    def auto_compaction_enabled(self) -> bool:
        """Whether the context is compacted without being asked."""
        return self.session_settings.compaction.enabled

    @property
    def auto_retry_enabled(self) -> bool:
        """Whether answers that fail for a reason that may pass are asked for again."""
        return self.session_settings.retry.enabled
