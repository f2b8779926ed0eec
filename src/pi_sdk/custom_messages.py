"""Messages that a host puts into the conversation, and when they may go there.

Source: sdk spec, section 10.6.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pi_agent import AgentMessage, MessageEndEvent, MessageStartEvent
from pi_sdk.session_core import SessionCore
from pi_session import CustomMessage

__all__ = ("CustomMessages", "DeliverAs")

DeliverAs: TypeAlias = Literal["steer", "followUp", "nextTurn"]
"""When a message goes out: with the next turn, when the run would end, behind the next prompt."""


class CustomMessages:
    """The messages of a host that wait: behind the next prompt, or for the end of a turn."""

    __slots__ = ("_core", "_next_prompt", "_turn_end")

    def __init__(self, core: SessionCore) -> None:
        self._core = core
        self._next_prompt: list[CustomMessage] = []
        self._turn_end: list[CustomMessage] = []

    def hold_for_prompt(self, message: CustomMessage) -> None:
        """Keep a message for behind the next prompt."""
        self._next_prompt.append(message)

    def hold_for_turn_end(self, message: CustomMessage) -> None:
        """Keep a message until no call waits for its result."""
        self._turn_end.append(message)

    def take_for_prompt(self) -> list[AgentMessage]:
        """The messages for behind a prompt, which are then the caller's."""
        taken, self._next_prompt = self._next_prompt, []
        return [*taken]

    async def flush(self) -> None:
        """Append what waited for the end of a turn."""
        while self._turn_end:
            await self.append(self._turn_end.pop(0))

    async def append(self, message: CustomMessage) -> None:
        """Append a message now, and tell of it. Raises as the append methods do."""
        self._core.context.store(message, of_run=False)
        await self._core.listeners.tell(MessageStartEvent(message))
        await self._core.listeners.tell(MessageEndEvent(message))
