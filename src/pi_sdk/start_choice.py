"""Which model and thinking level a session starts or goes on with, and the entries that say so.

Source: sdk spec, sections 2.2, 8.6 and 8.7.
"""

from __future__ import annotations

from typing import cast

from msgspec import Struct

from pi_ai import Model, Models, ThinkingLevel
from pi_ai.thinking import clamp_thinking_level
from pi_sdk.model_choice import choose_initial_model, match_model, restore_model
from pi_sdk.settings_types import Settings
from pi_session import SessionManager

__all__ = ("StartChoice", "choose_start_level", "choose_start_model", "record_start")

_DEFAULT_THINKING_LEVEL: ThinkingLevel = "medium"
_NO_MODELS = (
    "No models available.\n\nSet a provider's key, such as ANTHROPIC_API_KEY or OPENAI_API_KEY, or "
    "describe a server of your own in models.json."
)


class StartChoice(Struct, frozen=True):
    """A model if there is one, the level its reference named, and what had to be replaced."""

    model: Model | None
    thinking_level: ThinkingLevel | None = None
    fallback_message: str | None = None


def choose_start_model(
    session: SessionManager,
    models: Models,
    settings: Settings,
    *,
    wanted: Model | str | None = None,
) -> StartChoice:
    """The wanted model, else the session's, else the settings', else one that can be used.

    Raises `ModelChoiceError` for an unknown reference.
    """
    if isinstance(wanted, Model):
        return StartChoice(wanted)
    if wanted is not None:
        matched = match_model(models, wanted)
        return StartChoice(matched.model, matched.thinking_level)
    context = session.build_session_context()
    recorded = context.model if context.messages else None
    restored = restore_model(models, recorded) if recorded is not None else None
    if restored is not None:
        return StartChoice(restored)
    other = choose_initial_model(
        models, provider=settings.default_provider, model_id=settings.default_model
    )
    if other is None:
        return StartChoice(None, fallback_message=_NO_MODELS)
    if recorded is None:
        return StartChoice(other)
    return StartChoice(
        other,
        fallback_message=f"Could not restore model {recorded.provider}/{recorded.model_id}. "
        f"Using {other.provider}/{other.id}",
    )


def choose_start_level(
    session: SessionManager,
    choice: StartChoice,
    settings: Settings,
    *,
    wanted: ThinkingLevel | None = None,
) -> ThinkingLevel:
    """The wanted level, else the reference's, the session's, the settings', as the model can."""
    if choice.model is None:
        return "off"
    level = wanted or choice.thinking_level
    if level is None:
        context = session.build_session_context()
        if _has_level(session):
            level = cast("ThinkingLevel", context.thinking_level)
        elif context.messages:
            level = settings.default_thinking_level
        else:
            level = settings.thinking_level_for(choice.model)
    return clamp_thinking_level(choice.model, level or _DEFAULT_THINKING_LEVEL)


def record_start(session: SessionManager, model: Model | None, level: ThinkingLevel) -> None:
    """Note what a new session starts with, and a level where an old one names none."""
    if session.read_only:
        return
    if not session.build_session_context().messages:
        if model is not None:
            session.append_model_change(model.provider, model.id)
        session.append_thinking_level_change(level)
    elif not _has_level(session):
        session.append_thinking_level_change(level)


def _has_level(session: SessionManager) -> bool:
    return any(entry.type == "thinking_level_change" for entry in session.get_branch())
