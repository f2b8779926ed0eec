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
from pi_agent.run import OpenCall, Outcome, Run
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


class ReadyCall(Struct, frozen=True):
    """A call that may run: `args` are what its tool gets."""

    item: OpenCall
    tool: AgentTool
    args: JsonObject


def failed(text: str, *, terminate: bool = False) -> Outcome:
    """The outcome of a call whose tool did not run, or gave no result of its own."""
    result = ToolResult([TextContent(text)], details={}, terminate=terminate)
    return Outcome(result, is_error=True)


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
        item.outcome = failed(_text_of(error))
        return None
    if run.signal.aborted:
        item.outcome = failed(ABORTED)
        return None
    if decision is not None and decision.block:
        reason = decision.reason or "Tool execution was blocked"
        item.outcome = failed(reason, terminate=decision.terminate)
        return None
    return ReadyCall(item, tool, args)


async def _decision(run: Run, item: OpenCall, args: JsonObject) -> ToolDecision | None:
    hook = run.config.hooks.before_tool_call
    if hook is None:
        return None
    asked = BeforeToolCall(item.message, item.call, args, run.context)
    return await run.ask(hook(asked, run.signal))


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


async def _execute(run: Run, ready: ReadyCall, updates: Updates) -> Outcome:
    context = run.config.make_tool_context(ready.item.call, run.signal, updates.report)
    context.model, context.thinking_level = run.model, run.thinking_level
    work = _call(ready.tool, ready.args, context)
    started = time.monotonic()
    try:
        result = await run_within_grace(work, run.signal, run.config.tool_grace_seconds)
        outcome = _judge(ready.tool, result)
    except Exception as error:  # noqa: BLE001  # a tool's failure is a result for the model
        aborted = isinstance(error, AbortError) and run.signal.aborted
        outcome = failed(ABORTED if aborted else _text_of(error))
    elapsed_ms = round((time.monotonic() - started) * 1000)
    return Outcome(outcome.result, outcome.is_error, elapsed_ms)


async def _call(tool: AgentTool, args: JsonObject, context: ToolContext) -> object:
    try:
        result: object = tool.execute(args, context)
        return await result if inspect.isawaitable(result) else result
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if context.signal.aborted or (task is not None and task.cancelling()):
            raise
        raise ToolError(f"Tool {tool.name} was cancelled") from None


def _judge(tool: AgentTool, result: object) -> Outcome:
    if isinstance(result, ToolResult):
        return Outcome(result, result.is_error)
    if result is None:
        return failed(f"Tool {tool.name} returned no result")
    return failed(f"Tool {tool.name} returned {type(result).__name__}, not a ToolResult")


# --- finalize ---------------------------------------------------------------------------------


async def _finalize(run: Run, ready: ReadyCall, outcome: Outcome) -> Outcome:
    hook = run.config.hooks.after_tool_call
    if hook is None:
        return outcome
    item, result = ready.item, outcome.result
    asked = AfterToolCall(
        item.message, item.call, ready.args, result, outcome.is_error, run.context
    )
    try:
        revision = await run.ask(hook(asked, run.signal))
    except Exception as error:  # noqa: BLE001  # whatever is wrong with a call, the model is told
        text = ABORTED if isinstance(error, AbortError) else _text_of(error)
        return Outcome(failed(text).result, True, outcome.duration_ms)
    if revision is None:
        return outcome
    is_error = outcome.is_error if revision.is_error is None else revision.is_error
    return Outcome(_revised(result, revision), is_error, outcome.duration_ms)


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
