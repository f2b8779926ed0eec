"""Keeping images from the model: what the setting `images.blockImages` asks for.

Source: sdk spec, section 13.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from pi_ai import ImageContent, Message, TextContent, ToolResultMessage, UserMessage

__all__ = ("without_images",)

_PLACEHOLDER = TextContent("Image reading is disabled.")


def without_images(messages: Iterable[Message]) -> list[Message]:
    """The messages with a text in the place of images, one for several in a row."""
    return [_without_images(message) for message in messages]


def _without_images(message: Message) -> Message:
    if not isinstance(message, UserMessage | ToolResultMessage):
        return message
    content = message.content
    if isinstance(content, str) or not any(isinstance(block, ImageContent) for block in content):
        return message
    return replace(message, content=_texts(content))


def _texts(content: Sequence[TextContent | ImageContent]) -> list[TextContent]:
    texts: list[TextContent] = []
    for block in content:
        text = _PLACEHOLDER if isinstance(block, ImageContent) else block
        if text is not _PLACEHOLDER or texts[-1:] != [_PLACEHOLDER]:
            texts.append(text)
    return texts
