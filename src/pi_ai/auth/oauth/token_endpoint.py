"""Asks a provider's token endpoint, and reads tokens or failures from its answer.

No error holds a secret: of a body only the OAuth error and its description are told. Redirects
are not followed. Source: auth spec, sections 12 and 13.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar, Literal, cast
from urllib.parse import urlencode

from pi_ai.auth.oauth.foreign_text import clean_text
from pi_ai.auth.types import ModelAuth, OAuthCredential
from pi_ai.errors import OAuthError, ProviderError
from pi_ai.http.transport import HttpRequest, Transport
from pi_ai.identity import user_agent
from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.secrets import Masked, Secret
from pi_ai.types import JsonValue, now_ms

__all__ = (
    "TIMEOUT_SECONDS",
    "EndpointTokens",
    "TokenAnswer",
    "TokenEndpoint",
    "TokenGrant",
    "read_expires_in",
    "read_grant",
    "read_token",
)

TIMEOUT_SECONDS = 30.0
"""How long a token request may take."""

_LIMIT_BYTES = 1 << 20
_MAX_SECONDS = 1e10


class TokenAnswer(Masked, frozen=True, kw_only=True):
    """What a token endpoint said: the HTTP status, and the JSON object of the body if it is one.

    `sent` are the secrets of the request, which the server may repeat.
    """

    status: int
    fields: Mapping[str, JsonValue] | None
    sent: tuple[Secret, ...] = ()

    def __repr__(self) -> str:
        return f"<TokenAnswer {self.status}>"

    @property
    def ok(self) -> bool:
        """Whether the request was granted."""
        return 200 <= self.status < 300

    @property
    def code(self) -> str | None:
        """The OAuth error, such as `invalid_grant`, or what the server calls it."""
        told: JsonValue = (self.fields or {}).get("error")
        if isinstance(told, dict):
            nested = cast("Mapping[str, JsonValue]", told)
            told = nested.get("code") or nested.get("type")
        return clean_text(told, self.sent) if isinstance(told, str) else None

    @property
    def reason(self) -> str:
        """Error and description as the server told them, for people; "" if it told nothing."""
        fields = self.fields or {}
        description: JsonValue = fields.get("error_description")
        told: JsonValue = fields.get("error")
        if isinstance(told, dict):
            description = cast("Mapping[str, JsonValue]", told).get("message")
        shown = clean_text(description, self.sent) if isinstance(description, str) else ""
        return ": ".join(part for part in (self.code, shown) if part)

    def failure(self, text: str) -> OAuthError:
        """The error for a request that was not granted; `text` is its message."""
        passing = self.status == 429 or self.status >= 500
        return OAuthError(text, status=self.status, code=self.code, retryable=passing)


class TokenEndpoint:
    """The address that gives tokens."""

    def __init__(self, url: str, transport: Transport | None = None) -> None:
        """`transport` sends the requests; by default one is made for each."""
        self.url = url
        self._transport = transport

    def __repr__(self) -> str:
        return f"<TokenEndpoint {self.url}>"

    async def post(
        self,
        fields: Mapping[str, str],
        *,
        encoding: Literal["json", "form"],
        timeout_seconds: float = TIMEOUT_SECONDS,
    ) -> TokenAnswer:
        """Send `fields`, in this order, and wait for the answer.

        Those that are a `Secret` are taken out of what the server tells of a failure.
        Raises `OAuthError` if there is none: no connection, too late, too long.
        """
        request = _request(self.url, fields, encoding)
        transport = self._transport
        if transport is None:
            from pi_ai.http.client import AiohttpTransport  # loads aiohttp

            transport = AiohttpTransport()
        try:
            async with asyncio.timeout(timeout_seconds):
                status, body = await _send(transport, request)
        except TimeoutError:
            raise OAuthError(f"no answer within {timeout_seconds:g} s", retryable=True) from None
        except ProviderError as error:
            # Its traceback goes through the HTTP client, whose local variables hold the body.
            raise OAuthError(str(error), retryable=error.retryable) from None
        finally:
            if self._transport is None:
                await transport.aclose()
        return TokenAnswer(
            status=status,
            fields=_object(body),
            sent=tuple(text for text in fields.values() if text and isinstance(text, Secret)),
        )


def _request(url: str, fields: Mapping[str, str], encoding: str) -> HttpRequest:
    if encoding == "json":
        content_type, body = (
            "application/json",
            js_json_bytes({name: str(text) for name, text in fields.items()}),
        )
    else:
        content_type, body = "application/x-www-form-urlencoded", urlencode(fields).encode()
    return HttpRequest(
        url=url,
        headers={
            "Content-Type": content_type,
            "Accept": "application/json",
            "User-Agent": user_agent(),  # without one, servers behind a filter refuse
        },
        body=body,
    )


async def _send(transport: Transport, request: HttpRequest) -> tuple[int, bytes]:
    async with transport.post(request) as response:
        body = await response.read(_LIMIT_BYTES + 1)
        if len(body) > _LIMIT_BYTES:
            body = b""  # no token answer; its status is all that is told
        return response.status, body


def _object(body: bytes) -> Mapping[str, JsonValue] | None:
    try:
        value = parse_json(body)
    except ValueError:
        return None
    return cast("Mapping[str, JsonValue]", value) if isinstance(value, dict) else None


# --- what a granted answer must hold ----------------------------------------------------------


def read_token(answer: TokenAnswer, name: str) -> Secret | None:
    """A token of the answer; None if it is missing, empty or no text."""
    value: JsonValue = (answer.fields or {}).get(name)
    return Secret(value) if isinstance(value, str) and value.strip() else None


def read_expires_in(answer: TokenAnswer) -> float | None:
    """The seconds that the tokens are valid for; None if that is missing or makes no sense."""
    value: JsonValue = (answer.fields or {}).get("expires_in")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 < value <= _MAX_SECONDS else None


class TokenGrant(Masked, frozen=True):
    """What every granted answer holds."""

    access: str
    refresh: str
    expires_in: float

    def __repr__(self) -> str:
        return "<TokenGrant>"


def read_grant(answer: TokenAnswer, failed: str, *, refresh: str | None) -> TokenGrant:
    """The tokens of a granted answer; `refresh` is the one to keep if it brings none.

    Raises `OAuthError`: `failed`, and behind it the fields that are missing or make no sense.
    """
    access, expires_in = read_token(answer, "access_token"), read_expires_in(answer)
    refresh = read_token(answer, "refresh_token") or refresh
    if access is not None and refresh is not None and expires_in is not None:
        return TokenGrant(access, refresh, expires_in)
    found = {"access_token": access, "refresh_token": refresh, "expires_in": expires_in}
    missing = ", ".join(name for name, value in found.items() if value is None)
    raise OAuthError(f"{failed}{missing}", status=answer.status)


# --- who asks ---------------------------------------------------------------------------------


class EndpointTokens:
    """What the tokens of every provider have in common: an endpoint and a clock."""

    default_url: ClassVar[str]
    """Where the provider gives its tokens."""

    def __init__(
        self,
        *,
        token_url: str | None = None,
        transport: Transport | None = None,
        clock_ms: Callable[[], float] = now_ms,
    ) -> None:
        """`transport` None: one of its own per request. `clock_ms`: the time since 1970."""
        self._endpoint = TokenEndpoint(token_url or self.default_url, transport)
        self._clock_ms = clock_ms

    async def to_auth(self, credential: OAuthCredential) -> ModelAuth:
        """See `OAuthHandler.to_auth`."""
        return ModelAuth(api_key=credential.access)

    def _expires(self, grant: TokenGrant, margin_ms: float = 0) -> float:
        """When the tokens of `grant` expire, `margin_ms` early."""
        return self._clock_ms() + grant.expires_in * 1000 - margin_ms
