"""JSON of any depth."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_sdk.deep_json import _Reader, parse_deep_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=50)
@given(VALUES, st.sampled_from([None, 1]))
def test_it_reads_what_json_writes(value, indent):
    text = json.dumps(value, indent=indent, ensure_ascii=bool(indent))
    assert _Reader(text).read() == value


@given(st.text(alphabet='{}[],:"1-.etrufalsn \n\\', max_size=12))
def test_it_refuses_what_json_refuses(text):
    try:
        expected = json.loads(text, parse_constant=float.fromhex)
    except ValueError:
        with pytest.raises(ValueError):  # noqa: PT011  # the text is the decoder's
            _Reader(text).read()
    else:
        assert _Reader(text).read() == expected


def test_depth_has_no_limit():
    depth = 50_000
    value = parse_deep_json('[{"a":' * depth + "1" + "}]" * depth)
    levels = 0
    while isinstance(value, list):
        value = value[0]["a"]
        levels += 1
    assert (value, levels) == (1, depth)


@pytest.mark.parametrize("text", ["", "[1", "NaN", "[" * 5000, "[" * 5000 + "}", '{"a" 1}'])
def test_other_text_is_a_value_error(text):
    with pytest.raises(ValueError, match=r"."):
        parse_deep_json(text)
