"""`@tool`: a tool from a typed Python function, async or plain.

Annotations and docstring give the schema, msgspec checks and converts the arguments, and the
return value becomes the result.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import re
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Generic, ParamSpec, TypeGuard, TypeVar, cast, overload

import msgspec

from pi_agent._foreign_types import from_plain, to_plain
from pi_agent._signature import Signature, read_signature
from pi_agent.types import AgentTool, ExecutionMode, ToolContext, ToolError, ToolResult
from pi_ai import AbortController, ImageContent, JsonObject, TextContent, Tool, ToolCall
from pi_ai.json_text import copy_json, js_json
from pi_ai.tool_args import (
    Problem,
    coerce_tool_arguments,
    find_argument_problems,
    tool_arguments_error,
)

__all__ = ("FunctionTool", "tool")

P = ParamSpec("P")
R = TypeVar("R", covariant=True)

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_MSGSPEC_PATH = re.compile(r"(?s)(.*) - at `(?:key in )?\$(.*)`")
_PATH_STEP = re.compile(r"\.([^.\[]+)|\[([0-9]+|\.\.\.)\]")


@dataclass(kw_only=True, repr=False, eq=False)
class FunctionTool(AgentTool, Generic[P, R]):
    """A tool made from `function`; calling it calls the function itself."""

    function: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)


@overload
def tool(function: Callable[P, R], /) -> FunctionTool[P, R]: ...
@overload
def tool(
    function: None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    label: str = "",
    execution_mode: ExecutionMode | None = None,
    timeout: float | None = None,
    prompt_snippet: str | None = None,
    prompt_guidelines: Sequence[str] = (),
) -> Callable[[Callable[P, R]], FunctionTool[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    label: str = "",
    execution_mode: ExecutionMode | None = None,
    timeout: float | None = None,
    prompt_snippet: str | None = None,
    prompt_guidelines: Sequence[str] = (),
) -> Any:
    """A tool from a typed function; `@tool` and `@tool(name=..., timeout=30)` both work.

    Name and description are the function's unless given; parameter descriptions come from
    `Annotated[..., "text"]` or the docstring. A `ToolContext` parameter is filled in by the loop.
    Plain functions run in a thread of their own. `timeout`, in seconds, ends the wait for the
    function and sets its `ToolContext.signal`; None waits without limit.

    The function may return text, a `ToolResult`, content blocks, or any value that is JSON. It
    raises `ToolError` to tell the model of a failure.

    Raises TypeError for a parameter without a type that has a schema, and ValueError for a
    docstring or option that does not fit the function.
    """

    def make(function: Callable[..., Any], frame: FrameType | None) -> FunctionTool[..., Any]:
        signature = read_signature(function, frame)
        tool_name = name or str(getattr(function, "__name__", ""))
        _check(function, tool_name, timeout)
        runner = _Runner(function, signature, tool_name, timeout)
        made = FunctionTool(
            function=function,
            name=tool_name,
            description=signature.description if description is None else description,
            parameters=signature.schema,
            execute=runner.execute,
            validate=runner.validate,
            label=label,
            execution_mode=execution_mode,
            prompt_snippet=prompt_snippet,
            prompt_guidelines=prompt_guidelines,
        )
        functools.update_wrapper(made, function, updated=())
        return made

    def decorate(function: Callable[..., Any]) -> FunctionTool[..., Any]:
        return make(function, _caller())

    return decorate if function is None else make(function, _caller())


def _caller() -> FrameType | None:
    """The frame that uses `@tool`, for annotations that name its local classes."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame and frame.f_back
    return frame


def _check(function: Callable[..., Any], name: str, timeout: float | None) -> None:
    where = f"Tool function {getattr(function, '__qualname__', function)}"
    if not _TOOL_NAME.fullmatch(name):
        raise ValueError(
            f"{where}: {name!r} is no name for a tool; pass name= with 1 to 64 letters, digits, "
            "'_' or '-'"
        )
    if timeout is not None and not timeout > 0:
        raise ValueError(f"{where}: timeout must be above 0 seconds, or None; got {timeout}")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise TypeError(
            f"{where}: it yields; return one value, and report progress with on_update of a "
            "ToolContext parameter"
        )


class _Runner:
    """Validates and runs the calls of one function."""

    def __init__(
        self,
        function: Callable[..., Any],
        signature: Signature,
        name: str,
        timeout: float | None,
    ) -> None:
        self._function = function
        self._signature = signature
        self._timeout = timeout
        self._tool = Tool(name, signature.description, signature.schema)
        call = getattr(function, "__call__", None)  # noqa: B004  # an object may be callable
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)

    def validate(self, call: ToolCall) -> JsonObject:
        with suppress(RecursionError):  # told in words below
            if call.arguments_error is None and not self._read(call.arguments)[1]:
                return copy_json(call.arguments)  # as nearly always: there is nothing to coerce
        arguments = coerce_tool_arguments(self._tool, call)
        self._convert(arguments, call.arguments)
        return arguments

    async def execute(self, arguments: JsonObject, context: ToolContext) -> ToolResult:
        values = self._convert(arguments, arguments)
        with _own_signal(context) as (own, controller):
            if self._signature.context is not None:
                values[self._signature.context] = own
            returned = await self._run(values, controller)
        return _as_result(self._tool.name, returned)

    async def _run(self, values: dict[str, Any], controller: AbortController) -> Any:
        name, seconds = self._tool.name, self._timeout
        limit = asyncio.timeout(seconds)
        try:
            async with limit:
                if self._is_async:
                    return await self._function(**values)
                returned = await _call_in_thread(name, functools.partial(self._function, **values))
                return await returned if inspect.isawaitable(returned) else returned
        except TimeoutError as error:
            if not limit.expired():
                raise
            text = f"Tool {name} timed out after {seconds} seconds"
            controller.abort(text)
            raise ToolError(text) from error
        except asyncio.CancelledError:
            controller.abort("cancelled")
            raise

    def _convert(self, arguments: JsonObject, received: JsonObject) -> dict[str, Any]:
        """Python values for the parameters that were given."""
        values, problems = self._read(arguments)
        if problems:
            # The schema tells of every fault, msgspec of the first in each argument.
            known = find_argument_problems(self._tool, arguments)
            raise tool_arguments_error(self._tool.name, known or problems, received)
        return values

    def _read(self, arguments: JsonObject) -> tuple[dict[str, Any], list[Problem]]:
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for parameter in self._signature.parameters:
            if parameter.name not in arguments:
                if parameter.required:
                    problems.append(Problem((parameter.name,), "missing"))
                continue
            try:
                values[parameter.name] = from_plain(arguments[parameter.name], parameter.annotation)
            except msgspec.ValidationError as error:
                problems.append(_problem(parameter.name, error))
        return values, problems


def _problem(name: str, error: msgspec.ValidationError) -> Problem:
    """The fault that msgspec found in the argument `name`."""
    text, path = str(error), ""
    if found := _MSGSPEC_PATH.fullmatch(text):
        text, path = found.groups()
    steps = (key or index for key, index in _PATH_STEP.findall(path))
    message = text.replace("`", "")
    return Problem((name, *steps), message[:1].lower() + message[1:])


@contextmanager
def _own_signal(context: ToolContext) -> Generator[tuple[ToolContext, AbortController]]:
    """`context` with a signal of this call alone, which the run's signal sets too."""
    controller = AbortController()
    remove = context.signal.add_listener(lambda: controller.abort(context.signal.reason))
    try:
        yield msgspec.structs.replace(context, signal=controller.signal), controller
    finally:
        remove()


async def _call_in_thread(name: str, function: Callable[[], Any]) -> Any:
    """Await `function` run in a thread of its own.

    Not the loop's executor: a call that never returns would take one of its few threads from name
    resolution and file access. As a daemon the thread does not keep the process alive either.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()
    variables = contextvars.copy_context()

    def settle(value: Any, error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def work() -> None:
        value: Any = None
        failure: Exception | None = None
        try:
            value = variables.run(function)
        except StopIteration as error:  # which no future takes
            failure = RuntimeError(f"StopIteration: {error}")
        except Exception as error:  # noqa: BLE001  # handed to whoever awaits
            failure = error
        except BaseException as error:  # noqa: BLE001  # SystemExit must not be lost either
            failure = ToolError(f"Tool {name} ended with {type(error).__name__}: {error}")
        with suppress(RuntimeError):  # the loop was closed while the function ran
            loop.call_soon_threadsafe(settle, value, failure)

    threading.Thread(target=work, name=f"tool-{name}", daemon=True).start()
    return await done


# --- results ----------------------------------------------------------------------------------


def _as_result(name: str, value: object) -> ToolResult:
    match value:
        case ToolResult():
            return value
        case None:
            return ToolResult.text(f"Tool {name} returned no result", is_error=True)
        case str():
            return ToolResult.text(value)
        case TextContent() | ImageContent():
            return ToolResult([value])
        case _:
            return ToolResult(value) if _is_blocks(value) else ToolResult.text(_json(name, value))


def _is_blocks(value: object) -> TypeGuard[list[TextContent | ImageContent]]:
    if not isinstance(value, list) or not value:
        return False
    items = cast("list[object]", value)
    return all(isinstance(item, TextContent | ImageContent) for item in items)


def _json(name: str, value: object) -> str:
    try:
        return js_json(to_plain(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"Tool {name} returned {type(value).__name__}: {error}") from error
