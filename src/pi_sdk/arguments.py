"""Checks of what a host passes: each error names the argument, what was expected and found."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

__all__ = ("check_choice", "check_each", "check_names", "check_type")


def check_type(name: str, value: object, *kinds: type, optional: bool = True) -> None:
    """Raise TypeError for a value of none of the `kinds`; None is fine if it is `optional`."""
    if isinstance(value, kinds) or (optional and value is None):
        return
    expected = " or ".join(kind.__name__ for kind in kinds)
    raise TypeError(f"{name}: expected {expected}, found {type(value).__name__}")


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise ValueError for a value that is none of the `choices`; None is fine."""
    if value is not None and value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {value!r}")


def check_each(name: str, values: object, kind: type) -> None:
    """Raise TypeError for what is no sequence, or has something in it that is no `kind`."""
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise TypeError(
            f"{name}: expected a sequence of {kind.__name__}, found {type(values).__name__}"
        )
    for index, value in enumerate(cast("Sequence[object]", values)):
        check_type(f"{name}[{index}]", value, kind, optional=False)


def check_names(name: str, values: object) -> None:
    """Raise TypeError for what is no sequence of texts. A text is none: it has only letters."""
    if isinstance(values, str):
        raise TypeError(f"{name}: expected a sequence of str, found str. Write [{values!r}]")
    check_each(name, values, str)
