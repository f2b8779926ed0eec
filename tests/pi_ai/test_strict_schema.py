"""Schemas for constrained sampling. Providers spec, section 3.6."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_ai import Tool
from pi_ai.strict_schema import StrictSchemaError, build_strict_schema, resolve_strict_schema

NULL = {"type": "null"}
STRING = {"type": "string"}


def of(properties: Any, *required: str, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), **more}


def closed(**properties: Any) -> dict[str, Any]:
    return of(properties, *properties, additionalProperties=False)


# --- what converts ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        pytest.param(
            of({"a": STRING, "b": {"type": "number"}, "c": {"type": ["string", "null"]}}, "a"),
            closed(
                a=STRING,
                b={"anyOf": [{"type": "number"}, NULL]},
                c={"type": ["string", "null"]},
            ),
            id="23-optional-properties-take-null",
        ),
        pytest.param({"type": "object"}, closed(), id="no-parameters"),
        pytest.param(
            {"type": "object", "properties": {"a": STRING}},
            closed(a={"anyOf": [STRING, NULL]}),
            id="required-may-be-absent",
        ),
        pytest.param(
            of({"o": of({"x": STRING}), "l": {"type": "array", "items": of({"y": STRING})}}, "l"),
            closed(
                o={"anyOf": [closed(x={"anyOf": [STRING, NULL]}), NULL]},
                l={"type": "array", "items": closed(y={"anyOf": [STRING, NULL]})},
            ),
            id="objects-inside-are-closed-too",
        ),
        pytest.param(
            of(
                {
                    "union": {"anyOf": [STRING, NULL]},
                    "choice": {"enum": ["a", None]},
                    "fixed": {"const": None},
                    "anything": {},
                    "typed": {"type": "string", "enum": ["a", None]},
                }
            ),
            closed(
                union={"anyOf": [STRING, NULL]},
                choice={"enum": ["a", None]},
                fixed={"const": None},
                anything={},
                typed={"anyOf": [{"type": "string", "enum": ["a", None]}, NULL]},
            ),
            id="what-allows-null-is-not-wrapped",
        ),
        pytest.param(
            of({"a": {"type": "integer", "description": "d", "default": [1]}}, "a", title="T"),
            {**closed(a={"type": "integer", "description": "d", "default": [1]}), "title": "T"},
            id="other-keywords-stay",
        ),
        pytest.param(
            of({"$ref": STRING, "anyOf": STRING}, "$ref", "anyOf", additionalProperties=False),
            closed(**{"$ref": STRING, "anyOf": STRING}),
            id="properties-named-like-keywords",
        ),
        pytest.param(
            of({"a": {"type": "integer", "minimum": 1}, "b": {**STRING, "format": "x"}}, "a", "b"),
            closed(a={"type": "integer", "minimum": 1}, b={**STRING, "format": "x"}),
            id="limits-where-they-are-supported",
        ),
    ],
)
def test_every_object_is_closed_and_every_property_required(schema: Any, strict: Any) -> None:
    before = copy.deepcopy(schema)
    assert build_strict_schema(schema) == strict
    assert schema == before


def test_order_of_properties_is_kept() -> None:
    strict = build_strict_schema(of({"z": STRING, "a": STRING, "m": STRING}, "m"))
    assert [*strict["properties"]] == strict["required"] == ["z", "a", "m"]


def test_result_shares_nothing_with_the_schema() -> None:
    schema = of({"a": {**STRING, "enum": ["x"], "examples": [{"k": ["v"]}]}}, "a")
    strict = build_strict_schema(schema)
    strict["properties"]["a"]["enum"].append("y")
    strict["properties"]["a"]["examples"][0]["k"].append("w")
    strict["required"].append("b")
    assert schema == of({"a": {**STRING, "enum": ["x"], "examples": [{"k": ["v"]}]}}, "a")


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param({"type": "array", "items": STRING, "minItems": 0}, id="minItems-0"),
        pytest.param({"type": "array", "items": STRING, "minItems": 1}, id="minItems-1"),
        pytest.param({**STRING, "format": "date-time"}, id="known-format"),
        pytest.param({**STRING, "pattern": "a+", "minLength": 1}, id="text-limits"),
    ],
)
def test_anthropic_takes_some_limits(schema: Any) -> None:
    assert build_strict_schema(of({"a": schema}, "a"), anthropic=True) == closed(a=schema)


# --- what does not ----------------------------------------------------------------------------

KEYWORDS = [
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
]
LIMITS = [
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
]
ANY_OF = "anyOf must contain at least one schema"
UNION = "object and array unions are unsupported"
OPEN = "schema-valued or true additionalProperties is unsupported"
REASONS = {
    "root-array": ({"type": "array"}, "root schema must have type object"),
    "root-untyped": ({"properties": {}}, "root schema must have type object"),
    "root-nullable": ({"type": ["object", "null"]}, "root schema must have type object"),
    "boolean-property": (of({"a": True}), "boolean schemas are unsupported"),
    "boolean-items": (
        of({"a": {"type": "array", "items": False}}),
        "boolean schemas are unsupported",
    ),
    "boolean-variant": (of({"a": {"anyOf": [True]}}), "boolean schemas are unsupported"),
    "empty-union": (of({"a": {"anyOf": []}}), ANY_OF),
    "union-no-list": (of({"a": {"anyOf": STRING}}), ANY_OF),
    "object-in-union": (of({"a": {"anyOf": [of({}), NULL]}}), UNION),
    "array-in-union": (of({"a": {"anyOf": [{"type": ["array", "null"]}]}}), UNION),
    "untyped-object-in-union": (of({"a": {"anyOf": [{"properties": {}}]}}), UNION),
    "untyped-array-in-union": (of({"a": {"anyOf": [{"items": STRING}]}}), UNION),
    "tuple": (of({"a": {"type": "array", "items": [STRING]}}), "tuple schemas are unsupported"),
    "properties-untyped": (of({"a": {"properties": {}}}), "properties require type object"),
    "properties-nullable": (
        of({"a": {"type": ["object", "null"], "properties": {}}}),
        "properties require type object",
    ),
    "open": (of({}, additionalProperties=True), OPEN),
    "open-with-schema": (of({}, additionalProperties=STRING), OPEN),
    "open-inside": (of({"a": of({}, additionalProperties={})}), OPEN),
    "properties-no-map": (of([]), "object properties must be a schema map"),
    "map-of-anything": (of({"a": {"type": "object"}}), "object properties must be a schema map"),
    "required-no-list": (
        {"type": "object", "properties": {"a": STRING}, "required": "a"},
        "object required must be a string array",
    ),
    "required-of-numbers": (
        {"type": "object", "properties": {"a": STRING}, "required": [1]},
        "object required must be a string array",
    ),
    "required-unknown": (of({"a": STRING}, "b"), "required contains an unknown property"),
    **{key: (of({"a": {key: {}}}), f"{key} schemas are unsupported") for key in KEYWORDS},
    "root-keyword": (of({}, **{"$defs": {}}), "$defs schemas are unsupported"),
}


@pytest.mark.parametrize("anthropic", [False, True], ids=["openai", "anthropic"])
@pytest.mark.parametrize("case", REASONS)
def test_reason_why_a_schema_has_no_strict_form(case: str, anthropic: bool) -> None:
    schema, reason = REASONS[case]
    with pytest.raises(StrictSchemaError) as caught:
        build_strict_schema(schema, anthropic=anthropic)
    assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        *(pytest.param({key: 3}, f"{key}: 3 is unsupported", id=key) for key in LIMITS),
        pytest.param({"minItems": 2}, "minItems: 2 is unsupported", id="minItems"),
        pytest.param({"format": "regex"}, 'format: "regex" is unsupported', id="format"),
        pytest.param({"format": ["x"]}, 'format: ["x"] is unsupported', id="format-list"),
    ],
)
def test_limits_that_anthropic_alone_refuses(schema: Any, reason: str) -> None:
    whole = of({"a": schema})
    assert build_strict_schema(whole)["additionalProperties"] is False
    with pytest.raises(StrictSchemaError) as caught:
        build_strict_schema(whole, anthropic=True)
    assert str(caught.value) == reason


# --- tools ------------------------------------------------------------------------------------

BROKEN = of({"a": {"$ref": "#"}})
GOOD = of({"a": STRING}, "a")


@pytest.mark.parametrize("sampling", [None, False, {"type": "grammar", "variants": {}}])
def test_tools_that_do_not_ask_are_sent_as_they_are(sampling: Any) -> None:
    assert resolve_strict_schema(Tool("x", "x", GOOD, sampling), supported=True) is None


@pytest.mark.parametrize(
    ("schema", "supported", "reason"),
    [
        pytest.param(GOOD, False, "strict tools are unsupported", id="unsupported"),
        pytest.param(BROKEN, True, "$ref schemas are unsupported", id="no-strict-form"),
    ],
)
def test_a_tool_that_prefers_falls_back_and_one_that_requires_fails(
    schema: Any, supported: bool, reason: str
) -> None:
    prefers = Tool("x", "x", schema, {"type": "json_schema", "strict": "prefer"})
    assert resolve_strict_schema(prefers, supported=supported) is None
    requires = Tool("x", "x", schema, {"type": "json_schema", "strict": "require"})
    with pytest.raises(ValueError, match="JSON-schema") as caught:
        resolve_strict_schema(requires, supported=supported)
    assert str(caught.value) == (
        f'Tool "x" requires JSON-schema constrained sampling, but {reason}.'
    )


@pytest.mark.parametrize("strict", ["prefer", "require"])
def test_a_tool_gets_what_it_asks_for(strict: str) -> None:
    tool = Tool("x", "x", GOOD, {"type": "json_schema", "strict": strict})
    assert resolve_strict_schema(tool, supported=True) == closed(a=STRING)


# --- what the strict form means ---------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "$ref", "required", "é"])
SCALARS = st.sampled_from(
    [
        STRING,
        {"type": "integer"},
        {"type": "boolean"},
        NULL,
        {"type": ["string", "null"]},
        {"enum": ["x", 1]},
        {"enum": ["x", None]},
        {"type": "string", "enum": ["x", "y"]},
        {"anyOf": [STRING, {"type": "integer"}]},
        {"anyOf": [NULL, {"type": "boolean"}]},
    ]
)


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    properties = st.dictionaries(NAMES, inner, max_size=4)
    return properties.flatmap(
        lambda told: st.lists(st.sampled_from([*told] or ["-"]), unique=True).map(
            lambda required: of(told, *(name for name in required if name in told))
        )
    )


def deeper(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return objects(inner) | inner.map(lambda items: {"type": "array", "items": items})


SCHEMAS = objects(st.recursive(SCALARS, deeper, max_leaves=6))
SAMPLES = ["", "x", "y", 0, 1, True, None]


def accepts(schema: Any, value: Any) -> bool:
    return jsonschema_rs.validator_for(schema).is_valid(value)


def values(schema: Any, *, nulls: bool) -> st.SearchStrategy[Any]:
    """Values that `schema` accepts, every property in them; `nulls`: optional ones may be null."""
    if schema.get("type") == "array":
        return st.lists(values(schema["items"], nulls=nulls), max_size=2)
    if schema.get("type") == "object":
        fields = {
            name: values(each, nulls=nulls)
            if not nulls or name in schema["required"]
            else st.none() | values(each, nulls=nulls)
            for name, each in schema["properties"].items()
        }
        return st.fixed_dictionaries(fields)
    if "anyOf" in schema:
        return st.one_of(*(values(each, nulls=nulls) for each in schema["anyOf"]))
    return st.sampled_from([value for value in SAMPLES if accepts(schema, value)])


def without_absent(schema: Any, value: Any) -> Any:
    """`value` without the nulls that stand for absence in the strict form."""
    if isinstance(value, list):
        return [without_absent(schema["items"], each) for each in value]
    if not isinstance(value, dict):
        return value
    properties = schema["properties"]
    return {
        name: without_absent(properties[name], each)
        for name, each in value.items()
        if each is not None or name in schema["required"] or accepts(properties[name], None)
    }


@settings(max_examples=150)
@given(SCHEMAS.flatmap(lambda s: st.tuples(st.just(s), values(s, nulls=True))))
def test_strict_form_accepts_what_the_schema_accepts(case: tuple[Any, Any]) -> None:
    schema, value = case
    assert accepts(schema, without_absent(schema, value))
    assert accepts(build_strict_schema(schema), value)


@settings(max_examples=150)
@given(
    SCHEMAS.flatmap(lambda s: st.tuples(st.just(s), values(build_strict_schema(s), nulls=False)))
)
def test_schema_accepts_what_the_strict_form_accepts(case: tuple[Any, Any]) -> None:
    schema, value = case
    assert accepts(build_strict_schema(schema), value)
    assert accepts(schema, without_absent(schema, value))
