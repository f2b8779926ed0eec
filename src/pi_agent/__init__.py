"""The agent loop: a model, tools, events.

agent = Agent(model=get_model("anthropic", "claude-sonnet-4-5"), tools=[word_count])
async for event in agent.run("How many words has README.md?"):
    ...
"""

from __future__ import annotations

from pi_agent.active import RunEvents
from pi_agent.agent import Agent
from pi_agent.errors import AgentBusyError, AgentStateError
from pi_agent.events import (
    AgentEndEvent,
    AgentEvent,
    AgentStartEvent,
    MessageEndEvent,
    MessageStartEvent,
    MessageUpdateEvent,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
    ToolExecutionUpdateEvent,
    TurnEndEvent,
    TurnStartEvent,
)
from pi_agent.low_level import (
    agent_loop,
    agent_loop_continue,
    run_agent_loop,
    run_agent_loop_continue,
    run_tool_call,
)
from pi_agent.proxy import stream_proxy
from pi_agent.run import Emit, LoopConfig, ToolCallOutcome
from pi_agent.state import AgentState
from pi_agent.tool import tool
from pi_agent.types import (
    CLEAR,
    AfterToolCall,
    AgentMessage,
    AgentTool,
    BeforeToolCall,
    Hooks,
    NextRequest,
    Prepared,
    RunContext,
    ToolContext,
    ToolDecision,
    ToolError,
    ToolResult,
    ToolRevision,
    Turn,
)

__all__ = (
    "CLEAR",
    "AfterToolCall",
    "Agent",
    "AgentBusyError",
    "AgentEndEvent",
    "AgentEvent",
    "AgentMessage",
    "AgentStartEvent",
    "AgentState",
    "AgentStateError",
    "AgentTool",
    "BeforeToolCall",
    "Emit",
    "Hooks",
    "LoopConfig",
    "MessageEndEvent",
    "MessageStartEvent",
    "MessageUpdateEvent",
    "NextRequest",
    "Prepared",
    "RunContext",
    "RunEvents",
    "ToolCallOutcome",
    "ToolContext",
    "ToolDecision",
    "ToolError",
    "ToolExecutionEndEvent",
    "ToolExecutionStartEvent",
    "ToolExecutionUpdateEvent",
    "ToolResult",
    "ToolRevision",
    "Turn",
    "TurnEndEvent",
    "TurnStartEvent",
    "agent_loop",
    "agent_loop_continue",
    "run_agent_loop",
    "run_agent_loop_continue",
    "run_tool_call",
    "stream_proxy",
    "tool",
)
