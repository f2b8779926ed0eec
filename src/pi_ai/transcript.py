"""What a transcript's system messages say: the prompt and the tools in force.

Pure functions over message lists; messages of other roles are passed over and inputs are never
changed. Source: ai-core spec, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol, TypeAlias

from pi_ai.json_text import js_json_bytes, parse_json
from pi_ai.types import (
    AssistantContent,
    Context,
    JsonObject,
    Message,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    UserContent,
)

__all__ = (
    "ResolvedTools",
    "ToolSource",
    "ToolStateChanges",
    "ToolSupport",
    "block_signature",
    "collapse_system_messages",
    "content_text",
    "declarations_equal",
    "get_current_system_message",
    "get_current_system_prompt",
    "get_current_tools",
    "get_declared_tools",
    "get_initial_system_message",
    "get_system_message_text",
    "get_tool_state_changes",
    "has_non_additive_tool_changes",
    "normalize_context",
    "render_system_message_update",
    "resolve_transcript",
    "resolve_transcript_tools",
    "to_tool_declaration",
    "without_initial_system_message",
)

ToolSupport: TypeAlias = Literal["none", "additions", "changes"]
"""Which tool changes a wire format can express inside the conversation."""


class ToolSource(Protocol):
    """Anything that can be declared to a model: a `Tool`, or a tool that can also run."""

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def parameters(self) -> JsonObject: ...
    @property
    def constrained_sampling(self) -> JsonObject | Literal[False] | None: ...


class ToolStateChanges(NamedTuple):
    """How one list of tools becomes another; a changed definition is in both."""

    tools_added: list[Tool]
    tools_removed: list[ToolReference]


class ResolvedTools(NamedTuple):
    """The tools that go at the top of a request.

    `folded_system_messages` is how many system messages, from the first, `request_tools` accounts
    for; the changes of later ones are sent where they stand.
    """

    request_tools: list[Tool]
    folded_system_messages: int


# --- text -------------------------------------------------------------------------------------


def content_text(
    content: str | Sequence[UserContent | AssistantContent], separator: str = "\n"
) -> str:
    """Content as text: a string as it is, of blocks the text blocks joined."""
    if isinstance(content, str):
        return content
    return separator.join(block.text for block in content if isinstance(block, TextContent))


def block_signature(block: AssistantContent) -> str | None:
    """The opaque value that a provider signed a block with, whatever its kind calls it."""
    match block:
        case TextContent():
            return block.text_signature
        case ThinkingContent():
            return block.thinking_signature
        case ToolCall():
            return block.thought_signature


def get_system_message_text(message: SystemMessage) -> str:
    """The content, then the sections in order, parted by blank lines; empty ones are left out."""
    sections = message.sections or {}
    return _paragraphs([content_text(message.content), *(text or "" for text in sections.values())])


def render_system_message_update(message: SystemMessage) -> str:
    """The text of a later system message where it stands: what was added, changed, removed."""
    parts = [content_text(message.content)]
    for name, text in (message.sections or {}).items():
        if text is None:
            parts.append(f'Removed system prompt section "{name}".')
        else:
            parts.append(f'Updated system prompt section "{name}":\n\n{text}')
    return _paragraphs(parts)


def _paragraphs(parts: Sequence[str]) -> str:
    return "\n\n".join(part for part in parts if part)


# --- system messages --------------------------------------------------------------------------


def normalize_context(context: Context) -> list[Message]:
    """The transcript of a context: its prompt and tools become a leading system message.

    A transcript that starts with a system message of its own keeps that as the second.
    """
    messages = list(context.messages)
    if context.system_prompt or context.tools:
        leading = SystemMessage(
            context.system_prompt or "",
            tools_added=list(context.tools) if context.tools else None,
            timestamp=0,
        )
        messages.insert(0, leading)
    return messages


def get_initial_system_message(messages: Sequence[Message]) -> SystemMessage | None:
    """The first message, if it is a system message."""
    first = messages[0] if messages else None
    return first if isinstance(first, SystemMessage) else None


def without_initial_system_message(messages: Sequence[Message]) -> list[Message]:
    """The messages after the initial system message; all of them if there is none."""
    return list(messages[1:] if get_initial_system_message(messages) else messages)


def get_current_system_message(messages: Sequence[Message]) -> SystemMessage | None:
    """One system message that says what all of them together say; None if there is none.

    Contents are joined by blank lines. A replaced section keeps its position, one that was
    removed and set again goes last. The timestamp is that of the first system message.
    """
    system = _system_messages(messages)
    if not system:
        return None
    sections: dict[str, str | None] = {}
    for message in system:
        _patch(sections, message.sections or {})
    return SystemMessage(
        _paragraphs([content_text(message.content) for message in system]),
        sections=sections or None,
        tools_added=get_current_tools(system) or None,
        timestamp=system[0].timestamp,
    )


def _patch(sections: dict[str, str | None], changes: Mapping[str, str | None]) -> None:
    for name, text in changes.items():
        if text is None:
            sections.pop(name, None)
        else:
            sections[name] = text


def get_current_system_prompt(messages: Sequence[Message]) -> str:
    """The text of the system prompt in force at the end, `""` if there is none."""
    message = get_current_system_message(messages)
    return get_system_message_text(message) if message else ""


def collapse_system_messages(messages: Sequence[Message]) -> list[Message]:
    """The transcript with its current system message first and no other."""
    others: list[Message] = [
        message for message in messages if not isinstance(message, SystemMessage)
    ]
    current = get_current_system_message(messages)
    return [current, *others] if current else others


def resolve_transcript(
    messages: Sequence[Message], supports_mid_convo_system_messages: bool
) -> list[Message]:
    """The transcript as a model takes it: collapsed, unless it takes later system messages."""
    if supports_mid_convo_system_messages:
        return list(messages)
    return collapse_system_messages(messages)


def _system_messages(messages: Sequence[Message]) -> list[SystemMessage]:
    return [message for message in messages if isinstance(message, SystemMessage)]


# --- tools ------------------------------------------------------------------------------------


def get_current_tools(messages: Sequence[Message]) -> list[Tool]:
    """The tools in force at the end.

    A redefined tool keeps its position, one that was removed and added again goes last.
    """
    tools: dict[str, Tool] = {}
    for message in _system_messages(messages):
        for reference in message.tools_removed or ():
            tools.pop(reference.name, None)
        for tool in message.tools_added or ():
            tools[tool.name] = tool
    return list(tools.values())


def get_declared_tools(messages: Sequence[Message]) -> list[Tool]:
    """Every tool ever declared, in order of first declaration, each as last defined."""
    tools: dict[str, Tool] = {}
    for message in _system_messages(messages):
        for tool in message.tools_added or ():
            tools[tool.name] = tool
    return list(tools.values())


def to_tool_declaration(tool: ToolSource) -> Tool:
    """What a model is told of `tool`; shares nothing with it.

    Raises ValueError or TypeError for parameters that are not JSON.
    """
    return Tool(
        tool.name,
        tool.description,
        parse_json(js_json_bytes(tool.parameters)),
        None
        if tool.constrained_sampling is None
        else parse_json(js_json_bytes(tool.constrained_sampling)),
    )


def declarations_equal(a: ToolSource, b: ToolSource) -> bool:
    """Whether two tools look the same to a model; the order of keys does not matter.

    Upstream compares serialized text, so that there a new key order redeclares a tool.
    Source: agent spec, section 16.8.
    """
    return to_tool_declaration(a) == to_tool_declaration(b)


def get_tool_state_changes(
    previous: Sequence[ToolSource], current: Sequence[ToolSource]
) -> ToolStateChanges:
    """What a system message must say for `current` to follow `previous`."""
    before = {tool.name: tool for tool in previous}
    after = {tool.name: tool for tool in current}
    added = [
        to_tool_declaration(tool)
        for name, tool in after.items()
        if name not in before or not declarations_equal(before[name], tool)
    ]
    changed = {tool.name for tool in added}
    removed = [ToolReference(name) for name in before if name not in after or name in changed]
    return ToolStateChanges(added, removed)


def has_non_additive_tool_changes(messages: Sequence[Message]) -> bool:
    """Whether a tool was ever removed, or declared a second time."""
    return any(_non_additive(_system_messages(messages)))


def _non_additive(system: Sequence[SystemMessage]) -> list[bool]:
    """For each system message, whether it does more than add tools of new names."""
    declared: set[str] = set()
    found: list[bool] = []
    for message in system:
        names = [tool.name for tool in message.tools_added or ()]
        new = declared.union(names)
        found.append(bool(message.tools_removed) or len(new) != len(declared) + len(names))
        declared = new
    return found


def resolve_transcript_tools(messages: Sequence[Message], support: ToolSupport) -> ResolvedTools:
    """Which tools a request lists at its top, and which system messages that covers.

    With `additions`, messages are folded up to the last one that removes or redefines a tool, and
    at least the leading one. Source: ai-core spec, section 3.1.
    """
    system = _system_messages(messages)
    if support == "changes":
        return ResolvedTools([], 0)
    if support == "none":
        return ResolvedTools(get_current_tools(system), len(system))
    folded = 1 if get_initial_system_message(messages) else 0
    for index, non_additive in enumerate(_non_additive(system)):
        if non_additive:
            folded = index + 1
    return ResolvedTools(get_current_tools(system[:folded]), folded)
