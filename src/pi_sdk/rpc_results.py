"""What the commands of the RPC protocol are answered with, where a session gives nothing like it.

Source: rpc spec, section 5.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import UNSET, UnsetType

from pi_agent.types import QueueMode
from pi_ai import JsonValue, Model, ThinkingLevel, Wire
from pi_session import Entry, TreeNode

__all__ = (
    "ClearedQueue",
    "Disposition",
    "ForkResult",
    "ReplaceResult",
    "RpcSessionEntries",
    "RpcSessionState",
    "RpcSessionTree",
    "SlashCommand",
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


class ReplaceResult(Wire, kw_only=True):
    """Whether an extension of the server prevented another session."""

    cancelled: bool


class ForkResult(Wire, kw_only=True):
    """`text` is that of the message the new session stops before."""

    text: str
    cancelled: bool


class RpcSessionEntries(Wire, kw_only=True):
    """Entries of all branches in the order of their append. `leaf_id`: where the session stands."""

    entries: list[Entry]
    leaf_id: str | None


class RpcSessionTree(Wire, kw_only=True):
    """The roots of a session's tree. `leaf_id`: where the session stands."""

    tree: list[TreeNode]
    leaf_id: str | None


class SlashCommand(Wire, kw_only=True):
    """A command that a prompt can begin with, as `/name`; `source` says what brought it."""

    name: str
    description: str | None = None
    source: str
    source_info: JsonValue | UnsetType = UNSET
