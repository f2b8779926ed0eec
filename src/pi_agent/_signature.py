"""What a function tells about itself as a tool: parameters, descriptions, JSON Schema.

Reads signature, annotations and docstring; calls nothing.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections import ChainMap
from collections.abc import Callable, Mapping
from types import FrameType, UnionType
from typing import Annotated, Any, NoReturn, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from pi_agent._foreign_types import describe_foreign, to_plain
from pi_agent._tidy_schema import collect_schema, without_null
from pi_agent.types import ToolContext
from pi_ai import JsonObject

__all__ = ("Parameter", "Signature", "read_signature")


class Parameter(Struct, frozen=True):
    """A parameter that the model fills in."""

    name: str
    annotation: Any
    default: Any
    description: str | None

    @property
    def required(self) -> bool:
        """Whether the function has no default for it."""
        return self.default is inspect.Parameter.empty


class Signature(Struct, frozen=True):
    """A function as a tool. `context` names the parameter that gets the `ToolContext`."""

    description: str
    parameters: tuple[Parameter, ...]
    context: str | None
    schema: JsonObject


class _Docs(Struct, frozen=True):
    text: str
    parameters: Mapping[str, str]


def read_signature(function: Callable[..., object], frame: FrameType | None) -> Signature:
    """Read `function`; names in string annotations are also looked up in the calls around `frame`.

    Raises TypeError for a parameter that no schema can be made for, and ValueError for a
    docstring that documents a parameter which is not there.
    """
    names = _enclosing_names(function, frame)
    docs = _read_docs(function)
    parameters: list[Parameter] = []
    context: str | None = None
    for parameter in inspect.signature(function).parameters.values():
        annotation = _annotation(function, parameter, names)
        if _is_context(annotation):
            if context is not None:
                _refuse(function, parameter.name, "is a second ToolContext", "keep one of them")
            context = parameter.name
            continue
        own, annotation = _described(annotation)
        text = own or docs.parameters.get(parameter.name)
        parameters.append(Parameter(parameter.name, annotation, parameter.default, text))
    known = {parameter.name for parameter in parameters} | {context}
    for name in docs.parameters:
        if name not in known:
            raise ValueError(
                f"Tool function {_name(function)}: the docstring describes a parameter {name!r} "
                "that the function does not have; rename or remove it in the docstring"
            )
    schema = _schema(function, parameters)
    return Signature(docs.text, tuple(parameters), context, schema)


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", None) or type(function).__qualname__


def _definition(function: Callable[..., object]) -> Callable[..., object]:
    """The function that a partial, a wrapper or an object with `__call__` comes down to."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    return function if inspect.isroutine(function) else type(function).__call__


def _refuse(function: Callable[..., object], parameter: str, fault: str, remedy: str) -> NoReturn:
    raise TypeError(f"Tool function {_name(function)}: parameter {parameter!r} {fault}; {remedy}")


# --- annotations ------------------------------------------------------------------------------


def _enclosing_names(
    function: Callable[..., object], frame: FrameType | None
) -> Mapping[str, object]:
    """The local names of the functions and classes that `function` is defined in."""
    qualname: str = getattr(function, "__qualname__", "")
    scopes: list[dict[str, Any]] = []
    while frame is not None:
        if qualname.startswith(frame.f_code.co_qualname + "."):
            scopes.append(dict(frame.f_locals))
        frame = frame.f_back
    return ChainMap(*scopes)


def _annotation(
    function: Callable[..., object], parameter: inspect.Parameter, names: Mapping[str, object]
) -> Any:
    kinds = inspect.Parameter
    if parameter.kind in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD):
        stars = "*" if parameter.kind is kinds.VAR_POSITIONAL else "**"
        _refuse(
            function,
            stars + parameter.name,
            "takes any number of arguments, which a model cannot be told",
            "name each parameter, or take a list or dict",
        )
    if parameter.kind is kinds.POSITIONAL_ONLY:
        _refuse(function, parameter.name, "is positional-only", "remove the '/'")
    if parameter.annotation is kinds.empty:
        remedy = f"write `{parameter.name}: str`, or the type it has"
        if parameter.name in {"self", "cls"}:
            remedy = "make the tool from the bound method: tool(obj.method)"
        _refuse(function, parameter.name, "has no type annotation", remedy)

    def holder() -> None: ...

    holder.__annotations__ = {parameter.name: parameter.annotation}
    scope: dict[str, Any] = getattr(_definition(function), "__globals__", {})
    try:
        hints = typing.get_type_hints(holder, scope, dict(names), include_extras=True)
    except NameError as error:
        _refuse(
            function,
            parameter.name,
            f"has the annotation {parameter.annotation!r}, but {error}",
            "import or define that name outside `if TYPE_CHECKING`",
        )
    return hints[parameter.name]


def _is_context(annotation: Any) -> bool:
    origin = get_origin(annotation)
    if origin is Annotated or origin is Union or origin is UnionType:
        members = get_args(annotation)[:1] if origin is Annotated else get_args(annotation)
        return any(_is_context(member) for member in members)
    return annotation is ToolContext


def _described(annotation: Any) -> tuple[str | None, Any]:
    """The description in an `Annotated`, and the annotation without plain strings."""
    if get_origin(annotation) is not Annotated:
        return None, annotation
    kind, *extras = get_args(annotation)
    text: str | None = None
    kept: list[Any] = []
    for extra in extras:
        if isinstance(extra, str):
            text = inspect.cleandoc(extra)
            continue
        if isinstance(extra, msgspec.Meta) and extra.description:
            text = inspect.cleandoc(extra.description)
        kept.append(extra)
    for extra in kept:
        kind = Annotated[kind, extra]
    return text, kind


# --- docstrings -------------------------------------------------------------------------------


def _read_docs(function: Callable[..., object]) -> _Docs:
    source = inspect.getdoc(_definition(function))
    if not source:
        return _Docs("", {})
    import docstring_parser

    try:
        parsed = docstring_parser.parse(source)
    except docstring_parser.ParseError:
        return _Docs(source, {})
    texts = [parsed.short_description, parsed.long_description]
    described = {
        name.strip(): inspect.cleandoc(entry.description or "")
        for entry in parsed.params
        if entry.args[0] != "attribute"
        for name in entry.arg_name.lstrip("*").split(",")
    }
    return _Docs("\n\n".join(text.strip() for text in texts if text), described)


# --- schema -----------------------------------------------------------------------------------


def _schema(function: Callable[..., object], parameters: list[Parameter]) -> JsonObject:
    for parameter in parameters:
        try:
            collect_schema([parameter.annotation], describe_foreign)
        except NameError as error:
            _refuse(
                function,
                parameter.name,
                f"uses a class whose own annotations cannot be read: {error}",
                "define that class, and what it refers to, at module level",
            )
        except (TypeError, ValueError) as error:
            reason = str(error).strip().splitlines()[-1]
            _refuse(
                function,
                parameter.name,
                f"has a type that no schema can be made for: {reason}",
                "use str, int, float, bool, list, dict, Literal, Enum, a dataclass, TypedDict or "
                "msgspec Struct (tagged Structs for a union of objects)",
            )
    annotations = [parameter.annotation for parameter in parameters]
    schemas, definitions = collect_schema(annotations, describe_foreign)
    properties: JsonObject = {}
    for parameter, schema in zip(parameters, schemas, strict=True):
        properties[parameter.name] = _property(parameter, schema)
    result: JsonObject = {"type": "object", "properties": properties}
    required = [parameter.name for parameter in parameters if parameter.required]
    if required:
        result["required"] = required
    if definitions:
        result["$defs"] = definitions
    return result


def _property(parameter: Parameter, schema: JsonObject) -> JsonObject:
    if parameter.default is None:
        schema = without_null(schema)  # leaving it out says the same
    described = parameter.description or schema.get("description")
    result = {key: value for key, value in schema.items() if key != "description"}
    if described:
        result["description"] = described
    if parameter.default is not None and not parameter.required:
        try:
            result["default"] = to_plain(parameter.default)
        except (TypeError, ValueError):
            result.pop("default", None)  # a marker object of the function's own
    return result
