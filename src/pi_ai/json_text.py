"""JSON text as JavaScript writes it, and reading JSON that is incomplete or slightly broken.

Source: ai-core spec, sections 1 and 10.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NamedTuple, NoReturn, cast

import msgspec

from pi_ai.types import JsonObject, JsonValue

__all__ = (
    "ParsedArguments",
    "copy_json",
    "find_unwritable",
    "js_json",
    "js_json_bytes",
    "parse_json",
    "parse_json_with_repair",
    "parse_partial_object",
    "parse_tool_call_arguments",
    "repair_json",
    "sanitize_surrogates",
)

# --- writing ----------------------------------------------------------------------------------

_SURROGATE = re.compile("[\ud800-\udfff]")
# In compact JSON, a number that JavaScript writes in another way: 3.0, 1e-05, 1e+16. May also
# match inside a string, which only costs time.
_JS_DIFFERS = re.compile(rb"(?:\A|[\[:,])-?[0-9]+(?:\.0|(?:\.[0-9]+)?[eE][+-]?[0-9]+)(?=[,\]}]|\Z)")
_STRING_OR_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?')


def js_json_bytes(value: JsonValue) -> bytes:
    """`value` as compact UTF-8 JSON, as JavaScript's JSON.stringify writes it.

    Non-ASCII stays, integral floats lose `.0`, NaN and infinities become null, lone surrogates
    are escaped. Integers keep all their digits.
    """
    text = _encode(value, None)
    return _with_js_numbers(text) if _JS_DIFFERS.search(text) else text


def js_json(value: JsonValue, *, indent: int | None = None) -> str:
    """`js_json_bytes` as text; with `indent`, over several lines."""
    if indent is None:
        return js_json_bytes(value).decode()
    return _with_js_numbers(_encode(value, indent)).decode()


def _encode(value: JsonValue, indent: int | None) -> bytes:
    try:
        text = msgspec.json.encode(value)
        return text if indent is None else msgspec.json.format(text, indent=indent)
    except UnicodeEncodeError:  # lone surrogates
        plain = _finite(msgspec.to_builtins(value))
        separators = (",", ":") if indent is None else (",", ": ")
        dumped = json.dumps(plain, ensure_ascii=False, indent=indent, separators=separators)
        return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", dumped).encode()


def _finite(value: JsonValue) -> JsonValue:
    """Plain data with null for NaN and infinities."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in cast("JsonObject", value).items()}
    if isinstance(value, list):
        return [_finite(item) for item in cast("list[JsonValue]", value)]
    return value


def _with_js_numbers(text: bytes) -> bytes:
    def rewrite(match: re.Match[bytes]) -> bytes:
        token = match[0]
        if token[0] == 0x22 or token.lstrip(b"-").isdigit():  # a string, an integer
            return token
        return _js_number(float(token)).encode()

    return _STRING_OR_NUMBER.sub(rewrite, text)


def _js_number(value: float) -> str:
    """A finite number as JavaScript's Number.prototype.toString gives it."""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    digits = (whole + fraction).lstrip("0")
    point -= len(whole + fraction) - len(digits)
    digits = digits.rstrip("0")
    if not digits:
        return "0"
    if 0 < point <= 21:
        text = digits[:point].ljust(point, "0") + ("." + digits[point:] if digits[point:] else "")
    elif -6 < point <= 0:
        text = "0." + "0" * -point + digits
    else:
        rest = "." + digits[1:] if digits[1:] else ""
        text = f"{digits[0]}{rest}e{point - 1:+d}"
    return "-" + text if value < 0 else text


def copy_json(value: JsonValue) -> JsonValue:
    """A copy that shares no list and no object with `value`."""
    if isinstance(value, dict):
        record = cast("JsonObject", value)
        return {key: copy_json(item) for key, item in record.items()}
    if isinstance(value, list):
        return [copy_json(item) for item in cast("list[JsonValue]", value)]
    return value


def find_unwritable(value: JsonValue) -> str | None:
    """Where `value` is no JSON, as `.path: expected JSON, found set`; None if it is all JSON."""
    match value:
        case None | bool() | int() | float() | str():
            return None
        case dict():
            for key, item in cast("dict[object, object]", value).items():
                if not isinstance(key, str):
                    return f": expected names as keys, found {key!r}"
                if fault := find_unwritable(item):
                    return f".{key}{fault}"
            return None
        case list() | tuple():
            for i, item in enumerate(cast("list[object]", value)):
                if fault := find_unwritable(item):
                    return f"[{i}]{fault}"
            return None
        case _:
            return f": expected JSON, found {type(value).__name__}"


def sanitize_surrogates(text: str) -> str:
    """`text` without unpaired surrogates, which no UTF-8 request body can carry."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")


# --- reading ----------------------------------------------------------------------------------


def parse_json(text: str | bytes) -> JsonValue:
    """The value of a JSON text, as JavaScript's JSON.parse reads it.

    Accepts lone surrogate escapes; invalid UTF-8 reads as U+FFFD. Rejects NaN and Infinity.
    Raises ValueError, also for text that is nested too deeply for Python.
    """
    try:
        return msgspec.json.decode(text)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        # msgspec refuses lone surrogate escapes, which JavaScript writes.
        if isinstance(text, bytes):
            text = text.decode("utf-8", "replace")
        return _parse_leniently(text)


def _parse_leniently(text: str) -> JsonValue:
    try:
        return json.loads(text, parse_constant=_reject_constant)
    except RecursionError as error:
        raise ValueError("JSON is nested too deeply") from error


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_ESCAPES = {"\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
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


def parse_tool_call_arguments(text: str | None) -> ParsedArguments:
    """The arguments of a finished tool call; never a partial object."""
    if not text or text.isspace():
        return ParsedArguments({}, None)
    try:
        value = parse_json_with_repair(text)
    except ValueError as error:
        reason = str(error)
    else:
        if isinstance(value, dict):
            return ParsedArguments(cast("JsonObject", value), None)
        reason = "Tool arguments must be a JSON object"
    return ParsedArguments({}, f"{reason}\n\nReceived arguments:\n{text}")


# --- reading what has not arrived yet ----------------------------------------------------------

_MAX_DEPTH = 256
_MAX_OPEN_SCALAR = 64
_WHITESPACE = " \t\n\r"
_LITERALS: dict[str, Any] = {"true": True, "false": False, "null": None}
_NUMBER = re.compile(r"(-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)([eE][+-]?)?")
_WORD = re.compile(r'[^\s,:{}\[\]"]*')
_STRING_RUN = re.compile(r'[^"\\]*')
_UNIT = re.compile(r"\\u([0-9a-fA-F]{4})")
_OPEN_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")
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


def parse_partial_object(text: str) -> JsonObject:
    """What an unfinished JSON object shows so far; {} until one starts, or for another value.

    Never raises; takes time linear in the text. An unfinished string shows its characters, a
    literal shows from its first letter, a number once it is one. Stray signs and words are passed
    over. Reading stops at 256 levels of nesting. Source: ai-core spec, section 10.2.
    """
    return _Partial(text).read()


class _Partial:
    """A reader of one JSON object that shows what is there when the text ends early."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def read(self) -> JsonObject:
        root: JsonObject = {}
        if self._skip(_WHITESPACE) != "{":
            return root
        self.at += 1
        open_: list[JsonObject | list[Any]] = [root]
        key: str | None = None  # of the innermost object, while its value is awaited
        while open_ and len(open_) <= _MAX_DEPTH:
            inner = open_[-1]
            sign = self._skip(_WHITESPACE + ("," if key is None else ":"))
            if not sign:
                break
            if sign in "}]":
                self.at += 1
                key = None
                if (sign == "}") == isinstance(inner, dict):
                    open_.pop()
            elif sign == '"' and key is None and isinstance(inner, dict):
                key = self._string()
            else:
                value = self._value(sign)
                _place(inner, key, value)
                key = None
                if isinstance(value, dict | list):
                    open_.append(cast("JsonObject | list[JsonValue]", value))
        return root

    def _skip(self, characters: str) -> str:
        """Move past `characters`; returns the next one, or "" at the end."""
        text, at = self.text, self.at
        while at < len(text) and text[at] in characters:
            at += 1
        self.at = at
        return text[at : at + 1]

    def _value(self, sign: str) -> Any:
        """The scalar, or the empty container, that begins here; always moves on."""
        if sign == '"':
            return self._string()
        word = _found(_WORD.match(self.text, self.at))[0]
        self.at += len(word) or 1
        match sign:
            case "{":
                return {}
            case "[":
                return []
            case _:
                return _scalar(word, finished=self.at < len(self.text))

    def _string(self) -> str:
        self.at += 1
        pieces: list[str] = []
        while self.at < len(self.text):
            run = _found(_STRING_RUN.match(self.text, self.at))
            pieces.append(run[0])
            self.at = run.end()
            if self.text[self.at : self.at + 1] == '"':
                self.at += 1
                break
            if self.at < len(self.text):
                pieces.append(self._escape())
        return "".join(pieces)

    def _escape(self) -> str:
        """The character of the escape that begins here; "" if not all of it has arrived."""
        if _OPEN_ESCAPE.match(self.text, self.at):
            self.at = len(self.text)
            return ""
        unit = _UNIT.match(self.text, self.at)
        if unit is not None:
            self.at = unit.end()
            return self._paired(int(unit[1], 16))
        plain = _SIMPLE_ESCAPES.get(self.text[self.at + 1])
        self.at += 1 if plain is None else 2
        return plain or "\\"

    def _paired(self, unit: int) -> str:
        """The character of a UTF-16 unit, with the escaped low half that follows a high one."""
        if not 0xD800 <= unit < 0xDC00:
            return chr(unit)
        if self.at == len(self.text) or _OPEN_ESCAPE.match(self.text, self.at):
            self.at = len(self.text)
            return ""
        low = _UNIT.match(self.text, self.at)
        if low is None or not 0xDC00 <= int(low[1], 16) < 0xE000:
            return chr(unit)
        self.at = low.end()
        return chr(0x10000 + ((unit - 0xD800) << 10) + (int(low[1], 16) - 0xDC00))


def _found(match: re.Match[str] | None) -> re.Match[str]:
    """The match of a pattern that cannot fail, as it matches the empty text too."""
    assert match is not None
    return match


def _place(inner: JsonObject | list[Any], key: str | None, value: Any) -> None:
    """Put a value where it belongs; one without a key in an object belongs nowhere."""
    if value is _HIDDEN:
        return
    if isinstance(inner, list):
        inner.append(value)
    elif key is not None:
        inner[key] = value


def _scalar(word: str, *, finished: bool) -> Any:
    """The literal or number that `word` is, or may become if it is not `finished`."""
    if not word:
        return _HIDDEN
    for literal, value in _LITERALS.items():
        if word == literal or (not finished and literal.startswith(word)):
            return value
    number = _NUMBER.fullmatch(word)
    if number is None or (finished and number[2]):
        return _HIDDEN
    if not finished and len(word) > _MAX_OPEN_SCALAR:
        return _HIDDEN
    try:
        return json.loads(number[1])
    except ValueError:  # more digits than Python turns into a number
        return _HIDDEN
