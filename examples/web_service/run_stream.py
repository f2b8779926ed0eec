"""One run of an agent as server-sent events.

A browser that leaves aborts the run; one that reads slowly stalls it, and costs no memory.
"""

from __future__ import annotations

import asyncio
import json
import logging

from aiohttp import web

from pi_agent import MessageUpdateEvent, ToolExecutionStartEvent
from pi_ai import PiError, TextDeltaEvent
from pi_sdk import AgentSession, SessionEvent

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the latter is for nginx
STALLED_SECONDS = 30.0  # a browser that reads nothing for so long has left


async def stream_prompt(
    request: web.Request, agent: AgentSession, *, heartbeat: float
) -> web.StreamResponse:
    """Answer a request, whose text is the prompt. The server must cancel handlers of who leaves."""
    text = await request.text()
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", **HEADERS})
    await response.prepare(request)

    async def send(name: str, value: object) -> None:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                await response.write(f"event: {name}\ndata: {json.dumps(value)}\n\n".encode())
        except (TimeoutError, ConnectionError):
            if request.transport is not None:
                request.transport.abort()  # as if it had left

    async def tell(event: SessionEvent) -> None:  # the run waits for it
        match event:  # prompts, arguments, results and the texts of errors are not for browsers
            case MessageUpdateEvent(assistant_message_event=TextDeltaEvent(delta=text)):
                await send("text", text)
            case ToolExecutionStartEvent(tool_name=name):
                await send("tool", name)

    unsubscribe = agent.subscribe(tell)
    run = asyncio.create_task(agent.prompt(text))
    try:
        while not (await asyncio.wait([run], timeout=heartbeat))[0]:
            await response.write(b": still here\n\n")  # proxies close what is silent
        run.result()
        await send("done", getattr(agent.messages[-1], "stop_reason", None))
    except PiError:
        logging.exception("A prompt was not answered")
        await send("done", "error")
    finally:
        unsubscribe()
        if not run.done():
            await agent.abort()
    return response
