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
from pi_ai import JsonValue
from pi_session import CompactionResult
from pi_session.entries import KnownEntry

__all__ = (
    "AgentSettledEvent",
    "AutoRetryEndEvent",
    "AutoRetryStartEvent",
    "BashExecutionUpdateEvent",
    "CompactionEndEvent",
    "CompactionReason",
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
"""Why a context is compacted: somebody asked, it is nearly full, it was too long."""


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
    """The session itself appended an entry that is no message, such as a context edit."""

    type: ClassVar[Literal["entry_appended"]] = "entry_appended"
    entry: KnownEntry


class BashExecutionUpdateEvent(_Event, frozen=True, tag="bash_execution_update"):
    """A command of the user printed something; `id` is what the caller named the command."""

    type: ClassVar[Literal["bash_execution_update"]] = "bash_execution_update"
    delta: str
    id: JsonValue | UnsetType = UNSET


# --- going on after failures ------------------------------------------------------------------


class AutoRetryStartEvent(_Event, frozen=True, tag="auto_retry_start"):
    """The answer failed for a reason that may pass; it is asked for again after `delay_ms`."""

    type: ClassVar[Literal["auto_retry_start"]] = "auto_retry_start"
    attempt: int
    max_attempts: int
    delay_ms: float
    error_message: str


class AutoRetryEndEvent(_Event, frozen=True, tag="auto_retry_end"):
    """Retrying is over: an answer came, the attempts are used up, or somebody stopped it."""

    type: ClassVar[Literal["auto_retry_end"]] = "auto_retry_end"
    success: bool
    attempt: int
    final_error: str | None = None


class CompactionStartEvent(_Event, frozen=True, tag="compaction_start"):
    """The older part of the context is being summarised."""

    type: ClassVar[Literal["compaction_start"]] = "compaction_start"
    reason: CompactionReason


class CompactionEndEvent(_Event, frozen=True, kw_only=True, tag="compaction_end"):
    """A compaction is over. Without `result` nothing was compacted; `error_message` tells why.

    With `will_retry` the model is asked again. One without a start tells of a context that
    compaction cannot help.
    """

    type: ClassVar[Literal["compaction_end"]] = "compaction_end"
    reason: CompactionReason
    result: CompactionResult | None = None
    aborted: bool = field(default_factory=bool)
    will_retry: bool = field(default_factory=bool)
    error_message: str | None = None


class SummarizationRetryScheduledEvent(_Event, frozen=True, tag="summarization_retry_scheduled"):
    """A summary failed for a reason that may pass."""

    type: ClassVar[Literal["summarization_retry_scheduled"]] = "summarization_retry_scheduled"
    attempt: int
    max_attempts: int
    delay_ms: float
    error_message: str


class SummarizationRetryAttemptStartEvent(
    _Event, frozen=True, tag="summarization_retry_attempt_start"
):
    """A summary is asked for again; `reason` is that of the compaction it is for."""

    type: ClassVar[Literal["summarization_retry_attempt_start"]] = (
        "summarization_retry_attempt_start"
    )
    source: Literal["compaction", "branchSummary"]
    reason: CompactionReason | None = None


class SummarizationRetryFinishedEvent(_Event, frozen=True, tag="summarization_retry_finished"):
    """A summary that had to be asked for again is there, or has failed for good."""

    type: ClassVar[Literal["summarization_retry_finished"]] = "summarization_retry_finished"


SessionEvent: TypeAlias = (
    AgentEvent
    | RunEndEvent
    | AgentSettledEvent
    | QueueUpdateEvent
    | ThinkingLevelChangedEvent
    | SessionInfoChangedEvent
    | EntryAppendedEvent
    | BashExecutionUpdateEvent
    | AutoRetryStartEvent
    | AutoRetryEndEvent
    | CompactionStartEvent
    | CompactionEndEvent
    | SummarizationRetryScheduledEvent
    | SummarizationRetryAttemptStartEvent
    | SummarizationRetryFinishedEvent
)
