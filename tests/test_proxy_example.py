"""The proxy server of the examples: whom it answers, and what it does when they leave."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestServer
from msgspec.structs import replace

from pi_agent import stream_proxy
from pi_ai import Models, ProviderSpec, encode, model_from_url
from pi_ai.testing import FauxProvider, faux_message
from support.exchanges import HI, P
from support.raw_server import CHUNKED, Peer, RawServer, piece

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
TOKEN = {"Authorization": "Bearer demo"}
HI_JSON = encode(HI).decode()


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("proxy_server", EXAMPLES / "proxy_server.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "proxy_server", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", ["/api/stream", "/messages"])
@pytest.mark.parametrize(
    ("headers", "body", "status", "told"),
    [
        pytest.param({}, "{}", 401, "No such token", id="no-token"),
        pytest.param({"Authorization": "Bearer démo"}, "{}", 401, "No such token", id="wrong"),
        pytest.param(TOKEN, "{", 400, "Invalid request body: ", id="no-json"),
        pytest.param(TOKEN, "{}", 400, "required field `model`", id="no-model"),
        pytest.param(
            TOKEN,
            f'{{"model":"dear","context":{HI_JSON}}}',
            400,
            "Model not offered here: dear",
            id="other-model",
        ),
    ],
)
def test_bad_requests_are_refused_in_words(
    example: Any, path: str, headers: dict[str, str], body: str, status: int, told: str
) -> None:
    async def main() -> None:
        provider = FauxProvider()
        async with TestServer(example.make_app(provider.models, "demo")) as server:
            async with ClientSession() as client:
                url = server.make_url(path)
                async with client.post(url, data=body, headers=headers) as response:
                    assert response.status == status
                    assert told in (await response.json())["error"]
        assert provider.call_count == 0

    asyncio.run(main())


def test_both_clients_get_the_answer(example: Any) -> None:
    async def main() -> None:
        provider = FauxProvider([faux_message("one"), faux_message("two")])
        models = Models()
        async with TestServer(example.make_app(provider.models, "demo")) as server:
            url = str(server.make_url("/"))
            ask = stream_proxy(proxy_url=url, auth_token="demo", models=models)
            assert (await ask(provider.model, HI, {}).result()).text == "one"
            model = model_from_url(url, "faux/faux-1", api="pi-messages")
            assert (await models.complete(model, HI, api_key="demo")).text == "two"
            refused = await models.complete(model, HI, api_key="other")
            assert refused.error_message == '401 Unauthorized: {"error": "No such token"}'
        await models.aclose()

    asyncio.run(main())


def test_a_client_that_leaves_stops_the_request_to_the_provider(example: Any) -> None:
    async def provider(peer: Peer) -> None:
        await peer.send(CHUNKED, piece(b'data: {"type":"text_start","contentIndex":0}\n\n'))
        await peer.stall()

    async def main() -> None:
        servers_own, clients_own = Models(), Models()
        async with RawServer(provider) as behind:
            model = replace(P, provider="own", base_url=behind.url)
            servers_own.set_provider(ProviderSpec("own", needs_key=False), [model])
            server = TestServer(example.make_app(servers_own, "demo"))
            await server.start_server()  # cancels the handler of a client that leaves
            ask = stream_proxy(
                proxy_url=str(server.make_url("/")), auth_token="demo", models=clients_own
            )
            async with ask(replace(model, base_url="http://evil.example"), HI, {}) as events:
                async for event in events:
                    if event.type == "text_start":
                        break
            await asyncio.wait_for(behind.all_closed(), 5)
            assert len(behind.requests) == 1
            await server.close()
            await servers_own.aclose()
            await clients_own.aclose()

    asyncio.run(main())
