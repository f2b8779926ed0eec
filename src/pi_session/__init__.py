"""Sessions: append-only JSONL files that hold a tree of messages, and what a model sees of it.

Needs neither an agent loop nor a provider.
"""

from pi_session.branches import Branch, BranchDiff
from pi_session.codec import parse_session_entries
from pi_session.convert import bash_execution_text, convert_to_llm, serialize_conversation
from pi_session.entries import (
    BranchSummaryEntry,
    CompactionEntry,
    ContextEditEntry,
    CustomEntry,
    CustomMessageEntry,
    Entry,
    EntryView,
    LabelEntry,
    MessageEntry,
    ModelChangeEntry,
    SessionHeader,
    SessionInfoEntry,
    ThinkingLevelChangeEntry,
    UnknownEntry,
    UsageEntry,
)
from pi_session.errors import (
    ContextEditError,
    EntryNotFoundError,
    SessionConflictError,
    SessionError,
    SessionFormatError,
    SessionIdError,
    SessionLockedError,
    SessionReadOnlyError,
)
from pi_session.listing import (
    SessionInfo,
    find_most_recent_session,
    find_session_by_id,
    list_all_sessions,
    list_sessions,
    read_session_info,
)
from pi_session.locations import default_session_dir, resolve_agent_dir, sessions_root
from pi_session.manager import SessionManager
from pi_session.messages import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSummaryMessage,
    CustomMessage,
    SessionMessage,
)
from pi_session.projection import (
    ProjectedEntry,
    Projection,
    SessionContext,
    SessionModel,
    build_context_entries,
    build_projection,
    build_session_context,
    build_transcript,
    replay_system_messages,
)
from pi_session.stats import SessionStats, UsageRow, session_stats
from pi_session.tree import TreeNode

__all__ = (
    "BashExecutionMessage",
    "Branch",
    "BranchDiff",
    "BranchSummaryEntry",
    "BranchSummaryMessage",
    "CompactionEntry",
    "CompactionSummaryMessage",
    "ContextEditEntry",
    "ContextEditError",
    "CustomEntry",
    "CustomMessage",
    "CustomMessageEntry",
    "Entry",
    "EntryNotFoundError",
    "EntryView",
    "LabelEntry",
    "MessageEntry",
    "ModelChangeEntry",
    "ProjectedEntry",
    "Projection",
    "SessionConflictError",
    "SessionContext",
    "SessionError",
    "SessionFormatError",
    "SessionHeader",
    "SessionIdError",
    "SessionInfo",
    "SessionInfoEntry",
    "SessionLockedError",
    "SessionManager",
    "SessionMessage",
    "SessionModel",
    "SessionReadOnlyError",
    "SessionStats",
    "ThinkingLevelChangeEntry",
    "TreeNode",
    "UnknownEntry",
    "UsageEntry",
    "UsageRow",
    "bash_execution_text",
    "build_context_entries",
    "build_projection",
    "build_session_context",
    "build_transcript",
    "convert_to_llm",
    "default_session_dir",
    "find_most_recent_session",
    "find_session_by_id",
    "list_all_sessions",
    "list_sessions",
    "parse_session_entries",
    "read_session_info",
    "replay_system_messages",
    "resolve_agent_dir",
    "serialize_conversation",
    "session_stats",
    "sessions_root",
)
