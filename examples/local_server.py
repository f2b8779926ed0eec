"""Models of a local server such as Ollama or vLLM: one in code, and one in models.json.

LOCAL_URL=http://127.0.0.1:11434/v1 LOCAL_MODEL=qwen3:8b asks yours; else a scripted one answers.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from pathlib import Path

from pi_ai import model_from_url
from pi_ai.testing import ScriptedServer, faux_message
from pi_sdk import create_agent
from pi_session import SessionManager


def models_json(url: str, model_id: str) -> str:
    """A provider for every program that reads the directory: agents, RPC servers, and pi itself."""
    model = {
        "id": model_id,
        "name": "The one in the cellar",
        "contextWindow": 32_768,  # what the server was started with: compaction goes by it
        "maxTokens": 4096,
        "reasoning": False,
        "compat": {"maxTokensField": "max_tokens"},  # what differs from OpenAI's own server
    }
    provider = {"baseUrl": url, "api": "openai-completions", "apiKey": "none", "models": [model]}
    return json.dumps({"providers": {"local": provider}}, indent=2)


async def ask(url: str, model_id: str, agent_dir: Path) -> None:
    told = {"agent_dir": agent_dir, "no_tools": "all"}
    model = model_from_url(url, model_id, context_window=32_768, max_tokens=4096)
    async with create_agent(model=model, session_manager=SessionManager.in_memory(), **told) as one:
        await one.prompt("Where do you run?")
        print("from code:", one.last_assistant_text())

    (agent_dir / "models.json").write_text(models_json(url, model_id))
    async with create_agent(model=f"local/{model_id}", **told) as other:
        await other.prompt("And where is that?")
        print(f"from models.json, {other.model and other.model.name}:", other.last_assistant_text())


async def main() -> None:
    script = [faux_message("On your own machine."), faux_message("Below the stairs.")]
    async with ScriptedServer(script) as server:
        url = os.environ.get("LOCAL_URL") or server.model("openai-completions").base_url
        with tempfile.TemporaryDirectory() as directory:
            await ask(url, os.environ.get("LOCAL_MODEL", "qwen3:8b"), Path(directory))


if __name__ == "__main__":
    asyncio.run(main())
