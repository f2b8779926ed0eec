"""RpcClient with our own server, on the fake provider: rpc spec, sections 7, 11 and 12."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from pi_ai import ImageContent
from pi_sdk import RpcClient, RpcError, RpcEvent, RpcProcessError
from support.agent_sessions import BUSY, said

PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5E"
    "rkJggg=="
)


@pytest.fixture
def connect(fake, agent_dir, project, write_models):
    """Starts our server on the fake provider, and a client with it."""

    @contextlib.asynccontextmanager
    async def connected(*args: str, **options: Any) -> AsyncIterator[RpcClient]:
        async with fake:
            write_models({"fake": fake.config()})
            env = {"PI_CODING_AGENT_DIR": str(agent_dir)}
            async with (
                asyncio.timeout(15),
                RpcClient(args=args, cwd=project, env=env, **options) as client,
            ):
                yield client

    return connected


async def until_text(client: RpcClient, message: str) -> None:
    """Send a prompt and wait for the first piece of its answer."""
    events = client.events()
    await client.prompt(message)
    async for event in events:
        if event.type == "message_update" and event.message.text:
            return


def test_a_whole_conversation(fake, connect, answer, project):
    """T1: what the client is told is what the session holds in the end."""
    (project / "note.txt").write_text("remember the milk\n")
    fake.answers = [answer((), [("read", {"path": "note.txt"})])]

    async def main() -> tuple[list[RpcEvent], list[Any]]:
        async with connect(provider="fake", model="m1:low") as client:
            state = await client.get_state()
            assert state.model is not None
            assert (state.model.id, state.thinking_level, state.message_count) == ("m1", "low", 0)
            events = await client.prompt_and_wait("read it", [ImageContent(PNG, "image/png")])
            assert await client.get_last_assistant_text() == "Hello world"
            assert await client.get_commands() == []
            await client.wait_for_idle()
            return events, await client.get_messages()

    events, messages = asyncio.run(main())
    assert said(messages) == [
        ("user", "read it"),
        ("assistant", ""),
        ("toolResult", "remember the milk\n"),
        ("assistant", "Hello world"),
    ]
    ended = [event.message for event in events if event.type == "message_end"]
    assert ended == messages
    texts = [event.message.text for event in events if event.type == "message_update"][-3:]
    assert texts == ["Hello", "Hello world", "Hello world"]
    (result,) = [event.result for event in events if event.type == "tool_execution_end"]
    assert result.content[0].text == "remember the milk\n"
    assert (events[-2].type, events[-1].type) == ("agent_end", "agent_settled")


def test_steering_queue_and_abort(fake, connect, answer):
    """T2 and T3, through typed methods."""
    fake.answers = [answer(("w0 ", "w1 "), hold=asyncio.Event())]

    async def main() -> None:
        async with connect("--no-session") as client:
            events = client.events()
            await until_text(client, "go")
            assert await client.steer("s1") == "queued"
            assert await client.follow_up("f1") == "queued"
            cleared = await client.clear_queue()
            assert (cleared.steering, cleared.follow_up) == (["s1"], ["f1"])
            with pytest.raises(RpcError) as raised:
                await client.prompt("again")
            assert raised.value.error == BUSY
            assert await client.prompt("later", streaming_behavior="followUp") == "queued"
            waiting = asyncio.ensure_future(client.wait_for_idle())
            assert (await client.get_state()).is_streaming
            await client.abort()
            await waiting
            state = await client.get_state()
            assert (state.is_streaming, state.pending_message_count) == (False, 1)
            told = [await anext(events)]
            while told[-1].type != "agent_settled":
                told.append(await anext(events))
            assert told[-1].aborted
            (partial,) = [
                event.message
                for event in told
                if event.type == "message_end" and event.message.role == "assistant"
            ]
            assert (partial.text, partial.stop_reason) == ("w0 ", "aborted")
            await client.prompt_and_wait("next")
            assert [text for _, text in said(await client.get_messages())][-4:] == [
                "next",
                "Hello world",
                "later",
                "Hello world",
            ]

    asyncio.run(main())


def test_closing_in_the_middle_of_an_answer_keeps_what_there_is(fake, connect, answer, agent_dir):
    fake.answers = [answer(hold=asyncio.Event())]

    async def main() -> None:
        async with connect() as client:
            await until_text(client, "go")

    asyncio.run(main())
    (path,) = agent_dir.rglob("*.jsonl")
    assert '"stopReason":"aborted"' in path.read_text().splitlines()[-1]


def test_commands_that_the_server_lacks_are_refused_by_name(connect):
    async def main() -> RpcError:
        async with connect("--no-session") as client:
            with pytest.raises(RpcError) as raised:
                await client.export_html()
            return raised.value

    assert str(asyncio.run(main())) == "export_html failed: Export to HTML is not supported"


def test_a_start_that_fails_tells_the_line_of_the_server(connect):
    async def main() -> None:
        async with connect("--wat"):
            pass

    with pytest.raises(RpcProcessError) as raised:
        asyncio.run(main())
    assert raised.value.exit_code == 1
    assert raised.value.stderr == "Error: Unknown option: --wat\n"


def test_the_project_lends_the_server_no_modules(connect, project):
    for name in ("json.py", "msgspec.py", "pi_sdk.py"):
        (project / name).write_text("raise SystemExit('a module of the project ran')\n")

    async def main() -> str:
        async with connect("--no-session") as client:
            return (await client.get_state()).session_id

    assert asyncio.run(main())
