"""The whole stack behind one call.

async with create_agent(model="anthropic/claude-sonnet-4-5", cwd=".") as agent:
    await agent.prompt("Fix the failing test")
    print(agent.last_assistant_text())
"""

from __future__ import annotations

from pi_sdk.agent_session import AgentSession
from pi_sdk.device_id import stored_device_id
from pi_sdk.errors import (
    CompactionCancelledError,
    ModelChoiceError,
    NoModelError,
    PromptRejectedError,
    RpcError,
    RpcProcessError,
    RpcTimeoutError,
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
from pi_sdk.rpc_client import RpcClient
from pi_sdk.rpc_events import (
    EventsLostEvent,
    ExtensionErrorEvent,
    ExtensionUiRequestEvent,
    RpcEvent,
    UnknownEvent,
)
from pi_sdk.rpc_results import (
    ClearedQueue,
    ForkResult,
    ReplaceResult,
    RpcSessionEntries,
    RpcSessionState,
    RpcSessionTree,
    SlashCommand,
)
from pi_sdk.rpc_subscriptions import RpcEvents
from pi_sdk.runtime import AgentSessionRuntime
from pi_sdk.sdk import create_agent
from pi_sdk.session_controls import ModelCycle
from pi_sdk.session_settings import ScopedModel, SessionSettings
from pi_sdk.session_state import ForkPoint
from pi_sdk.session_totals import SessionTotals, TokenTotals
from pi_sdk.settings import SettingsManager, SettingsProblem
from pi_sdk.settings_types import Settings
from pi_sdk.tree_moves import TreeMove
from pi_sdk.trust import TrustStore, decide_project_trust

__all__ = (
    "AgentSession",
    "AgentSessionRuntime",
    "AgentSettledEvent",
    "AutoRetryEndEvent",
    "AutoRetryStartEvent",
    "BashExecutionUpdateEvent",
    "ClearedQueue",
    "CompactionCancelledError",
    "CompactionEndEvent",
    "CompactionStartEvent",
    "EntryAppendedEvent",
    "EventsLostEvent",
    "ExtensionErrorEvent",
    "ExtensionUiRequestEvent",
    "ForkPoint",
    "ForkResult",
    "ModelChoiceError",
    "ModelCycle",
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
    "RpcSessionTree",
    "RpcTimeoutError",
    "RunEndEvent",
    "ScopedModel",
    "SdkError",
    "SessionBusyError",
    "SessionCwdError",
    "SessionEvent",
    "SessionInfoChangedEvent",
    "SessionSettings",
    "SessionTotals",
    "Settings",
    "SettingsManager",
    "SettingsProblem",
    "SlashCommand",
    "SummarizationRetryAttemptStartEvent",
    "SummarizationRetryFinishedEvent",
    "SummarizationRetryScheduledEvent",
    "ThinkingLevelChangedEvent",
    "TokenTotals",
    "TreeMove",
    "TrustStore",
    "UnknownEvent",
    "create_agent",
    "decide_project_trust",
    "stored_device_id",
)
