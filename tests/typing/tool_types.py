# pyright: strict, reportUnnecessaryTypeIgnoreComment=true
"""What a type checker knows of `@tool`. Checked by pyright, never run as a test."""

from __future__ import annotations

from collections.abc import Callable
from types import CoroutineType
from typing import Any, assert_type

from pi_agent.tool import FunctionTool, tool
from pi_agent.types import AgentTool, ToolContext, ToolResult
from pi_ai import JsonObject, Tool, ToolCall
from pi_ai.tool_args import validate_tool_arguments, validate_tool_call


@tool
async def word_count(path: str, unique: bool = False) -> str:
    return f"{path}{unique}"


@tool(name="size", timeout=30, execution_mode="sequential")
def file_size(path: str, ctx: ToolContext) -> int:
    return len(path)


async def calls(ctx: ToolContext) -> None:
    pending = word_count("a")
    _ = assert_type(pending, CoroutineType[Any, Any, str])
    assert_type(await pending, str)
    assert_type(await word_count("a", unique=True), str)
    assert_type(file_size("a", ctx), int)
    assert_type(await word_count.execute({"path": "a"}, ctx), ToolResult)
    await word_count(1)  # pyright: ignore[reportArgumentType]
    file_size("a")  # pyright: ignore[reportCallIssue]


def tools(declared: Tool, call: ToolCall) -> list[AgentTool]:
    assert_type(word_count.validate, Callable[[ToolCall], JsonObject] | None)
    assert_type(word_count.parameters, JsonObject)
    assert_type(validate_tool_arguments(declared, call), JsonObject)
    assert_type(validate_tool_call([declared], call), JsonObject)
    made: FunctionTool[[str, ToolContext], int] = file_size
    return [word_count, made]
