"""What pi_sdk raises beside the errors of the packages below it.

* PiError
  * SdkError              an option or a file that create_agent cannot work with (also ValueError)
    + ModelChoiceError    a model reference that names no model, or several
    + SessionCwdError     the working directory of a stored session is not there
  * NoModelError          a prompt without a model, or without credentials for it
  * PromptRejectedError   a prompt that this moment does not allow (also RuntimeError)
"""

from __future__ import annotations

from pi_ai import PiError

__all__ = (
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
    "SdkError",
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
