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
    SdkError,
    SessionCwdError,
)
from pi_sdk.events import (
    AgentSettledEvent,
    QueueUpdateEvent,
    RunEndEvent,
    SessionEvent,
    ThinkingLevelChangedEvent,
)
from pi_sdk.sdk import create_agent
from pi_sdk.settings import SettingsManager, SettingsProblem
from pi_sdk.settings_types import Settings
from pi_sdk.trust import TrustStore, decide_project_trust

__all__ = (
    "AgentSession",
    "AgentSettledEvent",
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
    "QueueUpdateEvent",
    "RunEndEvent",
    "SdkError",
    "SessionCwdError",
    "SessionEvent",
    "Settings",
    "SettingsManager",
    "SettingsProblem",
    "ThinkingLevelChangedEvent",
    "TrustStore",
    "create_agent",
    "decide_project_trust",
)
