"""What pi_ai raises.

* PiError
  * ProviderError                 a request to a provider failed
    + ProviderStatusError         the server answered with an error status
    + ProviderConnectionError     the connection could not be made, or was lost
      - WebSocketClosedError      the server closed a WebSocket
    + ProviderTimeoutError        no answer, or no data, in time
    + ProviderProtocolError       an answer that breaks the wire format
  * ModelsError                   unknown model or provider, no credentials (also LookupError)
  * OAuthError                    a login or a refresh of its tokens failed
  * AuthStorageError              stored credentials cannot be read or written
  * ToolArgumentsError            a tool call's arguments do not fit its schema (also ValueError)
  * StreamEndedError              a result was asked of a stream that was closed early
  * AbortError                    the caller's signal was set
  * LockHeldError                 another process holds a directory lock (also TimeoutError)
  * LockLostError                 a held directory lock was taken away
"""

from __future__ import annotations

__all__ = (
    "AbortError",
    "AuthStorageError",
    "LockHeldError",
    "LockLostError",
    "ModelsError",
    "OAuthError",
    "PiError",
    "ProviderConnectionError",
    "ProviderError",
    "ProviderProtocolError",
    "ProviderStatusError",
    "ProviderTimeoutError",
    "StreamEndedError",
    "ToolArgumentsError",
    "WebSocketClosedError",
)


class PiError(Exception):
    """Base of every error that the pi packages define."""


class ProviderError(PiError):
    """A provider request failed.

    `status` is the HTTP status or None, `code` the provider's own error code, `retry_after` the
    seconds the server asked to wait, `retryable` whether the same request may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.retryable = retryable


class ProviderStatusError(ProviderError):
    """The server answered with an error status; the text holds the status and its body."""


class ProviderConnectionError(ProviderError):
    """The connection failed before or during the answer."""


class WebSocketClosedError(ProviderConnectionError):
    """The server closed a WebSocket; `close_code` is its reason as a number, 1006 for none."""

    def __init__(self, message: str, *, close_code: int) -> None:
        super().__init__(message, retryable=True)
        self.close_code = close_code


class ProviderTimeoutError(ProviderError):
    """The server did not answer, or stopped sending, within the limit."""


class ProviderProtocolError(ProviderError):
    """The answer is not what the wire format allows, or ended early."""


class ModelsError(PiError, LookupError):
    """A model, provider or credential could not be found or used.

    `code` is one of `provider`, `model`, `auth`, `oauth`, `model_validation`.
    """

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class OAuthError(PiError):
    """A login, or a refresh of its tokens, failed. The text holds no secret.

    `status` is the HTTP status or None, `code` the server's OAuth error such as `invalid_grant`,
    `retryable` whether the same may succeed later.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retryable = retryable


class AuthStorageError(PiError):
    """Stored credentials cannot be read or written; the text names the file, never its content."""


class ToolArgumentsError(PiError, ValueError):
    """A tool call's arguments do not fit the tool's schema; the text is written for the model."""


class StreamEndedError(PiError):
    """The stream was closed before its terminal event, so it has no result."""


class AbortError(PiError):
    """The caller's abort signal was set."""

    def __init__(self, message: str = "Request was aborted") -> None:
        super().__init__(message)


class LockHeldError(PiError, TimeoutError):
    """A directory lock was held by another for longer than the caller would wait."""


class LockLostError(PiError):
    """A directory lock that was held is gone, or another's: what it guards must not be written."""
