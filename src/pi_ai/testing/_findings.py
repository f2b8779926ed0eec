"""What is wrong with a request, collected with the place of each fault.

The checks that several wire formats share: objects, numbers, JSON text, images, schemas.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Collection, Iterator
from typing import TypeGuard

from msgspec import Struct

from pi_ai.types import JsonObject, JsonValue

__all__ = ("IMAGE_TYPES", "Findings", "RequestProblem", "is_list", "is_object", "is_text")

IMAGE_TYPES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
"""The image types that both Anthropic and OpenAI read."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class RequestProblem(Struct, frozen=True):
    """One broken rule: where in the body, such as `messages[2].content[0].id`, and what."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def is_object(value: JsonValue) -> TypeGuard[JsonObject]:
    """Whether `value` is a JSON object."""
    return isinstance(value, dict)


def is_list(value: JsonValue) -> TypeGuard[list[JsonValue]]:
    """Whether `value` is a JSON array."""
    return isinstance(value, list)


def is_text(value: JsonValue) -> TypeGuard[str]:
    """Whether `value` is a JSON string."""
    return isinstance(value, str)


class Findings:
    """The problems found so far, and checks that add to them."""

    def __init__(self) -> None:
        self.problems: list[RequestProblem] = []

    def add(self, path: str, text: str) -> None:
        """Note a broken rule."""
        self.problems.append(RequestProblem(path or "body", text))

    # --- shapes -------------------------------------------------------------------------------

    def fields(
        self,
        value: JsonValue,
        path: str,
        *,
        required: Collection[str] = (),
        allowed: Collection[str] | None = None,
    ) -> JsonObject:
        """`value` if it is an object, else {}; notes missing fields and, with `allowed`, others."""
        if not is_object(value):
            self.add(path, "must be an object")
            return {}
        for name in required:
            if name not in value:
                self.add(_join(path, name), "is required")
        if allowed is not None:
            for name in value:
                if name not in allowed and name not in required:
                    self.add(_join(path, name), "is no known field")
        return value

    def items(self, value: JsonValue, path: str) -> Iterator[tuple[str, JsonValue]]:
        """Each element of an array with its path; notes anything but an array."""
        if not is_list(value):
            self.add(path, "must be an array")
            return
        for index, item in enumerate(value):
            yield f"{path}[{index}]", item

    def integer(self, value: JsonValue, path: str, *, least: int) -> int | None:
        """`value` if it is an integer of at least `least`, else None, which is noted."""
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.add(path, f"must be an integer of at least {least}")
            return None
        return value

    def number(self, value: JsonValue, path: str, *, least: float, most: float) -> None:
        """A number from `least` to `most`."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.add(path, "must be a number")
        elif not least <= value <= most:
            self.add(path, f"must be from {least:g} to {most:g}")

    def one_of(self, value: JsonValue, path: str, choices: Collection[str]) -> bool:
        """Whether `value` is one of `choices`; notes it if not."""
        if is_text(value) and value in choices:
            return True
        self.add(path, f"must be one of {', '.join(sorted(choices))}")
        return False

    def matches(self, value: JsonValue, path: str, pattern: re.Pattern[str]) -> str | None:
        """`value` if it is text of that pattern, else None, which is noted."""
        if is_text(value) and pattern.fullmatch(value):
            return value
        self.add(path, f"must match ^{pattern.pattern}$")
        return None

    # --- contents -----------------------------------------------------------------------------

    def unicode(self, value: JsonValue, path: str) -> None:
        """No half of a surrogate pair anywhere: strict JSON parsers reject the whole body."""
        if is_text(value):
            if _SURROGATE.search(value):
                self.add(path, "holds a lone surrogate")
        elif is_list(value):
            for index, item in enumerate(value):
                self.unicode(item, f"{path}[{index}]")
        elif is_object(value):
            for name, item in value.items():
                if _SURROGATE.search(name):
                    self.add(path, "has a field name with a lone surrogate")
                self.unicode(item, _join(path, name))

    def base64(self, value: JsonValue, path: str) -> None:
        """Standard base64 with padding, not empty, without a data-URL prefix."""
        try:
            valid = is_text(value) and bool(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            valid = False
        if not valid:
            self.add(path, "must be base64 of at least one byte")

    def json_object(self, value: JsonValue, path: str) -> None:
        """A text that parses to a JSON object."""
        try:
            parsed = json.loads(value) if is_text(value) else None
        except ValueError:
            parsed = None
        if not is_object(parsed):
            self.add(path, "must be the JSON text of an object")

    def schema(self, value: JsonValue, path: str) -> None:
        """A JSON Schema, draft 2020-12, whose root is of type object."""
        import jsonschema_rs  # loaded by the first check of a tool

        schema = self.fields(value, path)
        if schema.get("type") != "object":
            self.add(f"{path}.type", "must be object")
        # Whatever dialect it names, the providers read it as draft 2020-12.
        own = {name: part for name, part in schema.items() if name != "$schema"}
        try:
            jsonschema_rs.meta.validate(own)
        except ValueError as error:
            reason = str(error).partition("\n")[0]
            self.add(path, f"is no JSON Schema: {reason}")


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
