"""What is in auth.json: its bytes, its entries, and the credentials in them. Pure.

Entries that are not changed keep their bytes, whatever they hold. Source: auth spec, sections
2.1 and 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias, cast

import msgspec

from pi_ai.auth.types import (
    ApiKeyCredential,
    Credential,
    CredentialInfo,
    OAuthCredential,
    UnknownCredential,
)
from pi_ai.errors import AuthStorageError
from pi_ai.json_text import js_json, parse_json
from pi_ai.types import JsonObject, JsonValue

__all__ = (
    "Entries",
    "decode_credential",
    "encode_credential",
    "format_entries",
    "list_credentials",
    "parse_entries",
)

_BOM = b"\xef\xbb\xbf"
_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])

Entries: TypeAlias = dict[str, bytes]
"""Per provider the JSON text of its entry, in the order of the file."""


def parse_entries(data: bytes) -> Entries:
    """The entries of a file; none for an empty one.

    Raises ValueError for what is no JSON object; the text holds nothing of the file.
    """
    data = data.removeprefix(_BOM)
    if not data:
        return {}
    try:
        return {name: bytes(raw) for name, raw in _RAW.decode(data).items()}
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _parse_surrogates(data, str(error))


def _parse_surrogates(data: bytes, fault: str) -> Entries:
    """JavaScript writes and reads lone surrogates, which the usual parser refuses."""
    try:
        value = parse_json(data)
    except ValueError:
        raise ValueError(fault) from None
    if not isinstance(value, dict):
        raise ValueError("Expected `object`") from None
    return {name: _entry_text(entry) for name, entry in cast("JsonObject", value).items()}


def format_entries(entries: Mapping[str, bytes]) -> bytes:
    """The bytes of a file with these entries."""
    if not entries:
        return b"{}"
    lines = (b"  %b: %b" % (js_json(name).encode(), text) for name, text in entries.items())
    return b"{\n%b\n}" % b",\n".join(lines)


def _entry_text(entry: JsonValue) -> bytes:
    """An entry as it stands in the file, two spaces in."""
    return js_json(entry, indent=2).replace("\n", "\n  ").encode()


# --- credentials ------------------------------------------------------------------------------


def decode_credential(provider_id: str, text: bytes | None) -> Credential | None:
    """The credential of an entry; None for no entry, and for one that is no object.

    Raises `AuthStorageError` for an entry whose fields are not what its type says.
    """
    entry = _parse_object(text)
    if entry is None:
        return None
    kind = entry.pop("type", "")
    try:
        match kind:
            case "api_key":
                key, env = entry.pop("key", None), entry.pop("env", None)
                return ApiKeyCredential(key, env=_variables(env), extra=entry)
            case "oauth":
                access, refresh, expires = (
                    entry.pop(name, None) for name in ("access", "refresh", "expires")
                )
                return OAuthCredential(
                    cast("str", access), cast("str", refresh), cast("float", expires), extra=entry
                )
            case _:
                return UnknownCredential(kind if isinstance(kind, str) else "", extra=entry)
    except (TypeError, ValueError) as error:
        raise AuthStorageError(
            f'Invalid auth.json credential for provider "{provider_id}": {error}. '
            "Correct the entry, or log out to remove it."
        ) from None


def _parse_object(text: bytes | None) -> JsonObject | None:
    value: JsonValue = None if text is None else parse_json(text)
    return cast("JsonObject", value) if isinstance(value, dict) else None


def _variables(env: JsonValue) -> dict[str, str]:
    if env is None:
        return {}
    if not isinstance(env, dict):
        raise TypeError(f"env: expected an object, found {type(env).__name__}")
    return cast("dict[str, str]", env)


def encode_credential(credential: Credential, before: bytes | None = None) -> bytes:
    """The text of an entry; fields that `before` has too stay in their place."""
    fields = _fields(credential)
    kept = _parse_object(before) or {}
    ordered = {name: fields[name] for name in kept if name in fields}
    return _entry_text({**ordered, **fields})


def _fields(credential: Credential) -> JsonObject:
    fields: JsonObject = {"type": credential.type}
    match credential:
        case ApiKeyCredential():
            if credential.key is not None:
                fields["key"] = str(credential.key)
            if credential.env:
                fields["env"] = {name: str(text) for name, text in credential.env.items()}
        case OAuthCredential():
            fields["refresh"] = str(credential.refresh)
            fields["access"] = str(credential.access)
            fields["expires"] = credential.expires
        case UnknownCredential():
            pass
    others = {name: value for name, value in credential.extra.items() if name not in fields}
    return {**fields, **others}


def list_credentials(entries: Mapping[str, bytes]) -> list[CredentialInfo]:
    """Which providers have an entry that is an object, in the order of the file. No secrets."""
    found: list[CredentialInfo] = []
    for name, text in entries.items():
        entry = _parse_object(text)
        if entry is not None:
            kind = entry.get("type")
            found.append(CredentialInfo(name, kind if isinstance(kind, str) else ""))
    return found
