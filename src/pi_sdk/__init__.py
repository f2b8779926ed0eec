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
from pi_sdk.runtime import AgentSessionRuntime
from pi_sdk.sdk import create_agent

__all__ = (
    "AgentSession",
    "AgentSessionRuntime",
    "AgentSettledEvent",
    "ModelChoiceError",
    "NoModelError",
    "PromptRejectedError",
    "QueueUpdateEvent",
    "RunEndEvent",
    "SdkError",
    "SessionCwdError",
    "SessionEvent",
    "ThinkingLevelChangedEvent",
    "create_agent",
)
