"""What can be changed of a session beside talking: model, level, tools, modes, name.

Source: sdk spec, sections 7.2, 8.7 and 9.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Literal, TypeAlias

from pi_agent.types import QueueMode
from pi_ai import THINKING_LEVELS, Model, ThinkingLevel, Wire
from pi_ai.thinking import clamp_thinking_level
from pi_sdk.arguments import check_choice, check_each, check_names, check_type
from pi_sdk.events import SessionInfoChangedEvent, ThinkingLevelChangedEvent
from pi_sdk.session_settings import ScopedModel
from pi_sdk.session_state import SessionState
from pi_sdk.tool_loadout import choose_active

__all__ = ("CycleDirection", "ModelCycle", "SessionControls")

_log = logging.getLogger(__name__)

_MODES = ("all", "one-at-a-time")

CycleDirection: TypeAlias = Literal["forward", "backward"]


class ModelCycle(Wire):
    """The model that cycling came to; `is_scoped`: of the session's own list."""

    model: Model
    thinking_level: ThinkingLevel
    is_scoped: bool


class SessionControls(SessionState):
    """The part of `AgentSession` that sets things. Changes hold from the next request on.

    With `persist`, what is set becomes the user's default too, and so do modes and switches. Modes
    and switches are written with `save_settings`, or when the session is closed.
    """

    # --- model --------------------------------------------------------------------------------

    async def set_model(self, model: Model, *, persist: bool = False) -> None:
        """Answer with another model. Raises `NoModelError` without credentials for it.

        The level becomes the user's for that model, else stays, as far as the model can.
        """
        check_type("model", model, Model, optional=False)
        await self._core.require_credentials(model)
        await self._use_model(model, None)
        if persist:
            await self._save_model(model)

    async def cycle_model(
        self, direction: CycleDirection = "forward", *, persist: bool = False
    ) -> ModelCycle | None:
        """Answer with the next model of the scoped ones, or of all that can be used.

        None if there is no other one. A model that is not among them is followed by the first, or
        the last backwards. Raises ValueError for an unknown direction.
        """
        check_choice("direction", direction, ("forward", "backward"))
        available = {(model.provider, model.id) for model in self.models.get_available()}
        scoped = bool(self._core.scoped_models)
        models = self._core.scoped_models or list(map(ScopedModel, self.models.get_available()))
        choices = [one for one in models if (one.model.provider, one.model.id) in available]
        at = self._position(choices)
        if not choices or (at is not None and len(choices) == 1):
            return None
        step = 1 if direction == "forward" else -1
        start = (0 if step == 1 else -1) if at is None else at + step
        chosen = choices[start % len(choices)]
        await self._use_model(chosen.model, chosen.thinking_level)
        if persist:
            await self._save_model(chosen.model)
        return ModelCycle(chosen.model, self.thinking_level, scoped)

    def set_scoped_models(self, models: Sequence[ScopedModel]) -> None:
        """Let cycling stop at these only; at all that can be used if there are none."""
        check_each("models", models, ScopedModel)
        self._core.scoped_models = tuple(models)

    def _position(self, choices: Sequence[ScopedModel]) -> int | None:
        model = self.model
        for index, choice in enumerate(choices):
            if model is not None and (choice.model.provider, choice.model.id) == (
                model.provider,
                model.id,
            ):
                return index
        return None

    async def _use_model(self, model: Model, level: ThinkingLevel | None) -> None:
        self.session_manager.append_model_change(model.provider, model.id)
        self._core.model = self.agent.state.model = model
        wanted = level or self.session_settings.start_level(model) or self.thinking_level
        await self.set_thinking_level(wanted)

    # --- thinking -----------------------------------------------------------------------------

    async def set_thinking_level(self, level: ThinkingLevel, *, persist: bool = False) -> None:
        """Think harder or less hard, as far as the model can. Raises ValueError for no level."""
        check_type("level", level, str, optional=False)
        check_choice("level", level, THINKING_LEVELS)
        clamped = clamp_thinking_level(self.model, level) if self.model else level
        if clamped != self.thinking_level:
            self.session_manager.append_thinking_level_change(clamped)
            self.agent.state.thinking_level = clamped
            await self._core.listeners.tell(ThinkingLevelChangedEvent(clamped))
        if persist:
            self.settings.set("defaultThinkingLevel", level)
            await self.save_settings()

    async def cycle_thinking_level(self) -> ThinkingLevel | None:
        """Think at the model's next level, the first after the last; None if it does not reason."""
        if self.model is None or not self.model.reasoning:
            return None
        levels = self.get_available_thinking_levels()
        at = levels.index(self.thinking_level) if self.thinking_level in levels else -1
        level = levels[(at + 1) % len(levels)]
        await self.set_thinking_level(level)
        return level

    # --- tools and modes ----------------------------------------------------------------------

    def set_active_tools_by_name(self, names: Sequence[str]) -> None:
        """Let the model call these tools; unknown names are passed over.

        Tools that stay active keep their place, others come last.
        """
        check_names("names", names)
        state = self.agent.state
        state.tools = choose_active(self._core.registered_tools, state.tools, names)

    def set_steering_mode(self, mode: QueueMode) -> None:
        """How much steering one turn takes. Raises ValueError for an unknown mode."""
        check_choice("mode", mode, _MODES)
        self.agent.steering_queue.mode = mode
        self.settings.set("steeringMode", mode)

    def set_follow_up_mode(self, mode: QueueMode) -> None:
        """How many follow-ups are taken at a time. Raises ValueError for an unknown mode."""
        check_choice("mode", mode, _MODES)
        self.agent.follow_up_queue.mode = mode
        self.settings.set("followUpMode", mode)

    def set_auto_compaction_enabled(self, enabled: bool) -> None:
        """Whether to compact the context without being asked."""
        self.settings.set("compaction.enabled", enabled)
        self._core.switch(auto_compaction=enabled)

    def set_auto_retry_enabled(self, enabled: bool) -> None:
        """Whether to ask again for answers that failed for a reason that may pass."""
        self.settings.set("retry.enabled", enabled)
        self._core.switch(auto_retry=enabled)

    async def set_session_name(self, name: str) -> None:
        """Set the session's display name; line breaks become spaces, and "" clears it."""
        check_type("name", name, str, optional=False)
        self.session_manager.append_session_info(name)
        await self._core.listeners.tell(SessionInfoChangedEvent(self.session_name))

    async def save_settings(self) -> None:
        """Write what was set into the user's file; what cannot be written is a warning."""
        for problem in await self.settings.flush():
            _log.warning("%s", problem)

    async def _save_model(self, model: Model) -> None:
        self.settings.set("defaultProvider", model.provider)
        self.settings.set("defaultModel", model.id)
        await self.save_settings()
