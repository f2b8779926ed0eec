"""Reads JSON of any depth: the tree of a long session is nested as deeply as the session is long.

Slower than a decoder, which gives up at the depth of Python's stack.
"""

from __future__ import annotations

import json
import re
from functools import cache
from typing import NoReturn, cast

from pi_ai import JsonObject, JsonValue
from pi_ai.json_text import parse_json

__all__ = ("parse_deep_json",)

_SPACE = re.compile(r"[ \t\r\n]*")


def parse_deep_json(text: str) -> JsonValue:
    """The value of a JSON text; raises ValueError for text that is none."""
    try:
        return parse_json(text)
    except ValueError as error:
        if not isinstance(error.__cause__, RecursionError):
            raise
    return _Reader(text).read()


class _Reader:
    """Keeps what it is inside of in a list, not on the stack."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def read(self) -> JsonValue:
        """The value. Raises ValueError."""
        open_: list[JsonObject | list[JsonValue]] = []
        keys: list[str] = []  # of the open objects, whose values are awaited
        while True:
            value = self._value()
            if isinstance(value, dict | list):
                container = cast("JsonObject | list[JsonValue]", value)
                if not self._ends(container):
                    open_.append(container)
                    if isinstance(container, dict):
                        keys.append(self._key())
                    continue
            while open_:
                inner = open_[-1]
                if isinstance(inner, dict):
                    inner[keys.pop()] = value
                else:
                    inner.append(value)
                if not self._ends(inner):
                    self._expect(",")
                    if isinstance(inner, dict):
                        keys.append(self._key())
                    break
                value = open_.pop()
            else:
                if self._sign():
                    self._fail("the end")
                return cast("JsonValue", value)

    def _sign(self) -> str:
        """The next character that is no space, "" at the end; it is not passed."""
        match = _SPACE.match(self._text, self._at)
        assert match is not None  # it matches nothing, too
        self._at = match.end()
        return self._text[self._at : self._at + 1]

    def _value(self) -> JsonValue:
        """A scalar, or the empty container that begins here."""
        sign = self._sign()
        if sign in ("{", "["):
            self._at += 1
            return {} if sign == "{" else []
        value, self._at = _scalars().raw_decode(self._text, self._at)
        return value

    def _key(self) -> str:
        if self._sign() != '"':
            self._fail("a name in quotes")
        key = self._value()
        self._expect(":")
        return key

    def _ends(self, container: JsonObject | list[JsonValue]) -> bool:
        """Whether the container ends here; its end is passed."""
        if self._sign() != ("}" if isinstance(container, dict) else "]"):
            return False
        self._at += 1
        return True

    def _expect(self, sign: str) -> None:
        if self._sign() != sign:
            self._fail(sign)
        self._at += 1

    def _fail(self, expected: str) -> NoReturn:
        found = self._text[self._at : self._at + 1] or "the end"
        raise ValueError(f"JSON: expected {expected} at {self._at}, found {found}")


@cache
def _scalars() -> json.JSONDecoder:
    return json.JSONDecoder(parse_constant=_reject)


def _reject(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
