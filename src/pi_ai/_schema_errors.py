"""What is wrong with tool arguments, in the words and the order a model reads them.

`jsonschema-rs` finds the errors; here each gets its path and message, a union is reported by its
most likely branch, and all are sorted as the schema reads. Source: ai-core spec, section 9.2.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pi_ai._coercion import json_equal, json_type
from pi_ai._schema import (
    LIST_KEYWORDS,
    MAP_KEYWORDS,
    SCHEMA_KEYWORDS,
    ParameterSchema,
    constant_of,
    is_array,
    is_object,
)
from pi_ai.json_text import js_json, parse_json
from pi_ai.types import JsonObject, JsonValue

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError

__all__ = ("Problem", "find_problems")

_MAX_ENUM_VALUES = 20
# In unions that contain themselves, each level multiplies the errors by the number of branches.
_MAX_UNION_DEPTH = 16
_Path: TypeAlias = tuple[str | int, ...]
_Order: TypeAlias = tuple[tuple[int, int], ...]
_Found: TypeAlias = tuple[_Order, "Problem"]

_RANKS = (
    ("type",),
    ("enum",),
    ("const",),
    ("minLength",),
    ("maxLength",),
    ("pattern",),
    ("format",),
    ("minimum",),
    ("maximum",),
    ("exclusiveMinimum",),
    ("exclusiveMaximum",),
    ("multipleOf",),
    ("required",),
    ("properties",),
    ("patternProperties", "additionalProperties"),
    ("propertyNames",),
    ("minProperties",),
    ("maxProperties",),
    ("dependentRequired", "dependencies"),
    ("dependentSchemas",),
    ("minItems",),
    ("maxItems",),
    ("uniqueItems",),
    ("prefixItems", "items"),
    ("contains", "minContains", "maxContains"),
    ("allOf",),
    ("anyOf",),
    ("oneOf",),
    ("not",),
    ("if", "then", "else"),
    ("$ref", "$dynamicRef"),
    ("unevaluatedProperties", "unevaluatedItems"),
)
"""Keywords in the order in which their errors are told; those of one row are told together."""

_RANK = {keyword: rank for rank, row in enumerate(_RANKS) for keyword in row}
_INTO_PROPERTY = frozenset(
    {"additionalProperties", "patternProperties", "properties", "unevaluatedProperties"}
)
_INTO_ITEM = frozenset({"contains", "items", "prefixItems", "unevaluatedItems"})
_LIMITS = {
    "minLength": "expected at least {} characters",
    "maxLength": "expected at most {} characters",
    "pattern": "expected to match {}",
    "format": "expected format {}",
    "minimum": "expected >= {}",
    "maximum": "expected <= {}",
    "exclusiveMinimum": "expected > {}",
    "exclusiveMaximum": "expected < {}",
    "multipleOf": "expected a multiple of {}",
    "minItems": "expected at least {} items",
    "maxItems": "expected at most {} items",
    "minProperties": "expected at least {} properties",
    "maxProperties": "expected at most {} properties",
}
_FIXED = {
    "uniqueItems": "expected unique items",
    "not": "must not match the schema in not",
}


class Problem(NamedTuple):
    """One fault: where it is in the arguments, and what was expected there."""

    path: tuple[str | int, ...]
    message: str


def find_problems(value: JsonValue, schema: ParameterSchema) -> list[Problem]:
    """Everything wrong with `value`, which `schema` does not accept, in the order of the schema.

    Raises `InvalidSchemaError`, RecursionError.
    """
    if schema.has_recursive_unions and _depth(value) > _MAX_UNION_DEPTH:
        return [Problem((), "does not match the schema, and is nested too deeply to say where")]
    errors = schema.errors(value)
    found = sorted(_Report(schema, value).tell(errors), key=lambda pair: pair[0])
    # An error without words of ours must not pass for none.
    unworded = (Problem(tuple(error.instance_path), error.message) for error in errors)
    return list(dict.fromkeys(problem for _, problem in found) or unworded)


@dataclass
class _Place:
    """Where an error arose: the schema node, the value it judged, and its rank among errors."""

    node: Any
    value: Any
    order: _Order
    path: _Path
    keyword: str


class _Report:
    def __init__(self, schema: ParameterSchema, value: JsonValue) -> None:
        self._schema = schema
        self._value = value

    def tell(self, errors: Sequence[ValidationError]) -> Iterator[_Found]:
        """Messages of `errors`, without those that a wrong type makes pointless."""
        mistyped = {
            (tuple(error.evaluation_path[:-1]), tuple(error.instance_path))
            for error in errors
            if error.kind.name == "type"
        }
        for error in errors:
            if error.kind.name == "type" or not _below(error, mistyped):
                yield from self._tell_one(error)

    def _tell_one(self, error: ValidationError) -> Iterator[_Found]:
        place = self._locate(error)
        node = _members(place.node)
        match error.kind.name:
            case "required":
                yield from _missing(place, node, error)
            case "additionalProperties" | "unevaluatedProperties":
                yield from _unknown(place, error)
            case "unevaluatedItems":
                yield from _unexpected_items(place, error)
            case "propertyNames":
                yield from _misnamed(place, error)
            case "anyOf" | "oneOf":
                yield from self._tell_union(place, node, error)
            case keyword:
                yield place.order, Problem(place.path, _message(keyword, place, node, error))

    def _tell_union(
        self, place: _Place, node: JsonObject, error: ValidationError
    ) -> Iterator[_Found]:
        kind: Any = error.kind
        context: list[list[ValidationError]] = kind.context
        if any(not errors for errors in context):
            yield place.order, Problem(place.path, "matches more than one alternative")
            return
        branches = [self._schema.definition(branch) for branch in node.get(error.kind.name, [])]
        if is_object(place.value) and (tag := _tag(branches)):
            name, values = tag
            if name in place.value:
                yield from self._tell_tagged(place, name, values, context)
                return
        told = [sorted(self.tell(errors), key=lambda pair: pair[0]) for errors in context]
        best = max(range(len(told)), key=lambda index: _likeness(place, branches, told, index))
        if not told[best]:
            yield place.order, Problem(place.path, "matches no alternative")
        yield from told[best]

    def _tell_tagged(
        self,
        place: _Place,
        name: str,
        values: list[JsonValue],
        context: list[list[ValidationError]],
    ) -> Iterator[_Found]:
        """Messages of the branch that the tag `name` of the value names."""
        given = _child(place.value, name)
        for value, errors in zip(values, context, strict=True):
            if json_equal(given, value):
                yield from self.tell(errors)
                return
        yield place.order, Problem((*place.path, name), _one_of(values))

    def _locate(self, error: ValidationError) -> _Place:
        """Follow an error's way through schema and value."""
        node: Any = self._schema.root
        value: Any = self._value
        order: list[tuple[int, int]] = []
        steps = iter(error.evaluation_path)
        path = tuple(error.instance_path)
        depth = 0
        name = ""
        for step in steps:
            name = str(step)
            enters = name in _INTO_PROPERTY or name in _INTO_ITEM
            taken = _step_into(node, name, steps)
            rank = 0
            if taken is not None and not (enters and depth == len(path)):
                inner, index = taken
                rank = index
                if enters:
                    rank = _position(node, value, name, path[depth])
                    value = _child(value, path[depth])
                    depth += 1
                elif name == "$ref":
                    target = self._schema.resolve(str(inner))
                    inner = target[1] if target else None
                node = inner
            order.append((_RANK.get(name, len(_RANKS)), rank))
        return _Place(node, value, tuple(order), path, name)


def _step_into(node: Any, keyword: str, steps: Iterator[str | int]) -> tuple[Any, int] | None:
    """The schema a keyword leads to, and its place in a list; None where the keyword judges."""
    inner = _child(node, keyword)
    if keyword in LIST_KEYWORDS or keyword in MAP_KEYWORDS:
        key = next(steps, None)
        if key is None:
            return None
        return _child(inner, key), key if isinstance(key, int) else 0
    return (inner, 0) if keyword in SCHEMA_KEYWORDS or keyword == "$ref" else None


def _child(value: Any, key: str | int) -> Any:
    if is_object(value):
        return value.get(str(key))
    if is_array(value) and isinstance(key, int) and key < len(value):
        return value[key]
    return None


def _depth(value: Any) -> int:
    children = value.values() if is_object(value) else value if is_array(value) else ()
    return 1 + max(map(_depth, children), default=0)


def _position(node: Any, value: Any, keyword: str, key: str | int) -> int:
    """Where a property or item comes: in the schema if it is named there, else in the value."""
    if isinstance(key, int):
        return key
    owner = _child(node, "properties") if keyword == "properties" else value
    return _index(owner, key)


def _index(owner: Any, key: str) -> int:
    keys = list(_members(owner))
    return keys.index(key) if key in keys else len(keys)


def _below(error: ValidationError, mistyped: set[tuple[_Path, _Path]]) -> bool:
    """Whether a node above the error, or its own, has the wrong type."""
    if not mistyped:
        return False
    way = tuple(error.evaluation_path)
    path = tuple(error.instance_path)
    return any(way[: len(w)] == w and path[: len(p)] == p for w, p in mistyped)


# --- messages ---------------------------------------------------------------------------------


def _message(keyword: str, place: _Place, node: JsonObject, error: ValidationError) -> str:
    kind: Any = error.kind
    stated = node.get(place.keyword)
    if keyword == "type":
        types = [stated] if isinstance(stated, str) else stated or kind.types
        return f"expected {' or '.join(types)}, got {json_type(place.value)}"
    if keyword == "enum":
        return _one_of(node.get("enum", kind.as_dict().get("options", [])))
    if keyword == "const":
        return f"expected {js_json(node.get('const', kind.as_dict().get('expected_value')))}"
    if keyword == "falseSchema":
        return "no value is allowed here"
    if keyword == "contains":
        return _contains(node)
    if keyword in _LIMITS and place.keyword == keyword:
        limit = stated if isinstance(stated, str) else js_json(stated)
        return _LIMITS[keyword].format(limit)
    return _FIXED.get(keyword) or error.message


def _one_of(values: Sequence[JsonValue]) -> str:
    shown = ",".join(js_json(value) for value in values[:_MAX_ENUM_VALUES])
    more = len(values) - _MAX_ENUM_VALUES
    return f"expected one of [{shown}{f', ... and {more} more' if more > 0 else ''}]"


def _contains(node: JsonObject) -> str:
    least = node.get("minContains", 1)
    most = node.get("maxContains")
    if most is None:
        return f"expected at least {js_json(least)} matching item(s)"
    if "minContains" not in node:
        return f"expected at most {js_json(most)} matching item(s)"
    return f"expected between {js_json(least)} and {js_json(most)} matching items"


def _missing(place: _Place, node: JsonObject, error: ValidationError) -> Iterator[_Found]:
    kind: Any = error.kind
    name: str = kind.property
    path = (*place.path, name)
    if place.keyword == "required":
        required: list[str] = node.get("required", [])
        rank = required.index(name) if name in required else 0
        yield (*place.order[:-1], (_RANK["required"], rank)), Problem(path, "missing")
        return
    rules: JsonObject = node.get(place.keyword, {})
    for rank, (key, wanted) in enumerate(rules.items()):
        if isinstance(wanted, list) and name in wanted and _has(place.value, key):
            order = (*place.order[:-1], (place.order[-1][0], rank))
            yield order, Problem(path, f"required when {key} is present")


def _has(value: Any, key: str) -> bool:
    return is_object(value) and key in value


def _unknown(place: _Place, error: ValidationError) -> Iterator[_Found]:
    kind: Any = error.kind
    for key in kind.unexpected:
        order = (*place.order[:-1], (place.order[-1][0], _index(place.value, key)))
        yield order, Problem((*place.path, key), "unknown field")


def _unexpected_items(place: _Place, error: ValidationError) -> Iterator[_Found]:
    """The library gives the items, not where they are: find them from the end."""
    kind: Any = error.kind
    unexpected = [str(text) for text in kind.unexpected]
    items = place.value if is_array(place.value) else []
    for index in range(len(items) - 1, -1, -1):
        if unexpected and _same_json(items[index], unexpected[-1]):
            unexpected.pop()
            order = (*place.order[:-1], (place.order[-1][0], index))
            yield order, Problem((*place.path, index), "unexpected item")


def _same_json(value: Any, text: str) -> bool:
    try:
        return json_equal(parse_json(text), value)
    except ValueError:
        return False


def _misnamed(place: _Place, error: ValidationError) -> Iterator[_Found]:
    kind: Any = error.kind
    name = str(kind.error.instance)
    position = len(place.order) - 2
    order = (*place.order[:position], (_RANK["propertyNames"], _index(place.value, name)))
    yield order, Problem((*place.path, name), "invalid property name")


# --- unions -----------------------------------------------------------------------------------


def _tag(branches: list[JsonObject]) -> tuple[str, list[JsonValue]] | None:
    """The property whose constant tells the branches apart, with the constant of each."""
    if not branches:
        return None
    for name in _members(branches[0].get("properties")):
        values: list[JsonValue] = []
        for branch in branches:
            constant = constant_of(_members(branch.get("properties")).get(name))
            if not constant or any(json_equal(constant[0], value) for value in values):
                break
            values.append(constant[0])
        else:
            return name, values
    return None


def _members(node: Any) -> JsonObject:
    return node if is_object(node) else {}


def _likeness(
    place: _Place, branches: list[JsonObject], told: list[list[_Found]], index: int
) -> tuple[int, int]:
    """How well a branch fits what was sent: keys it declares, then depth of its first fault."""
    branch = branches[index] if index < len(branches) else {}
    declared = _members(branch.get("properties"))
    known = sum(1 for key in _members(place.value) if key in declared)
    return known, len(told[index][0][1].path) if told[index] else 0
