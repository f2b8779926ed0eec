"""What a handler of an RPC command is given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from msgspec import UNSET

from pi_sdk.agent_session import AgentSession
from pi_sdk.rpc_requests import Command
from pi_sdk.runtime import AgentSessionRuntime

__all__ = ("Call", "Handler", "Handlers")


class Call:
    """One command on its way to its answer. `session` is the current one as the command began."""

    def __init__(self, runtime: AgentSessionRuntime, answer: Callable[[object], None]) -> None:
        """`answer` sends the response that carries the given data, or none for UNSET."""
        self.runtime = runtime
        self.session: AgentSession = runtime.session
        self.answered = False
        self._answer = answer

    def answer(self, data: object = UNSET) -> None:
        """Send the response now, ahead of what follows; what the handler returns is dropped."""
        self.answered = True
        self._answer(data)


Handler: TypeAlias = Callable[[Call, Any], Awaitable[object]]
"""Does what a command says and gives the data of its response, UNSET for none.

The text of what it raises is the error that the client gets.
"""

Handlers: TypeAlias = Mapping[type[Command], Handler]
"""The handler of each command; it gets the command as that struct."""
