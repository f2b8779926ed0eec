"""Messages of a run into the session file.

Source: sdk spec, section 15; session spec, section 8.
"""

from __future__ import annotations

from msgspec import UNSET

from pi_agent import AgentMessage
from pi_ai import AssistantMessage, SystemMessage, ToolResultMessage, UserMessage
from pi_session import CustomMessage, SessionManager

__all__ = ("append_agent_message",)


def append_agent_message(session: SessionManager, message: AgentMessage) -> str | None:
    """Store a finished message of a run; gives the id of its entry.

    Messages with an entry of their own are passed over: None. Raises as the append methods of the
    session do.
    """
    match message:
        case CustomMessage():
            details = None if message.details is UNSET else message.details
            return session.append_custom_message_entry(
                message.custom_type, message.content, message.display, details=details
            )
        case SystemMessage() | UserMessage() | AssistantMessage() | ToolResultMessage():
            return session.append_message(message)
        case _:
            return None
