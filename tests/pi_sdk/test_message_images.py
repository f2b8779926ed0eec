"""What a model gets of a session when images are kept from it."""

from __future__ import annotations

import pytest

from pi_ai import AssistantMessage, ImageContent, TextContent, ToolResultMessage, UserMessage
from pi_sdk.message_images import BlockedImages

IMAGE = ImageContent("aGk=", "image/png")
NO_IMAGE = "Image reading is disabled."


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ([TextContent("a")], ["a"]),
        ([IMAGE], [NO_IMAGE]),
        ([TextContent("a"), IMAGE, IMAGE, TextContent("b"), IMAGE], ["a", NO_IMAGE, "b", NO_IMAGE]),
        ([TextContent(NO_IMAGE), IMAGE], [NO_IMAGE]),
    ],
    ids=["no image", "one", "several", "behind the text itself"],
)
def test_images_become_a_text(content, texts):
    for message in (
        UserMessage(content),
        ToolResultMessage(tool_call_id="c", tool_name="read", content=content),
    ):
        (shown,) = BlockedImages().without_images([message])
        assert [block.text for block in shown.content] == texts
        assert message.content is content


def test_messages_without_images_are_the_same_objects():
    messages = [UserMessage("a"), UserMessage([TextContent("b")]), AssistantMessage([])]
    assert all(
        shown is given
        for shown, given in zip(BlockedImages().without_images(messages), messages, strict=True)
    )
