"""What the commands of the RPC protocol are answered with, as typed structs.

Source: rpc spec, section 5.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from pi_agent.types import QueueMode
from pi_ai import JsonValue, Model, ThinkingLevel, Wire
from pi_session import Entry, TreeNode

__all__ = (
    "BashResult",
    "ClearedQueue",
    "ContextUsage",
    "CycledModel",
    "Disposition",
    "ForkMessage",
    "ForkResult",
    "ReplaceResult",
    "RpcSessionEntries",
    "RpcSessionState",
    "RpcSessionStats",
    "RpcSessionTree",
    "SlashCommand",
    "TokenTotals",
)

Disposition: TypeAlias = Literal["started", "queued", "handled"]
"""What became of a prompt: a run began, it waits for its turn, an extension took it."""


class ClearedQueue(Wire, kw_only=True):
    """The texts that were dropped."""

    steering: list[str]
    follow_up: list[str]


class RpcSessionState(Wire, kw_only=True):
    """What a session is and does.

    `model` is None if there is none. `is_streaming` is True from the acceptance of a prompt to
    `agent_settled`. `message_count` counts what the model sees, `pending_message_count` what is
    queued.
    """

    model: Model | None = None
    thinking_level: ThinkingLevel
    is_streaming: bool
    is_compacting: bool
    steering_mode: QueueMode
    follow_up_mode: QueueMode
    session_file: str | None = None
    session_id: str
    session_name: str | None = None
    auto_compaction_enabled: bool
    message_count: int
    pending_message_count: int


class CycledModel(Wire, kw_only=True):
    """The model that comes next. `is_scoped`: among those that the server was started with."""

    model: Model
    thinking_level: ThinkingLevel
    is_scoped: bool


class BashResult(Wire, kw_only=True):
    """What a shell command gave. `exit_code` is None if it was stopped.

    `full_output_path` is where, on the server's machine, the whole output is when `truncated`.
    """

    output: str
    exit_code: int | None = None
    cancelled: bool
    truncated: bool
    full_output_path: str | None = None


class ReplaceResult(Wire, kw_only=True):
    """Whether an extension of the server prevented another session."""

    cancelled: bool


class ForkResult(Wire, kw_only=True):
    """`text` is that of the message the new session stops before."""

    text: str
    cancelled: bool


class ForkMessage(Wire, kw_only=True):
    """A user message that `fork` can go back to."""

    entry_id: str
    text: str


class RpcSessionEntries(Wire, kw_only=True):
    """Entries of all branches in the order of their append. `leaf_id`: where the session stands."""

    entries: list[Entry]
    leaf_id: str | None


class RpcSessionTree(Wire, kw_only=True):
    """The roots of a session's tree. `leaf_id`: where the session stands."""

    tree: list[TreeNode]
    leaf_id: str | None


class TokenTotals(Wire, kw_only=True):
    """Tokens of all requests of a session together."""

    input: int
    output: int
    cache_read: int
    cache_write: int
    total: int


class ContextUsage(Wire, kw_only=True):
    """How full the context window is. Both are None while that is not known.

    `percent` runs from 0 to 100.
    """

    tokens: int | None
    context_window: int
    percent: float | None


class RpcSessionStats(Wire, kw_only=True):
    """Counts over all branches of a session; `cost` is in USD."""

    session_file: str | None = None
    session_id: str
    user_messages: int
    assistant_messages: int
    tool_calls: int
    tool_results: int
    total_messages: int
    tokens: TokenTotals
    cost: float
    context_usage: ContextUsage | None = None


class SlashCommand(Wire, kw_only=True):
    """A command that a prompt can begin with, as `/name`; `source` says what brought it."""

    name: str
    description: str | None = None
    source: str
    source_info: JsonValue | UnsetType = UNSET
