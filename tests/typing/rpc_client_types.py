# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What a type checker knows of `RpcClient`. Checked by pyright, never run as a test."""

from __future__ import annotations

from typing import Literal, assert_type

from pi_agent import MessageUpdateEvent
from pi_ai import AssistantMessage, Model
from pi_sdk import (
    ModelCycle,
    RpcClient,
    RpcEvent,
    RpcSessionState,
    RunEndEvent,
)
from pi_session import Entry, SessionMessage
from pi_tools import UserBashResult


async def commands(client: RpcClient) -> None:
    assert_type(await client.prompt("a"), Literal["started", "queued", "handled"])
    assert_type(await client.get_state(), RpcSessionState)
    assert_type(await client.set_model("a", "b"), Model)
    assert_type(await client.bash("a"), UserBashResult)
    assert_type(await client.get_messages(), list[SessionMessage])
    assert_type((await client.get_entries()).entries, list[Entry])
    assert_type(await client.get_last_assistant_text(), str | None)
    assert_type(await client.prompt_and_wait("a"), list[RpcEvent])
    cycled: ModelCycle | None = await client.cycle_model()
    assert_type(cycled, ModelCycle | None)
    await client.prompt("a", streaming_behavior="later")  # pyright: ignore[reportArgumentType]


async def events(client: RpcClient) -> None:
    async for event in client.events():
        assert_type(event, RpcEvent)
        match event:
            case MessageUpdateEvent():
                assert_type(event.message, AssistantMessage)
            case RunEndEvent(will_retry=will_retry):
                assert_type(will_retry, bool)
            case _:
                pass
