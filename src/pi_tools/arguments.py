"""A tool call's arguments as a typed record, and its numbers as whole ones."""

from __future__ import annotations

import math
import sys
from typing import TypeVar

import msgspec

from pi_agent.types import ToolError
from pi_ai import JsonObject
from pi_ai.wire import from_json_value

__all__ = ("read_arguments", "whole_number")

T = TypeVar("T")


def read_arguments(arguments: JsonObject, kind: type[T]) -> T:
    """`arguments` as `kind`; unknown keys are ignored. Raises ToolError if they do not fit."""
    try:
        return from_json_value(arguments, kind)
    except msgspec.ValidationError as error:
        raise ToolError(f"Invalid arguments: {error}") from error


def whole_number(value: float) -> int:
    """`value` rounded down, at least 1. Source: tools spec, section 14, row 5."""
    if math.isnan(value):
        return 1
    if math.isinf(value):
        return sys.maxsize if value > 0 else 1
    return max(1, math.floor(value))
