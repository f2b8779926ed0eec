"""What pi_sdk raises beside the errors of the packages below it.

* PiError
  * SdkError              an option or a file that create_agent cannot work with (also ValueError)
    + ModelChoiceError    a model reference that names no model, or several
    + SessionCwdError     the working directory of a stored session is not there
  * NoModelError          a prompt without a model, or without credentials for it
  * CompactionCancelledError  a compaction that somebody stopped
  * SessionBusyError      something that has to wait until nothing runs (also RuntimeError)
  * PromptRejectedError   a prompt that this moment does not allow (also RuntimeError)
"""

from __future__ import annotations

from pi_ai import PiError

__all__ = (
    "CompactionCancelledError",
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
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


class SessionBusyError(PiError, RuntimeError):
    """What was asked for has to wait until the session is idle."""


class CompactionCancelledError(PiError):
    """A compaction was stopped; nothing was changed."""

    def __init__(self) -> None:
        super().__init__("Compaction cancelled")
