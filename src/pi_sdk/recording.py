"""Messages into the session file, and what the entries in it have cost.

Source: sdk spec, sections 14.3 and 15; session spec, section 8.
"""

from __future__ import annotations

from msgspec import UNSET

from pi_agent import AgentMessage
from pi_ai import AssistantMessage, Cost, SystemMessage, ToolResultMessage, Usage, UserMessage
from pi_ai.cost import sum_usage
from pi_session import (
    BranchSummaryEntry,
    CompactionEntry,
    CustomMessage,
    EntryView,
    MessageEntry,
    SessionManager,
    UsageEntry,
)

__all__ = ("append_agent_message", "session_cost")


def append_agent_message(session: SessionManager, message: AgentMessage) -> None:
    """Store a finished message of a run; messages with an entry of their own are passed over.

    Raises as the append methods of the session do.
    """
    match message:
        case CustomMessage():
            details = None if message.details is UNSET else message.details
            session.append_custom_message_entry(
                message.custom_type, message.content, message.display, details=details
            )
        case SystemMessage() | UserMessage() | AssistantMessage() | ToolResultMessage():
            session.append_message(message)
        case _:
            pass


def session_cost(session: SessionManager) -> Cost:
    """What all entries have cost, of all branches, in USD."""
    usages = (_usage(entry.view) for entry in session.get_entries())
    return sum_usage(usage for usage in usages if usage is not None).cost


def _usage(view: EntryView) -> Usage | None:
    match view:
        case MessageEntry(message=AssistantMessage() | ToolResultMessage() as message):
            return message.usage
        case UsageEntry() | CompactionEntry() | BranchSummaryEntry():
            return view.usage
        case _:
            return None
