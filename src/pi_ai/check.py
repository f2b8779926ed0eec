"""Checks what callers pass to a request, so that a mistake raises before anything is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Struct

from pi_ai._content_checks import check_messages, check_tools
from pi_ai.abort import AbortSignal
from pi_ai.types import Context, Model, StreamOptions

__all__ = ("CheckedContext", "check_messages", "check_options", "check_request")


class CheckedContext(Context):
    """A context whose messages were checked by who made it, with `check_messages`.

    For transcripts that grow: only what is new needs a look at each request.
    """


def check_request(
    model: object, context: object, adapter: object, options: Mapping[str, Any]
) -> None:
    """Raise TypeError or ValueError for a request that could not be sent; it names the field."""
    if not isinstance(model, Model):
        raise TypeError(f"model: expected a Model (see get_model), found {_kind(model)}")
    if not isinstance(context, Context):
        raise TypeError(f"context: expected a Context, found {_kind(context)}")
    if not isinstance(context, CheckedContext):
        check_messages(context.messages)
    check_tools("context.tools", context.tools or ())
    if adapter is not None and not isinstance(adapter, Struct):
        raise TypeError(
            f"adapter: expected an options struct such as AnthropicOptions, found {_kind(adapter)}"
        )
    check_options(options)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise TypeError for an option of unknown name or wrong type."""
    hints = _hints()
    for name, value in options.items():
        if name not in hints:
            raise TypeError(f"Unknown option: {name}.{_near(name, hints)}")
        if value is not None and (wanted := _mismatch(hints[name], value)):
            raise TypeError(f"{name}: {wanted}")


@cache
def _hints() -> dict[str, Any]:
    return get_type_hints(StreamOptions)


@cache
def _takes_signal(hint: Any) -> bool:
    return AbortSignal in get_args(hint)


@cache
def _takes_function(hint: Any) -> bool:
    return any(get_origin(choice) is Callable for choice in get_args(hint))


def _mismatch(hint: Any, value: object) -> str | None:
    """What is wrong with a value, None if it fits."""
    if _takes_signal(hint):
        if isinstance(value, AbortSignal):
            return None
        return f"expected an AbortSignal, found {_kind(value)}"
    if _takes_function(hint):
        return None if callable(value) else f"expected a function, found {_kind(value)}"
    try:
        msgspec.convert(value, hint, strict=True)
    except msgspec.ValidationError as error:
        return str(error)
    return None


def _near(name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # for error texts only

    near = get_close_matches(name, known, n=1)
    return f" Did you mean {near[0]}?" if near else ""


def _kind(value: object) -> str:
    return type(value).__name__
