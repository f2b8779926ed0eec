"""Shows a session's events in a terminal, in short."""

from __future__ import annotations

import os
import sys

from pi_agent import (
    MessageEndEvent,
    MessageUpdateEvent,
    ToolExecutionEndEvent,
    ToolExecutionStartEvent,
)
from pi_ai import (
    AssistantMessage,
    TextContent,
    TextDeltaEvent,
    TextEndEvent,
    ThinkingDeltaEvent,
    ThinkingEndEvent,
)
from pi_ai.json_text import js_json
from pi_sdk import SessionEvent

__all__ = ("heading", "show")

_PLAIN = not sys.stdout.isatty() or bool(os.environ.get("NO_COLOR"))


def _style(text: str, code: int) -> str:
    return text if _PLAIN else f"\x1b[{code}m{text}\x1b[0m"


def heading(text: str) -> None:
    """A line between the parts of the demo."""
    print(f"\n{_style(text, 1)}", flush=True)


def show(event: SessionEvent) -> None:
    """A listener: the model's text as it comes, every tool call and its result in a line."""
    match event:
        case MessageUpdateEvent(assistant_message_event=TextDeltaEvent(delta=text)):
            print(text, end="", flush=True)
        case MessageUpdateEvent(assistant_message_event=ThinkingDeltaEvent(delta=text)):
            print(_style(text, 2), end="", flush=True)
        case MessageUpdateEvent(assistant_message_event=TextEndEvent() | ThinkingEndEvent()):
            print(flush=True)
        case ToolExecutionStartEvent():
            arguments = _short(js_json(event.args), 100)
            print(_style(f"  > {event.tool_name} {arguments}", 36), flush=True)
        case ToolExecutionEndEvent():
            sign, colour = ("!", 31) if event.is_error else ("<", 32)
            print(_style(f"  {sign} {_result(event)}", colour), flush=True)
        case MessageEndEvent(message=AssistantMessage(error_message=str(error))):
            print(_style(f"  ! {error}", 31), flush=True)
        case _:
            pass


def _result(event: ToolExecutionEndEvent) -> str:
    """The last line of what a tool gave, and how much more there was."""
    blocks = [block.text for block in event.result.content if isinstance(block, TextContent)]
    lines = [line for line in "\n".join(blocks).splitlines() if line.strip()]
    if len(lines) < 2:
        return _short("".join(lines), 100)
    return f"{_short(lines[-1].strip(), 80)} ({len(lines)} lines)"


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
