"""What pi_sdk raises beside the errors of the packages below it.

* PiError
  * SdkError              an option or a file that create_agent cannot work with (also ValueError)
    + ModelChoiceError    a model reference that names no model, or several
    + SessionCwdError     the working directory of a stored session is not there
  * NoModelError          a prompt without a model, or without credentials for it
  * CompactionCancelledError  a compaction that somebody stopped
  * SessionBusyError      something that has to wait until nothing runs (also RuntimeError)
  * PromptRejectedError   a prompt that this moment does not allow (also RuntimeError)
  * RpcError              a command that an RPC server refused, or answered with what is no answer
    + RpcTimeoutError     a server that did not answer in time (also TimeoutError)
    + RpcProcessError     a server that has ended, or cannot be started (also ConnectionError)
"""

from __future__ import annotations

from pi_ai import PiError

__all__ = (
    "CompactionCancelledError",
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
    "RpcError",
    "RpcProcessError",
    "RpcTimeoutError",
    "SdkError",
    "SessionBusyError",
    "SessionCwdError",
)


class SdkError(PiError, ValueError):
    """An option or a file cannot be used; the text says which and why."""


class ModelChoiceError(SdkError):
    """A model reference names no known model."""


class SessionCwdError(SdkError):
    """The directory that a stored session worked in does not exist; name another one."""


class NoModelError(PiError):
    """There is no model, or no credentials for it."""


class PromptRejectedError(PiError, RuntimeError):
    """The session is busy and was not told to queue, can only be read, or is closed."""


class RpcError(PiError):
    """An RPC command failed.

    `command` is its name, "" if the failure is not about one; `error` is the text of the server.
    """

    def __init__(self, command: str, error: str) -> None:
        super().__init__(f"{command} failed: {error}" if command else error)
        self.command = command
        self.error = error


class RpcTimeoutError(RpcError, TimeoutError):
    """An RPC server did not answer in time; it may still do what it was asked."""

    def __init__(self, command: str, error: str) -> None:
        super().__init__("", error)
        self.command = command


class RpcProcessError(RpcError, ConnectionError):
    """An RPC server is not there to answer.

    `exit_code` is its exit status, `signal` the name of the signal that killed it; both are None
    while it runs or if it never did. `stderr` is the end of its standard error, secrets masked.
    """

    def __init__(
        self,
        command: str,
        error: str,
        *,
        exit_code: int | None = None,
        signal: str | None = None,
        stderr: str = "",
    ) -> None:
        super().__init__("", error)
        self.command = command
        self.exit_code = exit_code
        self.signal = signal
        self.stderr = stderr


class SessionBusyError(PiError, RuntimeError):
    """What was asked for has to wait until the session is idle."""


class CompactionCancelledError(PiError):
    """A compaction was stopped; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("Compaction cancelled")
