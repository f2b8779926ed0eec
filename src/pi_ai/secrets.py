"""Values that do not show in reprs, tracebacks with local variables included."""

from __future__ import annotations

from typing import Any, SupportsIndex

from msgspec import Struct

__all__ = ("Masked", "Secret")


class Secret(str):
    """A string whose repr does not show it, nor does that of its parts.

    It is a plain string in all else: formatted, joined or encoded it gives the text itself.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<secret>" if self else "''"

    def __getitem__(self, key: SupportsIndex | slice) -> Secret:
        return Secret(super().__getitem__(key))  # rich cuts long strings before it shows them


class Masked(Struct, frozen=True):
    """A struct whose repr is its own business; rich, which would look at its fields, sees none."""

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []
