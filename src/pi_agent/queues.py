"""Messages that wait for their turn: steering and follow-ups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pi_agent.types import AgentMessage, QueueMode

__all__ = ("MessageQueue", "QueueReader")


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

    def put_back(self, messages: Sequence[AgentMessage]) -> None:
        """Add messages at the front, in their order."""
        self._messages[:0] = messages

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


class QueueReader:
    """Takes messages from an agent's queues for one run, and puts back what was not used."""

    def __init__(self, steering: MessageQueue, follow_up: MessageQueue) -> None:
        self._steering = steering
        self._follow_up = follow_up
        self._source = steering
        self._taken: list[AgentMessage] = []
        self._skip_poll = False

    def take_prompts(self) -> list[AgentMessage]:
        """What a run without a prompt of its own starts from: steering before follow-ups.

        Steering that is taken here is what the run's first poll would take.
        """
        taken = self._take(self._steering)
        self._skip_poll = bool(taken)
        return taken or self._take(self._follow_up)

    async def poll_steering(self) -> Sequence[AgentMessage]:
        """The steering that is due."""
        if self._skip_poll:
            self._skip_poll = False
            return ()
        return self._take(self._steering)

    async def poll_follow_up(self) -> Sequence[AgentMessage]:
        """The follow-ups that are due."""
        return self._take(self._follow_up)

    def put_back(self, count: int) -> None:
        """Return the last `count` messages of the latest taking to where they came from."""
        taken, self._taken = self._taken, []
        self._source.put_back(taken[max(len(taken) - count, 0) :])

    def _take(self, queue: MessageQueue) -> list[AgentMessage]:
        self._source = queue
        self._taken = queue.drain()
        return self._taken
