"""What a session tells beside the events of its runs.

Source: sdk spec, section 15.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import Struct, field

from pi_agent import (
    AgentEvent,
    AgentMessage,
)

__all__ = (
    "AgentSettledEvent",
    "QueueUpdateEvent",
    "RunEndEvent",
    "SessionEvent",
    "ThinkingLevelChangedEvent",
)


class _Event(Struct, frozen=True, rename="camel", tag_field="type", omit_defaults=True):
    """Base of every event."""


class RunEndEvent(_Event, frozen=True, tag="agent_end"):
    """A run ended; `will_retry` tells whether the session will try again by itself."""

    type: ClassVar[Literal["agent_end"]] = "agent_end"
    messages: list[AgentMessage]
    will_retry: bool = field(default_factory=bool)


class AgentSettledEvent(_Event, frozen=True, tag="agent_settled"):
    """Nothing more will happen until the next prompt."""

    type: ClassVar[Literal["agent_settled"]] = "agent_settled"
    aborted: bool = field(default_factory=bool)


class QueueUpdateEvent(_Event, frozen=True, tag="queue_update"):
    """The texts that wait, after a change."""

    type: ClassVar[Literal["queue_update"]] = "queue_update"
    steering: list[str] = field(default_factory=lambda: [])
    follow_up: list[str] = field(default_factory=lambda: [])


class ThinkingLevelChangedEvent(_Event, frozen=True, tag="thinking_level_changed"):
    """The session thinks at another level."""

    type: ClassVar[Literal["thinking_level_changed"]] = "thinking_level_changed"
    level: str


SessionEvent: TypeAlias = (
    AgentEvent | RunEndEvent | AgentSettledEvent | QueueUpdateEvent | ThinkingLevelChangedEvent
)
