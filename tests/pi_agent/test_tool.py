"""`@tool`: schema, arguments, execution and results of typed functions."""

from __future__ import annotations

import asyncio
import contextvars
import enum
import functools
import json
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pytest

from pi_agent.tool import FunctionTool, tool
from pi_agent.types import AgentTool, ToolContext, ToolError, ToolResult
from pi_ai import AbortController, ImageContent, TextContent, ToolArgumentsError, ToolCall


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict, total=False):
    deep: bool


class Tree(msgspec.Struct):
    """A tree."""

    value: int
    left: Tree | None = None


class Circle(msgspec.Struct, tag="circle", tag_field="kind"):
    radius: float


class Square(msgspec.Struct, tag="square", tag_field="kind"):
    side: float


def context(controller: AbortController | None = None) -> ToolContext:
    return ToolContext(tool_call_id="c1", signal=(controller or AbortController()).signal)


def validate(made: AgentTool, arguments: Any) -> Any:
    assert made.validate is not None
    return made.validate(ToolCall("c1", made.name, arguments))


def run(made: AgentTool, arguments: dict[str, Any], ctx: ToolContext | None = None) -> ToolResult:
    """Validate and execute, as the loop does."""

    async def main() -> ToolResult:
        return await made.execute(validate(made, arguments), ctx or context())

    return asyncio.run(main())


def text(result: ToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def schema_of(annotation: Any, default: Any = msgspec.NODEFAULT) -> Any:
    """The schema of one parameter of that type."""

    def probe(v) -> None: ...

    probe.__annotations__ = {"v": annotation}
    if default is not msgspec.NODEFAULT:
        probe.__defaults__ = (default,)
    return tool(probe).parameters["properties"]["v"]


# --- schema -----------------------------------------------------------------------------------

SCHEMAS: list[tuple[str, Any, dict[str, Any]]] = [
    ("str", str, {"type": "string"}),
    ("int", int, {"type": "integer"}),
    ("float", float, {"type": "number"}),
    ("bool", bool, {"type": "boolean"}),
    ("path", Path, {"type": "string"}),
    ("list", list[int], {"type": "array", "items": {"type": "integer"}}),
    ("list without items", list, {"type": "array"}),
    ("set", set[str], {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
    ("tuple of any length", tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
    ("dict", dict[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
    ("literal", Literal["b", "a"], {"type": "string", "enum": ["a", "b"]}),
    ("enum", Color, {"type": "string", "enum": ["blue", "red"]}),
    ("union", int | str, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    ("optional without default", int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
    ("dataclass", Point, {"type": "object", "required": ["x"], "properties":
        {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}}}),
    ("TypedDict", Options, {"type": "object", "properties": {"deep": {"type": "boolean"}}}),
    ("bounds", Annotated[int, msgspec.Meta(ge=1, le=9)],
     {"type": "integer", "minimum": 1, "maximum": 9}),
    ("description in Meta", Annotated[int, msgspec.Meta(description="How many.")],
     {"type": "integer", "description": "How many."}),
    ("plain description", Annotated[str, "Where."], {"type": "string", "description": "Where."}),
    ("tagged union", Circle | Square, {"anyOf": [
        {"type": "object", "required": ["kind", "radius"], "properties": {
            "kind": {"type": "string", "enum": ["circle"]}, "radius": {"type": "number"}}},
        {"type": "object", "required": ["kind", "side"], "properties": {
            "kind": {"type": "string", "enum": ["square"]}, "side": {"type": "number"}}}]}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "schema"), [c[1:] for c in SCHEMAS], ids=[c[0] for c in SCHEMAS]
)
def test_schema_of_a_type(annotation: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation) == schema


DEFAULTS: list[tuple[str, Any, Any, dict[str, Any]]] = [
    ("scalar", int, 3, {"type": "integer", "default": 3}),
    ("enum member", Color, Color.RED,
     {"type": "string", "enum": ["blue", "red"], "default": "red"}),
    ("None drops null", int | None, None, {"type": "integer"}),
    ("None drops null from a union", int | str | None, None,
     {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    ("None drops null from a literal", Literal["a", None], None,
     {"type": "string", "enum": ["a"]}),
    ("null stays where it differs from the default", int | None, 1,
     {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 1}),
    ("marker object", int, object(), {"type": "integer"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("annotation", "default", "schema"), [c[1:] for c in DEFAULTS], ids=[c[0] for c in DEFAULTS]
)
def test_schema_of_a_default(annotation: Any, default: Any, schema: dict[str, Any]) -> None:
    assert schema_of(annotation, default) == schema


def test_whole_schema_lists_required_parameters_and_nothing_else() -> None:
    @tool
    def move(start: Point, end: Point | None = None, speed: float = 1.5) -> str:
        """Move."""
        return "ok"

    point = {
        "type": "object",
        "properties": {"x": {"type": "integer"}, "y": {"type": "integer", "default": 0}},
        "required": ["x"],
    }
    assert move.parameters == {
        "type": "object",
        "properties": {
            "start": {"$ref": "#/$defs/Point"},
            "end": {"$ref": "#/$defs/Point"},
            "speed": {"type": "number", "default": 1.5},
        },
        "required": ["start"],
        "$defs": {"Point": point},
    }


def test_a_recursive_type_stays_a_definition() -> None:
    @tool
    def total(tree: Tree) -> int:
        def add(node: Tree | None) -> int:
            return 0 if node is None else node.value + add(node.left)

        return add(tree)

    assert total.parameters["properties"] == {"tree": {"$ref": "#/$defs/Tree"}}
    assert total.parameters["$defs"]["Tree"]["description"] == "A tree."
    assert text(run(total, {"tree": {"value": "1", "left": {"value": 2}}})) == "3"


def test_a_tool_without_parameters() -> None:
    @tool
    def ping() -> str:
        return "pong"

    assert ping.parameters == {"type": "object", "properties": {}}
    assert ping.description == ""
    assert text(run(ping, {"unknown": 1})) == "pong"


# --- docstrings -------------------------------------------------------------------------------


def google(path: str, n: int = 1) -> str:
    """Count words.

    Longer text.

    Args:
        path: File to
            read.
        n (int): How many.

    Returns:
        The count.
    """
    return f"{path}{n}"


def numpy(path: str, n: int = 1) -> str:
    """Count words.

    Longer text.

    Parameters
    ----------
    path : str
        File to
        read.
    n : int
        How many.
    """
    return f"{path}{n}"


def sphinx(path: str, n: int = 1) -> str:
    """Count words.

    Longer text.

    :param path: File to
        read.
    :param int n: How many.
    :returns: The count.
    """
    return f"{path}{n}"


@pytest.mark.parametrize("function", [google, numpy, sphinx], ids=lambda f: f.__name__)
def test_descriptions_come_from_the_docstring(function: Callable[..., str]) -> None:
    made = tool(function)

    assert made.name == function.__name__
    assert made.description == "Count words.\n\nLonger text."
    assert made.parameters["properties"] == {
        "path": {"type": "string", "description": "File to\nread."},
        "n": {"type": "integer", "description": "How many.", "default": 1},
    }


def test_an_annotated_description_wins_over_the_docstring() -> None:
    @tool
    def read(path: Annotated[str, "From the annotation."], ctx: ToolContext) -> str:
        """Read.

        Args:
            path: From the docstring.
            ctx: The context may be documented too.
        """
        return path

    assert read.parameters["properties"]["path"]["description"] == "From the annotation."


# --- what cannot be a tool --------------------------------------------------------------------


def no_annotation(path): ...
def any_arguments(*paths: str) -> None: ...
def any_keywords(**paths: str) -> None: ...
def positional(path: str, /) -> None: ...
def unsupported(when: complex) -> None: ...
def two_dataclasses(v: Point | Foreign) -> None: ...
def unknown_name(v: NoSuchType) -> None: ...  # noqa: F821
def two_contexts(a: ToolContext, b: ToolContext | None) -> None: ...


def wrong_docs(path: str) -> None:
    """Read.

    Args:
        file: The file.
    """


@dataclass
class Foreign:
    z: int

    def method(self, n: int) -> str:
        """Add.

        Args:
            n: What to add.
        """
        return str(self.z + n)


async def yielding(path: str):
    yield path


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (no_annotation, TypeError, r"no_annotation: parameter 'path' has no type annotation; write"),
    (any_arguments, TypeError, r"any_arguments: parameter '\*paths' .* take a list"),
    (any_keywords, TypeError, r"any_keywords: parameter '\*\*paths' .* name each parameter"),
    (positional, TypeError, r"positional: parameter 'path' is positional-only; remove"),
    (unsupported, TypeError, r"unsupported: parameter 'when' .*complex.* is not supported; use"),
    (two_dataclasses, TypeError, r"two_dataclasses: parameter 'v' .*more than one dataclass"),
    (unknown_name, TypeError, r"unknown_name: parameter 'v' has the annotation 'NoSuchType'.*def"),
    (two_contexts, TypeError, r"two_contexts: parameter 'b' is a second ToolContext"),
    (wrong_docs, ValueError, r"wrong_docs: the docstring describes a parameter 'file'.*rename"),
    (Foreign.method, TypeError, r"Foreign\.method: parameter 'self' .*tool\(obj\.method\)"),
    (yielding, TypeError, r"yielding: it yields; return one value"),
    (lambda: "x", ValueError, r"'<lambda>' is no name for a tool; pass name="),
]


@pytest.mark.parametrize(
    ("function", "kind", "message"), REFUSED, ids=[row[0].__name__ for row in REFUSED]
)
def test_a_function_that_cannot_be_a_tool_says_why(
    function: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        tool(function)


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_a_timeout_must_be_positive(timeout: float) -> None:
    with pytest.raises(ValueError, match="timeout must be above 0"):
        tool(timeout=timeout)(google)


# --- arguments --------------------------------------------------------------------------------


def test_a_type_of_which_only_the_schema_is_known_is_named() -> None:
    class Unreadable: ...

    def take(thing: Unreadable) -> str:
        return f"{thing}"

    schema = msgspec.Meta(extra_json_schema={"type": "object"})
    take.__annotations__["thing"] = Annotated[Unreadable, schema]
    with pytest.raises(ToolArgumentsError, match=r"thing: cannot read \S*Unreadable from JSON"):
        asyncio.run(tool(take).execute({"thing": {}}, context()))


def test_arguments_arrive_as_the_annotated_types() -> None:
    seen: dict[str, Any] = {}

    @tool
    def take(
        point: Point,
        tree: Tree,
        color: Color,
        names: set[str],
        pair: tuple[int, str],
        where: Path,
        options: Options,
        shape: Circle | Square,
        sizes: dict[int, float],
    ) -> str:
        seen.update(locals())
        return "ok"

    run(
        take,
        {
            "point": '{"x": "1"}',
            "tree": {"value": 1},
            "color": "red",
            "names": "one",
            "pair": [1, 2],
            "where": "a/b",
            "options": {"deep": "true"},
            "shape": {"kind": "square", "side": "2"},
            "sizes": {"1": 2},
        },
    )
    seen.pop("seen", None)
    assert seen == {
        "point": Point(1),
        "tree": Tree(1),
        "color": Color.RED,
        "names": {"one"},
        "pair": (1, "2"),
        "where": Path("a/b"),
        "options": {"deep": True},
        "shape": Square(2.0),
        "sizes": {1: 2.0},
    }


def test_what_is_left_out_or_null_takes_the_default_of_the_function() -> None:
    marker = object()

    @tool
    def probe(a: int | None = None, b: int = 7, c: Any = marker) -> list[bool]:
        return [a is None, b == 7, c is marker]

    assert json.loads(text(run(probe, {"a": None, "b": None}))) == [True, True, True]


def test_validate_gives_json_that_hooks_may_change() -> None:
    @tool
    def where(point: Point, tags: list[str]) -> str:
        return f"{point.x} {tags}"

    sent = {"point": {"x": "1"}, "tags": "a"}
    arguments = validate(where, sent)
    arguments["point"]["x"] = 5
    result = asyncio.run(where.execute(arguments, context()))

    assert sent == {"point": {"x": "1"}, "tags": "a"}
    assert text(result) == "5 ['a']"


def test_every_fault_is_told_in_the_common_frame() -> None:
    @tool
    def move(to: Point, color: Color, speed: Annotated[int, msgspec.Meta(ge=1)] = 1) -> str:
        return "moved"

    with pytest.raises(ToolArgumentsError) as caught:
        validate(move, {"to": {"y": "a"}, "speed": 0})
    assert str(caught.value) == (
        'Validation failed for tool "move":\n'
        "  - color: missing\n"
        "  - to.x: missing\n"
        "  - to.y: expected integer, got string\n"
        "  - speed: expected >= 1\n\n"
        'Received arguments:\n{\n  "to": {\n    "y": "a"\n  },\n  "speed": 0\n}'
    )


def test_a_fault_that_only_python_knows_is_told_in_the_common_frame() -> None:
    class Even(msgspec.Struct):
        n: int

        def __post_init__(self) -> None:
            if self.n % 2:
                raise ValueError("n must be even")

    @tool
    def halve(numbers: list[Even]) -> int:
        return len(numbers)

    with pytest.raises(ToolArgumentsError, match=r"\n  - numbers\.1: n must be even\n"):
        validate(halve, {"numbers": [{"n": 2}, {"n": 3}]})


def test_arguments_that_a_hook_broke_are_refused() -> None:
    with pytest.raises(ToolArgumentsError, match=r"  - path: expected string, got integer"):
        asyncio.run(tool(google).execute({"path": 1}, context()))


def test_unreadable_arguments_are_told() -> None:
    made = tool(google)
    assert made.validate is not None

    with pytest.raises(ToolArgumentsError, match=r'^Invalid arguments for tool "google": X$'):
        made.validate(ToolCall("1", "google", {}, arguments_error="X"))


def test_valid_arguments_of_simple_types_load_no_schema_validator() -> None:
    program = """if True:
        import sys, asyncio
        from pi_agent.tool import tool
        from pi_ai import ToolCall
        @tool
        def f(path: str, n: int | None = None, tags: list[str] = []) -> str:
            return path
        f.validate(ToolCall("1", "f", {"path": 5, "n": "3", "tags": '["a"]'}))
        assert "jsonschema_rs" not in sys.modules
        assert "aiohttp" not in sys.modules and "pydantic" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=15)


# --- definition sites -------------------------------------------------------------------------


def test_locally_defined_types_work_in_string_annotations() -> None:
    @dataclass
    class Local:
        n: int
        tags: list[str] = field(default_factory=list)

    def inner() -> FunctionTool[..., Any]:
        @tool(name="named")
        def take(v: Local, more: list[Local] | None = None) -> int:
            return v.n

        return take

    assert text(run(inner(), {"v": {"n": "4"}})) == "4"


def test_a_bound_method_a_partial_and_a_callable_object_are_tools() -> None:
    class Greeter:
        async def __call__(self, name: str) -> str:
            """Greet."""
            return f"Hello {name}"

    method = tool(Foreign(3).method)
    part = tool(name="part")(functools.partial(google, n=5))
    greeter = tool(name="greet")(Greeter())

    assert method.parameters["properties"]["n"]["description"] == "What to add."
    assert text(run(method, {"n": 4})) == "7"
    assert text(run(part, {"path": "p"})) == "p5"
    assert greeter.description == "Greet."
    assert text(run(greeter, {"name": "you"})) == "Hello you"


def test_options_and_the_plain_function() -> None:
    @tool(
        name="count-words",
        description="Other text.",
        label="Count",
        execution_mode="sequential",
        timeout=30,
        prompt_snippet="counts",
        prompt_guidelines=["Be quick."],
    )
    async def count(path: str) -> str:
        """Text."""
        return path.upper()

    assert isinstance(count, AgentTool)
    assert (count.name, count.description, count.label) == ("count-words", "Other text.", "Count")
    assert count.execution_mode == "sequential"
    assert (count.prompt_snippet, count.prompt_guidelines) == ("counts", ["Be quick."])
    assert count.__doc__ == "Text."
    assert repr(count) == "<AgentTool count-words>"
    assert asyncio.run(count("x")) == "X"
    assert tool(google)("p", n=2) == "p2"


# --- results ----------------------------------------------------------------------------------

IMAGE = ImageContent("aGk=", "image/png")
RESULTS: list[tuple[str, Any, ToolResult]] = [
    ("text", "x", ToolResult.text("x")),
    ("empty text", "", ToolResult.text("")),
    ("result", ToolResult([], details={"a": 1}), ToolResult([], details={"a": 1})),
    ("none", None, ToolResult.text("Tool give returned no result", is_error=True)),
    ("block", IMAGE, ToolResult([IMAGE])),
    ("blocks", [TextContent("a"), IMAGE], ToolResult([TextContent("a"), IMAGE])),
    ("dict", {"a": [1, None], "é": True}, ToolResult.text('{"a":[1,null],"é":true}')),
    ("empty list", [], ToolResult.text("[]")),
    ("number", 1.5, ToolResult.text("1.5")),
    ("false", False, ToolResult.text("false")),
    ("dataclass", Point(1, 2), ToolResult.text('{"x":1,"y":2}')),
    ("struct", [Circle(1.5)], ToolResult.text('[{"kind":"circle","radius":1.5}]')),
    ("path and enum", {"p": Path("a"), "c": Color.RED}, ToolResult.text('{"p":"a","c":"red"}')),
    ("lone surrogate", ["\ud800"], ToolResult.text('["\\ud800"]')),
]


@pytest.mark.parametrize(("value", "result"), [c[1:] for c in RESULTS], ids=[c[0] for c in RESULTS])
def test_return_value_becomes_a_result(value: Any, result: ToolResult) -> None:
    @tool
    def give() -> Any:
        return value

    assert run(give, {}) == result


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (object(), "Tool give returned object: object cannot be written as JSON"),
        ([threading.Lock()], "Tool give returned list: lock cannot be written as JSON"),
    ],
    ids=["object", "inside a list"],
)
def test_a_return_value_that_is_not_json_names_its_type(value: Any, message: str) -> None:
    @tool
    def give() -> Any:
        return value

    with pytest.raises(ToolError) as caught:
        run(give, {})
    assert str(caught.value) == message


# --- execution --------------------------------------------------------------------------------


def test_a_plain_function_does_not_stall_the_loop_and_sees_context_variables() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    release = threading.Event()

    @tool
    def wait(ctx: ToolContext) -> str:
        assert release.wait(5)
        return f"{variable.get()} {threading.current_thread().name} {ctx.tool_call_id}"

    async def main() -> ToolResult:
        variable.set("carried")
        running = asyncio.create_task(wait.execute({}, context()))
        await asyncio.sleep(0)
        release.set()
        return await running

    assert text(asyncio.run(main())) == "carried tool-wait c1"


@pytest.mark.parametrize(
    ("raised", "seen", "message"),
    [
        (ToolError("No such file"), ToolError, "No such file"),
        (TimeoutError("mine"), TimeoutError, "mine"),
        (StopIteration("x"), RuntimeError, "StopIteration: x"),
        (SystemExit(3), ToolError, "Tool fail ended with SystemExit: 3"),
    ],
    ids=["ToolError", "own TimeoutError", "StopIteration", "SystemExit"],
)
def test_what_a_plain_function_raises_comes_out(
    raised: BaseException, seen: type[Exception], message: str
) -> None:
    @tool(timeout=5)
    def fail() -> str:
        raise raised

    with pytest.raises(seen) as caught:
        run(fail, {})
    assert str(caught.value) == message


def test_timeout_of_an_async_function_cancels_it() -> None:
    ended: list[str] = []

    @tool(timeout=0.02)
    async def slow(ctx: ToolContext) -> str:
        try:
            await asyncio.sleep(5)
        finally:
            ended.append("cancelled")
        return "never"

    with pytest.raises(ToolError, match=r"^Tool slow timed out after 0\.02 seconds$"):
        run(slow, {})
    assert ended == ["cancelled"]


def test_timeout_of_a_plain_function_sets_its_signal() -> None:
    stopped = threading.Event()

    @tool(timeout=1 / 50)
    def slow(ctx: ToolContext) -> str:
        end = time.monotonic() + 5
        while not ctx.signal.aborted and time.monotonic() < end:
            time.sleep(0.001)
        if ctx.signal.aborted:
            stopped.set()
        return "late"

    controller = AbortController()
    with pytest.raises(ToolError, match=r"^Tool slow timed out after 0\.02 seconds$"):
        run(slow, {}, context(controller))
    assert stopped.wait(2)
    assert not controller.signal.aborted


def test_timeout_is_printed_as_given() -> None:
    @tool(timeout=1)
    def slow() -> str:
        time.sleep(1.2)
        return "late"

    with pytest.raises(ToolError, match=r"timed out after 1 seconds$"):
        run(slow, {})


def test_the_signal_of_the_run_reaches_the_function() -> None:
    controller = AbortController()

    @tool
    def wait(ctx: ToolContext) -> str:
        aborted = threading.Event()
        ctx.signal.add_listener(aborted.set)
        controller.abort("user")
        return f"{aborted.wait(2)} {ctx.signal.reason}"

    assert text(run(wait, {}, context(controller))) == "True user"


def test_cancelling_the_call_sets_the_signal_of_the_thread() -> None:
    started, stopped = threading.Event(), threading.Event()

    @tool
    def wait(ctx: ToolContext) -> str:
        ctx.signal.add_listener(stopped.set)
        started.set()
        stopped.wait(5)
        return "late"

    async def main() -> None:
        task = asyncio.create_task(wait.execute({}, context()))
        while not started.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())
    assert stopped.is_set()


def test_nothing_stays_behind_on_the_signal_of_the_run() -> None:
    controller = AbortController()

    for _ in range(3):
        run(tool(google), {"path": "p"}, context(controller))

    assert not controller.signal._listeners


# --- pydantic ---------------------------------------------------------------------------------


def test_a_pydantic_model_describes_and_makes_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stands in for pydantic, which need not be installed: the three methods that are used."""

    class BaseModel:
        def __init__(self, **values: Any) -> None:
            self.values = values

        @classmethod
        def model_json_schema(cls) -> dict[str, Any]:
            city = {"title": "City", "type": "object", "properties": {"title": {"type": "string"}}}
            return {
                "title": cls.__name__,
                "type": "object",
                "properties": {"city": {"$ref": "#/$defs/City"}},
                "$defs": {"City": city},
            }

        @classmethod
        def model_validate(cls, value: Any) -> Any:
            if "city" not in value:
                raise ValueError("city: Field required")
            return cls(**value)

        def model_dump(self, *, mode: str) -> dict[str, Any]:
            assert mode == "json"
            return self.values

    class User(BaseModel):
        pass

    pydantic = types.ModuleType("pydantic")
    pydantic.BaseModel = BaseModel
    monkeypatch.setitem(sys.modules, "pydantic", pydantic)

    @tool
    def save(users: list[User]) -> Any:
        return users[0]

    city = {"type": "object", "properties": {"title": {"type": "string"}}}
    user = {"type": "object", "properties": {"city": city}}
    assert save.parameters["properties"] == {"users": {"type": "array", "items": user}}
    assert text(run(save, {"users": '[{"city": {"title": 1}}]'})) == '{"city":{"title":"1"}}'
    with pytest.raises(ToolArgumentsError, match=r"  - users\.0: city: Field required"):
        validate(save, {"users": [{}]})
