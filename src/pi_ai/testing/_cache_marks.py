"""The rules for `cache_control`, which Anthropic and servers that pass it on share.

Source: https://docs.claude.com/en/build-with-claude/prompt-caching.
"""

from __future__ import annotations

from pi_ai.testing._findings import Findings, is_list, is_object
from pi_ai.types import JsonObject, JsonValue

__all__ = ("CacheMarks",)

_MOST = 4


class CacheMarks:
    """Meets the marks of a request in the order in which the server reads them."""

    def __init__(self, found: Findings) -> None:
        self._found = found
        self._paths: list[str] = []
        self._short_seen = False

    def blocks(self, blocks: JsonValue, path: str) -> None:
        """The marks of a list of blocks or tools, and of the blocks inside."""
        for index, block in enumerate(blocks if is_list(blocks) else []):
            if is_object(block):
                self.blocks(block.get("content"), f"{path}[{index}].content")
                self.block(block, f"{path}[{index}]")

    def block(self, block: JsonObject, path: str) -> None:
        """The mark of one object, if it has one."""
        if "cache_control" not in block:
            return
        where = f"{path}.cache_control"
        self._paths.append(where)
        mark = self._found.fields(
            block["cache_control"], where, required=("type",), allowed=("ttl",)
        )
        self._found.one_of(mark.get("type"), f"{where}.type", {"ephemeral"})
        ttl: JsonValue = mark.get("ttl", "5m")
        if self._found.one_of(ttl, f"{where}.ttl", {"1h", "5m"}):
            if ttl == "1h" and self._short_seen:
                self._found.add(where, "of 1h must not come behind one of 5m")
            self._short_seen = self._short_seen or ttl == "5m"
        if block.get("type") in ("thinking", "redacted_thinking"):
            self._found.add(where, "is not allowed on thinking")
        if block.get("type") == "text" and not str(block.get("text", "")).strip():
            self._found.add(where, "is not allowed on empty text")

    def count(self) -> None:
        """Notes a request with too many marks."""
        if len(self._paths) > _MOST:
            self._found.add("body", f"has {len(self._paths)} cache marks, at most {_MOST} may be")
