"""From a reference such as `anthropic/claude-sonnet-4-5:high` to a model and a level.

Source: sdk spec, sections 8.5 to 8.7.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from pi_ai import THINKING_LEVELS, Model, Models, ThinkingLevel
from pi_sdk.errors import ModelChoiceError
from pi_session import SessionModel

__all__ = (
    "ModelChoice",
    "choose_initial_model",
    "match_model",
    "match_start_model",
    "restore_model",
)

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


class ModelChoice(Struct, frozen=True):
    """A model, the thinking level if the reference named one, and what to warn the user of."""

    model: Model
    thinking_level: ThinkingLevel | None = None
    warning: str | None = None


def match_model(models: Models, reference: str, *, provider: str | None = None) -> ModelChoice:
    """The model that `reference` means: an id, `provider/id` or a part of one; `:level` may follow.

    Raises `ModelChoiceError`, which lists near matches, or the models that it could mean.
    """
    if provider is not None and models.get_provider(provider) is None:
        ids = [row.id for row in models.get_providers()]
        raise ModelChoiceError(f'Unknown provider "{provider}".{_near(provider, ids)}')
    found = _match(models, provider, reference)
    if found is not None:
        return ModelChoice(found)
    bare, level = _split_level(reference)
    if level is not None:
        found = _match(models, provider, bare)
        if found is not None:
            return ModelChoice(found, level)
    names = [f"{model.provider}/{model.id}" for model in models.get_models(provider)]
    raise ModelChoiceError(f'Model "{reference}" not found.{_near(reference, names)}')


def match_start_model(
    models: Models, reference: str, *, provider: str | None = None
) -> ModelChoice:
    """As `match_model`, but takes an id at its word where the provider is known.

    The model is then like the provider's usual one, under that id, and there is a warning.
    """
    try:
        return match_model(models, reference, provider=provider)
    except ModelChoiceError:
        if provider is None:
            provider, reference = _split_provider(models, reference)
        row = models.get_provider(provider) if provider else None
        listed = models.get_models(row.id) if row else []
        bare, level = _split_level(reference)
        if row is None or not listed or not bare:
            raise
    usual = next((model for model in listed if (row.id, model.id) in _PREFERRED), listed[0])
    return ModelChoice(
        replace(usual, id=bare, name=bare),
        level,
        f'Model "{bare}" not found for provider "{row.id}". Using custom model id.',
    )


def _split_level(reference: str) -> tuple[str, ThinkingLevel | None]:
    head, colon, level = reference.rpartition(":")
    level = level.lower()
    return (head, level) if colon and level in THINKING_LEVELS else (reference, None)


def _split_provider(models: Models, reference: str) -> tuple[str | None, str]:
    """The known provider that the reference begins with, the longest one, and the rest."""
    folded = reference.lower()
    ids = [row.id for row in models.get_providers() if folded.startswith(f"{row.id.lower()}/")]
    named = max(ids, key=len, default=None)
    return (None, reference) if named is None else (named, reference[len(named) + 1 :])


def _match(models: Models, provider: str | None, reference: str) -> Model | None:
    candidates = models.get_models(provider)
    wanted = reference.lower()
    if not wanted:
        return None
    named = [m for m in candidates if f"{m.provider}/{m.id}".lower() == wanted]
    plain = [m for m in candidates if m.id.lower() == wanted]
    if named or plain:
        return _exact(models, named, plain, reference)
    prefix, rest = _split_provider(models, wanted) if provider is None else (None, wanted)
    if prefix is not None:
        found = _closest(models, models.get_models(prefix), rest, reference)
        if found is not None:
            return found
    return _closest(models, candidates, wanted, reference)


def _exact(models: Models, named: Sequence[Model], plain: Sequence[Model], reference: str) -> Model:
    """`provider/id` and an id with a slash in it read the same; credentials decide."""
    if not named or not plain:
        return _only(models, named or plain, reference)
    usable = _configured(models, plain)
    if not _configured(models, named) and len(usable) == 1:
        return usable[0]
    return named[0]


def _closest(
    models: Models, candidates: Sequence[Model], wanted: str, reference: str
) -> Model | None:
    """The model whose id or name holds the text; the newest, one without a date if there is."""
    partial = [m for m in candidates if wanted in m.id.lower() or wanted in m.name.lower()]
    if not wanted or not partial:
        return None
    if len({model.provider for model in partial}) > 1:
        partial = _configured(models, partial) or partial
    undated = [m for m in partial if not _DATED.search(m.id) or m.id.endswith("-latest")]
    best = max(m.id for m in undated or partial)
    return _only(models, [m for m in partial if m.id == best], reference)


def _configured(models: Models, found: Sequence[Model]) -> list[Model]:
    known = {(m.provider, m.id) for m in models.get_available()}
    return [m for m in found if (m.provider, m.id) in known]


def _only(models: Models, found: Sequence[Model], reference: str) -> Model:
    """The one model meant, or the only one with credentials."""
    if len(found) == 1:
        return found[0]
    usable = _configured(models, found)
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
    from difflib import get_close_matches  # for error texts only

    folded = {name.lower(): name for name in names}
    tails = {name.lower().rpartition("/")[2]: name for name in names}
    close = get_close_matches(reference.lower(), folded, n=5, cutoff=0.6)
    found = [folded[match] for match in close]
    found += [tails[m] for m in get_close_matches(reference.lower(), tails, n=5, cutoff=0.6)]
    near = list(dict.fromkeys(found))[:5]
    return f" Did you mean: {', '.join(near)}?" if near else ""


def choose_initial_model(
    models: Models, *, provider: str | None = None, model_id: str | None = None
) -> Model | None:
    """The model to start with when nobody chose one: of a provider with credentials, or None.

    That of `provider` and `model_id` if it is one of them.
    """
    available = {(model.provider, model.id): model for model in models.get_available()}
    for key in ((provider or "", model_id or ""), *_PREFERRED):
        if key in available:
            return available[key]
    return next(iter(available.values()), None)


def restore_model(models: Models, recorded: SessionModel) -> Model | None:
    """The model that a session used last, if it can still be used."""
    available = {(model.provider, model.id): model for model in models.get_available()}
    return available.get((recorded.provider, recorded.model_id))
