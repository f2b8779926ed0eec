"""Fetches the lists of models that providers keep themselves, and holds what was fetched.

Source: ai-core spec, section 12.4; without its stored catalogues.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from pi_ai.abort import AbortController, AbortSignal, abort_scope
from pi_ai.errors import AbortError
from pi_ai.provider import FetchContext
from pi_ai.types import Model

__all__ = ("FetchedModels", "RefreshResult")


class RefreshResult(Struct, frozen=True):
    """How a refresh went.

    `aborted`: the caller's signal ended it early; lists that had arrived are in use. `errors`: by
    provider, what its `fetch_models` raised; such a provider keeps the list it had.
    """

    aborted: bool
    errors: Mapping[str, Exception]


class FetchedModels:
    """The last fetched list of every provider, and the fetches that run."""

    def __init__(self) -> None:
        self._lists: dict[str, Mapping[str, Model]] = {}
        self._running: dict[str, AbortController] = {}

    def of(self, provider: str) -> Mapping[str, Model]:
        """The models that were fetched for a provider, by id; empty before the first fetch."""
        return self._lists.get(provider, {})

    def drop(self, provider: str) -> None:
        """Forget a provider's list; a fetch that runs for it comes to nothing."""
        self._lists.pop(provider, None)
        if older := self._running.pop(provider, None):
            older.abort()

    def copy(self) -> FetchedModels:
        """The same lists, and no fetches."""
        other = FetchedModels()
        other._lists = dict(self._lists)
        return other

    async def refresh(
        self, contexts: Sequence[FetchContext], signal: AbortSignal | None
    ) -> RefreshResult:
        """Fetch for all of `contexts` at once; never raises. See `Models.refresh`."""
        errors: dict[str, Exception] = {}
        try:
            with abort_scope(signal):
                async with asyncio.TaskGroup() as group:
                    for context in contexts:
                        group.create_task(self._fetch(context, errors))
        except AbortError:
            return RefreshResult(True, errors)
        return RefreshResult(False, errors)

    async def _fetch(self, context: FetchContext, errors: dict[str, Exception]) -> None:
        """Fetch one list, unless a newer fetch for the provider takes its place meanwhile."""
        name = context.provider.id
        fetch = context.provider.fetch_models
        assert fetch is not None
        if older := self._running.get(name):
            older.abort()
        controller = self._running[name] = AbortController()
        try:
            with abort_scope(controller.signal):
                models = _chat_models(name, await fetch(context))
            if self._running.get(name) is controller:
                self._lists[name] = models
        except Exception as error:  # noqa: BLE001  # whatever a provider raises is its result
            if not controller.signal.aborted:
                errors[name] = error
        finally:
            if self._running.get(name) is controller:
                del self._running[name]


def _chat_models(provider: str, fetched: Iterable[object]) -> dict[str, Model]:
    """The models that can be chatted with, by id; those of other kinds are left out."""
    found: dict[str, Model] = {}
    for model in fetched:
        if not isinstance(model, Model):
            raise TypeError(
                f"fetch_models of {provider}: expected Models, found {type(model).__name__}"
            )
        if model.provider != provider:
            raise ValueError(
                f"fetch_models of {provider}: {model.id} is a model of {model.provider}"
            )
        if model.type in (None, "chat"):
            found[model.id] = model
    return found
