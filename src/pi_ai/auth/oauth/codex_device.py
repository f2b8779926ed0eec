"""Logging in to ChatGPT by a code that is entered on any device. Source: auth spec, section 3.4."""

from __future__ import annotations

import math
import re
from typing import cast

from pi_ai.auth.oauth.codex_tokens import CLIENT_ID
from pi_ai.auth.oauth.device_code import (
    Complete,
    Pending,
    PollResult,
    SlowDown,
    poll_device_code,
)
from pi_ai.auth.oauth.endpoints import CodexEndpoints
from pi_ai.auth.oauth.runtime import OAuthRuntime
from pi_ai.auth.oauth.token_endpoint import TokenAnswer, TokenEndpoint, read_token
from pi_ai.auth.types import DeviceCodeEvent
from pi_ai.errors import OAuthError
from pi_ai.secrets import Masked, Secret
from pi_ai.types import JsonValue

__all__ = ("ConfirmedDevice", "DeviceCode", "request_device_code", "wait_for_device")

_LIFETIME_SECONDS = 900
# It is shown to the user, so it must not be able to say anything else.
_USER_CODE = re.compile(r"[\w-]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_NOT_ENABLED = (
    "OpenAI Codex device code login is not enabled for this server. Use browser login or verify "
    "the server URL."
)


class DeviceCode(Masked, frozen=True, kw_only=True):
    """A code that waits to be entered."""

    device_auth_id: Secret
    user_code: str
    interval_seconds: float

    def event(self, verification_uri: str) -> DeviceCodeEvent:
        """What the user is told."""
        return DeviceCodeEvent(
            self.user_code,
            verification_uri,
            interval_seconds=self.interval_seconds,
            expires_in_seconds=_LIFETIME_SECONDS,
        )


class ConfirmedDevice(Masked, frozen=True, kw_only=True):
    """What a confirmed code brings: an authorization code with the server's own PKCE verifier."""

    code: Secret
    verifier: Secret


async def request_device_code(runtime: OAuthRuntime, endpoints: CodexEndpoints) -> DeviceCode:
    """A new code. Raises `OAuthError`."""
    answer = await _ask(
        runtime, endpoints.device_code_url, {"client_id": CLIENT_ID}, "code request"
    )
    if answer.status == 404:
        raise answer.failure(_NOT_ENABLED)
    if not answer.ok:
        raise answer.failure(_failure("OpenAI Codex device code request failed", answer))
    fields = answer.fields or {}
    device, user_code = read_token(answer, "device_auth_id"), fields.get("user_code")
    interval = _interval(fields.get("interval"))
    if device is None:
        raise _invalid(answer, "code", "device_auth_id")
    if not isinstance(user_code, str) or not _USER_CODE.fullmatch(user_code):
        raise _invalid(answer, "code", "user_code")
    if interval is None:
        raise _invalid(answer, "code", "interval")
    return DeviceCode(device_auth_id=device, user_code=user_code, interval_seconds=interval)


async def wait_for_device(
    runtime: OAuthRuntime, endpoints: CodexEndpoints, device: DeviceCode
) -> ConfirmedDevice:
    """What the code brings once the user has entered it, at most 15 minutes later.

    Raises `OAuthError` when it was refused, or is too old.
    """
    fields = {"device_auth_id": device.device_auth_id, "user_code": device.user_code}

    async def poll() -> PollResult[ConfirmedDevice]:
        return _read(await _ask(runtime, endpoints.device_token_url, fields, "auth"))

    return await poll_device_code(
        runtime,
        poll,
        interval_seconds=device.interval_seconds,
        expires_in_seconds=_LIFETIME_SECONDS,
    )


def _read(answer: TokenAnswer) -> PollResult[ConfirmedDevice]:
    if answer.ok:
        code, verifier = (
            read_token(answer, "authorization_code"),
            read_token(answer, "code_verifier"),
        )
        if code is None:
            raise _invalid(answer, "auth token", "authorization_code")
        if verifier is None:
            raise _invalid(answer, "auth token", "code_verifier")
        return Complete(ConfirmedDevice(code=code, verifier=verifier))
    if answer.status in {403, 404} or answer.code == "deviceauth_authorization_pending":
        return Pending()
    if answer.code == "slow_down":
        return SlowDown()
    raise answer.failure(_failure("OpenAI Codex device auth failed", answer))


async def _ask(runtime: OAuthRuntime, url: str, fields: dict[str, str], what: str) -> TokenAnswer:
    try:
        return await TokenEndpoint(url, runtime.transport).post(
            fields, encoding="json", timeout_seconds=runtime.request_timeout_seconds
        )
    except OAuthError as error:
        text = f"OpenAI Codex device {what} error: {error}"
        raise OAuthError(text, retryable=error.retryable) from None


def _interval(value: JsonValue) -> float | None:
    """Seconds, also as a numeric text; "" is 0. None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return 0
        return _whole(float(text)) if _NUMBER.fullmatch(text) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return _whole(cast("float", value))


def _whole(seconds: float) -> float | None:
    if not math.isfinite(seconds) or seconds < 0:
        return None
    return int(seconds) if seconds == int(seconds) else seconds


def _failure(text: str, answer: TokenAnswer) -> str:
    details = f": {answer.reason}" if answer.reason else ""
    return f"{text} with status {answer.status}{details}"


def _invalid(answer: TokenAnswer, what: str, name: str) -> OAuthError:
    return answer.failure(f"Invalid OpenAI Codex device {what} response: no usable {name}")
