"""The messages of a session as its model gets them.

Source: sdk spec, section 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from msgspec.structs import replace

from pi_agent import AgentMessage
from pi_ai import ImageContent, Message, TextContent, ToolResultMessage, UserMessage
from pi_sdk.settings import SettingsManager
from pi_session import SessionMessage, convert_to_llm

__all__ = ("to_model_messages",)

_NO_IMAGE = TextContent("Image reading is disabled.")


def to_model_messages(messages: Sequence[AgentMessage], settings: SettingsManager) -> list[Message]:
    """`convert_to_llm`, with a text in the place of images if the settings keep them back.

    Several images in a row become one text.
    """
    # Only messages that a session can hold get into the agent of a session.
    converted = convert_to_llm(cast("Sequence[SessionMessage]", messages))
    if settings.current.images.block_images:
        return [_without_images(message) for message in converted]
    return converted


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
        text = _NO_IMAGE if isinstance(block, ImageContent) else block
        if text is not _NO_IMAGE or texts[-1:] != [_NO_IMAGE]:
            texts.append(text)
    return texts
