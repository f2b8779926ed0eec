"""JSON Schemas of Python types, tidy enough to be read by a model.

What msgspec makes is right but noisy: titles, a reference for every class. Here definitions move
to where they are used, except where a class refers to itself or a large one is used repeatedly.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeGuard

import msgspec

from pi_ai import JsonObject, JsonValue

__all__ = ("collect_schema", "without_null")

_PREFIX = "#/$defs/"
_NOISE = frozenset({"discriminator", "title"})
# Their values are data, or names, in which nothing may be changed.
_DATA = frozenset({"const", "default", "enum", "examples", "required"})
_NAMED = frozenset({"$defs", "definitions", "patternProperties", "properties"})


def collect_schema(
    annotations: Sequence[Any], describe: Callable[[type], JsonObject]
) -> tuple[list[JsonObject], JsonObject]:
    """A schema per annotation, and the definitions that they refer to as `#/$defs/NAME`.

    `describe` gives the schema of types that msgspec does not know, or raises
    NotImplementedError. Raises TypeError or ValueError for annotations without a schema.
    """
    schemas, definitions = msgspec.json.schema_components(
        annotations, schema_hook=describe, ref_template=_PREFIX + "{name}"
    )
    named: JsonObject = {}
    tidy: list[JsonObject] = [_tidy(schema, named) for schema in schemas]
    for name, node in definitions.items():
        _add(named, name, _tidy(node, named))
    kept = _shared(tidy, named)
    inlined = [_inline(schema, named, kept) for schema in tidy]
    used = {name: _inline(named[name], named, kept) for name in named if name in kept}
    return inlined, used


def without_null(schema: JsonObject) -> JsonObject:
    """`schema` without null among its alternatives, for a parameter that may be left out."""
    branches: list[Any] = schema.get("anyOf", [])
    others = [branch for branch in branches if branch != {"type": "null"}]
    rest = {key: value for key, value in schema.items() if key not in {"anyOf", "default"}}
    if others and len(others) < len(branches):
        return {**others[0], **rest} if len(others) == 1 else {"anyOf": others, **rest}
    if "enum" in schema and None in schema["enum"]:
        return _typed({**rest, "enum": [value for value in schema["enum"] if value is not None]})
    return schema


def _is_object(value: object) -> TypeGuard[JsonObject]:
    return isinstance(value, dict)


def _is_array(value: object) -> TypeGuard[list[JsonValue]]:
    return isinstance(value, list)


def _add(named: JsonObject, name: str, schema: JsonObject) -> None:
    if named.setdefault(name, schema) != schema:
        raise ValueError(f"two different types are called {name}; rename one")


def _tidy(node: Any, named: JsonObject) -> Any:
    """`node` without noise; definitions inside it, as pydantic makes them, go to `named`."""
    if _is_array(node):
        return [_tidy(item, named) for item in node]
    if not _is_object(node):
        return node
    result: JsonObject = {}
    for keyword, value in node.items():
        if keyword in _NOISE or (keyword == "required" and not value):
            continue
        if keyword == "description" and isinstance(value, str):
            result[keyword] = inspect.cleandoc(value)
        elif keyword in _DATA:
            result[keyword] = value
        elif keyword == "$defs" and _is_object(value):
            for name, item in value.items():
                _add(named, name, _tidy(item, named))
        elif keyword in _NAMED and _is_object(value):
            result[keyword] = {key: _tidy(item, named) for key, item in value.items()}
        else:
            result[keyword] = _tidy(value, named)
    return _typed(result)


def _typed(schema: JsonObject) -> JsonObject:
    """An enum of one JSON type says so: some providers insist."""
    members: list[Any] = schema.get("enum", [])
    for kind, name in ((str, "string"), (int, "integer")):
        if members and "type" not in schema and all(type(member) is kind for member in members):
            return {"type": name, **schema}
    return schema


def _references(node: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to directly."""
    if _is_array(node):
        for item in node:
            yield from _references(item)
    elif _is_object(node):
        target = node.get("$ref")
        if isinstance(target, str) and target.startswith(_PREFIX):
            yield target.removeprefix(_PREFIX)
        for keyword, value in node.items():
            if keyword in _NAMED and _is_object(value):
                yield from _references(list(value.values()))
            elif keyword not in _DATA:
                yield from _references(value)


def _shared(schemas: list[JsonObject], named: JsonObject) -> set[str]:
    """Definitions that must stay: those that contain themselves, and large ones used twice."""
    uses = Counter(_references([*schemas, *named.values()]))
    shared: set[str] = set()
    for name, node in named.items():
        if uses[name] > 1 and "properties" in node:
            shared.add(name)
        reached: set[str] = set()
        waiting = list(_references(node))
        while waiting:
            other = waiting.pop()
            if other not in reached:
                reached.add(other)
                waiting.extend(_references(named.get(other)))
        if name in reached:
            shared.add(name)
    return shared


def _inline(node: Any, named: JsonObject, kept: set[str]) -> Any:
    if _is_array(node):
        return [_inline(item, named, kept) for item in node]
    if not _is_object(node):
        return node
    result: JsonObject = {}
    for keyword, value in node.items():
        if keyword in _NAMED and _is_object(value):
            result[keyword] = {key: _inline(item, named, kept) for key, item in value.items()}
        else:
            result[keyword] = value if keyword in _DATA else _inline(value, named, kept)
    target = str(result.get("$ref", ""))
    name = target.removeprefix(_PREFIX)
    if name in named and name not in kept:
        del result["$ref"]
        return {**_inline(named[name], named, kept), **result}
    return result
