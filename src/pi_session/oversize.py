"""Tool results that alone fill a context window, which no compaction makes smaller.

They are kept, with their middle left out by a context edit: the file still has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from pi_ai.estimate import utf16_len
from pi_ai.transcript import content_text
from pi_ai.types import ImageContent, JsonObject, TextContent, ToolResultMessage
from pi_ai.wire import to_json_value
from pi_session.compaction_settings import CompactionSettings
from pi_session.estimation import sum_estimates
from pi_session.projection import Projection
from pi_session.shortening import level_to_fit, shorten_middle

__all__ = ("PlannedEdit", "find_oversized_results")

_LEAST_LENGTH = 2000
"""No result is made shorter than this, in UTF-16 code units."""


class PlannedEdit(Struct, frozen=True):
    """A context edit to append: what the model is to see of `target_id`."""

    target_id: str
    replacement: JsonObject


def find_oversized_results(
    projection: Projection, context_window: int, settings: CompactionSettings
) -> list[PlannedEdit]:
    """The edits that make a context fit its window, by shortening the longest tool results.

    None are needed while the context leaves the reserve free, or if the window is unknown (0).
    Otherwise it is brought down to half of the rest, so that there is room to go on; what is no
    text of a tool result, such as its images, may leave it longer than that.
    """
    room = context_window - settings.reserve_tokens
    tokens = sum_estimates(projection.messages)
    if context_window <= 0 or tokens <= room:
        return []
    results = [
        (item.entry.id, message, content_text(message.content, ""))
        for item in projection.entries
        for message in item.messages
        if isinstance(message, ToolResultMessage)
    ]
    lengths = [utf16_len(text) for _, _, text in results]
    excess = 4 * (tokens - room // 2)
    level = level_to_fit(lengths, max(0, sum(lengths) - excess))
    if level is None:
        return []
    level = max(level, _LEAST_LENGTH)
    return [
        PlannedEdit(entry_id, {"content": _shortened(message, text, level)})
        for (entry_id, message, text), length in zip(results, lengths, strict=True)
        if length > level
    ]


def _shortened(message: ToolResultMessage, text: str, length: int) -> Sequence[JsonObject]:
    """The content of `message` as JSON, its text in one block, the images behind it."""
    images = [block for block in message.content if isinstance(block, ImageContent)]
    blocks = [TextContent(shorten_middle(text, length)), *images]
    return [to_json_value(block) for block in blocks]
