"""JSON as JavaScript writes it, and JSON that is broken or has not all arrived."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_ai.json_text import (
    js_json,
    js_json_bytes,
    parse_json,
    parse_json_with_repair,
    parse_partial_object,
    parse_tool_call_arguments,
    repair_json,
    sanitize_surrogates,
)
from pi_ai.types import TextContent, ToolCall

SURROGATE = st.characters(categories=["Cs"])
TEXT = st.text(st.one_of(st.characters(), SURROGATE))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
# Larger floats are written with their shortest digits, which read back as another integer.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(min_value=-1e15, max_value=1e15), TEXT
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(TEXT, inner)),
    max_leaves=15,
)
OBJECTS = st.dictionaries(TEXT, VALUES, max_size=4)


# --- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3.0, "3"),
        (-3.0, "-3"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e16, "10000000000000000"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
        (1e-6, "0.000001"),
        (1.25e-5, "0.0000125"),
        (1e-7, "1e-7"),
        (-1.5e-9, "-1.5e-9"),
        (5e-324, "5e-324"),
        (float("nan"), "null"),
        (float("-inf"), "null"),
        (2**53 + 1, "9007199254740993"),
        (2**70, "1180591620717411303424"),
        ("é🙈\x7f\u2028", '"é🙈\x7f\u2028"'),
        ('\x01\b\t\n\f\r"\\/', '"\\u0001\\b\\t\\n\\f\\r\\"\\\\/"'),
        ("a\ud83db", '"a\\ud83db"'),
        (["\ude00", float("nan"), 2.0, {"k\ud83d": 1e-7}], '["\\ude00",null,2,{"k\\ud83d":1e-7}]'),
        ({"t": ":1.0,[2e5]", "n": 1.0}, '{"t":":1.0,[2e5]","n":1}'),
        ({"t": '\\":1.0,', "n": 1.0}, '{"t":"\\\\\\":1.0,","n":1}'),
        ([], "[]"),
        ({}, "{}"),
    ],
    ids=ascii,
)
def test_values_are_written_as_javascript_writes_them(value: Any, text: str) -> None:
    assert js_json(value) == text
    assert js_json_bytes(value) == text.encode()


def test_indented_text_has_one_item_per_line() -> None:
    value = {"a": [1.0, {}, []], "b": {"c": None}}
    lines = ["{", '  "a": [', "    1,", "    {},", "    []", "  ],"]
    lines += ['  "b": {', '    "c": null', "  }", "}"]
    assert js_json(value, indent=2) == "\n".join(lines)
    assert js_json({"a": "\ud83d"}, indent=2) == '{\n  "a": "\\ud83d"\n}'


def test_structs_are_written_with_their_wire_names() -> None:
    call = ToolCall("1", "t", {"n": 2.0}, thought_signature="s")
    expected = '{"type":"toolCall","id":"1","name":"t","arguments":{"n":2},"thoughtSignature":"s"}'
    assert js_json(call) == expected
    assert js_json(TextContent("\ud83d")) == '{"type":"text","text":"\\ud83d"}'


@given(FLOATS)
def test_every_number_keeps_its_value(value: float) -> None:
    assert float(js_json(value)) == value


@settings(max_examples=60)
@given(VALUES)
def test_what_is_written_reads_back_as_the_same(value: Any) -> None:
    assert parse_json(js_json_bytes(value)) == value
    assert parse_json(js_json(value, indent=2)) == value


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        pytest.param("a\ud83db\udc00c🙈", "abc🙈", id="check-54"),
        pytest.param("plain", "plain", id="ascii"),
        pytest.param("é🙈", "é🙈", id="pairs-stay"),
        pytest.param("\ud83d", "", id="alone"),
    ],
)
def test_ai_core_check_54_unpaired_surrogates_are_removed(text: str, clean: str) -> None:
    assert sanitize_surrogates(text) == clean


@given(TEXT)
def test_sanitized_text_is_utf8_and_keeps_everything_else(text: str) -> None:
    clean = sanitize_surrogates(text)
    clean.encode()
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
    assert clean == "".join(each for each in joined if not 0xD800 <= ord(each) < 0xE000)


# --- reading ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["NaN", "[Infinity]", '{"a":-Infinity}', "", "{", "01", "\ufeff{}"]
)
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # the reason is the parser's own
        parse_json(text)


def test_lone_surrogates_and_bad_utf8_are_read() -> None:
    assert parse_json('"\\ud83d"') == "\ud83d"
    assert parse_json(b'"\xff"') == "\ufffd"


@pytest.mark.parametrize(
    "text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
)
def test_nesting_beyond_pythons_limit_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(text)
    parsed = parse_tool_call_arguments(text)
    assert parsed.arguments == {}
    assert parsed.error is not None
    assert parsed.error.startswith("JSON is nested too deeply\n\nReceived arguments:\n")


@pytest.mark.parametrize(
    ("text", "repaired"),
    [
        pytest.param('{"a":"x\ny\t\x01\x7f"}', '{"a":"x\\ny\\t\\u0001\x7f"}', id="control"),
        pytest.param(r'"C:\dir\q"', r'"C:\\dir\\q"', id="stray-backslash"),
        pytest.param(r'"\"\\\/\b\f\n\r\t\u00e9"', r'"\"\\\/\b\f\n\r\t\u00e9"', id="valid"),
        pytest.param(r'"\u12g4 \u12"', r'"\\u12g4 \\u12"', id="bad-unicode-escape"),
        pytest.param('"a\\', '"a\\\\', id="lone-backslash-at-the-end"),
        pytest.param('"open\n', '"open\\n', id="open-string"),
        pytest.param('\n{\t"a"\n:\\1}', '\n{\t"a"\n:\\1}', id="outside-strings"),
        pytest.param(r'"a\"b" "\d"', r'"a\"b" "\\d"', id="second-string"),
    ],
)
def test_repair_touches_only_faults_in_strings(text: str, repaired: str) -> None:
    assert repair_json(text) == repaired
    assert repair_json(repaired) == repaired


@settings(max_examples=60)
@given(OBJECTS)
def test_valid_json_needs_no_repair(value: dict[str, Any]) -> None:
    text = js_json(value)
    assert repair_json(text) == text


@given(st.text())
def test_repaired_strings_always_parse(text: str) -> None:
    # A quote or a backslash may end or escape; anything else must survive as it is.
    raw = text.replace("\\", "").replace('"', "")
    assert parse_json_with_repair(f'"{raw}"') == raw


def test_the_first_error_is_the_one_that_is_raised() -> None:
    text = '{"a":"\n" x}'
    with pytest.raises(ValueError) as direct:  # noqa: PT011
        parse_json(text)
    with pytest.raises(ValueError) as repaired:  # noqa: PT011
        parse_json_with_repair(text)
    assert str(repaired.value) == str(direct.value)


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        pytest.param(None, {}, id="none"),
        pytest.param("", {}, id="empty"),
        pytest.param(" \n", {}, id="blank"),
        pytest.param('{"a":1}', {"a": 1}, id="object"),
        pytest.param(r'{"a":"C:\dir"}', {"a": r"C:\dir"}, id="stray-backslash"),
        pytest.param('{"a":"x\ny"}', {"a": "x\ny"}, id="raw-newline"),
    ],
)
def test_ai_core_check_50_final_arguments(text: str | None, arguments: dict[str, Any]) -> None:
    assert parse_tool_call_arguments(text) == (arguments, None)


@pytest.mark.parametrize("text", ["[1]", '"x"', "null", "7"])
def test_ai_core_check_50_arguments_must_be_an_object(text: str) -> None:
    assert parse_tool_call_arguments(text) == (
        {},
        f"Tool arguments must be a JSON object\n\nReceived arguments:\n{text}",
    )


@pytest.mark.parametrize("text", ['{"a":1}x', '{"a":', '{"a":}', '{"a":NaN}'])
def test_ai_core_check_50_broken_arguments_are_never_a_prefix(text: str) -> None:
    parsed = parse_tool_call_arguments(text)
    assert parsed.arguments == {}
    assert parsed.error is not None
    assert parsed.error.endswith(f"\n\nReceived arguments:\n{text}")


# --- reading what has not arrived yet ---------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param('{"a":"x\\', {"a": "x"}, id="check-52-open-escape"),
        pytest.param('{"a":1.', {}, id="check-52-open-fraction"),
        pytest.param('{"a":1e', {"a": 1}, id="check-52-open-exponent"),
        pytest.param('{"a":1 "b":2}', {"a": 1, "b": 2}, id="check-52-no-comma"),
        pytest.param("[1,2", {}, id="check-52-root-list"),
        pytest.param("", {}, id="empty"),
        pytest.param("  ", {}, id="blank"),
        pytest.param('"x', {}, id="root-string"),
        pytest.param('x {"a":1}', {}, id="root-word"),
        pytest.param('{"a', {}, id="open-key"),
        pytest.param('{"a"', {}, id="no-colon-yet"),
        pytest.param('{"a":', {}, id="no-value-yet"),
        pytest.param('{"a":"', {"a": ""}, id="empty-string-so-far"),
        pytest.param('{"a":"x  ', {"a": "x  "}, id="trailing-spaces"),
        pytest.param('{"a":{', {"a": {}}, id="open-object"),
        pytest.param('{"a":[{"b":"c', {"a": [{"b": "c"}]}, id="nested"),
        pytest.param('{"a":t', {"a": True}, id="t"),
        pytest.param('{"a":fals', {"a": False}, id="fals"),
        pytest.param('{"a":n', {"a": None}, id="n"),
        pytest.param('{"a":tr}', {}, id="finished-half-literal"),
        pytest.param('{"a":trux', {}, id="unknown-word"),
        pytest.param('{"a":NaN,"b":Infinity,"c":1}', {"c": 1}, id="nan-and-infinity"),
        pytest.param('{"a":-', {}, id="minus"),
        pytest.param('{"a":-1', {"a": -1}, id="minus-one"),
        pytest.param('{"a":01', {}, id="leading-zero"),
        pytest.param('{"a":1.5e+', {"a": 1.5}, id="open-exponent-sign"),
        pytest.param('{"a":1e}', {}, id="finished-open-exponent"),
        pytest.param('{"a":' + "1" * 64, {"a": int("1" * 64)}, id="64-digits"),
        pytest.param('{"a":' + "1" * 65, {}, id="65-digits-so-far"),
        pytest.param('{"a":' + "1" * 65 + "}", {"a": int("1" * 65)}, id="65-digits"),
        pytest.param('{"a":' + "1" * 5000 + ',"b":1}', {"b": 1}, id="more-digits-than-python"),
        pytest.param(r'{"a":"\q\u12g4"}', {"a": r"\q\u12g4"}, id="invalid-escapes"),
        pytest.param(r'{"a":"\u1_34\u +1"}', {"a": r"\u1_34\u +1"}, id="no-python-digits"),
        pytest.param('{"a":"x\ny\t"}', {"a": "x\ny\t"}, id="raw-control"),
        pytest.param(r'{"a":"\u00', {"a": ""}, id="open-unicode-escape"),
        pytest.param(r'{"a":"\u1"}', {"a": r"\u1"}, id="short-unicode-escape"),
        pytest.param(r'{"a":"\ud83d', {"a": ""}, id="open-pair"),
        pytest.param(r'{"a":"\ud83d\ude', {"a": ""}, id="open-second-half"),
        pytest.param(r'{"a":"\ud83d\ude48', {"a": "🙈"}, id="pair"),
        pytest.param(r'{"a":"\ud83d\n', {"a": "\ud83d\n"}, id="half-and-escape"),
        pytest.param(r'{"a":"\ud83d"}', {"a": "\ud83d"}, id="half"),
        pytest.param(r'{"a":"\ud83d\u1"}', {"a": "\ud83d\\u1"}, id="half-and-short-escape"),
        pytest.param('{"a" 1 "b":2', {"a": 1, "b": 2}, id="no-colon"),
        pytest.param('{"a","b":1}', {"b": 1}, id="key-without-value"),
        pytest.param('{"a":,"b":1}', {"b": 1}, id="colon-without-value"),
        pytest.param('{1:2,"b":1}', {"b": 1}, id="number-as-key"),
        pytest.param('{{"x":1}"b":1}', {"b": 1}, id="object-as-key"),
        pytest.param('{"a":[1,}:2,,3]}', {"a": [1, 2, 3]}, id="stray-signs"),
        pytest.param('{"a":]"b":1}', {"b": 1}, id="stray-bracket"),
        pytest.param('{"a":[\xa0\x0c1\xa0]}', {"a": [1]}, id="other-white-space"),
        pytest.param('{"a":1}{"b":2}', {"a": 1}, id="text-after-the-root"),
        pytest.param('\n {"a" : [ 1 , 2 ] }', {"a": [1, 2]}, id="white-space"),
        pytest.param('{"a":1,"a":2}', {"a": 2}, id="key-twice"),
    ],
)
def test_ai_core_check_52_what_a_partial_object_shows(text: str, shown: dict[str, Any]) -> None:
    assert parse_partial_object(text) == shown


def test_ai_core_check_51_growing_text() -> None:
    pieces = ['{"pa', 'th":"/a', '/b","n":1', '2,"arr":[tr', 'ue,"x"', "]}", "junk"]
    full = {"path": "/a/b", "n": 12, "arr": [True, "x"]}
    shown = [parse_partial_object("".join(pieces[: end + 1])) for end in range(len(pieces))]
    assert shown == [
        {},
        {"path": "/a"},
        {"path": "/a/b", "n": 1},
        {"path": "/a/b", "n": 12, "arr": [True]},
        full,
        full,
        full,
    ]


def fits(shown: Any, final: Any) -> bool:
    """Whether `shown` may be what has arrived of `final`."""
    match shown, final:
        case dict(), dict():
            known = list(final)[: len(shown)]
            return list(shown) == known and all(fits(shown[key], final[key]) for key in known)
        case list(), list():
            return len(shown) <= len(final) and all(map(fits, shown, final))
        case str(), str():
            return final.startswith(shown)
        case bool() | None, _:
            return shown is final
        case _:  # of a number the first digits
            return isinstance(final, int | float) and not isinstance(final, bool)


@settings(max_examples=30)
@given(OBJECTS, st.sampled_from([None, 1]), st.booleans())
def test_every_prefix_shows_a_part_and_the_whole_shows_all(
    value: dict[str, Any], indent: int | None, escaped: bool
) -> None:
    text = json.dumps(value, ensure_ascii=escaped, indent=indent)
    whole = json.loads(text)
    for end in range(len(text)):
        shown = parse_partial_object(text[:end])
        assert fits(shown, whole), text[:end]
    assert parse_partial_object(text) == whole


@given(st.text(st.sampled_from('{}[]",:\\utrfn01-.eE \n\xa0\ud83d'), max_size=60))
def test_any_text_at_all_shows_an_object(text: str) -> None:
    assert isinstance(parse_partial_object(text), dict)
    assert isinstance(parse_partial_object('{"a":' + text), dict)


@pytest.mark.parametrize(
    "unit",
    ["x", "\\n", "\\ud83d\\ude00", "\\", '"', "[", '{"a":', "1", '"a":1,', "]}", "   ", "\\u12"],
    ids=ascii,
)
def test_time_is_linear_in_the_text(unit: str) -> None:
    def seconds(count: int) -> float:
        text = '{"k":"' + unit * count if unit != "1" else '{"k":' + unit * count
        start = time.process_time()
        parse_partial_object(text)
        return time.process_time() - start

    small = min(seconds(5_000) for _ in range(3))
    large = min(seconds(50_000) for _ in range(3))
    assert large < 0.01 + 30 * small  # quadratic would be a hundredfold


def test_deep_nesting_is_shown_down_to_a_limit() -> None:
    shown: Any = parse_partial_object('{"a":' * 100_000)
    depth = 0
    while shown:
        shown = shown["a"]
        depth += 1
    assert depth == 256
    assert parse_partial_object('{"b":1,"a":' + "[" * 100_000)["b"] == 1
