"""Turns a tool's JSON Schema into the subset that providers sample under constraint. Pure.

Source: providers spec, section 3.6.
"""

from __future__ import annotations

from typing import cast

from pi_ai.json_text import js_json
from pi_ai.types import JsonObject, JsonValue, Tool

__all__ = ("StrictSchemaError", "build_strict_schema", "resolve_strict_schema")

_UNSUPPORTED = (
    "$ref",
    "$defs",
    "definitions",
    "allOf",
    "oneOf",
    "patternProperties",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
    "propertyNames",
    "contains",
    "prefixItems",
    "not",
    "if",
    "then",
    "else",
)
_UNSUPPORTED_BY_ANTHROPIC = (
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
)
_ANTHROPIC_FORMATS = (
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
)


class StrictSchemaError(ValueError):
    """A schema has no strict form; the text says why: `$ref schemas are unsupported`."""


def resolve_strict_schema(
    tool: Tool, *, supported: bool, anthropic: bool = False
) -> JsonObject | None:
    """The strict form of a tool's schema, None for a tool that is sent as it is.

    `supported`: the server takes strict tools. Raises ValueError where the tool requires strict
    sampling and cannot have it.
    """
    sampling = tool.constrained_sampling or {}
    if sampling.get("type") != "json_schema":
        return None
    reason = "strict tools are unsupported"
    if supported:
        try:
            return build_strict_schema(tool.parameters, anthropic=anthropic)
        except StrictSchemaError as error:
            reason = str(error)
    if sampling.get("strict") != "require":
        return None
    raise ValueError(f'Tool "{tool.name}" requires JSON-schema constrained sampling, but {reason}.')


def build_strict_schema(schema: JsonObject, *, anthropic: bool = False) -> JsonObject:
    """`schema` with every object closed and every property required; shares nothing with it.

    An optional property takes null for absence. `anthropic` refuses the keywords that only
    Anthropic's grammars lack. An object without `properties` is an open map, which has no strict
    form; at the root it means a tool without parameters. Raises `StrictSchemaError`.
    """
    if schema.get("type") != "object":
        raise StrictSchemaError("root schema must have type object")
    return _Conversion(anthropic).node({"properties": {}, **schema})


class _Conversion:
    def __init__(self, anthropic: bool) -> None:
        self._anthropic = anthropic

    def node(self, value: JsonValue) -> JsonObject:
        """The strict form of one schema, at whatever depth."""
        if not isinstance(value, dict):
            raise StrictSchemaError("boolean schemas are unsupported")
        schema = cast("JsonObject", value)
        self._require_known_keywords(schema)
        strict: JsonObject = {key: _copy(item) for key, item in schema.items()}
        if "anyOf" in schema:
            strict["anyOf"] = self._variants(schema["anyOf"])
        if "items" in schema:
            if isinstance(schema["items"], list):
                raise StrictSchemaError("tuple schemas are unsupported")
            strict["items"] = self.node(schema["items"])
        if "properties" in schema and schema.get("type") != "object":
            raise StrictSchemaError("properties require type object")
        if schema.get("additionalProperties", False) is not False:
            raise StrictSchemaError("schema-valued or true additionalProperties is unsupported")
        if "object" in _types(schema):
            self._close(schema, strict)
        return strict

    def _require_known_keywords(self, schema: JsonObject) -> None:
        for key in _UNSUPPORTED:
            if key in schema:
                raise StrictSchemaError(f"{key} schemas are unsupported")
        if not self._anthropic:
            return
        unknown = [key for key in _UNSUPPORTED_BY_ANTHROPIC if key in schema]
        if schema.get("minItems", 0) not in (0, 1):
            unknown.append("minItems")
        if "format" in schema and schema["format"] not in _ANTHROPIC_FORMATS:
            unknown.append("format")
        if unknown:
            key = unknown[0]
            raise StrictSchemaError(f"{key}: {js_json(schema[key])} is unsupported")

    def _variants(self, value: JsonValue) -> list[JsonObject]:
        variants = cast("list[JsonValue]", value) if isinstance(value, list) else []
        if not variants:
            raise StrictSchemaError("anyOf must contain at least one schema")
        if any(_holds_values(variant) for variant in variants):
            raise StrictSchemaError("object and array unions are unsupported")
        return [self.node(variant) for variant in variants]

    def _close(self, schema: JsonObject, strict: JsonObject) -> None:
        """Make `strict` an object of exactly the properties of `schema`, all of them required."""
        told: JsonValue = schema.get("properties")
        if not isinstance(told, dict):
            raise StrictSchemaError("object properties must be a schema map")
        properties = cast("JsonObject", told)
        required = _required(schema)
        if not required <= properties.keys():
            raise StrictSchemaError("required contains an unknown property")
        closed: JsonObject = {}
        for name, value in properties.items():
            converted = self.node(value)
            if name not in required and not _allows_null(converted):
                converted = {"anyOf": [converted, {"type": "null"}]}
            closed[name] = converted
        strict["properties"] = closed
        strict["required"] = list(closed)
        strict["additionalProperties"] = False


def _required(schema: JsonObject) -> set[str]:
    told: JsonValue = schema.get("required", [])
    names = cast("list[JsonValue]", told) if isinstance(told, list) else [None]
    found = {name for name in names if isinstance(name, str)}
    if not all(isinstance(name, str) for name in names):
        raise StrictSchemaError("object required must be a string array")
    return found


def _types(schema: JsonObject) -> list[JsonValue]:
    told: JsonValue = schema.get("type")
    return cast("list[JsonValue]", told) if isinstance(told, list) else [told]


def _holds_values(value: JsonValue) -> bool:
    """Whether a schema is that of an object or an array."""
    if not isinstance(value, dict):
        return False
    schema = cast("JsonObject", value)
    types = _types(schema)
    return "object" in types or "array" in types or "properties" in schema or "items" in schema


def _allows_null(schema: JsonObject) -> bool:
    if "type" in schema and "null" not in _types(schema):
        return False
    choices: JsonValue = schema.get("enum", [None])
    if not isinstance(choices, list) or None not in choices or schema.get("const") is not None:
        return False
    return "anyOf" not in schema or any(_allows_null(variant) for variant in schema["anyOf"])


def _copy(value: JsonValue) -> JsonValue:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in cast("JsonObject", value).items()}
    if isinstance(value, list):
        return [_copy(item) for item in cast("list[JsonValue]", value)]
    return value
