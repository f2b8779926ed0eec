"""Values that name variables: auth spec, section 8."""

from __future__ import annotations

import pytest

from pi_sdk.config_value import ConfigValue


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("plain", "plain"),
        ("$K", "kk"),
        ("${K}", "kk"),
        ("pre-${K}-$K$$x", "pre-kk-kk$x"),
        ("$!x", "!x"),
        ("$1 $ ${ ${} ${1X} ${A:-b} $", "$1 $ ${ ${} ${1X} ${A:-b} $"),
        ("$$K", "$K"),
        ("NAME", "NAME"),
        ("$K$MISSING", None),
        ("$EMPTY", None),
    ],
)
def test_references_are_filled_in(monkeypatch, text, value):
    monkeypatch.setenv("K", "kk")
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.delenv("MISSING", raising=False)
    assert ConfigValue(text).resolve() == value


def test_a_scoped_variable_wins_and_is_not_expanded_again(monkeypatch):
    monkeypatch.setenv("K", "process")
    value = ConfigValue("$K $K ${L}")
    assert value.variables == ("K", "L")
    assert value.unset() == ["L"]
    assert value.resolve({"K": "$L", "L": "l"}) == "$L $L l"


def test_the_text_does_not_show():
    assert "secret" not in repr(ConfigValue("secret-$K"))
    assert [ConfigValue(text).is_command for text in ("!ls", " !ls", "$!ls")] == [
        True,
        False,
        False,
    ]
