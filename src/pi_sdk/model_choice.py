"""From a reference such as `anthropic/claude-sonnet-4-5:high` to a model and a level.

Source: sdk spec, sections 8.5 to 8.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from pi_ai import THINKING_LEVELS, Model, Models, ThinkingLevel
from pi_sdk.errors import ModelChoiceError
from pi_session import SessionModel

__all__ = ("ModelChoice", "choose_initial_model", "match_model", "restore_model")

_DATED = re.compile(r"-\d{8}$")

_PREFERRED = (
    ("anthropic", "claude-sonnet-4-5"),
    ("openai", "gpt-5"),
    ("openrouter", "anthropic/claude-sonnet-4.5"),
    ("deepseek", "deepseek-v4-flash"),
    ("groq", "openai/gpt-oss-120b"),
    ("xai", "grok-4"),
)
"""What a session without a choice starts with, where the provider has credentials."""


@dataclass(frozen=True)
class ModelChoice:
    """A model, and the thinking level if the reference named one."""

    model: Model
    thinking_level: ThinkingLevel | None = None


def match_model(models: Models, reference: str, *, provider: str | None = None) -> ModelChoice:
    """The model that `reference` means: an id, `provider/id` or a part of one; `:level` may follow.

    Raises `ModelChoiceError`, which lists near matches, or the models that it could mean.
    """
    if provider is not None and models.get_provider(provider) is None:
        ids = [row.id for row in models.get_providers()]
        raise ModelChoiceError(f'Unknown provider "{provider}".{_near(provider, ids)}')
    candidates = models.get_models(provider)
    found = _match(models, candidates, reference)
    if found is not None:
        return ModelChoice(found)
    head, colon, level = reference.rpartition(":")
    if colon and level in THINKING_LEVELS:
        found = _match(models, candidates, head)
        if found is not None:
            return ModelChoice(found, level)
    names = [f"{model.provider}/{model.id}" for model in candidates]
    raise ModelChoiceError(f'Model "{reference}" not found.{_near(reference, names)}')


def _match(models: Models, candidates: Sequence[Model], reference: str) -> Model | None:
    wanted = reference.lower()
    exact = [
        model
        for model in candidates
        if wanted in {model.id.lower(), f"{model.provider}/{model.id}".lower()}
    ]
    if exact:
        named = [m for m in exact if f"{m.provider}/{m.id}".lower() == wanted]
        return _only(models, named or exact, reference)
    partial = [
        model
        for model in candidates
        if wanted in f"{model.provider}/{model.id}".lower() or wanted in model.name.lower()
    ]
    if not wanted or not partial:
        return None
    providers = {model.provider for model in partial}
    if len(providers) > 1:
        configured = {(m.provider, m.id) for m in models.get_available()}
        partial = [m for m in partial if (m.provider, m.id) in configured] or partial
    undated = [m for m in partial if not _DATED.search(m.id) or m.id.endswith("-latest")]
    best = max(m.id for m in undated or partial)
    return _only(models, [m for m in partial if m.id == best], reference)


def _only(models: Models, found: Sequence[Model], reference: str) -> Model:
    """The one model meant, or the only one with credentials."""
    if len(found) == 1:
        return found[0]
    configured = {(m.provider, m.id) for m in models.get_available()}
    usable = [m for m in found if (m.provider, m.id) in configured]
    if len(usable) == 1:
        return usable[0]
    names = ", ".join(f"{m.provider}/{m.id}" for m in found)
    hint = (
        "More than one matching provider is authenticated."
        if usable
        else "No matching provider is authenticated."
    )
    raise ModelChoiceError(
        f'Model "{reference}" is ambiguous across providers: {names}. {hint} '
        "Use --provider or provider/model."
    )


def _near(reference: str, names: Sequence[str]) -> str:
    folded = {name.lower(): name for name in names}
    tails = {name.lower().rpartition("/")[2]: name for name in names}
    close = get_close_matches(reference.lower(), folded, n=5, cutoff=0.6)
    found = [folded[match] for match in close]
    found += [tails[m] for m in get_close_matches(reference.lower(), tails, n=5, cutoff=0.6)]
    near = list(dict.fromkeys(found))[:5]
    return f" Did you mean: {', '.join(near)}?" if near else ""


def choose_initial_model(models: Models) -> Model | None:
    """The model to start with when nobody chose one: of a provider with credentials, or None."""
    available = {(model.provider, model.id): model for model in models.get_available()}
    for key in _PREFERRED:
        if key in available:
            return available[key]
    return next(iter(available.values()), None)


def restore_model(models: Models, recorded: SessionModel) -> Model | None:
    """The model that a session used last, if it can still be used."""
    available = {(model.provider, model.id): model for model in models.get_available()}
    return available.get((recorded.provider, recorded.model_id))
