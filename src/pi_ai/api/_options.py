"""What the neutral options mean, for every wire format alike."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from pi_ai.auth.resolve import has_credential_header
from pi_ai.env import get_provider_env
from pi_ai.errors import ModelsError
from pi_ai.provider import Call
from pi_ai.types import CacheRetention, JsonObject

__all__ = (
    "require_adapter_options",
    "require_credentials",
    "require_messages",
    "resolve_cache_retention",
    "told_cache_retention",
)


def told_cache_retention(call: Call[Struct]) -> CacheRetention | None:
    """How long the prompt may stay cached: the option, else the environment, else None."""
    told = call.options.get("cache_retention")
    if told is not None:
        return told
    return "long" if get_provider_env("PI_CACHE_RETENTION", call.env) == "long" else None


def resolve_cache_retention(call: Call[Struct]) -> CacheRetention:
    """`told_cache_retention`, else `short`. Source: providers spec, section 3.4."""
    return told_cache_retention(call) or "short"


def require_adapter_options(call: Call[Struct], kind: type[Struct]) -> None:
    """Raise TypeError for the options of another wire format, or with a value of a wrong type."""
    adapter = call.adapter
    if adapter is None:
        return
    if not isinstance(adapter, kind):
        raise TypeError(
            f"adapter: expected {kind.__name__} for {call.model.api}, "
            f"found {type(adapter).__name__}"
        )
    try:
        msgspec.convert(msgspec.structs.asdict(adapter), type(adapter), strict=True)
    except msgspec.ValidationError as error:
        raise TypeError(f"adapter: {error}") from None


def require_messages(sent: Sequence[JsonObject]) -> None:
    """Raise ValueError for a request that says nothing, which no provider answers."""
    if not sent:
        raise ValueError("context.messages: expected at least one message with content, found none")


def require_credentials(call: Call[Struct], text: str = "No API key for provider: {}") -> None:
    """Raise `ModelsError` for a request that would be sent without credentials it needs.

    The provider is put into `text`.
    """
    own = {**(call.model.headers or {}), **call.headers}
    if not (call.api_key or call.keyless or has_credential_header(own)):
        raise ModelsError(text.format(call.model.provider), code="auth")
