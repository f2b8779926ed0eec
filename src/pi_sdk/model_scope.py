"""From patterns such as `anthropic/*:high` to the models that cycling goes through.

Source: sdk spec, section 8.5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

from msgspec import Struct

from pi_ai import THINKING_LEVELS, Model, Models, ThinkingLevel
from pi_sdk.session_settings import ScopedModel

__all__ = ("ModelScope", "match_scope")

_DATED = re.compile(r"-\d{8}$")


class ModelScope(Struct, frozen=True):
    """The models of a scope, each once, and what to warn the user of."""

    entries: tuple[ScopedModel, ...] = ()
    warnings: tuple[str, ...] = ()


def match_scope(models: Models, patterns: Sequence[str]) -> ModelScope:
    """The available models that the patterns name, in the order of the patterns.

    A pattern is an id, `provider/id`, a part of one, or has `*`, `?` and `[` in it; `:level` may
    follow. One that means models of several providers stands for all of them, with a warning.
    """
    available = models.get_available()
    entries: dict[tuple[str, str], ScopedModel] = {}
    warnings: list[str] = []
    for pattern in patterns:
        found, level, warning = _match(available, pattern)
        if warning:
            warnings.append(warning)
        for model in found:
            entries.setdefault((model.provider, model.id), ScopedModel(model, level))
    return ModelScope(tuple(entries.values()), tuple(warnings))


def _match(
    available: Sequence[Model], pattern: str
) -> tuple[Sequence[Model], ThinkingLevel | None, str | None]:
    found = _named(available, pattern)
    if found:
        return found, None, _several(found, pattern)
    bare, colon, suffix = pattern.rpartition(":")
    found = _named(available, bare) if colon else ()
    if not found:
        return (), None, f'No models match pattern "{pattern}"'
    level = suffix.lower()
    if level in THINKING_LEVELS:
        return found, level, _several(found, bare)
    warning = f'Invalid thinking level "{suffix}" in pattern "{pattern}". Using default instead.'
    return found, None, warning


def _named(available: Sequence[Model], text: str) -> Sequence[Model]:
    """The models with this id; else those a glob matches, or the newest that the text is part of.

    Letter case does not count.
    """
    wanted = text.lower()
    exact = [m for m in available if wanted in {m.id.lower(), f"{m.provider}/{m.id}".lower()}]
    if exact or not wanted:
        return exact
    if any(sign in wanted for sign in "*?["):
        return [
            model
            for model in available
            if fnmatchcase(model.id.lower(), wanted)
            or fnmatchcase(f"{model.provider}/{model.id}".lower(), wanted)
        ]
    partial = [
        model
        for model in available
        if wanted in f"{model.provider}/{model.id}".lower() or wanted in model.name.lower()
    ]
    undated = [m for m in partial if not _DATED.search(m.id) or m.id.endswith("-latest")]
    best = max((model.id for model in undated or partial), default="")
    return [model for model in partial if model.id == best]


def _several(found: Sequence[Model], pattern: str) -> str | None:
    """A warning if a pattern that is no glob means models of several providers."""
    if len(found) < 2 or any(sign in pattern for sign in "*?["):
        return None
    names = ", ".join(f"{model.provider}/{model.id}" for model in found)
    return f'Pattern "{pattern}" matches several providers: {names}. Use provider/id to choose one.'
