"""The whole stack behind one call.

async with create_agent(model="anthropic/claude-sonnet-4-5", cwd=".") as agent:
    await agent.prompt("Fix the failing test")
    print(agent.last_assistant_text())
"""

from __future__ import annotations

from pi_sdk.agent_session import AgentSession
from pi_sdk.errors import (
    ModelChoiceError,
    NoModelError,
    PromptRejectedError,
    RpcError,
    RpcProcessError,
    RpcTimeoutError,
    SdkError,
    SessionCwdError,
)
from pi_sdk.events import (
    AgentSettledEvent,
    AutoRetryEndEvent,
    AutoRetryStartEvent,
    BashExecutionUpdateEvent,
    CompactionEndEvent,
    CompactionResult,
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
from pi_sdk.rpc_client import RpcClient
from pi_sdk.rpc_events import (
    EventsLostEvent,
    ExtensionErrorEvent,
    ExtensionUiRequestEvent,
    RpcEvent,
    UnknownEvent,
)
from pi_sdk.rpc_results import (
    BashResult,
    ClearedQueue,
    ContextUsage,
    CycledModel,
    ForkMessage,
    ForkResult,
    ReplaceResult,
    RpcSessionEntries,
    RpcSessionState,
    RpcSessionStats,
    RpcSessionTree,
    SlashCommand,
    TokenTotals,
)
from pi_sdk.rpc_subscriptions import RpcEvents
from pi_sdk.sdk import create_agent
from pi_sdk.settings import SettingsManager, SettingsProblem
from pi_sdk.settings_types import Settings
from pi_sdk.trust import TrustStore, decide_project_trust

__all__ = (
    "AgentSession",
    "AgentSettledEvent",
    "AutoRetryEndEvent",
    "AutoRetryStartEvent",
    "BashExecutionUpdateEvent",
    "BashResult",
    "ClearedQueue",
    "CompactionEndEvent",
    "CompactionResult",
    "CompactionStartEvent",
    "ContextUsage",
    "CycledModel",
    "EntryAppendedEvent",
    "EventsLostEvent",
    "ExtensionErrorEvent",
    "ExtensionUiRequestEvent",
    "ForkMessage",
    "ForkResult",
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
    "QueueUpdateEvent",
    "ReplaceResult",
    "RpcClient",
    "RpcError",
    "RpcEvent",
    "RpcEvents",
    "RpcProcessError",
    "RpcSessionEntries",
    "RpcSessionState",
    "RpcSessionStats",
    "RpcSessionTree",
    "RpcTimeoutError",
    "RunEndEvent",
    "SdkError",
    "SessionCwdError",
    "SessionEvent",
    "SessionInfoChangedEvent",
    "Settings",
    "SettingsManager",
    "SettingsProblem",
    "SlashCommand",
    "SummarizationRetryAttemptStartEvent",
    "SummarizationRetryFinishedEvent",
    "SummarizationRetryScheduledEvent",
    "ThinkingLevelChangedEvent",
    "TokenTotals",
    "TrustStore",
    "UnknownEvent",
    "create_agent",
    "decide_project_trust",
)
