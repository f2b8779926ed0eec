"""Session messages as a model takes them, and as plain text for a summary.

Source: session spec, section 13.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from pi_ai.estimate import utf16_len
from pi_ai.json_text import js_json
from pi_ai.transcript import content_text
from pi_ai.types import (
    AssistantMessage,
    Message,
    SystemMessage,
    TextContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_session.messages import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSummaryMessage,
    CustomMessage,
    SessionMessage,
)
from pi_session.shortening import head_of

__all__ = (
    "bash_execution_text",
    "conversation_parts",
    "convert_to_llm",
    "serialize_conversation",
)

_BRANCH_PREFACE = (
    "The conversation followed another branch for a while and then came back to this point. "
    "This is a summary of that branch:"
)
_COMPACTION_PREFACE = (
    "The earlier part of this conversation was compacted into the following summary:"
)
_MODEL_MESSAGES = frozenset({SystemMessage, UserMessage, AssistantMessage, ToolResultMessage})
_TOOL_RESULT_LIMIT = 2000
"""How much of a tool result goes into a summary request, in UTF-16 units."""


def convert_to_llm(messages: Iterable[SessionMessage]) -> list[Message]:
    """The transcript with session roles turned into user messages.

    Shell commands that the user kept out of the context are dropped.
    """
    converted: list[Message] = []
    for message in messages:
        if type(message) in _MODEL_MESSAGES:  # nearly all, at every request again
            converted.append(cast("Message", message))
            continue
        match message:
            case BashExecutionMessage():
                if not message.exclude_from_context:
                    converted.append(_user(bash_execution_text(message), message.timestamp))
            case CustomMessage(content=str() as text):
                converted.append(_user(text, message.timestamp))
            case CustomMessage():
                blocks = message.content
                assert not isinstance(blocks, str)  # the case above
                converted.append(UserMessage(blocks, timestamp=message.timestamp))
            case BranchSummaryMessage():
                text = f"{_BRANCH_PREFACE}\n\n<summary>\n{message.summary}</summary>"
                converted.append(_user(text, message.timestamp))
            case CompactionSummaryMessage():
                text = f"{_COMPACTION_PREFACE}\n\n<summary>\n{message.summary}\n</summary>"
                converted.append(_user(text, message.timestamp))
            case _:
                converted.append(message)
    return converted


def _user(text: str, timestamp: int) -> UserMessage:
    return UserMessage([TextContent(text)], timestamp=timestamp)


def bash_execution_text(message: BashExecutionMessage) -> str:
    """What the model reads of a shell command that the user ran."""
    output = f"```\n{message.output}\n```" if message.output else "(no output)"
    parts = [f"Ran `{message.command}`\n{output}"]
    if message.cancelled:
        parts.append("(command cancelled)")
    elif message.exit_code:
        parts.append(f"Command exited with code {message.exit_code}")
    if message.truncated and message.full_output_path:
        parts.append(f"[Output truncated. Full output: {message.full_output_path}]")
    return "\n\n".join(parts)


# --- text -------------------------------------------------------------------------------------


def serialize_conversation(messages: Iterable[Message]) -> str:
    """The conversation as text: user and assistant texts, tool calls, shortened results."""
    return "\n\n".join(conversation_parts(messages))


def conversation_parts(messages: Iterable[Message]) -> list[str]:
    """The paragraphs of `serialize_conversation`."""
    parts: list[str] = []
    for message in messages:
        match message:
            case UserMessage():
                if text := content_text(message.content, ""):
                    parts.append(f"[User]: {text}")
            case AssistantMessage():
                parts.extend(_assistant_parts(message))
            case ToolResultMessage():
                if text := content_text(message.content, ""):
                    parts.append(f"[Tool result]: {_shortened(text)}")
            case SystemMessage():
                pass
    return parts


def _assistant_parts(message: AssistantMessage) -> Iterable[str]:
    texts = [block.text for block in message.content if isinstance(block, TextContent)]
    if texts:
        yield "[Assistant]: " + "\n".join(texts)
    if message.tool_calls:
        yield "[Assistant tool calls]: " + "; ".join(map(_call_text, message.tool_calls))


def _call_text(call: ToolCall) -> str:
    arguments = (f"{name}={js_json(value)}" for name, value in call.arguments.items())
    return f"{call.name}({', '.join(arguments)})"


def _shortened(text: str) -> str:
    left = utf16_len(text) - _TOOL_RESULT_LIMIT
    if left <= 0:
        return text
    return f"{head_of(text, _TOOL_RESULT_LIMIT)}\n\n[... {left} more characters truncated]"
