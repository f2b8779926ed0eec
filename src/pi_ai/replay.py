"""Makes a stored transcript fit the model that is asked next.

Images a model cannot see, reasoning and signatures of other models, failed responses, and tool
calls without results: what a provider would reject is replaced or left out. The messages passed
in are never changed. Source: ai-core spec, section 8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias, TypeVar, cast

from msgspec.structs import replace

from pi_ai.ids import short_hash
from pi_ai.transcript import get_current_tools
from pi_ai.types import (
    AssistantContent,
    AssistantMessage,
    ImageContent,
    Message,
    Model,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserContent,
    UserMessage,
)

__all__ = (
    "NO_RESULT_TEXT",
    "SplitImages",
    "ToolCallIdNormalizer",
    "normalize_anthropic_tool_call_id",
    "normalize_completions_tool_call_id",
    "normalize_responses_tool_call_id",
    "split_error_tool_result_images",
    "transform_messages",
)

NO_RESULT_TEXT = "No result provided"
"""The text of the error result that a tool call without a result is given."""

_USER_IMAGE = "(image omitted: model does not support images)"
_TOOL_IMAGE = "(tool image omitted: model does not support images)"
_ATTACHED_IMAGE = "(image attached after the tool results)"

ToolCallIdNormalizer: TypeAlias = Callable[[str, Model, AssistantMessage], str]
"""Makes a tool-call id that another model gave fit an API: (id, target, its message) -> id."""


def transform_messages(
    messages: Sequence[Message],
    model: Model,
    normalize_tool_call_id: ToolCallIdNormalizer | None = None,
) -> list[Message]:
    """The transcript as it can be sent to `model`.

    Every tool call of the result has exactly one tool result, right after its message, and every
    tool result a call. Calls are counted, since some servers repeat ids, or leave them empty; of
    such calls only the first keeps its id. Names that no API takes are mended, except those of
    tools that `messages` leave declared.
    """
    adapted = _Adapter(model)
    names = {tool.name for tool in get_current_tools(messages)}
    paired = _Pairing(_CallMarks(model, normalize_tool_call_id, names))
    for message in messages:
        paired.add(adapted.message(message))
    return paired.finish()


_Blocks = TypeVar("_Blocks", bound="str | list[UserContent] | list[AssistantContent]")


# --- one message at a time --------------------------------------------------------------------


class _Adapter:
    """Rewrites the content of single messages."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._sees_images = "image" in model.input

    def message(self, message: Message) -> Message:
        match message:
            case SystemMessage():
                return message
            case UserMessage():
                return self._user(message)
            case AssistantMessage():
                return self._assistant(message)
            case ToolResultMessage():
                return self._tool_result(message)

    def _user(self, message: UserMessage) -> UserMessage:
        content = _present(message.content)
        if not isinstance(content, str) and not self._sees_images:
            content = _replace_images(content, _USER_IMAGE)
        return message if content is message.content else replace(message, content=content)

    def _tool_result(self, message: ToolResultMessage) -> ToolResultMessage:
        content = _present(message.content)
        if not self._sees_images:
            content = _replace_images(content, _TOOL_IMAGE)
        return message if content is message.content else replace(message, content=content)

    def _assistant(self, message: AssistantMessage) -> AssistantMessage:
        rewrite = _own if _is_own(message, self._model) else _foreign
        blocks = _present(message.content)
        content = [kept for block in blocks if (kept := rewrite(block)) is not None]
        if blocks is message.content and list(map(id, content)) == list(map(id, blocks)):
            return message
        return replace(message, content=content)


def _is_own(message: AssistantMessage, model: Model) -> bool:
    """Whether `model` is the one that was asked for `message`."""
    asked = (message.provider, message.api, message.model)
    return asked == (model.provider, model.api, model.id)


def _own(block: AssistantContent) -> AssistantContent | None:
    if isinstance(block, ThinkingContent):
        kept = block.redacted or block.thinking_signature or block.thinking.strip()
        return block if kept else None
    return block


def _foreign(block: AssistantContent) -> AssistantContent | None:
    match block:
        case ThinkingContent():
            return None
        case TextContent():
            return TextContent(block.text)
        case ToolCall():
            return replace(block, thought_signature=None)


def _present(content: _Blocks | None) -> _Blocks:
    """`content`, or [] for the null of an old or hand-made message."""
    return cast("_Blocks", []) if content is None else content


def _replace_images(content: list[UserContent], placeholder: str) -> list[UserContent]:
    """`content` with one text in place of each run of images; the same list if it has none."""
    if not any(isinstance(block, ImageContent) for block in content):
        return content
    replaced: list[UserContent] = []
    for block in content:
        if isinstance(block, TextContent):
            replaced.append(block)
            continue
        last = replaced[-1] if replaced else None
        if not (isinstance(last, TextContent) and last.text == placeholder):
            replaced.append(TextContent(placeholder))
    return replaced


# --- calls and results ------------------------------------------------------------------------


_PAIRED_BY_PART = {"openai-responses", "openai-codex-responses", "azure-openai-responses"}
_PAIRED_PART_CHARS = 64
_NAME_FAULT = re.compile(r"[^a-zA-Z0-9_-]")
_NAME_CHARS = 64
"""The longest name of a tool that every API takes."""
_NO_NAME = "unnamed_tool"


class _CallMarks:
    """The ids and names under which the calls of one request are sent.

    An id that is empty or in use already becomes one that no other call has. It is made of what
    stands before the call alone, so that a cached prompt stays the same while a conversation grows.
    """

    def __init__(
        self, model: Model, normalize: ToolCallIdNormalizer | None, declared: Collection[str]
    ) -> None:
        self._model = model
        self._normalize = normalize
        # The Responses API pairs by the part before the bar.
        self._paired_by_part = model.api in _PAIRED_BY_PART
        self._declared = declared
        self._used: set[str] = set()

    def mark(self, message: AssistantMessage) -> AssistantMessage:
        """`message` with its calls as they are sent; itself if they are sent as they are."""
        own = self._normalize is None or _is_own(message, self._model)
        content = [
            self._call(block, message, own=own) if isinstance(block, ToolCall) else block
            for block in message.content
        ]
        if list(map(id, content)) == list(map(id, message.content)):
            return message
        return replace(message, content=content)

    def _call(self, call: ToolCall, message: AssistantMessage, *, own: bool) -> ToolCall:
        call_id = call.id
        if self._normalize is not None and not own:
            call_id = self._normalize(call_id, self._model, message)
        call_id = self._unused(call_id, call.id)
        name = self._name(call.name)
        if (call_id, name) == (call.id, call.name):
            return call
        return replace(call, id=call_id, name=name)

    def _unused(self, wanted: str, told: str) -> str:
        count = 0
        paired = wanted.partition("|")[0] if self._paired_by_part else wanted
        too_long = self._paired_by_part and len(paired) > _PAIRED_PART_CHARS
        while not paired or paired in self._used or too_long:
            too_long = False
            count += 1
            wanted = paired = f"call_{short_hash(f'{told}:{count}')}"
        self._used.add(paired)
        return wanted

    def _name(self, name: str) -> str:
        if name in self._declared:
            return name
        return _NAME_FAULT.sub("_", name)[:_NAME_CHARS] or _NO_NAME


class _Waiting(NamedTuple):
    """A call without a result: as the transcript has it, and as it is sent."""

    told: ToolCall
    sent: ToolCall


class _Pairing:
    """Puts a transcript together so that calls and results match."""

    def __init__(self, marks: _CallMarks) -> None:
        self._marks = marks
        self._messages: list[Message] = []
        self._unanswered: list[_Waiting] = []
        self._held: list[SystemMessage] = []

    def add(self, message: Message) -> None:
        match message:
            case SystemMessage():
                if self._unanswered:
                    self._held.append(message)
                else:
                    self._messages.append(message)
            case UserMessage():
                self._close()
                self._messages.append(message)
            case AssistantMessage():
                self._close()
                if message.stop_reason not in ("error", "aborted"):
                    sent = self._marks.mark(message)
                    self._messages.append(sent)
                    calls = zip(message.tool_calls, sent.tool_calls, strict=True)
                    self._unanswered = [_Waiting(*pair) for pair in calls]
            case ToolResultMessage():
                self._answer(message)

    def finish(self) -> list[Message]:
        self._close()
        return self._messages

    def _answer(self, result: ToolResultMessage) -> None:
        """Keep a result that a call waits for; drop late, repeated and stray ones."""
        for index, call in enumerate(self._unanswered):
            if call.told.id == result.tool_call_id:
                del self._unanswered[index]
                self._messages.append(_answering(result, call))
                break
        if not self._unanswered:
            self._release()

    def _close(self) -> None:
        for _, call in self._unanswered:
            text: list[UserContent] = [TextContent(NO_RESULT_TEXT)]
            self._messages.append(ToolResultMessage(call.id, call.name, text, is_error=True))
        self._unanswered = []
        self._release()

    def _release(self) -> None:
        self._messages += self._held
        self._held = []


def _answering(result: ToolResultMessage, call: _Waiting) -> ToolResultMessage:
    """`result` with the id and the name under which its call is sent."""
    if call.told is call.sent:
        return result
    renamed = call.told.name != call.sent.name
    name = call.sent.name if renamed else result.tool_name
    return replace(result, tool_call_id=call.sent.id, tool_name=name)


# --- images of failed tools -------------------------------------------------------------------


class SplitImages(NamedTuple):
    """The result of a failed tool without its images, and these with a caption of their own."""

    content: list[UserContent]
    caption: str
    images: list[ImageContent]


def split_error_tool_result_images(message: ToolResultMessage) -> SplitImages | None:
    """Takes the images out of an error result, which Claude accepts only as text.

    None for a result that is no error or has no image.
    """
    content = _present(message.content)
    images = [block for block in content if isinstance(block, ImageContent)]
    if not message.is_error or not images:
        return None
    return SplitImages(
        _replace_images(content, _ATTACHED_IMAGE),
        f"Images from the error result of tool call {message.tool_call_id} ({message.tool_name}):",
        images,
    )


# --- tool-call ids ----------------------------------------------------------------------------

_ID_FAULT = re.compile(r"[^a-zA-Z0-9_-]")


def normalize_anthropic_tool_call_id(
    tool_call_id: str, _model: Model, _message: AssistantMessage
) -> str:
    """Letters, digits, `_` and `-`, at most 64; longer ids end in a hash and stay distinct."""
    clean = _ID_FAULT.sub("_", tool_call_id)
    return clean if len(clean) <= 64 else _shorten(clean, tool_call_id, 64)


def normalize_completions_tool_call_id(
    tool_call_id: str, model: Model, _message: AssistantMessage
) -> str:
    """At most 40 characters for OpenAI, and for the `call|item` ids of the Responses API.

    Source: providers spec of openai-completions, section 3.3.
    """
    call, pipe, item = tool_call_id.partition("|")
    if not pipe:
        return tool_call_id[:40] if model.provider == "openai" else tool_call_id
    call = _ID_FAULT.sub("_", call)
    clean = f"{call}_{_ID_FAULT.sub('_', item)}" if item else call
    return clean if len(clean) <= 40 else _shorten(call, tool_call_id, 40)


_ITEM_ID_PROVIDERS = {"openai", "openai-codex", "opencode"}
"""Where calls that were made elsewhere get an item id."""


def normalize_responses_tool_call_id(
    tool_call_id: str, model: Model, message: AssistantMessage
) -> str:
    """The call id in 64 plain characters; `call|item` for servers that want item ids.

    Source: spec of openai-responses, section 3.3.
    """
    call, bar, rest = tool_call_id.partition("|")
    azure = model.api == "azure-openai-responses" and model.provider == "azure"
    if not bar or not (azure or model.provider in _ITEM_ID_PROVIDERS):
        return _plain_part(tool_call_id)
    told = rest.partition("|")[0]
    if (message.provider, message.api) == (model.provider, model.api):
        item = _plain_part(told)
    else:
        item = f"fc_{short_hash(told)}"
    if not item.startswith("fc_"):
        item = _plain_part(f"fc_{item}")
    return f"{_plain_part(call)}|{item}"


def _plain_part(text: str) -> str:
    return _ID_FAULT.sub("_", text)[:64].rstrip("_")


def _shorten(clean: str, tool_call_id: str, length: int) -> str:
    return f"{clean[: length - 9]}_{short_hash(tool_call_id)[:8]}"
