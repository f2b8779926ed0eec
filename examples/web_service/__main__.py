"""A web service with an agent for each browser, over aiohttp. Without a key a script answers.

PORT=8080 MODEL=openai/gpt-5-mini python examples/web_service
"""

from __future__ import annotations

import os
from pathlib import Path

from aiohttp import web
from conversations import Conversations

from pi_ai.models import default_models
from pi_ai.testing import FauxProvider, faux_message
from pi_sdk import AgentSession, create_agent
from pi_session import SessionManager
from pi_tools import confined_to

HERE = Path(__file__).parent
FILES = Path(os.environ.get("FILES", HERE))  # what its agents may read, and nothing else
model = os.environ.get("MODEL") or None
script = FauxProvider([faux_message("I am a script: no key was found.")] * 1000)
scripted = model is None and not default_models.get_available()


async def create() -> AgentSession:
    return await create_agent(
        model=script.model if scripted else model,
        models=script.models if scripted else None,
        cwd=FILES,
        tools=["read", "grep", "find", "ls"],
        tool_options=confined_to([FILES]),
        session_manager=SessionManager.in_memory(FILES),
    )


async def page(_request: web.Request) -> web.FileResponse:
    return web.FileResponse(HERE / "page.html")


conversations = Conversations(
    create,
    most=int(os.environ.get("MAX_CONVERSATIONS", "1000")),
    heartbeat=float(os.environ.get("HEARTBEAT_SECONDS", "15")),
)
app = web.Application(client_max_size=100_000)
app.add_routes([web.get("/", page)])
app.add_routes([web.post("/conversation", conversations.begin)])
app.add_routes([web.post("/prompt", conversations.prompt)])
app.on_shutdown.append(conversations.aclose)

if __name__ == "__main__":
    # With handler_cancellation, a browser that leaves ends its handler, and that the run.
    port = int(os.environ.get("PORT", "8080"))
    web.run_app(app, host="127.0.0.1", port=port, handler_cancellation=True, shutdown_timeout=5)
