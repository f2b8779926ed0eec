"""How requests name this library, and the application that uses it.

Source: providers spec, section 3.7.
"""

from __future__ import annotations

import sys
from urllib.parse import urlsplit

from pi_ai.types import Identity, Model
from pi_ai.version import __version__

__all__ = ("identity_headers",)


def identity_headers(model: Model, identity: Identity | None) -> dict[str, str]:
    """The `User-Agent`, and what some providers take to credit an application.

    Nothing but the user agent is sent unless the caller names an application.
    """
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    headers = {"User-Agent": f"pi-stack/{__version__} python/{python}"}
    if identity is None:
        return headers
    if identity.user_agent:
        headers["User-Agent"] = identity.user_agent
    if identity.name is None or identity.url is None:
        return headers
    host = urlsplit(model.base_url).hostname or ""
    if model.provider == "openrouter" or "openrouter.ai" in model.base_url:
        headers["HTTP-Referer"] = identity.url
        headers["X-OpenRouter-Title"] = identity.name
        if identity.categories:
            headers["X-OpenRouter-Categories"] = ",".join(identity.categories)
    elif model.provider == "nvidia" or host == "integrate.api.nvidia.com":
        headers["X-BILLING-INVOKE-ORIGIN"] = identity.name[:1].upper() + identity.name[1:]
    elif model.provider in {"opencode", "opencode-go"} or host == "opencode.ai":
        headers["x-opencode-client"] = identity.name
    return headers
