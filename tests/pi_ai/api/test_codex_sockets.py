"""The Codex backend over WebSocket. Spec of openai-codex-responses, section 9, checks 36 to 40."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from msgspec.structs import replace

from pi_ai import (
    AbortController,
    AssistantMessage,
    Context,
    Models,
    TextContent,
    Tool,
    ToolResultMessage,
    UserMessage,
)
from support.exchanges import (
    HI,
    RESPONSE_CREATED,
    X,
    brief,
    chatgpt_token,
    event,
    responses_delta,
    responses_end,
    responses_item,
    responses_text,
)
from support.sockets import Peer, Say, SocketServer
from support.transports import CannedTransport

TOKEN = chatgpt_token()
SSE = RESPONSE_CREATED + responses_text("over http") + responses_end()
PART = responses_item(0, {"type": "message", "id": "msg_1"}, responses_delta("output_text", "part"))
OPEN = PART.rpartition(b"event: response.output_item.done")[0]
LOST = {
    "type": "error",
    "error": {"code": "previous_response_not_found", "message": "gone"},
}
FULL = {"type": "error", "error": {"code": "websocket_connection_limit_reached"}}


def reply(text: str, response_id: str = "r0", *more: bytes) -> bytes:
    created = event("response.created", response={"id": response_id})
    return b"".join([created, responses_text(text), *more, responses_end(id=response_id)])


def said(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "input_text", "text": text}]}


async def hello(peer: Peer, _frame: Any) -> None:
    number = len(peer.handshake.frames) - 1
    await peer.send(reply(f"hello{number}", f"r{number}"))


class Client:
    """Asks one model of one server, and keeps the events of the last answer."""

    def __init__(self, models: Models, server: SocketServer, **options: Any) -> None:
        self.models = models
        self.model = replace(X, base_url=server.url)
        self.options: dict[str, Any] = {"api_key": TOKEN, "session_id": "s", **options}
        self.told: list[tuple[Any, ...]] = []

    async def ask(self, context: Context = HI, **options: Any) -> AssistantMessage:
        given = {**self.options, **options}
        async with self.models.stream(self.model, context, **given) as events:
            self.told = [brief(one) async for one in events]
            return await events.result()


Talk = Callable[[Client, SocketServer], Awaitable[None]]


def converse(say: Say, talk: Talk, **server: Any) -> SocketServer:
    """Run `talk` against a server that does `say`; nothing may be left behind."""

    async def run() -> SocketServer:
        models = Models()
        async with SocketServer(say, answer=SSE, **server) as served:
            try:
                await asyncio.wait_for(talk(Client(models, served), served), 10)
            finally:
                await models.aclose()
            await served.all_closed()
            ours = {task for task in asyncio.all_tasks() if "aiohttp" not in repr(task)}
            assert ours == {asyncio.current_task()}
        return served

    return asyncio.run(run())


def grown(context: Context, message: AssistantMessage, *more: Any) -> Context:
    return replace(context, messages=[*context.messages, message, *more])


# --- one after the other ------------------------------------------------------------------------


@pytest.mark.parametrize("transport", [None, "auto", "websocket-cached"])
def test_responses_check_36_the_second_turn_sends_only_what_is_new(transport: str | None) -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        first = await client.ask(transport=transport)
        assert client.told == [
            ("start",),
            ("text_start", 0),
            ("text_delta", 0, "hello0"),
            ("text_end", 0, "hello0"),
            ("done", "stop"),
        ]
        second = await client.ask(grown(HI, first, UserMessage("two")), transport=transport)
        assert (second.text, second.response_id, second.diagnostics) == ("hello1", "r1", None)

    server = converse(hello, talk)
    [handshake] = server.handshakes
    one, two = handshake.frames
    assert one["type"] == "response.create"
    assert (one["input"], "previous_response_id" in one) == ([said("hi")], False)
    assert (two["input"], two["previous_response_id"]) == ([said("two")], "r0")
    assert {**two, "input": 0} == {**one, "input": 0, "previous_response_id": "r0"}
    assert server.posts == []
    assert handshake.closed == (1000, "done")


def test_what_the_server_says_behind_an_answer_does_not_matter() -> None:
    async def say(peer: Peer, frame: Any) -> None:
        await hello(peer, frame)
        await peer.send({"type": "codex.rate_limits"})

    async def talk(client: Client, _server: SocketServer) -> None:
        second = await client.ask(grown(HI, await client.ask(), UserMessage("two")))
        assert (second.text, second.diagnostics) == ("hello1", None)

    [handshake] = converse(say, talk).handshakes
    assert len(handshake.frames[1]["input"]) == 1


def test_after_a_tool_call_only_its_output_is_sent() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "read"}

    async def say(peer: Peer, frame: Any) -> None:
        more = responses_item(1, call, arguments='{"path": "a"}')
        await peer.send(reply("reading", "r0", more) if "previous_response_id" not in frame
                        else reply("done", "r1"))  # fmt: skip

    async def talk(client: Client, _server: SocketServer) -> None:
        first = await client.ask()
        result = ToolResultMessage("call_1|fc_1", "read", [TextContent("text")])
        assert (await client.ask(grown(HI, first, result))).text == "done"

    [handshake] = converse(say, talk).handshakes
    assert handshake.frames[1]["input"] == [
        {"type": "function_call_output", "call_id": "call_1", "output": "text"}
    ]


def test_an_answer_that_cannot_be_sent_back_is_an_answer_all_the_same() -> None:
    schema = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
    grammar = {"type": "grammar", "variants": {"openai_lark": "start: X"}}
    run = Tool("run", "Runs.", schema, grammar)
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "run", "arguments": "{}"}

    async def say(peer: Peer, _frame: Any) -> None:
        await peer.send(reply("x", "r0", responses_item(1, call)))

    async def talk(client: Client, _server: SocketServer) -> None:
        client.model = replace(client.model, compat={"supportsOpenAIGrammarTools": True})
        assert (await client.ask(replace(HI, tools=[run]))).stop_reason == "toolUse"

    converse(say, talk)


def test_responses_check_36_changed_instructions_send_everything_again() -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        first = await client.ask()
        changed = replace(grown(HI, first, UserMessage("two")), system_prompt="new")
        await client.ask(changed)

    [handshake] = converse(hello, talk).handshakes
    assert len(handshake.frames) == 2
    assert "previous_response_id" not in handshake.frames[1]
    assert len(handshake.frames[1]["input"]) == 3


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"temperature": 1}, id="setting"),
        pytest.param({"transport": "websocket"}, id="not-asked-for"),
    ],
)
def test_what_does_not_continue_is_sent_whole(options: dict[str, Any]) -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        await client.ask(grown(HI, await client.ask(), UserMessage("two")), **options)

    [handshake] = converse(hello, talk).handshakes
    assert "previous_response_id" not in handshake.frames[1]


def test_another_history_is_sent_whole() -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        await client.ask()
        await client.ask(Context([UserMessage("other"), UserMessage("more"), UserMessage("x")]))

    [handshake] = converse(hello, talk).handshakes
    assert "previous_response_id" not in handshake.frames[1]


def test_the_handshake_says_who_asks() -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        await client.ask(headers={"Accept": "x", "x-own": "1"})
        await client.ask(session_id=None)
        await client.ask(session_id="é")

    with_session, without, odd = converse(hello, talk).handshakes
    headers = with_session.headers
    assert with_session.path == "/codex/responses"
    assert headers["openai-beta"] == "responses_websockets=2026-02-06"
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert (headers["chatgpt-account-id"], headers["originator"]) == ("acc-1", "pi")
    assert (headers["session-id"], headers["x-client-request-id"]) == ("s", "s")
    assert headers["x-own"] == "1"
    assert not {"accept", "content-type"} & set(headers)
    assert len(without.headers["session-id"]) == 36
    assert without.closed == (1000, "done")
    assert odd.headers["session-id"].isascii()


def test_frames_may_be_large_and_binary() -> None:
    text = "x" * 6_000_000

    async def say(peer: Peer, _frame: Any) -> None:
        for line in reply(text).split(b"\n"):
            if line.startswith(b"data: "):
                await peer.socket.send_bytes(line[6:])

    async def talk(client: Client, _server: SocketServer) -> None:
        assert (await client.ask(Context([UserMessage("y" * 5_000_000)]))).text == text

    [handshake] = converse(say, talk).handshakes
    assert len(handshake.frames[0]["input"][0]["content"][0]["text"]) == 5_000_000


def test_hooks_see_the_body_once_and_every_frame() -> None:
    bodies: list[Any] = []
    seen: list[str] = []

    def on_payload(body: Any, _model: Any) -> Any:
        bodies.append(body)
        return {**body, "extra": 1}

    async def talk(client: Client, _server: SocketServer) -> None:
        await client.ask(
            on_payload=on_payload,
            on_provider_stream_event=lambda one, _model: seen.append(one["type"]),
            on_response=lambda _response, _model: pytest.fail("a WebSocket has no response"),
        )

    [handshake] = converse(hello, talk).handshakes
    assert len(bodies) == 1
    assert handshake.frames[0]["extra"] == 1
    assert seen[0] == "response.created"
    assert seen[-1] == "response.completed"


# --- failures before the start ------------------------------------------------------------------


def diagnostic(message: AssistantMessage) -> dict[str, Any]:
    [found] = message.diagnostics or []
    assert found.kind == "provider_transport_failure"
    return {"error": found.error, **(found.details or {})}


def test_responses_check_37_a_refused_handshake_falls_back_to_http() -> None:
    async def talk(client: Client, server: SocketServer) -> None:
        first = await client.ask()
        assert (first.text, first.stop_reason) == ("over http", "stop")
        assert client.told[0] == ("start",)
        found = diagnostic(first)
        size = len(json.dumps(json.loads(server.bodies[0]), separators=(",", ":")))
        assert found == {
            "error": found["error"],
            "configuredTransport": "auto",
            "fallbackTransport": "sse",
            "eventsEmitted": False,
            "phase": "before_message_stream_start",
            "requestBytes": size,
        }
        assert "403" in found["error"]["message"]
        assert (await client.ask()).diagnostics is None
        assert server.refused == 1
        client.models.forget_session("s")
        assert diagnostic(await client.ask())["fallbackTransport"] == "sse"
        assert server.refused == 2

    assert len(converse(hello, talk, refuse=403).posts) == 3


def test_a_handshake_that_is_sent_elsewhere_falls_back_to_the_same_server() -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        message = await client.ask()
        assert message.text == "over http"
        assert diagnostic(message)["error"]["message"] == (
            "WebSocket error: the server refused the connection with status 307"
        )
        assert TOKEN not in repr(message)

    async def run() -> int:
        models = Models()
        async with SocketServer(hello) as thief:
            location = f"{thief.url}/elsewhere"
            async with SocketServer(hello, answer=SSE, refuse=307, location=location) as server:
                await talk(Client(models, server), server)
                await models.aclose()
            return thief.seen

    assert asyncio.run(run()) == 0


async def close_1009(peer: Peer, _frame: Any) -> None:
    await peer.close(1009)


async def cut(peer: Peer, _frame: Any) -> None:
    peer.cut()


async def mumble_and_cut(peer: Peer, _frame: Any) -> None:
    await peer.send({"no": "type"})
    peer.cut()


async def silence(_peer: Peer, _frame: Any) -> None:
    return


@pytest.mark.parametrize(
    ("say", "options", "error"),
    [
        pytest.param(
            close_1009,
            {},
            {
                "name": "WebSocketCloseError",
                "message": "WebSocket closed 1009 message too big",
                "code": 1009,
            },
            id="too-big",
        ),
        pytest.param(
            cut,
            {},
            {"name": "WebSocketCloseError", "message": "WebSocket closed 1006", "code": 1006},
            id="cut",
        ),
        pytest.param(
            mumble_and_cut,
            {},
            {"name": "WebSocketCloseError", "message": "WebSocket closed 1006", "code": 1006},
            id="cut behind a frame that is no event",
        ),
        pytest.param(
            silence,
            {"timeout_ms": 50},
            {"name": "ProviderTimeoutError", "message": "WebSocket idle timeout after 50ms"},
            id="silence",
        ),
    ],
)
def test_a_connection_that_fails_before_the_start_falls_back(
    say: Say, options: dict[str, Any], error: Any
) -> None:
    async def talk(client: Client, server: SocketServer) -> None:
        message = await client.ask(**options)
        assert message.text == "over http"
        assert [one for one in client.told if one == ("start",)] == [("start",)]
        assert diagnostic(message)["error"] == error
        await client.ask(**options)
        assert len(server.handshakes) == 1

    converse(say, talk)


def test_a_handshake_that_takes_too_long_falls_back() -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        message = await client.ask(websocket_connect_timeout_ms=50, session_id=None)
        assert message.text == "over http"
        assert diagnostic(message)["error"]["message"] == "WebSocket connect timeout after 50ms"

    converse(hello, talk, before=asyncio.Event().wait)


def test_without_a_session_nothing_is_remembered() -> None:
    async def talk(client: Client, server: SocketServer) -> None:
        await client.ask(session_id=None)
        await client.ask(session_id=None)
        assert server.refused == 2

    converse(hello, talk, refuse=403)


def test_a_transport_without_websockets_is_asked_over_http() -> None:
    transport = CannedTransport(SSE)
    message = asyncio.run(Models(transport=transport).complete(X, HI, api_key=TOKEN))
    assert (message.text, message.diagnostics) == ("over http", None)
    copy = Models(transport=transport).copy()
    message = asyncio.run(copy.complete(X, HI, api_key=TOKEN))
    assert message.text == "over http"
    assert diagnostic(message)["error"]["message"] == (
        "The transport of these models opens no WebSockets"
    )


@pytest.mark.parametrize("transport", ["sse"])
def test_http_alone_makes_no_handshake(transport: str) -> None:
    async def talk(client: Client, _server: SocketServer) -> None:
        assert (await client.ask(transport=transport)).text == "over http"

    assert converse(hello, talk).handshakes == []


# --- failures in the answer ---------------------------------------------------------------------


def test_responses_check_38_a_connection_closed_mid_answer_is_an_error() -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await peer.send(OPEN)
        await peer.close(1011, "oops")

    async def talk(client: Client, server: SocketServer) -> None:
        message = await client.ask()
        assert client.told[-1] == ("error", "error")
        assert (message.error_message, message.text) == ("WebSocket closed 1011 oops", "part")
        found = diagnostic(message)
        assert (found["eventsEmitted"], found["phase"]) == (True, "after_message_stream_start")
        assert "fallbackTransport" not in found
        assert (await client.ask()).text == "over http"
        assert len(server.handshakes) == 1

    converse(say, talk)


@pytest.mark.parametrize(
    ("frames", "text", "started"),
    [
        ([{"type": "error", "message": "m"}], "Codex error: m", False),
        ([OPEN, {"type": "response.failed", "response": {}}], "Codex response failed", True),
        ([{"type": "codex.rate_limits"}, {"type": "error", "code": "c"}], "Codex error: c", True),
        ([{"type": 7}, {"no": "type"}, {"type": "error", "code": "c"}], "Codex error: c", False),
    ],
)
def test_what_the_server_reports_is_no_reason_to_fall_back(
    frames: list[Any], text: str, started: bool
) -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await peer.send(*frames)

    async def talk(client: Client, server: SocketServer) -> None:
        message = await client.ask()
        assert (message.error_message, message.diagnostics) == (text, None)
        assert (client.told[0] == ("start",)) is started
        await client.ask()
        assert (len(server.handshakes), server.posts) == (2, [])

    converse(say, talk)


def test_a_frame_that_is_no_json_is_an_error() -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await peer.socket.send_str("{broken")

    async def talk(client: Client, server: SocketServer) -> None:
        text = (await client.ask()).error_message or ""
        assert text.startswith("Invalid Codex WebSocket JSON: ")
        assert server.posts == []

    converse(say, talk)


def test_a_hook_that_raises_ends_the_answer() -> None:
    def fail(_event: Any, _model: Any) -> None:
        raise RuntimeError("mine")

    async def talk(client: Client, server: SocketServer) -> None:
        assert (await client.ask(on_provider_stream_event=fail)).error_message == "mine"
        assert server.posts == []

    converse(hello, talk)


@pytest.mark.parametrize("before", [[], [RESPONSE_CREATED]], ids=["at-once", "after-the-start"])
def test_responses_check_39_a_lost_continuation_is_sent_whole_once(before: list[bytes]) -> None:
    async def say(peer: Peer, frame: Any) -> None:
        if "previous_response_id" in frame:
            await peer.send(*before, LOST)
        else:
            await peer.send(reply(f"ok{peer.handshake.number}"))

    async def talk(client: Client, _server: SocketServer) -> None:
        second = await client.ask(grown(HI, await client.ask(), UserMessage("two")))
        assert (second.text, second.stop_reason) == ("ok2", "stop")
        assert [one for one in client.told if one == ("start",)] == [("start",)]

    one, two = converse(say, talk).handshakes
    assert len(one.frames) == 2
    assert [len(frame["input"]) for frame in two.frames] == [3]


def test_a_continuation_lost_after_content_is_an_error() -> None:
    async def say(peer: Peer, frame: Any) -> None:
        await peer.send(OPEN, LOST) if "previous_response_id" in frame else await hello(peer, frame)

    async def talk(client: Client, _server: SocketServer) -> None:
        second = await client.ask(grown(HI, await client.ask(), UserMessage("two")))
        assert (second.error_message, second.text) == ("Codex error: gone", "part")

    converse(say, talk)


def test_too_many_connections_are_tried_twice_then_http() -> None:
    async def say(peer: Peer, _frame: Any) -> None:
        await peer.send(FULL)

    async def talk(client: Client, server: SocketServer) -> None:
        message = await client.ask()
        assert (message.text, len(server.handshakes)) == ("over http", 2)
        assert diagnostic(message)["fallbackTransport"] == "sse"

    converse(say, talk)


# --- the pool -----------------------------------------------------------------------------------


def test_responses_check_40_a_busy_connection_is_not_waited_for() -> None:
    both = asyncio.Event()

    async def say(peer: Peer, frame: Any) -> None:
        if peer.handshake.number == 2:
            both.set()
        await both.wait()
        await hello(peer, frame)

    async def talk(client: Client, server: SocketServer) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.ask())
            await server.until(lambda: len(server.handshakes) == 1)
            group.create_task(client.ask())
        await server.until(lambda: server.handshakes[1].closed is not None)
        assert server.handshakes[1].closed == (1000, "done")
        assert server.handshakes[0].closed is None
        await client.ask()
        assert len(server.handshakes) == 2

    converse(say, talk)


def test_responses_check_40_accounts_do_not_share_a_connection() -> None:
    async def talk(client: Client, server: SocketServer) -> None:
        for account in ("one", "two", "one", "two"):
            await client.ask(api_key=chatgpt_token(account))
        accounts = [one.headers["chatgpt-account-id"] for one in server.handshakes]
        assert accounts == ["one", "two"]

    converse(hello, talk)


def test_forgetting_a_session_closes_its_connection() -> None:
    async def talk(client: Client, server: SocketServer) -> None:
        await client.ask()
        client.models.copy().forget_session("other")
        client.models.copy().forget_session("s")
        await server.until(lambda: server.handshakes[0].closed is not None)
        assert server.handshakes[0].closed == (1000, "debug_close")
        await client.ask()
        assert len(server.handshakes) == 2

    converse(hello, talk)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced() -> None:
    async def say(peer: Peer, frame: Any) -> None:
        await hello(peer, frame)
        if peer.handshake.number == 1:
            await peer.close(1001, "restart")

    async def talk(client: Client, server: SocketServer) -> None:
        first = await client.ask()
        second = await client.ask(grown(HI, first, UserMessage("two")))
        assert (second.text, second.diagnostics) == ("hello0", None)
        assert len(server.handshakes) == 2

    converse(say, talk)


def test_a_connection_that_the_server_drops_at_the_next_request_is_replaced() -> None:
    async def say(peer: Peer, frame: Any) -> None:
        if len(peer.handshake.frames) == 2:
            peer.cut()
        else:
            await hello(peer, frame)

    async def talk(client: Client, server: SocketServer) -> None:
        second = await client.ask(grown(HI, await client.ask(), UserMessage("two")))
        assert (second.text, second.diagnostics) == ("hello0", None)
        [frame] = server.handshakes[1].frames
        assert "previous_response_id" not in frame

    converse(say, talk)


@pytest.mark.parametrize("how", ["abort", "cancel", "leave"])
def test_stopping_closes_the_connection(how: str) -> None:
    controller = AbortController()

    async def say(peer: Peer, _frame: Any) -> None:
        await peer.send(OPEN)

    async def talk(client: Client, server: SocketServer) -> None:
        options: Any = {**client.options, "signal": controller.signal}
        events = client.models.stream(client.model, HI, **options)
        async for one in events:
            if one.type == "text_delta":
                break
        if how == "leave":
            await events.aclose()
        elif how == "abort":
            controller.abort()
            message = await events.result()
            assert (message.stop_reason, message.text) == ("aborted", "part")
            assert message.error_message == "Request was aborted"
            assert message.diagnostics is None
        else:
            reader = asyncio.ensure_future(events.result())
            await asyncio.sleep(0)
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
        await server.until(lambda: server.handshakes[0].closed is not None)
        assert server.handshakes[0].closed == (1000, "done")

    converse(say, talk)


def test_nothing_is_left_open_when_the_loop_ends() -> None:
    """Without `aclose`: the end of `asyncio.run` closes what is kept."""

    async def run() -> None:
        async with SocketServer(hello) as server:
            ask = Client(Models(), server).ask
            message = await asyncio.to_thread(lambda: asyncio.run(ask(), debug=True))
            assert message.text == "hello0"
            await server.all_closed()
            assert server.handshakes[0].closed == (1000, "done")

    asyncio.run(run())
