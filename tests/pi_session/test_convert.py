"""Session messages for a model, and as text."""

from __future__ import annotations

import pytest

from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    Message,
    SystemMessage,
    TextContent,
    ThinkingContent,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from pi_session import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSummaryMessage,
    CustomMessage,
    convert_to_llm,
    serialize_conversation,
)


def result(text: str) -> ToolResultMessage:
    return ToolResultMessage("c", "t", [TextContent(text)], timestamp=1)


def test_model_roles_stay_as_they_are() -> None:
    messages: list[Message] = [
        SystemMessage("s"),
        UserMessage("u"),
        AssistantMessage([TextContent("a")]),
        result("r"),
    ]
    assert all(a is b for a, b in zip(convert_to_llm(messages), messages, strict=True))


def test_session_check_54_bash_execution() -> None:
    (message,) = convert_to_llm(
        [
            BashExecutionMessage(
                command="ls", exit_code=2, truncated=True, full_output_path="/t/x", timestamp=5
            )
        ]
    )
    text = (
        "Ran `ls`\n(no output)\n\nCommand exited with code 2\n\n"
        "[Output truncated. Full output: /t/x]"
    )
    assert message == UserMessage([TextContent(text)], timestamp=5)


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (BashExecutionMessage(command="ls", output="a\nb"), "Ran `ls`\n```\na\nb\n```"),
        (BashExecutionMessage(command="ls", output="a", exit_code=0), "Ran `ls`\n```\na\n```"),
        (
            BashExecutionMessage(command="ls", cancelled=True, exit_code=3),
            "Ran `ls`\n(no output)\n\n(command cancelled)",
        ),
        (BashExecutionMessage(command="ls", truncated=True), "Ran `ls`\n(no output)"),
    ],
    ids=["killed", "exit 0", "cancelled", "truncated without path"],
)
def test_session_check_54_bash_variants(message: BashExecutionMessage, text: str) -> None:
    (found,) = convert_to_llm([message])
    assert found.content == [TextContent(text)]


def test_session_check_54_bash_kept_out_of_the_context() -> None:
    assert convert_to_llm([BashExecutionMessage(command="ls", exclude_from_context=True)]) == []


def test_custom_messages_become_user_messages() -> None:
    image = ImageContent("AA==", "image/png")
    found = convert_to_llm(
        [
            CustomMessage(custom_type="x", content="t", timestamp=3),
            CustomMessage(custom_type="x", content=[image], timestamp=4),
        ]
    )
    assert found == [
        UserMessage([TextContent("t")], timestamp=3),
        UserMessage([image], timestamp=4),
    ]


def test_summaries_become_user_messages() -> None:
    branch, compaction = convert_to_llm(
        [
            BranchSummaryMessage(summary="B", timestamp=3),
            CompactionSummaryMessage(summary="C", timestamp=4),
        ]
    )
    for message, end in (
        (branch, "\n\n<summary>\nB</summary>"),
        (compaction, "\n\n<summary>\nC\n</summary>"),
    ):
        assert message.role == "user"
        (block,) = message.content
        assert isinstance(block, TextContent)
        assert block.text.endswith(end)
        assert "branch" in block.text if message is branch else "compacted" in block.text


def test_session_check_52_long_tool_results_are_cut() -> None:
    assert serialize_conversation([result("x" * 5000)]) == (
        "[Tool result]: " + "x" * 2000 + "\n\n[... 3000 more characters truncated]"
    )
    assert serialize_conversation([result("a" * 1999 + "😀z")]) == (
        "[Tool result]: " + "a" * 1999 + "\n\n[... 2 more characters truncated]"
    )
    assert serialize_conversation([result("😀" * 1000)]) == "[Tool result]: " + "😀" * 1000
    assert serialize_conversation([result("")]) == ""


def test_session_check_53_assistant_texts_and_calls() -> None:
    message = AssistantMessage(
        [
            ThinkingContent("hidden"),
            TextContent("hi"),
            TextContent("more"),
            ToolCall("c", "read", {"path": "a.py", "n": 1, "o": {"x": [1]}}),
        ]
    )
    assert serialize_conversation([message]) == (
        '[Assistant]: hi\nmore\n\n[Assistant tool calls]: read(path="a.py", n=1, o={"x":[1]})'
    )


def test_serialized_conversation_leaves_out_the_rest() -> None:
    two_calls = [ToolCall("c", "a", {}), ToolCall("d", "b", {"k": "é"})]
    text = serialize_conversation(
        [
            SystemMessage("s"),
            UserMessage([TextContent("a"), ImageContent("AA==", "image/png"), TextContent("b")]),
            UserMessage(""),
            AssistantMessage([TextContent("")]),
            AssistantMessage(list(two_calls)),
            AssistantMessage([ThinkingContent("t")]),
        ]
    )
    assert text == '[User]: ab\n\n[Assistant]: \n\n[Assistant tool calls]: a(); b(k="é")'
