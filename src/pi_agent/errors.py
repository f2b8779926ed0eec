"""What pi_agent raises for misuse, beside `ToolError`.

* PiError
  * AgentStateError   the transcript does not allow what was asked (also RuntimeError)
    + AgentBusyError  a run is active
"""

from __future__ import annotations

from pi_ai import PiError

__all__ = ("AgentBusyError", "AgentStateError")


class AgentStateError(PiError, RuntimeError):
    """The agent cannot do this now."""


class AgentBusyError(AgentStateError):
    """A run is active; wait for it, steer it, or abort it."""
