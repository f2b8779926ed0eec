"""The failures that the Codex backend of ChatGPT reports, in words that help its users. Pure.

Source: spec of openai-codex-responses, sections 8.5 and 9.6.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import cast

from pi_ai.api._exchange import Refusal, Refusals, error_code
from pi_ai.api._records import convert_record
from pi_ai.api._responses_records import ErrorRecord, EventRecord, ResponseRecord
from pi_ai.errors import ProviderError
from pi_ai.json_text import js_json, parse_json
from pi_ai.types import JsonObject, JsonValue

__all__ = ("CODEX_REFUSALS", "event_error", "failed_error", "refusal_text")

_LIMIT_CODES = re.compile(r"usage_limit_reached|usage_not_included|rate_limit_exceeded", re.I)
_RETRYABLE_STATUSES = {429, 500, 502, 503, 504}
_RETRYABLE_BODY = re.compile(
    r"rate.?limit|overloaded|service.?unavailable|upstream.?connect|connection.?refused", re.I
)
_FINAL_BODY = re.compile(
    r"GoUsageLimitError|FreeUsageLimitError|Monthly usage limit reached|available balance"
    r"|insufficient_quota|out of budget|quota exceeded|billing"
    r"|usage_limit_reached|usage_not_included",  # of a plan: over in hours, not in seconds
    re.I,
)
_NAMED_STATUSES = {408, 409, 425}


def refusal_text(refusal: Refusal, now: Callable[[], float] = time.time) -> str:
    """The text of an error status. `now` gives seconds since 1970."""
    status = refusal.status
    text = refusal.body.decode("utf-8", "replace")
    error = _error_object(text)
    said: JsonValue = error.get("message")
    limited = _LIMIT_CODES.search(error_code({"error": error}) or "") or status == 429
    if error and limited:
        return _limit_text(error, now())
    if isinstance(said, str) and said:
        text = said
    text = text or refusal.reason or "Request failed"
    named = status >= 500 or status in _NAMED_STATUSES
    return f"Codex API error ({status}): {text}" if named else text


def _limit_text(error: JsonObject, now_seconds: float) -> str:
    plan: JsonValue = error.get("plan_type")
    resets_at: JsonValue = error.get("resets_at")
    text = "You have hit your ChatGPT usage limit"
    if isinstance(plan, str) and plan:
        text += f" ({plan.lower()} plan)"
    text += "."
    if isinstance(resets_at, int | float) and not isinstance(resets_at, bool) and resets_at:
        minutes = max(0, int((resets_at - now_seconds) / 60 + 0.5))
        text += f" Try again in ~{minutes} min."
    return text


def _is_retryable(refusal: Refusal) -> bool:
    text = refusal.body.decode("utf-8", "replace")
    if refusal.status == 429 and _FINAL_BODY.search(text):
        return False
    return refusal.status in _RETRYABLE_STATUSES or _RETRYABLE_BODY.search(text) is not None


def _backoff(attempt: int) -> float:
    return float(2 ** min(attempt, 16))


CODEX_REFUSALS = Refusals(refusal_text, _is_retryable, _backoff)
"""What refusals of the backend mean."""


def event_error(event: EventRecord) -> ProviderError:
    """What an `error` event reports, in itself or in an object inside."""
    inner = convert_record(event.error, ErrorRecord)
    outer = convert_record({"code": event.code, "message": event.message}, ErrorRecord)
    code = outer.code if outer.code is not None else inner.code
    told = outer.message or inner.message or code
    if told is None:
        fields = {name: getattr(event, name) for name in ("type", "error", "code", "message")}
        told = js_json({name: value for name, value in fields.items() if value is not None})
    known = error_code({"error": {"code": code, "type": inner.type}})
    return ProviderError(f"Codex error: {told}", code=known, retryable=True)


def failed_error(response: ResponseRecord) -> ProviderError:
    """What a failed response reports."""
    error = response.error or ErrorRecord()
    code = None if error.code is None else str(error.code)
    return ProviderError(error.message or "Codex response failed", code=code, retryable=True)


def _error_object(text: str) -> JsonObject:
    try:
        value = parse_json(text)
    except ValueError:
        return {}
    error: JsonValue = cast("JsonObject", value).get("error") if isinstance(value, dict) else None
    return cast("JsonObject", error) if isinstance(error, dict) else {}
