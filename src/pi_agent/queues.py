"""Messages that wait for their turn: steering and follow-ups."""

from __future__ import annotations

from collections.abc import Iterator

from pi_agent.types import AgentMessage, QueueMode

__all__ = ("MessageQueue",)


class MessageQueue:
    """A queue whose `mode` says how much one drain takes: the oldest message, or all."""

    def __init__(self, mode: QueueMode) -> None:
        self.mode: QueueMode = mode
        self._messages: list[AgentMessage] = []

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[AgentMessage]:
        return iter(self._messages)

    def put(self, message: AgentMessage) -> None:
        """Add a message at the end."""
        self._messages.append(message)

    def peek(self) -> list[AgentMessage]:
        """What the next `drain` would take."""
        return self._messages[:1] if self.mode == "one-at-a-time" else list(self._messages)

    def drain(self) -> list[AgentMessage]:
        """Take the messages that are due."""
        due = self.peek()
        del self._messages[: len(due)]
        return due

    def clear(self) -> list[AgentMessage]:
        """Take everything."""
        taken, self._messages = self._messages, []
        return taken
