"""The whole stack behind one call.

async with create_agent(model="anthropic/claude-sonnet-4-5", cwd=".") as agent:
    await agent.prompt("Fix the failing test")
    print(agent.last_assistant_text())
"""

from __future__ import annotations

from pi_sdk.agent_session import AgentSession
from pi_sdk.errors import (
    CompactionCancelledError,
    ModelChoiceError,
    NoModelError,
    PromptRejectedError,
    SdkError,
    SessionBusyError,
    SessionCwdError,
)
from pi_sdk.events import (
    AgentSettledEvent,
    AutoRetryEndEvent,
    AutoRetryStartEvent,
    BashExecutionUpdateEvent,
    CompactionEndEvent,
    CompactionStartEvent,
    EntryAppendedEvent,
    QueueUpdateEvent,
    RunEndEvent,
    SessionEvent,
    SessionInfoChangedEvent,
    SummarizationRetryAttemptStartEvent,
    SummarizationRetryFinishedEvent,
    SummarizationRetryScheduledEvent,
    ThinkingLevelChangedEvent,
)
from pi_sdk.runtime import AgentSessionRuntime
from pi_sdk.sdk import create_agent
from pi_sdk.session_controls import ModelCycle
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.session_state import ForkPoint
from pi_sdk.session_totals import SessionTotals
from pi_sdk.tree_moves import TreeMove

__all__ = (
    "AgentSession",
    "AgentSessionRuntime",
    "AgentSettledEvent",
    "AutoRetryEndEvent",
    "AutoRetryStartEvent",
    "BashExecutionUpdateEvent",
    "CompactionCancelledError",
    "CompactionEndEvent",
    "CompactionStartEvent",
    "EntryAppendedEvent",
    "ForkPoint",
    "ModelChoiceError",
    "ModelCycle",
    "NoModelError",
    "PromptRejectedError",
    "QueueUpdateEvent",
    "RunEndEvent",
    "ScopedModel",
    "SdkError",
    "SessionBusyError",
    "SessionCwdError",
    "SessionEvent",
    "SessionInfoChangedEvent",
    "SessionSettings",
    "SessionTotals",
    "SummarizationRetryAttemptStartEvent",
    "SummarizationRetryFinishedEvent",
    "SummarizationRetryScheduledEvent",
    "ThinkingLevelChangedEvent",
    "TreeMove",
    "create_agent",
)
