"""What a user has queued, by identity: the texts that a session shows until they are delivered.

Source: sdk spec, sections 10.2, 10.3 and 16 (7).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

from pi_agent import Agent, AgentMessage
from pi_ai import UserMessage
from pi_ai.transcript import content_text
from pi_sdk.events import QueueUpdateEvent

__all__ = ("QueuedMessages", "StreamingBehavior")

StreamingBehavior: TypeAlias = Literal["steer", "followUp"]
"""Where a message waits: for the next turn, or for the end of the run."""


class QueuedMessages:
    """The user's part of an agent's queues; what a host puts there itself is not shown."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._steering: list[AgentMessage] = []
        self._follow_up: list[AgentMessage] = []

    def __len__(self) -> int:
        return len(self._steering) + len(self._follow_up)

    def put(self, message: UserMessage, behavior: StreamingBehavior) -> None:
        """Queue a message. Raises ValueError for a behaviour that does not exist."""
        match behavior:
            case "steer":
                self._steering.append(message)
                self._agent.steer(message)
            case "followUp":
                self._follow_up.append(message)
                self._agent.follow_up(message)
            case _:
                raise ValueError(
                    f"streaming_behavior: expected 'steer' or 'followUp', found {behavior!r}"
                )

    def deliver(self, message: AgentMessage) -> bool:
        """Take a message off the display; False if it was not there."""
        return _drop(self._steering, message) or _drop(self._follow_up, message)

    def clear(self) -> dict[str, list[str]]:
        """Drop what waits; gives its texts as `steering` and `followUp`."""
        steering = self._agent.steering_queue.clear()
        follow_up = self._agent.follow_up_queue.clear()
        for message in (*steering, *follow_up):
            self.deliver(message)
        return {"steering": _texts(steering), "followUp": _texts(follow_up)}

    def event(self) -> QueueUpdateEvent:
        """The event that tells what waits now."""
        return QueueUpdateEvent(_texts(self._steering), _texts(self._follow_up))


def _drop(messages: list[AgentMessage], message: AgentMessage) -> bool:
    for index, waiting in enumerate(messages):
        if waiting is message:  # equal texts are still two messages
            del messages[index]
            return True
    return False


def _texts(messages: Iterable[AgentMessage]) -> list[str]:
    return [content_text(m.content, "") for m in messages if isinstance(m, UserMessage)]
