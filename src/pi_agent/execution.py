"""One tool call: prepare it, execute its tool, finalize the result.

Source: agent spec, sections 6.2 to 6.4, with section 16 (5 and 9).
"""

from __future__ import annotations

import asyncio
import copy
import inspect
import time

import msgspec
from msgspec import UNSET, Struct

from pi_agent.grace import run_within_grace
from pi_agent.run import OpenCall, Run, ToolCallOutcome
from pi_agent.types import (
    CLEAR,
    AfterToolCall,
    AgentTool,
    BeforeToolCall,
    ToolContext,
    ToolDecision,
    ToolError,
    ToolResult,
    ToolRevision,
)
from pi_agent.updates import Updates
from pi_ai import (
    AbortError,
    JsonObject,
    JsonValue,
    TextContent,
    Tool,
    ToolArgumentsError,
    ToolCall,
)
from pi_ai.tool_args import validate_tool_arguments

__all__ = ("ABORTED", "ReadyCall", "execute_call", "failed", "prepare_call")

ABORTED = "Operation aborted"
"""The result of a call that an abort kept from running, or stopped."""

_BLOCKED = "Tool execution was blocked"


class ReadyCall(Struct, frozen=True):
    """A call that may run: `args` are what its tool gets."""

    item: OpenCall
    tool: AgentTool
    args: JsonObject


def failed(
    text: str, *, terminate: bool = False, error: Exception | None = None
) -> ToolCallOutcome:
    """The outcome of a call whose tool did not run, or gave no result of its own."""
    result = ToolResult([TextContent(text)], details={}, terminate=terminate)
    return ToolCallOutcome(result, is_error=True, error=error)


def _text_of(error: Exception) -> str:
    return str(error) or type(error).__name__


# --- prepare ----------------------------------------------------------------------------------


async def prepare_call(run: Run, item: OpenCall) -> ReadyCall | None:
    """The call with arguments ready to execute, or None: then it has its outcome already."""
    call = item.call
    if run.signal.aborted:
        item.outcome = failed(ABORTED)
        return None
    tool = next((tool for tool in run.tools if tool.name == call.name), None)
    if tool is None:
        item.outcome = failed(f"Tool {call.name} not found")
        return None
    try:
        args = _arguments(tool, call)
        decision = await _decision(run, item, args)
    except AbortError:
        item.outcome = failed(ABORTED)
        return None
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        item.outcome = failed(_text_of(error), error=error)
        return None
    if run.signal.aborted:
        item.outcome = failed(ABORTED)
        return None
    if decision is not None and decision.block:
        reason = decision.reason or _BLOCKED
        item.outcome = failed(reason, terminate=decision.terminate)
        return None
    if decision is not None and decision.args is not None:
        return _replaced(item, tool, decision.args)
    return ReadyCall(item, tool, args)


async def _decision(run: Run, item: OpenCall, args: JsonObject) -> ToolDecision | None:
    hooks = run.config.hooks
    if hooks.before_tool_call is None:
        return None
    asked = BeforeToolCall(item.message, item.call, args, run.context)
    limit = asyncio.timeout(hooks.before_tool_call_timeout)
    try:
        async with limit:
            return await run.ask(hooks.before_tool_call(asked, run.signal))
    except TimeoutError as error:
        if not limit.expired():
            raise
        seconds = f"{hooks.before_tool_call_timeout:g}"
        raise ToolError(f"{_BLOCKED}: no decision within {seconds} s") from error


def _replaced(item: OpenCall, tool: AgentTool, args: JsonObject) -> ReadyCall | None:
    """The call with a host's arguments, which must fit the tool as the model's must."""
    changed = msgspec.structs.replace(item.call, arguments=args, arguments_error=None)
    try:
        return ReadyCall(item, tool, _validated(tool, changed))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        item.outcome = failed(f"{_BLOCKED}: {_text_of(error)}", error=error)
        return None


def _arguments(tool: AgentTool, call: ToolCall) -> JsonObject:
    if tool.prepare_arguments is not None:
        prepared: JsonValue = tool.prepare_arguments(copy.deepcopy(call.arguments))
        if not isinstance(prepared, dict):
            kind = type(prepared).__name__
            raise ToolArgumentsError(
                f'Invalid arguments for tool "{tool.name}": prepared as {kind}, not an object'
            )
        call = msgspec.structs.replace(call, arguments=prepared)
    if call.arguments_error is not None:
        raise ToolArgumentsError(
            f'Invalid arguments for tool "{tool.name}": {call.arguments_error}'
        )
    return _validated(tool, call)


def _validated(tool: AgentTool, call: ToolCall) -> JsonObject:
    if tool.validate is not None:
        return tool.validate(call)
    # The tool's own schema object: its compiled form is kept by identity.
    return validate_tool_arguments(Tool(tool.name, tool.description, tool.parameters), call)


# --- execute ----------------------------------------------------------------------------------


async def execute_call(run: Run, ready: ReadyCall) -> None:
    """Run the tool and give the call its outcome. Raises what a listener of its updates raised."""
    item = ready.item
    if run.signal.aborted:
        item.outcome = failed(ABORTED)
        return
    updates = Updates(run.emit, item.call)
    try:
        outcome = await _execute(run, ready, updates)
        broken = await updates.finish()
    except asyncio.CancelledError:
        updates.cancel()
        raise
    item.outcome = await _finalize(run, ready, outcome)
    if broken is not None:
        raise broken


async def _execute(run: Run, ready: ReadyCall, updates: Updates) -> ToolCallOutcome:
    context = run.config.make_tool_context(ready.item.call, run.signal, updates.report)
    context.model, context.thinking_level = run.model, run.thinking_level
    context.messages, context.tools = run.messages, run.tools
    work = _call(ready.tool, ready.args, context)
    started = time.monotonic()
    try:
        result = await run_within_grace(work, run.signal, run.config.tool_grace_seconds)
        outcome = _judge(ready.tool, result)
    except Exception as error:  # noqa: BLE001  # a tool's failure is a result for the model
        aborted = isinstance(error, AbortError) and run.signal.aborted
        outcome = failed(ABORTED if aborted else _text_of(error), error=error)
    elapsed_ms = round((time.monotonic() - started) * 1000)
    return msgspec.structs.replace(outcome, duration_ms=elapsed_ms)


async def _call(tool: AgentTool, args: JsonObject, context: ToolContext) -> object:
    try:
        result: object = tool.execute(args, context)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if context.signal.aborted or (task is not None and task.cancelling()):
            raise
        raise ToolError(f"Tool {tool.name} was cancelled") from None


def _judge(tool: AgentTool, result: object) -> ToolCallOutcome:
    if isinstance(result, ToolResult):
        return ToolCallOutcome(result, result.is_error)
    if result is None:
        return failed(f"Tool {tool.name} returned no result")
    return failed(f"Tool {tool.name} returned {type(result).__name__}, not a ToolResult")


# --- finalize ---------------------------------------------------------------------------------


async def _finalize(run: Run, ready: ReadyCall, outcome: ToolCallOutcome) -> ToolCallOutcome:
    hook = run.config.hooks.after_tool_call
    if hook is None:
        return outcome
    item, result, is_error = ready.item, outcome.result, outcome.is_error
    asked = AfterToolCall(
        item.message, item.call, ready.args, result, is_error, run.context, outcome.error
    )
    try:
        revision = await run.ask(hook(asked, run.signal))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        text = ABORTED if isinstance(error, AbortError) else _text_of(error)
        broken = failed(text, error=error)
        return msgspec.structs.replace(broken, duration_ms=outcome.duration_ms)
    if revision is None:
        return outcome
    if revision.is_error is not None:
        is_error = revision.is_error
    return msgspec.structs.replace(outcome, result=_revised(result, revision), is_error=is_error)


def _revised(result: ToolResult, revision: ToolRevision) -> ToolResult:
    changed = msgspec.structs.replace(result)
    if revision.content is not None:
        changed.content = revision.content
        changed.structured_content = UNSET
    if revision.details is not None:
        changed.details = UNSET if revision.details is CLEAR else revision.details
    if revision.structured_content is not None:
        cleared = revision.structured_content is CLEAR
        changed.structured_content = UNSET if cleared else revision.structured_content
    if revision.usage is not None:
        changed.usage = None if revision.usage is CLEAR else revision.usage
    if revision.terminate is not None:
        changed.terminate = revision.terminate
    return changed
