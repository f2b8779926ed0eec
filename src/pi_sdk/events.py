"""What a session tells beside the events of its runs.

Source: sdk spec, section 15.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType, field

from pi_agent import (
    AgentEvent,
    AgentMessage,
)
from pi_ai import JsonValue, Usage, Wire
from pi_session.entries import KnownEntry

__all__ = (
    "AgentSettledEvent",
    "AutoRetryEndEvent",
    "AutoRetryStartEvent",
    "BashExecutionUpdateEvent",
    "CompactionEndEvent",
    "CompactionReason",
    "CompactionResult",
    "CompactionStartEvent",
    "EntryAppendedEvent",
    "QueueUpdateEvent",
    "RunEndEvent",
    "SessionEvent",
    "SessionInfoChangedEvent",
    "SummarizationRetryAttemptStartEvent",
    "SummarizationRetryFinishedEvent",
    "SummarizationRetryScheduledEvent",
    "ThinkingLevelChangedEvent",
)

CompactionReason: TypeAlias = Literal["manual", "threshold", "overflow"]


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


class SessionInfoChangedEvent(_Event, frozen=True, tag="session_info_changed"):
    """The session has another name, or none."""

    type: ClassVar[Literal["session_info_changed"]] = "session_info_changed"
    name: str | None = None


class EntryAppendedEvent(_Event, frozen=True, tag="entry_appended"):
    """The session has an entry that is neither a message nor a change of the model."""

    type: ClassVar[Literal["entry_appended"]] = "entry_appended"
    entry: KnownEntry


class BashExecutionUpdateEvent(_Event, frozen=True, tag="bash_execution_update"):
    """Output of a `bash` command; `id` is that of the command."""

    type: ClassVar[Literal["bash_execution_update"]] = "bash_execution_update"
    delta: str
    id: JsonValue | UnsetType = UNSET


class CompactionResult(Wire, kw_only=True):
    """A summary and what it replaces; sizes are in tokens. `usage` is what it cost."""

    summary: str
    first_kept_entry_id: str
    tokens_before: int
    estimated_tokens_after: int | None = None
    usage: Usage | None = None
    details: JsonValue | UnsetType = UNSET


class CompactionStartEvent(_Event, frozen=True, tag="compaction_start"):
    """The older part of the context is about to be summarised."""

    type: ClassVar[Literal["compaction_start"]] = "compaction_start"
    reason: CompactionReason


class CompactionEndEvent(_Event, frozen=True, tag="compaction_end"):
    """A compaction came to its end; `will_retry` tells whether the last request is repeated.

    Without a `result` it failed, as `error_message` says, or was aborted.
    """

    type: ClassVar[Literal["compaction_end"]] = "compaction_end"
    reason: CompactionReason
    result: CompactionResult | None = None
    aborted: bool = field(default_factory=bool)
    will_retry: bool = field(default_factory=bool)
    error_message: str | None = None


class AutoRetryStartEvent(_Event, frozen=True, tag="auto_retry_start"):
    """A failed request will be repeated in `delay_ms`."""

    type: ClassVar[Literal["auto_retry_start"]] = "auto_retry_start"
    attempt: int
    max_attempts: int
    delay_ms: float
    error_message: str


class AutoRetryEndEvent(_Event, frozen=True, tag="auto_retry_end"):
    """Repeating is over; `final_error` is the last failure if there was no success."""

    type: ClassVar[Literal["auto_retry_end"]] = "auto_retry_end"
    success: bool
    attempt: int
    final_error: str | None = None


class SummarizationRetryScheduledEvent(_Event, frozen=True, tag="summarization_retry_scheduled"):
    """A failed request for a summary will be repeated in `delay_ms`."""

    type: ClassVar[Literal["summarization_retry_scheduled"]] = "summarization_retry_scheduled"
    attempt: int
    max_attempts: int
    delay_ms: float
    error_message: str


class SummarizationRetryAttemptStartEvent(
    _Event, frozen=True, tag="summarization_retry_attempt_start"
):
    """The request for a summary is repeated now."""

    type: ClassVar[Literal["summarization_retry_attempt_start"]] = (
        "summarization_retry_attempt_start"
    )
    source: Literal["compaction", "branchSummary"]
    reason: CompactionReason | None = None


class SummarizationRetryFinishedEvent(_Event, frozen=True, tag="summarization_retry_finished"):
    """Repeating the request for a summary is over."""

    type: ClassVar[Literal["summarization_retry_finished"]] = "summarization_retry_finished"


SessionEvent: TypeAlias = (
    AgentEvent | RunEndEvent | AgentSettledEvent | QueueUpdateEvent | ThinkingLevelChangedEvent
)
