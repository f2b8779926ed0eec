"""Which files a conversation read and changed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, JsonObject, ToolCall, ToolResultMessage
from pi_session import FileLists, FileOperations
from pi_session.file_tracking import (
    collect_file_operations,
    format_file_lists,
    list_files,
    strip_file_lists,
)


def asked(*calls: tuple[str, JsonObject]) -> AssistantMessage:
    return AssistantMessage([ToolCall("c", name, arguments) for name, arguments in calls])


def nested(value: Any) -> ToolResultMessage:
    return ToolResultMessage("c", "run", [], nested_calls=value)


def files_of(*messages: AssistantMessage | ToolResultMessage) -> FileLists:
    operations = FileOperations()
    collect_file_operations(messages, operations)
    return list_files(operations)


def test_files_are_sorted_and_in_one_list() -> None:
    found = files_of(
        asked(("read", {"path": "z"}), ("edit", {"path": "m"}), ("read", {"path": "m"})),
        asked(("write", {"path": "w"}), ("bash", {"path": "no"}), ("read", {"path": "a"})),
    )
    assert found == FileLists(["a", "z"], ["m", "w"])


def test_paths_are_sorted_by_utf16_code_unit() -> None:
    paths = ["\uff21", "😀", "b", "B"]
    assert files_of(*(asked(("read", {"path": p})) for p in paths)).read_files == [
        "B",
        "b",
        "😀",
        "\uff21",
    ]


@pytest.mark.parametrize(
    "arguments", [{}, {"path": ""}, {"path": 5}, {"path": None}, {"file": "a"}], ids=str
)
def test_calls_without_a_path_are_passed_over(arguments: JsonObject) -> None:
    assert files_of(asked(("read", arguments))) == FileLists([], [])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"calls": [{"name": "edit", "arguments": {"path": "n"}}]}, ["n"]),
        ({"calls": [{"name": "edit"}, 5, {"name": ["edit"], "arguments": {"path": "n"}}]}, []),
        ({"calls": 5}, []),
        ({}, []),
    ],
    ids=["one", "odd", "no-list", "empty"],
)
def test_calls_inside_a_tool(value: JsonObject, expected: list[str]) -> None:
    assert files_of(nested(value)).modified_files == expected


@pytest.mark.parametrize(
    "details", [None, 5, [], {"readFiles": "a"}, {"readFiles": [5, None, ""]}], ids=str
)
def test_odd_details_hold_no_files(details: Any) -> None:
    operations = FileOperations()
    operations.add_details(details)
    assert list_files(operations) == FileLists([], [])


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (FileLists([], []), ""),
        (FileLists(["a", "b"], []), "\n\n<read-files>\na\nb\n</read-files>"),
        (FileLists([], ["c"]), "\n\n<modified-files>\nc\n</modified-files>"),
        (
            FileLists(["a"], ["c"]),
            "\n\n<read-files>\na\n</read-files>\n\n<modified-files>\nc\n</modified-files>",
        ),
    ],
    ids=["none", "read", "modified", "both"],
)
def test_lists_at_the_end_of_a_summary(files: FileLists, text: str) -> None:
    assert format_file_lists(files) == text
    assert strip_file_lists(f"S{text}") == "S"


PATHS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n<"), min_size=1))


@given(st.text("ab\n <>/", max_size=20).map(lambda text: f"{text}."), PATHS, PATHS)
def test_stripping_undoes_formatting(text: str, read: list[str], modified: list[str]) -> None:
    assert strip_file_lists(text + format_file_lists(FileLists(read, modified))) == text


@pytest.mark.parametrize(
    "summary",
    ["", "S\n", "S\n\n<read-files>\na\n</read-files>\n\nMore", "S</read-files>", "\n</read-files>"],
    ids=repr,
)
def test_other_texts_are_left_as_they_are(summary: str) -> None:
    assert strip_file_lists(summary) == summary
