"""RPC commands that make a session do something or tell what it does.

Source: rpc spec, sections 5.1 to 5.3.
"""

from __future__ import annotations

import asyncio

from msgspec import UNSET

from pi_ai import JsonObject, Model
from pi_ai.wire import to_json_value
from pi_sdk.events import SessionEvent
from pi_sdk.rpc_call import Call, Handlers
from pi_sdk.rpc_options import tell_user
from pi_sdk.rpc_requests import (
    AbortBashCommand,
    AbortCommand,
    AbortRetryCommand,
    BashCommand,
    ClearQueueCommand,
    CompactCommand,
    FollowUpCommand,
    GetLastAssistantTextCommand,
    GetMessagesCommand,
    GetStateCommand,
    PromptCommand,
    SteerCommand,
)

__all__ = ("RUN_HANDLERS", "model_record")

_RETRY_IS_OVER = frozenset({"auto_retry_end", "agent_start", "agent_settled"})
"""What tells that no attempt is waited for any more; the last two if it was just about to begin."""


async def _prompt(call: Call, command: PromptCommand) -> object:
    """Answers when the prompt is accepted; a failure after that is told on standard error."""

    def accept(disposition: str) -> None:
        call.answer({"disposition": disposition})

    try:
        await call.session.prompt(
            command.message,
            images=command.images or (),
            streaming_behavior=command.streaming_behavior,
            on_accepted=accept,
        )
    except Exception as error:
        if not call.answered:
            raise
        tell_user(f"Error after the prompt was accepted: {error}")
    return UNSET


async def _steer(call: Call, command: SteerCommand) -> object:
    await call.session.steer(command.message, command.images or ())
    return {"disposition": "queued"}


async def _follow_up(call: Call, command: FollowUpCommand) -> object:
    await call.session.follow_up(command.message, command.images or ())
    return {"disposition": "queued"}


async def _abort(call: Call, _command: AbortCommand) -> object:
    await call.session.abort()
    return UNSET


async def _abort_retry(call: Call, _command: AbortRetryCommand) -> object:
    """Answers between `auto_retry_end` and `agent_settled`, as upstream does."""
    answered = asyncio.Event()

    def answer(event: SessionEvent) -> None:
        if event.type in _RETRY_IS_OVER and not answered.is_set():
            answered.set()
            call.answer()

    unsubscribe = call.session.subscribe(answer)
    try:
        if call.session.abort_retry():
            await answered.wait()
    finally:
        unsubscribe()
    return UNSET


async def _compact(call: Call, command: CompactCommand) -> object:
    return await call.session.compact(command.custom_instructions)


async def _bash(call: Call, command: BashCommand) -> object:
    return await call.session.execute_bash(
        command.command,
        exclude_from_context=bool(command.exclude_from_context),
        id=command.id,
    )


async def _abort_bash(call: Call, _command: AbortBashCommand) -> object:
    call.session.abort_bash()
    return UNSET


async def _clear_queue(call: Call, _command: ClearQueueCommand) -> object:
    return await call.session.clear_queue()


async def _get_state(call: Call, _command: GetStateCommand) -> object:
    session = call.session
    state: JsonObject = {}
    if session.model is not None:
        state["model"] = model_record(session.model)
    state |= {
        "thinkingLevel": session.thinking_level,
        "isStreaming": session.is_streaming,
        "isCompacting": session.is_compacting,
        "steeringMode": session.steering_mode,
        "followUpMode": session.follow_up_mode,
    }
    if session.session_file is not None:
        state["sessionFile"] = str(session.session_file)
    state["sessionId"] = session.session_id
    if session.session_name is not None:
        state["sessionName"] = session.session_name
    state |= {
        "autoCompactionEnabled": session.auto_compaction_enabled,
        "messageCount": len(session.messages),
        "pendingMessageCount": session.pending_message_count,
    }
    return state


async def _get_messages(call: Call, _command: GetMessagesCommand) -> object:
    return {"messages": call.session.messages}


async def _get_last_assistant_text(call: Call, _command: GetLastAssistantTextCommand) -> object:
    return {"text": call.session.last_assistant_text()}


def model_record(model: Model) -> JsonObject:
    """A model as clients see it: without its headers, which may hold secrets."""
    record: JsonObject = {**to_json_value(model)}
    record.pop("headers", None)
    return record


RUN_HANDLERS: Handlers = {
    PromptCommand: _prompt,
    SteerCommand: _steer,
    FollowUpCommand: _follow_up,
    AbortCommand: _abort,
    AbortRetryCommand: _abort_retry,
    ClearQueueCommand: _clear_queue,
    CompactCommand: _compact,
    BashCommand: _bash,
    AbortBashCommand: _abort_bash,
    GetStateCommand: _get_state,
    GetMessagesCommand: _get_messages,
    GetLastAssistantTextCommand: _get_last_assistant_text,
}
