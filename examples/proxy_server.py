"""A server that asks models for clients with a token; the keys stay here.

With PROXY_TOKEN set it serves real models at port 8080, else it answers one scripted question.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from contextlib import aclosing

from aiohttp import test_utils, web

from pi_ai import Context, Models, ModelsError, UserMessage, complete, model_from_url
from pi_ai.serving import decode_proxy_request, proxy_records
from pi_ai.testing import FauxProvider, faux_message


def make_app(models: Models, token: str) -> web.Application:
    async def answer(request: web.Request) -> web.StreamResponse:
        told = request.headers.get("Authorization", "")
        if not hmac.compare_digest(told.encode(), f"Bearer {token}".encode()):
            return web.json_response({"error": "No such token"}, status=401)
        try:
            wanted = decode_proxy_request(await request.read())
            model = wanted.choose_model(models.get_available())
            stream = models.stream(model, wanted.context, **wanted.options)
        except (ValueError, ModelsError) as error:
            return web.json_response({"error": str(error)}, status=400)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        async with aclosing(proxy_records(stream)) as records:
            async for record in records:
                await response.write(record)
        return response

    app = web.Application(client_max_size=64 << 20)  # transcripts hold images
    app.add_routes([web.post(path, answer) for path in ("/api/stream", "/messages")])
    return app


async def demonstrate() -> None:
    provider = FauxProvider([faux_message("They stayed on the server.")])
    async with test_utils.TestServer(make_app(provider.models, "demo")) as server:
        model = model_from_url(str(server.make_url("/")), provider.model.id, api="pi-messages")
        question = Context([UserMessage("Where are the keys?")])
        print((await complete(model, question, api_key="demo")).text)


if __name__ == "__main__":
    if token := os.environ.get("PROXY_TOKEN"):  # a client that leaves stops its answer
        app = make_app(Models(), token)
        web.run_app(app, host="127.0.0.1", port=8080, handler_cancellation=True)
    else:
        asyncio.run(demonstrate())
