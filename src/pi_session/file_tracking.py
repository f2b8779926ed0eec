"""Which files a conversation read and changed, as its tool calls tell.

Paths are as the model gave them. Source: session spec, section 14.4.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from msgspec import Struct, field

from pi_ai.types import AssistantMessage, JsonObject, JsonValue, ToolResultMessage, Wire
from pi_session.messages import SessionMessage

__all__ = (
    "FileLists",
    "FileOperations",
    "collect_file_operations",
    "format_file_lists",
    "list_files",
    "strip_file_lists",
)


class FileOperations(Struct):
    """The paths that tools were called with, by tool."""

    read: set[str] = field(default_factory=lambda: set[str]())
    written: set[str] = field(default_factory=lambda: set[str]())
    edited: set[str] = field(default_factory=lambda: set[str]())

    def add_call(self, name: JsonValue, arguments: JsonValue) -> None:
        """Take in a tool call; what is not a read, write or edit of a path is passed over."""
        path: JsonValue = None
        if isinstance(arguments, dict):
            path = cast("JsonObject", arguments).get("path")
        if not isinstance(path, str) or not path:
            return
        match name:
            case "read":
                self.read.add(path)
            case "write":
                self.written.add(path)
            case "edit":
                self.edited.add(path)
            case _:
                pass

    def add_details(self, details: JsonValue) -> None:
        """Take in the lists that an earlier summary stored."""
        if isinstance(details, dict):
            stored = cast("JsonObject", details)
            self.read.update(_paths(stored.get("readFiles")))
            self.edited.update(_paths(stored.get("modifiedFiles")))


class FileLists(Wire):
    """The `details` of a summary: each list sorted, no path in both."""

    read_files: list[str]
    modified_files: list[str]


def collect_file_operations(messages: Iterable[SessionMessage], operations: FileOperations) -> None:
    """Add to `operations` what the calls in `messages` did, those inside other tools included."""
    for message in messages:
        match message:
            case AssistantMessage():
                for call in message.tool_calls:
                    operations.add_call(call.name, call.arguments)
            case ToolResultMessage(nested_calls=dict() as nested):
                calls: JsonValue = nested.get("calls")
                for call in cast("list[JsonValue]", calls) if isinstance(calls, list) else ():
                    if isinstance(call, dict):
                        record = cast("JsonObject", call)
                        operations.add_call(record.get("name"), record.get("arguments"))
            case _:
                pass


def list_files(operations: FileOperations) -> FileLists:
    """The files that were changed, and those that were only read."""
    modified = operations.written | operations.edited
    return FileLists(_sorted(operations.read - modified), _sorted(modified))


def format_file_lists(files: FileLists) -> str:
    """The lists as they end a summary, each after a blank line; "" for empty ones."""
    lists = (("read-files", files.read_files), ("modified-files", files.modified_files))
    return "".join(
        f"\n\n<{name}>\n{chr(10).join(paths)}\n</{name}>" for name, paths in lists if paths
    )


def strip_file_lists(summary: str) -> str:
    """`summary` without the lists at its end, which would pile up if it were summarised again."""
    text = summary.rstrip()
    stripped = False
    for name in ("modified-files", "read-files"):
        start = text.rfind(f"\n\n<{name}>\n") if text.endswith(f"\n</{name}>") else -1
        if start >= 0:
            text, stripped = text[:start], True
    return text if stripped else summary


def _paths(value: JsonValue) -> list[str]:
    items = cast("list[JsonValue]", value) if isinstance(value, list) else []
    return [item for item in items if isinstance(item, str) and item]


def _sorted(paths: Iterable[str]) -> list[str]:
    """In the order of UTF-16 code units, as JavaScript sorts."""
    return sorted(paths, key=lambda path: path.encode("utf-16-be", "surrogatepass"))
