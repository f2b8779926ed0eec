"""Make tool arguments fit their schema where nothing is lost by it.

Models write `"5"` for 5, a JSON text for an array, null for "not given". Such values are turned
into what the schema asks for; whatever would lose or invent information stays as it is, for
validation to reject. Source: ai-core spec, section 9.1, in the lossless form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from pi_ai._schema import ParameterSchema, child_pointer, constant_of, is_array, is_object
from pi_ai.json_text import copy_json, js_json, parse_json
from pi_ai.types import JsonObject, JsonValue

__all__ = ("coerce", "json_equal", "json_type")

_DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_PLAIN_INTEGER = re.compile(r"[+-]?[0-9]+")
_PREFIXED = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)")
_MAX_EXPONENT = 308
_EXACT_FLOAT = 2**53
# Conversions tried inside unions in one walk: nested unions multiply them.
_MAX_TRIALS = 2_000
# What a type list tries, in order. Texts of a list or object come last.
_LIST_ORDER = ("number", "integer", "boolean", "string", "null", "object", "array")


def coerce(value: JsonValue, schema: ParameterSchema) -> JsonValue:
    """A private deep copy of `value`, with all lossless conversions that `schema` asks for.

    The result need not be valid. Raises `InvalidSchemaError`, RecursionError.
    """
    return _Coercion(schema).fit(copy_json(value), schema.root, "#")


def json_type(value: JsonValue) -> str:
    """The JSON type of `value`; an integral number is an `integer`."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case list() | tuple():
            return "array"
        case _:
            return "object"


def json_equal(left: JsonValue, right: JsonValue) -> bool:
    """JSON equality: 1 equals 1.0, but not true."""
    if is_array(left) and is_array(right):
        return len(left) == len(right) and all(map(json_equal, left, right))
    if is_object(left) and is_object(right):
        return left.keys() == right.keys() and all(
            json_equal(left[key], right[key]) for key in left
        )
    return isinstance(left, bool) == isinstance(right, bool) and left == right


class _Coercion:
    """One walk over a value and its schema. Nothing is changed in place."""

    def __init__(self, schema: ParameterSchema) -> None:
        self._schema = schema
        self._trials = 0

    def fit(
        self,
        value: Any,
        node: Any,
        at: str,
        *,
        wrap: bool = True,
        followed: frozenset[str] = frozenset(),
    ) -> Any:
        """`value` as the schema `node` at the pointer `at` would have it.

        `wrap`: a single value may become a list. `followed`: references already applied here.
        """
        if not is_object(node):
            return value
        reference = node.get("$ref")
        if isinstance(reference, str) and reference not in followed:
            target = self._schema.resolve(reference)
            if target is not None:
                trail = followed | {reference}
                value = self.fit(value, target[1], target[0], wrap=wrap, followed=trail)
        value = _fit_members(value, node)
        value = _fit_type(value, node, wrap=wrap)
        for index, member in enumerate(_branches(node, "allOf")):
            pointer = child_pointer(at, "allOf", index)
            value = self.fit(value, member, pointer, wrap=wrap, followed=followed)
        for keyword in ("anyOf", "oneOf"):
            if branches := _branches(node, keyword):
                value = self._fit_union(value, branches, child_pointer(at, keyword), followed)
        if is_object(value):
            return self._fit_object(value, node, at)
        if is_array(value):
            return self._fit_array(value, node, at)
        return value

    def _fit_union(self, value: Any, branches: list[Any], at: str, followed: frozenset[str]) -> Any:
        """The branch that accepts the value as it is, else the first that accepts it converted.

        Wrapping a value in a list is tried only when no branch takes the value itself.
        """
        places = [
            (branch, child_pointer(at, index))
            for index, branch in enumerate(branches)
            if not self._contradicts(value, branch)
        ]
        for branch, pointer in places:
            if self._schema.accepts(value, pointer):
                return self.fit(value, branch, pointer, wrap=False, followed=followed)
        for candidate in (value, [value]) if _can_wrap(value) else (value,):
            for branch, pointer in places:
                if candidate is not value and not self._wants_array(branch):
                    continue
                self._trials += 1
                if self._trials > _MAX_TRIALS:
                    return value
                converted = self.fit(candidate, branch, pointer, wrap=False, followed=followed)
                if self._schema.accepts(converted, pointer):
                    return converted
        return value

    def _contradicts(self, value: Any, branch: Any) -> bool:
        """Whether a constant property, such as a tag, rules the branch out."""
        if not is_object(value):
            return False
        properties = self._schema.definition(branch).get("properties")
        if not is_object(properties):
            return False
        for key in value.keys() & properties.keys():
            for constant in constant_of(properties[key]):
                same_type = json_type(value[key]) == json_type(constant)
                if same_type and not json_equal(value[key], constant):
                    return True
        return False

    def _wants_array(self, branch: Any) -> bool:
        """Whether a schema asks for a list in so many words."""
        definition = self._schema.definition(branch)
        return "array" in _type_list(definition.get("type", _implied_type(definition)))

    def _fit_object(self, value: JsonObject, schema: JsonObject, at: str) -> JsonObject:
        required = schema.get("required", ())
        fitted: JsonObject = {}
        for key, item in value.items():
            places = self._property_places(key, schema, at)
            if item is None and key not in required and not self._accept_null(places):
                continue
            for node, pointer in places:
                item = self.fit(item, node, pointer)
            fitted[key] = item
        return fitted

    def _fit_array(self, value: list[Any], schema: JsonObject, at: str) -> list[Any]:
        prefix = _branches(schema, "prefixItems")
        rest = schema.get("items")
        rest_at = child_pointer(at, "items")
        return [
            self.fit(item, prefix[index], child_pointer(at, "prefixItems", index))
            if index < len(prefix)
            else self.fit(item, rest, rest_at)
            for index, item in enumerate(value)
        ]

    def _property_places(self, key: str, schema: JsonObject, at: str) -> list[tuple[Any, str]]:
        """The schemas that apply to the property `key`, with their pointers."""
        places: list[tuple[Any, str]] = []
        properties = schema.get("properties")
        if is_object(properties) and key in properties:
            places.append((properties[key], child_pointer(at, "properties", key)))
        patterns = schema.get("patternProperties")
        if is_object(patterns):
            places.extend(
                (node, child_pointer(at, "patternProperties", pattern))
                for pattern, node in patterns.items()
                if self._schema.matches(pattern, key)
            )
        if not places and isinstance(schema.get("additionalProperties"), dict):
            pointer = child_pointer(at, "additionalProperties")
            places.append((schema["additionalProperties"], pointer))
        return places

    def _accept_null(self, places: list[tuple[Any, str]]) -> bool:
        for node, pointer in places:
            types = node.get("type") if is_object(node) else None
            if types is not None and "null" not in _type_list(types):
                return False
            if not self._schema.accepts(None, pointer):
                return False
        return True


def _branches(schema: JsonObject, keyword: str) -> list[Any]:
    found = schema.get(keyword)
    return found if is_array(found) else []


def _type_list(types: Any) -> list[Any]:
    return [types] if isinstance(types, str) else list(types)


def _fit_members(value: Any, schema: JsonObject) -> Any:
    """Convert to the `const`, or to the first member of the `enum`, that `value` stands for."""
    members = [schema["const"]] if "const" in schema else _branches(schema, "enum")
    if any(json_equal(value, member) for member in members):
        return value
    for member in members:
        converted = _convert(value, json_type(member), wrap=False)
        if json_equal(converted, member):
            return converted
    return value


def _fit_type(value: Any, schema: JsonObject, *, wrap: bool) -> Any:
    types = schema.get("type")
    if types is None:
        types = _implied_type(schema)
    if isinstance(types, str):
        return _convert(value, types, wrap=wrap)
    listed = _type_list(types)
    actual = json_type(value)
    if actual in listed or (actual == "integer" and "number" in listed):
        return _convert(value, actual, wrap=False)
    for candidate in _LIST_ORDER:
        if candidate in listed:
            converted = _convert(value, candidate, wrap=wrap)
            if converted is not value:
                return converted
    return value


def _implied_type(schema: JsonObject) -> str | list[str]:
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema or "prefixItems" in schema else []


def _convert(value: Any, wanted: str, *, wrap: bool) -> Any:
    """`value` as JSON type `wanted` if that loses nothing, else the same object."""
    if wanted == "array" and wrap and _can_wrap(value):
        parsed = _to_array(value)
        return [value] if parsed is value else parsed
    convert = _CONVERSIONS.get(wanted)
    return value if convert is None else convert(value)


def _can_wrap(value: Any) -> bool:
    return value is not None and not isinstance(value, list)


def _to_string(value: Any) -> Any:
    if isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return js_json(value)
    return value


def _to_number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.strip()
    if _PREFIXED.fullmatch(text) or _PLAIN_INTEGER.fullmatch(text):
        return _to_integer(value)
    if not _DECIMAL.fullmatch(text):
        return value
    number = float(text)
    if not math.isfinite(number):
        return value
    return int(number) if number.is_integer() and abs(number) < _EXACT_FLOAT else number


def _to_integer(value: Any) -> Any:
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if not isinstance(value, str):
        return value
    text = value.strip()
    if _PREFIXED.fullmatch(text):
        return int(text, 0)
    if not _DECIMAL.fullmatch(text):
        return value
    number = Decimal(text)
    if number.adjusted() > _MAX_EXPONENT or number != number.to_integral_value():
        return value
    return int(number)


def _to_boolean(value: Any) -> Any:
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str):
        return {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
    return value


def _to_null(value: Any) -> Any:
    return None if value == "null" else value


def _to_object(value: Any) -> Any:
    return _parsed(value, "{", dict)


def _to_array(value: Any) -> Any:
    return _parsed(value, "[", list)


def _parsed(value: Any, opening: str, kind: type) -> Any:
    if not isinstance(value, str) or not value.lstrip().startswith(opening):
        return value
    try:
        found = parse_json(value)
    except ValueError:
        return value
    return found if isinstance(found, kind) else value


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {
    "array": _to_array,
    "boolean": _to_boolean,
    "integer": _to_integer,
    "null": _to_null,
    "number": _to_number,
    "object": _to_object,
    "string": _to_string,
}
