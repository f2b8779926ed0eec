"""JSON text as JavaScript writes it, and reading JSON that is incomplete or slightly broken.

Source: ai-core spec, sections 1 and 10.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple, NoReturn

import msgspec

from pi_ai.types import JsonObject, JsonValue

__all__ = (
    "ParsedArguments",
    "js_json",
    "js_json_bytes",
    "parse_json",
    "parse_json_with_repair",
    "parse_partial_object",
    "parse_tool_call_arguments",
    "repair_json",
    "sanitize_surrogates",
)

# Where JavaScript may write a number in another way: 3.0 and 1e22.
_JS_DIFFERS = re.compile(rb"[0-9](?:\.0|[eE][+-]?[0-9])")
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


# --- writing ----------------------------------------------------------------------------------


def js_json_bytes(value: JsonValue) -> bytes:
    """`value` as compact UTF-8 JSON, as JavaScript's JSON.stringify writes it.

    Non-ASCII stays, integral floats lose `.0`, NaN and infinities become null, lone surrogates
    are escaped.
    """
    try:
        text = msgspec.json.encode(value)
    except UnicodeEncodeError:
        return js_json(value).encode()
    if _JS_DIFFERS.search(text):
        return js_json(value).encode()
    return text


def js_json(value: JsonValue, *, indent: int | None = None) -> str:
    """`js_json_bytes` as text; with `indent`, over several lines."""
    plain = _js_numbers(msgspec.to_builtins(value))
    text = json.dumps(
        plain,
        ensure_ascii=False,
        indent=indent,
        separators=(",", ":") if indent is None else (",", ": "),
    )
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _js_numbers(value: Any) -> Any:
    match value:
        case float():
            if not math.isfinite(value):
                return None
            return int(value) if value.is_integer() and abs(value) < 1e21 else value
        case dict():
            return {key: _js_numbers(item) for key, item in value.items()}
        case list() | tuple():
            return [_js_numbers(item) for item in value]
        case _:
            return value


def sanitize_surrogates(text: str) -> str:
    """`text` without unpaired surrogates, which no UTF-8 request body can carry."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


# --- reading ----------------------------------------------------------------------------------


def parse_json(text: str | bytes) -> JsonValue:
    """The value of a JSON text. Accepts lone surrogate escapes; rejects NaN and Infinity.

    Raises ValueError (a `json.JSONDecodeError` or `msgspec.DecodeError`).
    """
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # msgspec refuses lone surrogate escapes, which JavaScript writes.
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return json.loads(text, parse_constant=_reject_constant)


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_STRING = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?\Z)', re.DOTALL)
_STRING_FAULT = re.compile(r'\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})|\\|[\x00-\x1f]')


def repair_json(text: str) -> str:
    """`text` with raw control characters and stray backslashes in its strings escaped."""

    def mend(match: re.Match[str]) -> str:
        fault = match[0]
        if fault == "\\":
            return "\\\\"
        if fault[0] == "\\":
            return fault
        return _ESCAPES.get(fault) or f"\\u{ord(fault):04x}"

    return _STRING.sub(lambda match: _STRING_FAULT.sub(mend, match[0]), text)


def parse_json_with_repair(text: str) -> JsonValue:
    """`parse_json`, then once more on the repaired text; raises the first error."""
    try:
        return parse_json(text)
    except ValueError:
        repaired = repair_json(text)
        if repaired == text:
            raise
        try:
            return parse_json(repaired)
        except ValueError:
            pass
        raise


class ParsedArguments(NamedTuple):
    """Final tool-call arguments: an object, and why it is empty if the text was none."""

    arguments: JsonObject
    error: str | None


def parse_tool_call_arguments(text: str) -> ParsedArguments:
    """The arguments of a finished tool call; never a partial object."""
    if not text or text.isspace():
        return ParsedArguments({}, None)
    try:
        value = parse_json_with_repair(text)
    except ValueError as error:
        reason = str(error)
    else:
        if isinstance(value, dict):
            return ParsedArguments(value, None)  # pyright: ignore[reportUnknownArgumentType]
        reason = "Tool arguments must be a JSON object"
    return ParsedArguments({}, f"{reason}\n\nReceived arguments:\n{text}")


def parse_partial_object(text: str) -> JsonObject:
    """What an unfinished JSON object shows so far; {} until one starts. Never raises."""
    value = _Partial(text).root()
    return value if isinstance(value, dict) else {}


_WHITESPACE = " \t\n\r"
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_SCALAR_END = re.compile(r'[\s,:{}\[\]"]|\Z')
_STRING_RUN = re.compile(r'[^"\\]*')
_SIMPLE_ESCAPES = {
    '"': '"',
    "\\": "\\",
    "/": "/",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
}
_HIDDEN: Any = object()
"""A value of which nothing can be shown yet, or that is none."""


class _Partial:
    """A reader of one JSON value that shows what is there when the text ends early."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def root(self) -> Any:
        self._skip(_WHITESPACE)
        return self._value()

    def _skip(self, characters: str) -> str:
        """Move past `characters`; returns the next one, or "" at the end."""
        text, at = self.text, self.at
        while at < len(text) and text[at] in characters:
            at += 1
        self.at = at
        return text[at : at + 1]

    def _value(self) -> Any:
        match self.text[self.at : self.at + 1]:
            case "{":
                return self._object()
            case "[":
                return self._array()
            case '"':
                return self._string()
            case _:
                return self._scalar()

    def _object(self) -> JsonObject:
        self.at += 1
        found: JsonObject = {}
        while next_ := self._skip(_WHITESPACE + ","):
            if next_ == "}":
                self.at += 1
                break
            if next_ != '"':
                self._drop()
                continue
            key = self._string()
            if self._skip(_WHITESPACE + ":") == "":
                break
            value = self._value()
            if value is not _HIDDEN:
                found[key] = value
        return found

    def _array(self) -> list[Any]:
        self.at += 1
        found: list[Any] = []
        while next_ := self._skip(_WHITESPACE + ","):
            if next_ == "]":
                self.at += 1
                break
            if next_ in ":}":
                self._drop()
                continue
            value = self._value()
            if value is not _HIDDEN:
                found.append(value)
        return found

    def _drop(self) -> None:
        """Pass over a value or sign that has no meaning here."""
        before = self.at
        self._value()
        if self.at == before:
            self.at += 1

    def _string(self) -> str:
        self.at += 1
        pieces: list[str] = []
        while self.at < len(self.text):
            run = _STRING_RUN.match(self.text, self.at)
            assert run is not None  # the pattern matches the empty run
            pieces.append(run[0])
            self.at = run.end()
            if self.text[self.at : self.at + 1] == '"':
                self.at += 1
                break
            if self.at < len(self.text):
                pieces.append(self._escape())
        return "".join(pieces)

    def _escape(self) -> str:
        kind = self.text[self.at + 1 : self.at + 2]
        if kind == "u":
            digits = self.text[self.at + 2 : self.at + 6]
            if len(digits) < 4:  # not all of it has arrived: show nothing of it
                self.at = len(self.text)
                return ""
            try:
                unit = int(digits, 16)
            except ValueError:
                self.at += 1
                return "\\"
            self.at += 6
            return self._pair(unit)
        if not kind:
            self.at += 1
            return ""
        self.at += 2 if kind in _SIMPLE_ESCAPES else 1
        return _SIMPLE_ESCAPES.get(kind, "\\")

    def _pair(self, unit: int) -> str:
        """The character of a UTF-16 unit, with the escaped low half that follows a high one."""
        if not 0xD800 <= unit < 0xDC00:
            return chr(unit)
        follow = self.text[self.at : self.at + 6]
        if len(follow) < 6 and '\\u'.startswith(follow[:2]):
            self.at = len(self.text)
            return ""
        if follow[:2] == "\\u":
            try:
                low = int(follow[2:], 16)
            except ValueError:
                return chr(unit)
            if 0xDC00 <= low < 0xE000:
                self.at += 6
                return chr(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
        return chr(unit)

    def _scalar(self) -> Any:
        end = _SCALAR_END.search(self.text, self.at)
        assert end is not None  # the pattern matches the end of the text
        word = self.text[self.at : end.start()]
        finished = end.start() < len(self.text)
        self.at = end.start()
        if word in _LITERALS:
            return _LITERALS[word]
        if not word:
            return _HIDDEN
        for literal, value in _LITERALS.items():
            if not finished and literal.startswith(word):
                return value
        number = _NUMBER.match(word)
        if number is None or (finished and number.end() != len(word)):
            return _HIDDEN
        if number.end() == len(word) or word[number.end() :] in {"e", "E", "e+", "e-", "E+", "E-"}:
            return json.loads(number[0])
        return _HIDDEN
