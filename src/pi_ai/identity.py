"""How requests name this library, and the application that uses it.

Source: providers spec, section 3.7.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

from pi_ai.types import (
    Identity,
    ImageContent,
    Message,
    Model,
    ToolResultMessage,
    UserMessage,
)
from pi_ai.version import __version__

__all__ = ("copilot_headers", "identity_headers", "opencode_session_headers", "user_agent")


def user_agent() -> str:
    """What requests say of their sender unless an application is named."""
    return f"pi-stack/{__version__} python/{sys.version_info.major}.{sys.version_info.minor}"


def identity_headers(model: Model, identity: Identity | None) -> dict[str, str]:
    """The `User-Agent`, and what some providers take to credit an application.

    Nothing but the user agent is sent unless the caller names an application.
    """
    headers = {"User-Agent": user_agent()}
    if identity is None:
        return headers
    if identity.user_agent:
        headers["User-Agent"] = identity.user_agent
    if identity.name is None or identity.url is None:
        return headers
    host = _host(model)
    if model.provider == "openrouter" or "openrouter.ai" in model.base_url:
        headers["HTTP-Referer"] = identity.url
        headers["X-OpenRouter-Title"] = identity.name
        if identity.categories:
            headers["X-OpenRouter-Categories"] = ",".join(identity.categories)
    elif model.provider == "nvidia" or host == "integrate.api.nvidia.com":
        headers["X-BILLING-INVOKE-ORIGIN"] = identity.name[:1].upper() + identity.name[1:]
    elif _is_opencode(model):
        headers["x-opencode-client"] = identity.name
    return headers


def opencode_session_headers(model: Model, session_id: str | None) -> dict[str, str]:
    """The header by which OpenCode keeps the requests of one session together."""
    return {"x-opencode-session": session_id} if session_id and _is_opencode(model) else {}


def copilot_headers(model: Model, messages: Sequence[Message]) -> dict[str, str]:
    """What GitHub Copilot wants to know of a request; nothing for other providers."""
    if model.provider != "github-copilot":
        return {}
    from_user = not messages or isinstance(messages[-1], UserMessage)
    headers = {
        "X-Initiator": "user" if from_user else "agent",
        "Openai-Intent": "conversation-edits",
    }
    if any(_has_image(message) for message in messages):
        headers["Copilot-Vision-Request"] = "true"
    return headers


def _has_image(message: Message) -> bool:
    return isinstance(message, UserMessage | ToolResultMessage) and any(
        isinstance(block, ImageContent) for block in message.content
    )


def _is_opencode(model: Model) -> bool:
    return model.provider in {"opencode", "opencode-go"} or _host(model) == "opencode.ai"


def _host(model: Model) -> str:
    return urlsplit(model.base_url).hostname or ""
