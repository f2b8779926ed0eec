"""Which model the demo uses: one with a key, else a local one, else the scripted one."""

from __future__ import annotations

import asyncio
import json
import os
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from demo.scripted import scripted_server
from pi_ai import Model, get_model, model_from_url
from pi_ai.models import default_models
from pi_sdk.model_choice import choose_initial_model, match_model

__all__ = ("chosen_model",)

_LOCAL_SERVERS = {
    "Ollama": "http://127.0.0.1:11434/v1",
    "llama.cpp": "http://127.0.0.1:8080/v1",
}


@asynccontextmanager
async def chosen_model() -> AsyncIterator[tuple[str, Model]]:
    """A sentence that says which model it is, and the model, while the block lasts."""
    if (wanted := os.environ.get("PI_DEMO_MODEL")) is not None:
        choice = match_model(default_models, wanted)
        yield (
            f"Using {choice.model.provider}/{choice.model.id}, as PI_DEMO_MODEL says.",
            choice.model,
        )
    elif (known := choose_initial_model(default_models)) is not None:
        model = get_model(known.provider, known.id)
        yield f"Using {model.name} at {model.provider}, whose key is in the environment.", model
    elif (local := await asyncio.to_thread(_find_local)) is not None:
        name, model = local
        yield f"Using {model.id} on the local server {model.base_url} ({name}).", model
    else:
        async with scripted_server() as server:
            yield (
                "Using a SCRIPTED model: no key and no local server was found, so its answers are "
                f"written beforehand. They are served over real HTTP at {server.url} in the "
                "Anthropic wire format; everything else is real.",
                server.model(),
            )


def _find_local() -> tuple[str, Model] | None:
    servers = dict(_LOCAL_SERVERS)
    if own := os.environ.get("PI_DEMO_BASE_URL"):
        servers = {"PI_DEMO_BASE_URL": own.rstrip("/")}
    for name, base_url in servers.items():
        model_id = _first_model(base_url)
        if model_id is not None:
            model = model_from_url(base_url, model_id, context_window=32_768, max_tokens=8192)
            return name, model
    return None


def _first_model(base_url: str) -> str | None:
    """The first model that a server lists; None where nobody answers."""
    try:
        with urllib.request.urlopen(f"{base_url}/models", timeout=0.5) as response:
            listed: Any = json.load(response)
        return str(listed["data"][0]["id"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
