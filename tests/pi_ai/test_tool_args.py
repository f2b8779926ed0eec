"""Validation and lossless coercion of tool-call arguments (ai-core spec, section 9)."""

from __future__ import annotations

import copy
import json
import socket
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_ai._coercion import json_equal
from pi_ai.errors import ToolArgumentsError
from pi_ai.tool_args import (
    coerce_tool_arguments,
    find_argument_problems,
    validate_tool_arguments,
    validate_tool_call,
)
from pi_ai.types import Tool, ToolCall


def tool(schema: dict[str, Any]) -> Tool:
    return Tool("t", "A tool.", schema)


def one(schema: dict[str, Any], *, required: bool = True) -> dict[str, Any]:
    """An object schema whose property `v` has `schema`."""
    properties: dict[str, Any] = {"type": "object", "properties": {"v": schema}}
    return {**properties, "required": ["v"]} if required else properties


def call(arguments: dict[str, Any], error: str | None = None) -> ToolCall:
    return ToolCall("c1", "t", arguments, arguments_error=error)


def run(schema: dict[str, Any], arguments: Any) -> Any:
    return validate_tool_arguments(tool(schema), call(arguments))


def faults(schema: dict[str, Any], arguments: Any) -> list[str]:
    """The `PATH: MESSAGE` lines of the error that the arguments must raise."""
    with pytest.raises(ToolArgumentsError) as caught:
        run(schema, arguments)
    listed = str(caught.value).split("\n\nReceived arguments:\n")[0]
    head, *lines = listed.split("\n")
    assert head == 'Validation failed for tool "t":'
    assert all(line.startswith("  - ") for line in lines)
    return [line.removeprefix("  - ") for line in lines]


NUMBER = {"type": "number"}
INTEGER = {"type": "integer"}
STRING = {"type": "string"}
BOOLEAN = {"type": "boolean"}
NULL = {"type": "null"}
STRINGS = {"type": "array", "items": STRING}


CONVERTED: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("decimal text to number", NUMBER, "42", 42),
    ("blanks around a number", NUMBER, " 1.5\n", 1.5),
    ("exponent", NUMBER, "1e3", 1000),
    ("hexadecimal to number", NUMBER, "0x10", 16),
    ("octal and binary", {"type": "array", "items": INTEGER}, ["0o17", "0b11"], [15, 3]),
    ("long integers stay exact", INTEGER, "9007199254740993", 9007199254740993),
    ("text of an integral float to integer", INTEGER, "3.0", 3),
    ("integral float to int", INTEGER, 3.0, 3),
    ("number to text", STRING, 42, "42"),
    ("fraction to text", STRING, 1.5, "1.5"),
    ("integral float to text as JavaScript writes it", STRING, 3.0, "3"),
    ("large float to text", STRING, 1e21, "1e+21"),
    ("boolean to text", STRING, True, "true"),
    ("text to boolean", BOOLEAN, "TRUE", True),
    ("digit text to boolean", BOOLEAN, "0", False),
    ("digit to boolean", BOOLEAN, 1, True),
    ("null text to null", NULL, "null", None),
    ("scalar to list", STRINGS, "x", ["x"]),
    ("scalar to list, item converted", STRINGS, 5, ["5"]),
    ("JSON text to list", STRINGS, '["a", "b"]', ["a", "b"]),
    ("JSON text to list, items converted", {"type": "array", "items": INTEGER}, '["1"]', [1]),
    ("unreadable JSON text is a scalar", STRINGS, '["a"', ['["a"']),
    ("JSON text to object", one(INTEGER), '{"v": "1"}', {"v": 1}),
    ("object to list", {"type": "array", "items": one(STRING)}, {"v": "x"}, [{"v": "x"}]),
    ("lists inside lists", {"type": "array", "items": STRINGS}, ["1", ["2"]], [["1"], ["2"]]),
    ("text kept where a list may be text", {"type": ["string", "array"]}, "[1]", "[1]"),
    ("type list, list by JSON text", {"type": ["array", "null"], "items": INTEGER}, "[1]", [1]),
    ("type list, null by text", {"type": ["integer", "null"]}, "null", None),
    ("type list, integral float", {"type": ["integer", "null"]}, 2.0, 2),
    ("union, null by text before a list of it", {"anyOf": [STRINGS, NULL]}, "null", None),
    ("union, list by text", {"anyOf": [STRINGS, NULL]}, '["a"]', ["a"]),
    ("union, list by wrapping", {"anyOf": [STRINGS, NULL]}, "a", ["a"]),
    ("union, scalar before wrapping", {"anyOf": [STRINGS, INTEGER]}, 5, 5),
    ("union, integral float in the branch", {"oneOf": [INTEGER, STRING]}, 3.0, 3),
    ("allOf, all members", {"allOf": [one(INTEGER), {"type": "object"}]}, {"v": "1"}, {"v": 1}),
    ("implied object", {"properties": {"a": INTEGER}}, {"a": "1"}, {"a": 1}),
    ("tuple items", {"type": "array", "prefixItems": [INTEGER]}, ["1", "1"], [1, "1"]),
    ("old tuple items", {"type": "array", "items": [INTEGER, STRING]}, ["1", 1], [1, "1"]),
    ("pattern property", {"patternProperties": {"^n": INTEGER}}, {"n1": "1", "m": "1"},
     {"n1": 1, "m": "1"}),
    ("additional property", {"additionalProperties": INTEGER}, {"x": "1"}, {"x": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "given", "wanted"), [c[1:] for c in CONVERTED], ids=[c[0] for c in CONVERTED]
)
def test_a_value_becomes_what_the_schema_wants_when_nothing_is_lost(
    schema: dict[str, Any], given: Any, wanted: Any
) -> None:
    result = run(one(schema), {"v": given})["v"]

    assert json_equal(result, wanted)
    assert type(result) is type(wanted)


REJECTED: list[tuple[str, dict[str, Any], Any, str]] = [
    ("null to text", STRING, None, "v: expected string, got null"),
    ("null to number", NUMBER, None, "v: expected number, got null"),
    ("null to boolean", BOOLEAN, None, "v: expected boolean, got null"),
    ("null to list", STRINGS, None, "v: expected array, got null"),
    ("blank to number", NUMBER, "", "v: expected number, got string"),
    ("spaces to integer", INTEGER, "  ", "v: expected integer, got string"),
    ("blank to null", NULL, "", "v: expected null, got string"),
    ("fraction to integer", INTEGER, 3.7, "v: expected integer, got number"),
    ("text of a fraction to integer", INTEGER, "3.7", "v: expected integer, got string"),
    ("boolean to number", NUMBER, True, "v: expected number, got boolean"),
    ("boolean text to number", NUMBER, "true", "v: expected number, got string"),
    ("digits with underscore", INTEGER, "1_000", "v: expected integer, got string"),
    ("digits of other scripts", INTEGER, "٣", "v: expected integer, got string"),
    ("beyond a float", NUMBER, "1e400", "v: expected number, got string"),
    ("exponent of absurd size", INTEGER, "1e9999999999", "v: expected integer, got string"),
    ("list to text", STRING, ["x"], "v: expected string, got array"),
    ("one-element list to its item", INTEGER, [1], "v: expected integer, got array"),
    ("broken JSON text to object", one(STRING), '{"v"', "v: expected object, got string"),
    ("JSON text of another kind", one(STRING), "[]", "v: expected object, got string"),
    ("unreadable JSON for objects", {"type": "array", "items": one(STRING)}, "[{",
     "v.0: expected object, got string"),
    ("false to null", NULL, False, "v: expected null, got boolean"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "given", "line"), [c[1:] for c in REJECTED], ids=[c[0] for c in REJECTED]
)
def test_what_would_lose_or_invent_something_is_told_to_the_model(
    schema: dict[str, Any], given: Any, line: str
) -> None:
    assert faults(one(schema), {"v": given}) == [line]


# --- acceptance checks of ai-core section 22 ---------------------------------------------------


def test_ai_core_check_35_number() -> None:
    """Differs: true and "true" are not numbers (lossless conversions only)."""
    schema = {"type": "object", "properties": {"n": NUMBER}}

    assert run(schema, {"n": "42"}) == {"n": 42}
    assert run(schema, {"n": "0x10"}) == {"n": 16}
    for text in ("abc", "Infinity", "1,000"):
        assert faults(schema, {"n": text}) == ["n: expected number, got string"]
    assert faults(schema, {"n": True}) == ["n: expected number, got boolean"]


def test_ai_core_check_36_boolean() -> None:
    schema = {"type": "object", "properties": {"b": BOOLEAN}}

    assert [run(schema, {"b": given})["b"] for given in ("TRUE", "1", 1)] == [True] * 3
    assert faults(schema, {"b": "yes"}) == ["b: expected boolean, got string"]
    assert faults(schema, {"b": 2}) == ["b: expected boolean, got integer"]


def test_ai_core_check_37_string() -> None:
    schema = {"type": "object", "properties": {"s": STRING}}

    assert [run(schema, {"s": given})["s"] for given in (42, 1.5, True)] == ["42", "1.5", "true"]
    assert faults(schema, {"s": {}}) == ["s: expected string, got object"]


def test_ai_core_check_38_arrays_and_json_text() -> None:
    """Differs: a JSON text becomes the object that the schema wants."""
    numbers = {"type": "array", "items": {"type": "array", "items": NUMBER}}

    assert run(one(STRINGS), {"v": "x"}) == {"v": ["x"]}
    assert run(one(numbers), {"v": ["1", "2"]}) == {"v": [[1], [2]]}
    assert run(one({"type": "object"}), {"v": '{"x":1}'}) == {"v": {"x": 1}}
    assert faults(one({"type": "object"}), {"v": "x"}) == ["v: expected object, got string"]


def test_ai_core_check_39_null_of_an_optional_property_is_absence() -> None:
    nested = {"type": "object", "properties": {"in": one(STRING, required=False)}}

    assert run(one(STRING, required=False), {"v": None}) == {}
    assert run(one({"type": ["string", "null"]}, required=False), {"v": None}) == {"v": None}
    assert run(nested, {"in": {"v": None}}) == {"in": {}}


def test_null_of_an_optional_property_behind_a_reference_is_absence() -> None:
    schema = {**one({"$ref": "#/$defs/S"}, required=False), "$defs": {"S": STRING}}

    assert run(schema, {"v": None, "extra": None}) == {"extra": None}


def test_ai_core_check_40_enum_and_const() -> None:
    many = {"enum": [f"v{number}" for number in range(25)]}
    shown = ",".join(f'"v{number}"' for number in range(20))

    assert run(one({"enum": [1, 2]}), {"v": "2"}) == {"v": 2}
    assert run(one({"const": 5}), {"v": "5"}) == {"v": 5}
    assert faults(one({"enum": ["a", "b"]}), {"v": "c"}) == ['v: expected one of ["a","b"]']
    assert faults(one(many), {"v": "x"}) == [f"v: expected one of [{shown}, ... and 5 more]"]


def test_ai_core_check_41_missing_properties_and_received_arguments() -> None:
    schema = {
        "type": "object",
        "properties": {"x": STRING, "path": STRING},
        "required": ["path", "x"],
    }

    with pytest.raises(ToolArgumentsError) as caught:
        run(schema, {})
    assert str(caught.value) == (
        'Validation failed for tool "t":\n  - path: missing\n  - x: missing\n\n'
        "Received arguments:\n{}"
    )


def test_ai_core_check_42_path_of_a_nested_property() -> None:
    edit = {
        "type": "object",
        "properties": {"oldText": STRING, "newText": STRING},
        "required": ["oldText", "newText"],
    }
    schema = {"type": "object", "properties": {"edits": {"type": "array", "items": edit}}}

    assert faults(schema, {"edits": [{"oldText": "a"}]}) == ["edits.0.newText: missing"]


def test_ai_core_check_43_order_of_faults() -> None:
    schema = {
        "type": "object",
        "required": ["c", "a"],
        "properties": {"a": NUMBER, "b": BOOLEAN, "c": STRING},
        "additionalProperties": False,
    }

    assert faults(schema, {"zz": 1, "b": "x", "a": "x"}) == [
        "c: missing",
        "a: expected number, got string",
        "b: expected boolean, got string",
        "zz: unknown field",
    ]


def test_ai_core_check_44_unions_take_the_first_branch_that_fits() -> None:
    """Differs: "true" is no number, so anyOf [number, boolean] gives true."""
    assert run(one({"anyOf": [STRING, NUMBER]}), {"v": True}) == {"v": "true"}
    assert run(one({"anyOf": [NUMBER, BOOLEAN]}), {"v": "true"})["v"] is True
    assert run(one({"type": ["number", "boolean"]}), {"v": "true"})["v"] is True


def test_ai_core_check_45_discriminated_union_tells_of_the_tagged_branch() -> None:
    def branch(tag: str) -> dict[str, Any]:
        properties = {"kind": {"const": tag}, "x": NUMBER}
        return {"type": "object", "properties": properties, "required": ["kind", "x"]}

    schema = {
        "type": "object",
        "properties": {"u": {"anyOf": [{"$ref": "#/$defs/A"}, branch("b")]}},
        "$defs": {"A": branch("a")},
    }

    assert faults(schema, {"u": {"kind": "c"}}) == ['u.kind: expected one of ["a","b"]']
    assert faults(schema, {"u": {"kind": "a"}}) == ["u.x: missing"]
    assert run(schema, {"u": {"kind": "b", "x": "1"}}) == {"u": {"kind": "b", "x": 1}}


def test_ai_core_check_46_one_of_with_several_matches() -> None:
    schema = {"type": "object", "properties": {"u": {"oneOf": [NUMBER, INTEGER]}}}

    assert faults(schema, {"u": 3}) == ["u: matches more than one alternative"]


def test_ai_core_check_47_dangling_reference_rejects_only_its_place() -> None:
    schema = {"type": "object", "properties": {"a": {"$ref": "#/$defs/Z"}, "b": INTEGER}}

    assert faults(schema, {"a": "7"}) == ["a: unresolved reference #/$defs/Z"]
    assert run(schema, {"b": "1"}) == {"b": 1}


def test_ai_core_check_48_paths() -> None:
    nested = {"type": "object", "properties": {"c~d": STRING}}
    schema = {"type": "object", "properties": {"a/b": nested}}

    assert faults(schema, [1]) == ["root: expected object, got array"]
    assert faults(schema, {"a/b": {"c~d": []}}) == ["a/b.c~d: expected string, got array"]


def test_ai_core_check_49_lengths_count_code_points() -> None:
    schema = one({"type": "string", "maxLength": 2})

    assert run(schema, {"v": "😀😀"}) == {"v": "😀😀"}
    assert faults(schema, {"v": "abc"}) == ["v: expected at most 2 characters"]


# --- acceptance checks of agent section 17, as far as they are about texts ---------------------


def test_agent_check_14_validation_text() -> None:
    echo = Tool(
        "echo",
        "Echo.",
        {
            "type": "object",
            "properties": {"v": STRING},
            "required": ["v"],
            "additionalProperties": False,
        },
    )

    with pytest.raises(ToolArgumentsError) as caught:
        validate_tool_call([echo], ToolCall("1", "echo", {"w": 1}))
    assert str(caught.value) == (
        'Validation failed for tool "echo":\n  - v: missing\n  - w: unknown field\n\n'
        'Received arguments:\n{\n  "w": 1\n}'
    )


def test_agent_check_15_arguments_that_could_not_be_read() -> None:
    echo = Tool("echo", "Echo.", {"type": "object"})

    with pytest.raises(ToolArgumentsError) as caught:
        validate_tool_call([echo], ToolCall("1", "echo", {}, arguments_error="X"))
    assert str(caught.value) == 'Invalid arguments for tool "echo": X'


def test_agent_check_16_conversions_together() -> None:
    schema = {
        "type": "object",
        "properties": {"n": NUMBER, "b": BOOLEAN, "a": STRINGS, "o": STRING},
        "required": ["n", "b", "a"],
    }

    result = run(schema, {"n": "42", "b": "true", "a": "one", "o": None})
    assert result == {"n": 42, "b": True, "a": ["one"]}


# --- messages ---------------------------------------------------------------------------------

MESSAGES: list[tuple[str, dict[str, Any], Any, list[str]]] = [
    ("types as the schema lists them", {"type": ["string", "null"]}, [],
     ["v: expected string or null, got array"]),
    ("a wrong type hides the rest of its node", {"type": "string", "enum": ["a"]}, [],
     ["v: expected string, got array"]),
    ("enum before const", {"enum": [1], "const": 2}, 3, ["v: expected one of [1]",
     "v: expected 2"]),
    ("const", {"const": {"a": 1}}, 3, ['v: expected {"a":1}']),
    ("minLength", {"minLength": 2}, "a", ["v: expected at least 2 characters"]),
    ("pattern", {"pattern": "^a"}, "b", ["v: expected to match ^a"]),
    ("format", {"format": "date"}, "b", ["v: expected format date"]),
    ("format url", {"format": "url"}, "b", ["v: expected format url"]),
    ("minimum", {"minimum": 1}, 0, ["v: expected >= 1"]),
    ("maximum", {"maximum": 1.5}, 2, ["v: expected <= 1.5"]),
    ("exclusiveMinimum", {"exclusiveMinimum": 1}, 1, ["v: expected > 1"]),
    ("exclusiveMaximum", {"exclusiveMaximum": 3.0}, 3, ["v: expected < 3"]),
    ("exclusive bound of draft 4", {"minimum": 1, "exclusiveMinimum": True}, 1,
     ["v: expected > 1"]),
    ("multipleOf", {"multipleOf": 0.1}, 0.25, ["v: expected a multiple of 0.1"]),
    ("minItems", {"minItems": 1}, [], ["v: expected at least 1 items"]),
    ("maxItems", {"maxItems": 1}, [1, 2], ["v: expected at most 1 items"]),
    ("uniqueItems", {"uniqueItems": True}, [1, 1], ["v: expected unique items"]),
    ("contains", {"contains": NUMBER}, ["a"], ["v: expected at least 1 matching item(s)"]),
    ("minContains", {"contains": NUMBER, "minContains": 2}, [1],
     ["v: expected at least 2 matching item(s)"]),
    ("maxContains", {"contains": NUMBER, "maxContains": 1}, [1, 1],
     ["v: expected at most 1 matching item(s)"]),
    ("contains between", {"contains": NUMBER, "minContains": 2, "maxContains": 3}, [1],
     ["v: expected between 2 and 3 matching items"]),
    ("minProperties", {"minProperties": 2}, {"a": 1}, ["v: expected at least 2 properties"]),
    ("maxProperties", {"maxProperties": 0}, {"a": 1}, ["v: expected at most 0 properties"]),
    ("propertyNames", {"propertyNames": {"pattern": "^a", "maxLength": 1}}, {"xy": 1},
     ["v.xy: invalid property name"]),
    ("dependentRequired", {"dependentRequired": {"a": ["b"], "c": ["b"]}}, {"a": 1, "c": 2},
     ["v.b: required when a is present", "v.b: required when c is present"]),
    ("dependencies of old drafts", {"dependencies": {"a": ["b"]}}, {"a": 1},
     ["v.b: required when a is present"]),
    ("dependentSchemas", {"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1},
     ["v.b: missing"]),
    ("schema false", {"properties": {"a": False}}, {"a": 1}, ["v.a: no value is allowed here"]),
    ("items false", {"prefixItems": [{}], "items": False}, [1, 2],
     ["v.1: no value is allowed here"]),
    ("unevaluatedItems", {"prefixItems": [{}], "unevaluatedItems": False}, [2, 2, "a"],
     ["v.1: unexpected item", "v.2: unexpected item"]),
    ("unevaluatedProperties", {"unevaluatedProperties": False, "properties": {"a": {}}},
     {"b": 1, "a": 1}, ["v.b: unknown field"]),
    ("not", {"not": {"type": "object"}}, {}, ["v: must not match the schema in not"]),
    ("then", {"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1},
     ["v.b: missing"]),
    ("union of objects tells of the branch that knows most keys",
     {"anyOf": [one(STRING), {"type": "object", "properties": {"a": NUMBER, "b": NUMBER}}]},
     {"a": "x", "b": 1}, ["v.a: expected number, got string"]),
    ("union of scalars tells of the first branch", {"anyOf": [NUMBER, BOOLEAN]}, "x",
     ["v: expected number, got string"]),
    ("union tells of the deeper fault", {"anyOf": [NULL, {"type": "array", "items": NUMBER}]},
     ["x"], ["v.0: expected number, got string"]),
    ("tag by a one-value enum", {"oneOf": [
        {"properties": {"k": {"enum": ["a"]}}}, {"properties": {"k": {"enum": ["b"]}}}]},
     {"k": "z"}, ['v.k: expected one of ["a","b"]']),
    ("several faults of one text", {"type": "string", "minLength": 3, "pattern": "^a"}, "b",
     ["v: expected at least 3 characters", "v: expected to match ^a"]),
    ("properties in schema order, items by index",
     {"type": "object", "properties": {"b": STRINGS, "a": NUMBER}}, {"a": "x", "b": [[], 1, {}]},
     ["v.b.0: expected string, got array", "v.b.2: expected string, got object",
      "v.a: expected number, got string"]),
    ("extra keys in the order sent", {"additionalProperties": NUMBER,
     "patternProperties": {"^p": BOOLEAN}}, {"z": "z", "p": "z", "a": "z"},
     ["v.z: expected number, got string", "v.p: expected boolean, got string",
      "v.a: expected number, got string"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("schema", "given", "lines"), [c[1:] for c in MESSAGES], ids=[c[0] for c in MESSAGES]
)
def test_message(schema: dict[str, Any], given: Any, lines: list[str]) -> None:
    assert faults(one(schema), {"v": given}) == lines


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("$schema", "http://json-schema.org/draft-04/schema#"),
        ("examples", "not a list"),
        ("default", "7"),
        ("x-unknown", 1),
        ("format", "int32"),
    ],
)
def test_keywords_without_meaning_for_validation_are_ignored(keyword: str, value: Any) -> None:
    schema = {**one({**INTEGER, keyword: value}), keyword: value}

    assert run(schema, {"v": "5"}) == {"v": 5}
    assert faults(schema, {}) == ["v: missing"]


# --- references -------------------------------------------------------------------------------


def test_references_are_followed_when_converting_and_reporting() -> None:
    schema = {
        "$id": "https://example.test/tool.json",
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"$ref": "https://example.test/tool.json#/$defs/whole%20number"},
                    "next": {"$ref": "#node"},
                },
                "required": ["value"],
                "$anchor": "node",
            },
            "whole number": INTEGER,
        },
    }

    result = run(schema, {"value": "1", "next": {"value": "2", "next": None}})
    assert result == {"value": 1, "next": {"value": 2}}
    assert faults(schema, {"value": 1, "next": {"next": {"value": "x"}}}) == [
        "next.value: missing",
        "next.next.value: expected integer, got string",
    ]


def test_references_that_go_in_a_circle_end() -> None:
    schema = {
        "type": "object",
        "properties": {"v": {"$ref": "#/$defs/a"}},
        "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}, INTEGER]}, "b": STRINGS},
    }

    assert run(schema, {"v": 3}) == {"v": 3}


def test_remote_references_are_never_fetched() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/schema.json"
        schema = one({"anyOf": [{"$ref": url}, {"$ref": "file:///etc/hostname"}]})

        assert faults(schema, {"v": 1}) == [f"v: unresolved reference {url}"]
        with pytest.raises(TimeoutError):
            server.accept()


def test_an_unknown_meta_schema_is_not_fetched_but_reported() -> None:
    schema = one({"$ref": "https://json-schema.org/no/such/schema"})

    with pytest.raises(ValueError, match=r'^Tool "t" has an invalid parameter schema: .*fetched'):
        run(schema, {"v": 1})


# --- behaviour --------------------------------------------------------------------------------


def test_an_invalid_schema_names_the_tool_and_the_place() -> None:
    schema = one({"type": "strin"})

    with pytest.raises(
        ValueError, match=r'Tool "t" .*invalid parameter schema: properties\.v\.type'
    ):
        run(schema, {"v": 1})


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(ToolArgumentsError, match=r'^Tool "nope" not found$'):
        validate_tool_call([tool({})], ToolCall("1", "nope", {}))


def test_the_result_is_a_private_copy_and_the_call_stays_as_it_was() -> None:
    given = call({"v": ["1"], "free": {"list": [1]}})
    before = copy.deepcopy(given.arguments)
    result = validate_tool_arguments(tool(one({"type": "array", "items": INTEGER})), given)

    result["v"].append(2)
    result["free"]["list"].append(2)

    assert given.arguments == before
    assert result == {"v": [1, 2], "free": {"list": [1, 2]}}


def test_received_arguments_are_shown_as_they_were_sent() -> None:
    with pytest.raises(ToolArgumentsError) as caught:
        run(one(one(INTEGER)), {"v": '{"v": "é"}'})

    assert str(caught.value).endswith('Received arguments:\n{\n  "v": "{\\"v\\": \\"é\\"}"\n}')


def test_lone_surrogates_pass_through() -> None:
    schema = one({"type": "string", "maxLength": 3})

    assert run(schema, {"v": "a\ud800b"}) == {"v": "a\ud800b"}
    assert faults(schema, {"v": "a\ud800bc"}) == ["v: expected at most 3 characters"]


def test_a_schema_is_compiled_once() -> None:
    schema = one({"anyOf": [INTEGER, STRINGS]})
    first = tool(schema)

    for number in range(600):  # more schemas than are kept
        coerce_tool_arguments(tool(one(INTEGER)), call({"v": number}))
        assert run(schema, {"v": str(number)}) == {"v": number}
    assert find_argument_problems(first, {"v": 1}) == []


@pytest.mark.parametrize("depth", [100, 200, 300, 400, 600, 900, 2_000])
def test_nesting_without_end_is_an_error_not_a_crash(depth: int) -> None:
    nested: Any = 1
    for _ in range(depth):
        nested = [nested]

    wording = r"nested too deeply|Recursion limit|expected string, got array"
    with pytest.raises(ToolArgumentsError, match=wording):
        run(one(STRING), {"v": nested})


def test_unions_inside_unions_are_tried_within_bounds() -> None:
    def node(op: str) -> dict[str, Any]:
        children = {"type": "array", "items": {"$ref": "#/$defs/node"}}
        properties = {"op": {"const": op}, "args": children}
        return {"type": "object", "properties": properties, "required": ["op", "args"]}

    schema = {
        **one({"$ref": "#/$defs/node"}),
        "$defs": {"node": {"anyOf": [node("and"), node("or"), INTEGER]}},
    }
    value: Any = "1"
    for _ in range(9):
        value = {"op": "or", "args": [value]}
    wrong = json.loads(json.dumps(value).replace('"1"', '"x"'))
    slightly_wrong = {"op": "or", "args": [{"op": "and", "args": 1.5}]}

    result = run(schema, {"v": value})
    assert json.dumps(result).count("1") == 1
    assert faults(schema, {"v": wrong}) == [
        "root: does not match the schema, and is nested too deeply to say where"
    ]
    assert faults(schema, {"v": slightly_wrong}) == ["v.args.0.args: expected array, got number"]


# --- properties -------------------------------------------------------------------------------

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "1", "true", "null", "[1]", '{"a": 1}', "x"])
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
    ),
    max_leaves=8,
)
TYPES = st.sampled_from(["string", "number", "integer", "boolean", "null", "array", "object"])
SCHEMAS = st.recursive(
    TYPES.map(lambda name: {"type": name})
    | st.lists(TYPES, min_size=1, max_size=3, unique=True).map(lambda names: {"type": names})
    | st.lists(JSON, min_size=1, max_size=2).map(lambda values: {"enum": values}),
    lambda inner: (
        inner.map(lambda schema: {"type": "array", "items": schema})
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties}
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda branches: {"anyOf": branches})
    ),
    max_leaves=5,
)


@settings(max_examples=150)
@given(schema=SCHEMAS, value=JSON)
def test_valid_values_stay_and_results_are_valid_and_stable(schema: Any, value: Any) -> None:
    checked = tool(one(schema))
    arguments = {"v": value}
    valid = not find_argument_problems(checked, arguments)
    coerced = coerce_tool_arguments(checked, call(arguments))

    if valid:
        assert json_equal(coerced, arguments)
    elif not find_argument_problems(checked, coerced):
        assert json_equal(coerce_tool_arguments(checked, call(coerced)), coerced)
    else:
        with pytest.raises(ToolArgumentsError):
            validate_tool_arguments(checked, call(arguments))
