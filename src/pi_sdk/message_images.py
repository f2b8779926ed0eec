"""Images of messages made fit for the model: when a message is delivered, and at every request.

Source: sdk spec, sections 10.5, 13 and 7.4.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Sequence

from msgspec.structs import replace

from pi_ai import (
    ImageContent,
    Message,
    Model,
    TextContent,
    ToolResultMessage,
    UserContent,
    UserMessage,
)
from pi_tools import ImageOmittedError, ImageResizeOptions, model_resize_options, process_image
from pi_tools.image_types import SNIFF_BYTES, image_mime_type, image_size

__all__ = ("BlockedImages", "check_images", "fit_prompt_images", "fit_result_images")

_NOT_RESIZED = "[Image omitted: could not be resized below the inline image size limit.]"
_SUPPORTED = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_BLOCKED = "Image reading is disabled."


def check_images(images: Sequence[object]) -> None:
    """Raise TypeError for something that is no image."""
    for index, image in enumerate(images):
        if not isinstance(image, ImageContent):
            raise TypeError(
                f"images[{index}]: expected ImageContent, found {type(image).__name__}. "
                "Pass ImageContent(base64_text, mime_type)."
            )


async def fit_prompt_images(message: UserMessage, model: Model, *, resize: bool) -> None:
    """Make the images of a message of the user fit `model`; those that cannot be are taken out.

    What was changed is said in the message's text. With `resize` False sizes stay as they are.
    """
    if isinstance(message.content, str) or not _images_of(message.content):
        return
    limits = _limits(model) if resize else None
    content: list[UserContent] = []
    notes: list[str] = []
    for block in message.content:
        if not isinstance(block, ImageContent):
            content.append(block)
            continue
        try:
            fitted, said = await asyncio.to_thread(_fit, block, limits)
            content.append(fitted)
            notes += said
        except ImageOmittedError as error:
            notes.append(str(error))
    message.content = _with_notes(content, notes)


async def fit_result_images(message: ToolResultMessage, model: Model, *, resize: bool) -> None:
    """Make the images of a tool result fit `model`; one that cannot be changed is kept.

    What was changed is said behind each image. One of a format that nobody takes becomes a text,
    as no request with it could be made again.
    """
    limits = _limits(model) if resize else None
    if all(_is_fit(image, limits) for image in _images_of(message.content)):
        return
    content: list[UserContent] = []
    for block in message.content:
        if isinstance(block, ImageContent) and not _is_fit(block, limits):
            try:
                block, notes = await asyncio.to_thread(_fit, block, limits)
            except ImageOmittedError as error:
                supported = block.mime_type in _SUPPORTED
                content.append(block if supported else TextContent(str(error)))
                continue
            content.append(block)
            if notes:
                content.append(TextContent("\n".join(notes)))
        else:
            content.append(block)
    message.content = content


class BlockedImages:
    """Puts a sentence in the place of every image that would be sent.

    A message without its images is made once: it comes back at every request.
    """

    def __init__(self) -> None:
        self._known: dict[int, tuple[Message, Message]] = {}

    def without_images(self, messages: Sequence[Message]) -> list[Message]:
        """The messages, those with images replaced."""
        known, self._known = self._known, {}  # what is sent no more is forgotten
        return [self._without(message, known) for message in messages]

    def _without(self, message: Message, known: dict[int, tuple[Message, Message]]) -> Message:
        if not isinstance(message, UserMessage | ToolResultMessage):
            return message
        if isinstance(message.content, str) or not _images_of(message.content):
            return message
        found = known.get(id(message))
        if found is None:
            found = (message, replace(message, content=_blocked(message.content)))
        self._known[id(message)] = found
        return found[1]


def _blocked(content: Sequence[UserContent]) -> list[UserContent]:
    blocks: list[UserContent] = []
    for block in content:
        if not isinstance(block, ImageContent):
            blocks.append(block)
        elif not (blocks and isinstance(last := blocks[-1], TextContent) and last.text == _BLOCKED):
            blocks.append(TextContent(_BLOCKED))
    return blocks


def _images_of(content: Sequence[UserContent]) -> list[ImageContent]:
    return [block for block in content if isinstance(block, ImageContent)]


def _limits(model: Model) -> ImageResizeOptions:
    return model_resize_options(model) or ImageResizeOptions()


def _fit(
    image: ImageContent, limits: ImageResizeOptions | None
) -> tuple[ImageContent, Sequence[str]]:
    """The image as it is sent, and what to say of it. Blocking; raises `ImageOmittedError`."""
    try:
        data = base64.b64decode(image.data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ImageOmittedError(_NOT_RESIZED) from error
    fitted = process_image(data, image.mime_type, limits)
    if fitted.data is data and fitted.mime_type == image.mime_type:
        return image, fitted.notes
    return fitted.content(), fitted.notes


def _is_fit(image: ImageContent, limits: ImageResizeOptions | None) -> bool:
    """Whether an image can stay as it is, as far as its header tells."""
    if image.mime_type not in _SUPPORTED:
        return False
    head = image.data[: SNIFF_BYTES // 3 * 4]
    try:
        data = base64.b64decode(head)
    except (binascii.Error, ValueError):
        return True
    if limits is None or image_mime_type(data) is None:
        return True
    size = image_size(data)
    if size is None:  # a large header: a JPEG with a preview in it, say
        return False
    within = size[0] <= limits.max_width and size[1] <= limits.max_height
    return within and len(image.data) < limits.max_bytes


def _with_notes(content: list[UserContent], notes: Sequence[str]) -> list[UserContent]:
    if not notes:
        return content
    said = "\n".join(notes)
    for index, block in enumerate(content):
        if isinstance(block, TextContent):
            text = f"{block.text}\n\n{said}" if block.text else said
            return [*content[:index], replace(block, text=text), *content[index + 1 :]]
    return [TextContent(said), *content]
