"""Types of tool functions that msgspec does not know: paths, and pydantic models.

The functions are hooks of msgspec.
pydantic is never imported here: a model can only be there if its user imported pydantic.
"""

from __future__ import annotations

import sys
from pathlib import PurePath
from typing import Any

import msgspec

from pi_ai import JsonObject, JsonValue

__all__ = ("describe_foreign", "from_plain", "to_plain")


def describe_foreign(kind: type) -> JsonObject:
    """The JSON Schema of a foreign type.

    Raises NotImplementedError for an unknown one, by which msgspec knows that it has to look for
    the schema in the annotation, or to refuse the type.
    """
    if _is_path(kind):
        return {"type": "string"}
    if _is_model(kind):
        model: Any = kind
        return model.model_json_schema()
    raise NotImplementedError


def from_plain(value: JsonValue, kind: Any) -> Any:
    """`value` as the Python type `kind`. Raises `msgspec.ValidationError` if it does not fit."""
    return msgspec.convert(value, kind, dec_hook=_decode, str_keys=True)


def to_plain(value: object) -> JsonValue:
    """`value` as dicts, lists and scalars. Raises TypeError that names the type if it cannot be."""
    return msgspec.to_builtins(value, enc_hook=_encode, str_keys=True)


def _is_path(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _is_model(kind: Any) -> bool:
    base: Any = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return isinstance(kind, type) and isinstance(base, type) and issubclass(kind, base)


def _decode(kind: Any, value: Any) -> Any:
    if _is_path(kind):
        if not isinstance(value, str):
            raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
        return kind(value)
    if _is_model(kind):
        return kind.model_validate(value)
    raise TypeError(f"Cannot read {kind.__qualname__} from JSON")  # msgspec adds where


def _encode(value: Any) -> Any:
    if isinstance(value, PurePath):
        return str(value)
    if _is_model(value.__class__):
        return value.model_dump(mode="json")
    raise TypeError(f"{value.__class__.__name__} cannot be written as JSON")
