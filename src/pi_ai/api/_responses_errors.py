"""The failures that servers of the Responses API report, in the words of OpenAI's own client. Pure.

Source: spec of openai-responses, section 7.6.
"""

from __future__ import annotations

from typing import cast

from pi_ai.api._exchange import Refusal, error_code
from pi_ai.api._records import convert_record
from pi_ai.api._responses_records import ErrorRecord, EventRecord, ResponseRecord
from pi_ai.errors import ProviderError
from pi_ai.json_text import js_json, parse_json
from pi_ai.types import JsonObject, JsonValue

__all__ = ("event_error", "failed_error", "refusal_text")

_ERROR_BODY_CHARS = 4000
_HINTS = {
    "subscription_sharing_usage_limit_exceeded": (
        "Check your ChatGPT usage: https://chatgpt.com/settings/usage"
    ),
    "subscription_sharing_workplace_individual_usage_limit_exceeded": (
        "You've reached your ChatGPT workspace's usage limit. Ask your workspace admin to increase "
        "it at admin.openai.com → Workspace → Usage limits."
    ),
}


def refusal_text(refusal: Refusal, name: str) -> str:
    """The text of an error status; `name` is what the server's owner is called."""
    status = refusal.status
    text = refusal.body.decode("utf-8", "replace").strip()
    value = _json_or_none(text)
    told = cast("JsonObject", value) if isinstance(value, dict) else {}
    if told.get("error"):
        shown = _cut(js_json(told["error"]))
    elif text:
        shown = f"{status} {_cut(text)}"
    else:
        shown = f"{status} status code (no body)"
    return _with_hints(f"{name} API error ({status}): {shown}")


def event_error(event: EventRecord, data: bytes) -> ProviderError:
    """What an `error` event reports, in itself or in an object inside."""
    inner = convert_record(event.error, ErrorRecord)
    outer = convert_record({"code": event.code, "message": event.message}, ErrorRecord)
    code = inner.code if inner.code is not None else outer.code
    said = inner.message or outer.message
    if not said and isinstance(event.error, str):
        said = event.error
    text = said or data.decode("utf-8", "replace")
    if code is not None:
        text = f"Error Code {code}: {text}"
    known = error_code({"error": {"code": code, "type": inner.type}})
    return ProviderError(_with_hints(text), code=known, retryable=True)


def failed_error(response: ResponseRecord) -> ProviderError:
    """What a failed response reports."""
    error = response.error
    details = response.incomplete_details
    if error is not None:
        text = f"{error.code or 'unknown'}: {error.message or 'no message'}"
    elif details is not None and details.reason:
        text = f"incomplete: {details.reason}"
    else:
        text = "Unknown error (no error details in response)"
    code = None if error is None or error.code is None else str(error.code)
    return ProviderError(_with_hints(text), code=code, retryable=True)


def _cut(text: str) -> str:
    if len(text) <= _ERROR_BODY_CHARS:
        return text
    return f"{text[:_ERROR_BODY_CHARS]}... [truncated {len(text) - _ERROR_BODY_CHARS} chars]"


def _with_hints(text: str) -> str:
    return "\n".join([text, *(hint for mark, hint in _HINTS.items() if mark in text)])


def _json_or_none(text: str) -> JsonValue:
    try:
        return parse_json(text)
    except ValueError:
        return None
