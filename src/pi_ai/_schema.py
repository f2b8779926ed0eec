"""JSON Schema as tools use it: one tidy copy, its references, and the validators made from it.

Coercion and error texts walk the tidy copy; `jsonschema-rs` decides what is valid. Nothing is
ever fetched. Source: ai-core spec, section 9.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn, TypeGuard
from urllib.parse import quote, unquote

from pi_ai.types import JsonObject, JsonValue

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, KeywordValidator, ValidationError

__all__ = (
    "LIST_KEYWORDS",
    "MAP_KEYWORDS",
    "SCHEMA_KEYWORDS",
    "InvalidSchemaError",
    "ParameterSchema",
    "child_pointer",
    "constant_of",
    "is_array",
    "is_object",
)

LIST_KEYWORDS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
"""Keywords whose value is a list of schemas."""

MAP_KEYWORDS = frozenset(
    {
        "$defs",
        "definitions",
        "dependencies",
        "dependentSchemas",
        "patternProperties",
        "properties",
    }
)
"""Keywords whose value is an object of schemas."""

SCHEMA_KEYWORDS = frozenset(
    {
        "additionalItems",
        "additionalProperties",
        "contains",
        "contentSchema",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    }
)
"""Keywords whose value is a schema."""

# Without effect on what is valid, and often wrong in hand-written schemas.
_ANNOTATIONS = frozenset(
    {
        "$comment",
        "$schema",
        "default",
        "deprecated",
        "description",
        "example",
        "examples",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_UNRESOLVED = "x-unresolved-reference"
_ROOT_URI = "urn:tool-parameters"
_META_SCHEMAS = ("http://json-schema.org/", "https://json-schema.org/")


def is_object(value: object) -> TypeGuard[JsonObject]:
    """Whether a JSON value is an object."""
    return isinstance(value, dict)


def is_array(value: object) -> TypeGuard[list[JsonValue]]:
    """Whether a JSON value is an array."""
    return isinstance(value, list)


def child_pointer(pointer: str, *segments: str | int) -> str:
    """`pointer`, a URI fragment such as `#/properties/a`, extended by `segments`."""
    for segment in segments:
        pointer += _pointer_step(segment)
    return pointer


@lru_cache(2048)
def _pointer_step(segment: str | int) -> str:
    escaped = str(segment).replace("~", "~0").replace("/", "~1")
    return "/" + quote(escaped, safe="~!$&'()*+,;=:@")


def constant_of(node: JsonValue) -> list[JsonValue]:
    """The only value that a schema allows, in a list; an empty list if it allows others."""
    if not is_object(node):
        return []
    if "const" in node:
        return [node["const"]]
    members: list[JsonValue] = node.get("enum", [])
    return members if len(members) == 1 else []


class InvalidSchemaError(ValueError):
    """A schema is not a JSON Schema; the text gives the place and the reason."""


class ParameterSchema:
    """One JSON Schema, ready for checks. Validators are built when first asked for.

    `root` is a tidy copy: array-form `items` as `prefixItems`, no annotations, references that
    lead nowhere replaced by a mark that rejects every value at their place.
    """

    def __init__(self, schema: JsonObject) -> None:
        self._base = _base_uri(schema)
        self._anchors = dict(_anchors(schema, "#"))
        self._nested_ids = any("$id" in node for node in _nodes(schema) if node is not schema)
        self.root: JsonObject = self._tidy(schema, schema)
        self._validators: dict[str, Draft202012Validator] = {}

    def accepts(self, value: JsonValue, pointer: str = "#") -> bool:
        """Whether `value` fits the schema at `pointer`. Raises InvalidSchemaError."""
        return self._checked(pointer).is_valid(_encodable(value))

    def errors(self, value: JsonValue) -> list[ValidationError]:
        """Everything wrong with `value`, in no useful order."""
        return list(self._checked("#").iter_errors(_encodable(value)))

    @property
    def has_recursive_unions(self) -> bool:
        """Whether a union may contain itself: there are unions, and there are references."""
        keywords = {keyword for node in _nodes(self.root) for keyword in node}
        return "$ref" in keywords and not keywords.isdisjoint({"anyOf", "oneOf"})

    def matches(self, pattern: str, text: str) -> bool:
        """Whether the regular expression of a schema is found in `text`."""
        key = f"pattern {pattern}"
        validator = self._validators.get(key)
        if validator is None:
            validator = self._validators[key] = _compile({"pattern": pattern})
        return validator.is_valid(_encodable(text))

    def resolve(self, reference: str) -> tuple[str, JsonValue] | None:
        """Pointer and schema that a `$ref` of this document leads to, or None."""
        pointer = self._local_pointer(reference)
        if pointer is None:
            return None
        found = _at_pointer(self.root, pointer)
        return None if found is None else (pointer, found)

    def definition(self, node: JsonValue) -> JsonObject:
        """The keywords of a schema together with those of what it refers to."""
        merged: JsonObject = {}
        followed: set[str] = set()
        while is_object(node):
            merged = {**node, **merged}
            reference = node.get("$ref")
            if not isinstance(reference, str) or reference in followed:
                break
            followed.add(reference)
            target = self.resolve(reference)
            node = target[1] if target else None
        return merged

    def _checked(self, pointer: str) -> Draft202012Validator:
        validator = self._validators.get(pointer)
        if validator is None:
            schema = self.root if pointer == "#" else {"$ref": _ROOT_URI + pointer}
            validator = self._validators[pointer] = _compile(schema, self.root)
        return validator

    def _local_pointer(self, reference: str) -> str | None:
        if self._base and reference.startswith(self._base):
            reference = reference[len(self._base) :] or "#"
        if not reference.startswith("#"):
            return None
        if reference == "#" or reference.startswith("#/"):
            return reference
        return self._anchors.get(reference[1:])

    def _tidy(self, node: Any, root: JsonObject) -> Any:
        if not is_object(node):
            return node
        tidy: JsonObject = {}
        for keyword, value in node.items():
            if keyword in _ANNOTATIONS or (node is root and keyword == "$id"):
                continue
            tidy[keyword] = self._tidy_keyword(keyword, value, root)
        _modernize(tidy)
        reference = tidy.get("$ref")
        if isinstance(reference, str):
            self._mark_reference(tidy, reference, root)
        return tidy

    def _tidy_keyword(self, keyword: str, value: Any, root: JsonObject) -> Any:
        if keyword in SCHEMA_KEYWORDS and isinstance(value, dict):
            return self._tidy(value, root)
        if is_array(value) and (keyword in LIST_KEYWORDS or keyword == "items"):
            return [self._tidy(item, root) for item in value]
        if keyword in MAP_KEYWORDS and is_object(value):
            return {key: self._tidy(item, root) for key, item in value.items()}
        return value

    def _mark_reference(self, node: JsonObject, reference: str, root: JsonObject) -> None:
        pointer = self._local_pointer(reference)
        if pointer is not None and _at_pointer(root, pointer) is not None:
            node["$ref"] = pointer
        elif not self._nested_ids and not reference.startswith(_META_SCHEMAS):
            del node["$ref"]
            node[_UNRESOLVED] = reference


class _UnresolvedReference:
    """The validator of the mark: rejects everything."""

    def __init__(
        self, parent_schema: JsonObject, value: JsonValue, schema_path: list[str | int]
    ) -> None:
        del parent_schema, schema_path
        self._reference = value

    def validate(self, instance: object) -> None:
        del instance
        raise ValueError(f"unresolved reference {self._reference}")


def _never_fetch(uri: str) -> NoReturn:
    raise ValueError(f"schemas are not fetched: {uri}")


def _compile(schema: JsonObject, root: JsonObject | None = None) -> Draft202012Validator:
    import jsonschema_rs

    keywords: dict[str, type[KeywordValidator]] = {_UNRESOLVED: _UnresolvedReference}
    try:
        registry = None
        if root is not None and schema is not root:
            registry = jsonschema_rs.Registry([(_ROOT_URI, root)], retriever=_never_fetch)
        return jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            formats=_formats(jsonschema_rs.Draft202012Validator),
            retriever=_never_fetch,
            registry=registry,
            keywords=keywords,
        )
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError) as error:
        place = ".".join(str(part) for part in getattr(error, "instance_path", ()))
        reason = str(error).split("\n", 1)[0]
        raise InvalidSchemaError(f"{place or 'root'}: {reason}") from error


def _formats(validator: type[Draft202012Validator]) -> dict[str, Callable[[str], bool]]:
    """Formats that `jsonschema-rs` lacks."""

    def is_url(text: str) -> bool:
        return validator({"format": "uri"}, validate_formats=True).is_valid(text)

    def is_fragment(text: str) -> bool:
        pointer = validator({"format": "json-pointer"}, validate_formats=True)
        return text.startswith("#") and pointer.is_valid(unquote(text[1:]))

    return {"url": is_url, "json-pointer-uri-fragment": is_fragment}


def _modernize(node: JsonObject) -> None:
    """Rewrite the forms of older drafts that 2020-12 rejects or ignores."""
    if isinstance(node.get("items"), list):
        node["prefixItems"] = node.pop("items")
        if "additionalItems" in node:
            node["items"] = node.pop("additionalItems")
    for exclusive, inclusive in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        flag = node.get(exclusive)
        if isinstance(flag, bool):
            del node[exclusive]
            if flag and inclusive in node:
                node[exclusive] = node.pop(inclusive)


def _base_uri(schema: JsonObject) -> str:
    identifier = schema.get("$id")
    return identifier.rstrip("#") if isinstance(identifier, str) else ""


def _children(node: JsonObject) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The schemas directly inside `node`, each with the steps that lead to it."""
    for keyword, value in node.items():
        if keyword in SCHEMA_KEYWORDS and isinstance(value, dict):
            yield (keyword,), value
        elif is_array(value) and (keyword in LIST_KEYWORDS or keyword == "items"):
            for index, item in enumerate(value):
                yield (keyword, index), item
        elif keyword in MAP_KEYWORDS and is_object(value):
            for key, item in value.items():
                yield (keyword, key), item


def _nodes(schema: Any) -> Iterator[JsonObject]:
    if is_object(schema):
        yield schema
        for _, child in _children(schema):
            yield from _nodes(child)


def _anchors(schema: Any, pointer: str) -> Iterator[tuple[str, str]]:
    if is_object(schema):
        for keyword in ("$anchor", "$dynamicAnchor"):
            name = schema.get(keyword)
            if isinstance(name, str):
                yield name, pointer
        for steps, child in _children(schema):
            yield from _anchors(child, child_pointer(pointer, *steps))


def _at_pointer(root: JsonObject, pointer: str) -> Any:
    """What `pointer` leads to, or None."""
    node: Any = root
    for segment in pointer.split("/")[1:]:
        key = unquote(segment).replace("~1", "/").replace("~0", "~")
        if is_object(node):
            node = node.get(key)
        elif is_array(node) and key.isdecimal() and int(key) < len(node):
            node = node[int(key)]
        else:
            return None
    return node if isinstance(node, bool) or is_object(node) else None


def _encodable(value: Any) -> Any:
    """`value`, with lone surrogates replaced, which the validator cannot take in."""
    if isinstance(value, str):
        if value.isascii():
            return value
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if is_object(value):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if is_array(value) else value
