"""What the parts of one session share: agent, stored session, settings, listeners."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from pi_agent import Agent, AgentTool
from pi_ai import (
    AssistantMessage,
    Context,
    JsonObject,
    Model,
    ModelsError,
    StreamOptions,
    TextContent,
    UserMessage,
)
from pi_ai.models import Models
from pi_sdk.context_tracker import ContextTracker
from pi_sdk.errors import NoModelError
from pi_sdk.events import EntryAppendedEvent
from pi_sdk.listeners import SessionListeners
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.settings import SettingsManager
from pi_sdk.settings_effects import session_settings
from pi_sdk.settings_types import Settings
from pi_session import CompactionSettings, SessionManager, UnknownEntry, fit_settings_to_window

__all__ = ("MakeSections", "SessionCore")

MakeSections: TypeAlias = Callable[[Sequence[AgentTool]], dict[str, str]]
"""Makes the sections of the system prompt for the active tools."""

_HOW_TO_GET_A_MODEL = (
    "Set a provider's key, such as ANTHROPIC_API_KEY or OPENAI_API_KEY, or pass model= to "
    "create_agent."
)


class SessionCore(Struct, eq=False, kw_only=True):
    """The parts of one session; `model` is None as long as there is none.

    `registered_tools` are those that can be made active. With `restores_tools` a branch's own
    ones are active again when the session comes to it, and of `custom_tool_names` those that it
    never mentions. `fixed_settings` take the place of what `settings_manager` says of sessions;
    `auto_compaction` and `auto_retry` are switches of this session, None where they were not used.
    """

    agent: Agent
    session_manager: SessionManager
    models: Models
    model: Model | None
    sections: MakeSections
    settings_manager: SettingsManager
    fixed_settings: SessionSettings | None
    scoped_models: Sequence[ScopedModel]
    registered_tools: Sequence[AgentTool]
    custom_tool_names: Sequence[str]
    restores_tools: bool
    listeners: SessionListeners
    context: ContextTracker
    fitted: tuple[SessionSettings, Model, CompactionSettings] | None = None
    auto_compaction: bool | None = None
    auto_retry: bool | None = None
    effective: tuple[Settings, SessionSettings] | None = None

    @property
    def settings(self) -> SessionSettings:
        """How the session behaves now; the same object as long as nothing changes."""
        current = self.settings_manager.current
        known = self.effective
        if known is None or known[0] is not current:
            found = self.fixed_settings or session_settings(current)
            self.effective = known = (current, self._switched(found))
        return known[1]

    def _switched(self, settings: SessionSettings) -> SessionSettings:
        compaction, retry = settings.compaction, settings.retry
        if self.auto_compaction is not None:
            compaction = replace(compaction, enabled=self.auto_compaction)
        if self.auto_retry is not None:
            retry = replace(retry, enabled=self.auto_retry)
        return replace(settings, compaction=compaction, retry=retry)

    def switch(
        self, *, auto_compaction: bool | None = None, auto_retry: bool | None = None
    ) -> None:
        """Switch what the session does by itself; None leaves it as it is."""
        if auto_compaction is not None:
            self.auto_compaction = auto_compaction
        if auto_retry is not None:
            self.auto_retry = auto_retry
        self.effective = None

    def forget_switches(self) -> None:
        """Do by itself what the settings say."""
        self.auto_compaction = self.auto_retry = self.effective = None

    def sync_agent(self) -> None:
        """The session is the truth: the agent works on what it holds."""
        agent, session = self.agent, self.session_manager
        agent.state.messages = session.build_session_context().messages
        agent.session_id = session.session_id
        agent.session_file = session.session_file
        if self.model is not None:
            agent.state.model = self.model
        self.context.begin_run()

    def compaction_settings(self, model: Model) -> CompactionSettings:
        """The settings for `model`, made to fit its window; looked up at every request."""
        known = self.fitted
        if known is None or known[0] is not self.settings or known[1] is not model:
            found = self.settings.compaction_for(model)
            fitted = fit_settings_to_window(found, model.context_window)
            self.fitted = known = (self.settings, model, fitted)
        return known[2]

    async def edit_context(self, target_id: str, replacement: JsonObject | None) -> None:
        """Leave an entry out of the context, or give it other content there, and tell so."""
        entry_id = self.session_manager.append_context_edit(target_id, replacement)
        await self.tell_entry(entry_id)

    async def tell_entry(self, entry_id: str) -> None:
        """Tell of an entry that the session appended."""
        entry = self.session_manager.get_entry(entry_id)
        if entry is not None and not isinstance(entry.view, UnknownEntry):
            await self.listeners.tell(EntryAppendedEvent(entry.view))

    async def ask(
        self, model: Model, system_prompt: str, text: str, options: StreamOptions
    ) -> AssistantMessage:
        """Ask `model` something that is no part of the conversation, the way the agent asks.

        The answer comes at once and may be as long as the model can make it.
        """
        context = Context([UserMessage([TextContent(text)])], system_prompt)
        asked = StreamOptions(**self.agent.stream_options)
        asked.pop("max_tokens", None)
        asked.pop("tool_choice", None)
        asked.pop("deferred", None)
        asked.update(options)
        if (find_key := self.agent.hooks.get_api_key) is not None:
            found = find_key(model.provider)
            key = await found if inspect.isawaitable(found) else found
            if key:
                asked["api_key"] = key
        async with self.agent.stream(model, context, asked) as answer:
            return await answer.result()

    async def require_model(self) -> Model:
        """The model. Raises `NoModelError` without one, or without credentials for it."""
        model = self.model
        if model is None:
            raise NoModelError(f"No model selected.\n\n{_HOW_TO_GET_A_MODEL}")
        try:
            await self._check_credentials(model)
        except ModelsError as error:
            text = f"No API key found for {model.provider}."
            if self.models.credentials.known_type(model.provider) == "oauth":
                text = (
                    f'Authentication failed for "{model.provider}". '
                    "Credentials may have expired or network is unavailable."
                )
            raise NoModelError(f"{text}\n\n{error}") from error
        return model

    async def require_credentials(self, model: Model) -> None:
        """Raise `NoModelError` if a request to `model` would find no credentials."""
        try:
            await self._check_credentials(model)
        except ModelsError as error:
            text = f"No API key for {model.provider}/{model.id}"
            raise NoModelError(f"{text}\n\n{error}") from error

    async def _check_credentials(self, model: Model) -> None:
        """Raise `ModelsError` if a request to `model` would find no credentials."""
        if self.agent.stream_options.get("api_key") is None:
            await self.models.credentials.list()
        self.models.check_credentials(model, **self.agent.stream_options)
