"""Token estimates."""

from __future__ import annotations

import pytest

from pi_ai import estimate as e
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    Message,
    Model,
    StopReason,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    ToolResultMessage,
    Usage,
    UserMessage,
)

IMAGE = ImageContent("A" * 100_000, "image/png")


def user(text: str, timestamp: int = 1) -> UserMessage:
    return UserMessage(text, timestamp=timestamp)


def answer(
    tokens: int, timestamp: int = 2, stop_reason: StopReason = "stop", text: str = "x" * 35
) -> AssistantMessage:
    return AssistantMessage(
        [TextContent(text)],
        usage=Usage(total_tokens=tokens),
        stop_reason=stop_reason,
        timestamp=timestamp,
    )


@pytest.mark.parametrize(
    ("text", "length"),
    [("", 0), ("abc", 3), ("é", 1), ("🙈", 2), ("a\ud83d", 2), ("中文🙈", 4)],
    ids=ascii,
)
def test_utf16_length(text: str, length: int) -> None:
    assert e.utf16_len(text) == length


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        pytest.param(user(""), 0, id="empty"),
        pytest.param(user("x"), 1, id="one"),
        pytest.param(user("x" * 7), 2, id="seven"),
        pytest.param(user("x" * 8), 3, id="rounded-up"),
        pytest.param(user("🙈" * 7), 4, id="utf-16-units"),
        pytest.param(UserMessage([TextContent("xx"), IMAGE]), 1372, id="image"),
        pytest.param(
            ToolResultMessage("1", "t", [TextContent("x" * 7)], details={"big": "x" * 999}),
            2,
            id="tool-result-without-details",
        ),
        pytest.param(
            AssistantMessage(
                [
                    TextContent("xxxx"),
                    ThinkingContent("yyyy", thinking_signature="z" * 99),
                    ToolCall("id", "grep", {"a": "é", "n": 1.0}),  # {"a":"é","n":1} has 15
                ]
            ),
            8,
            id="assistant",
        ),
        pytest.param(
            SystemMessage(
                "x" * 8,
                sections={"a": "y" * 4, "b": None},
                tools_added=[Tool("t", "", {})],  # [{"name":"t","description":"","parameters":{}}]
                tools_removed=[ToolReference("a")],  # [{"name":"a"}]
            ),
            4 + 14 + 4,
            id="system-in-three-parts",
        ),
        pytest.param(SystemMessage("x"), 1, id="system-without-tools"),
    ],
)
def test_a_token_is_three_and_a_half_characters(message: Message, tokens: int) -> None:
    assert e.estimate_tokens(message) == tokens


def test_context_tokens_are_the_total_or_the_sum() -> None:
    assert e.calculate_context_tokens(Usage(1, 2, 3, 4, total_tokens=99)) == 99
    assert e.calculate_context_tokens(Usage(1, 2, 3, 4)) == 10


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param(
            [user("x" * 7, 1), answer(100, 2), user("x" * 7, 3)],
            (102, 100, 2, 1),
            id="usage-plus-trailing",
        ),
        pytest.param(
            [user("x" * 7, 5), answer(100, 2), user("x" * 7, 3)],
            (14, 0, 14, None),
            id="an-earlier-message-is-newer",
        ),
        pytest.param(
            [user("x" * 7, 1), answer(100, 2), answer(900, 3, "error")],
            (110, 100, 10, 1),
            id="failed-response",
        ),
        pytest.param(
            [user("x" * 7, 1), answer(100, 2), answer(900, 3, "aborted")],
            (110, 100, 10, 1),
            id="aborted-response",
        ),
        pytest.param([answer(100, 2), answer(0, 3)], (110, 100, 10, 0), id="no-usage"),
        pytest.param([answer(100, 2), answer(200, 2)], (200, 200, 0, 1), id="the-last-one"),
        pytest.param([], (0, 0, 0, None), id="empty"),
    ],
)
def test_ai_core_check_61_context_estimate(
    messages: list[Message], expected: tuple[int, int, int, int | None]
) -> None:
    assert e.estimate_context_tokens(messages) == expected


@pytest.mark.parametrize(
    ("window", "characters", "wanted", "expected"),
    [
        pytest.param(200_000, 500_000, 64_000, 35_713, id="margin-of-15-percent"),
        pytest.param(200_000, 600_000, 64_000, 24_475, id="least-margin"),
        pytest.param(200_000, 690_000, 64_000, 1, id="full"),
        pytest.param(32_768, 0, 32_768, 28_672, id="small-window"),
        pytest.param(131_072, 300_000, 131_072, 32_768, id="full-answer"),
        pytest.param(0, 0, 0, 1, id="unknown-window"),
        pytest.param(0, 999_999, 5000, 5000, id="unknown-window-keeps-the-wish"),
        pytest.param(200_000, 0, 1000, 1000, id="roomy"),
    ],
)
def test_ai_core_check_07_output_fits_the_window(
    window: int, characters: int, wanted: int, expected: int
) -> None:
    model = Model(id="m", api="x", provider="p", context_window=window)
    tokens = e.estimate_context_tokens([user("x" * characters)]).tokens
    assert e.clamp_max_tokens(model, wanted, tokens) == expected


@pytest.mark.parametrize(
    ("window", "tokens", "expected"), [(128_000, 120_000, 3904), (100_000, 120_000, 1)]
)
def test_nearly_full_windows_leave_what_is_left(window: int, tokens: int, expected: int) -> None:
    model = Model(id="m", api="x", provider="p", context_window=window)
    assert e.clamp_max_tokens(model, 64_000, tokens) == expected


@pytest.mark.parametrize("tokens", [0, 1, 2, 7, 1000])
def test_longest_text_of_so_many_tokens(tokens: int) -> None:
    longest = e.max_length(tokens)
    assert e.estimate_tokens(user("x" * longest)) == tokens
    assert e.estimate_tokens(user("x" * (longest + 1))) == tokens + 1


def test_lengths_of_contents() -> None:
    assert e.content_length("é🙈") == 3
    assert e.content_length([TextContent("ab"), IMAGE, ToolCall("c", "rd", {"a": 1})]) == 4811
    assert e.json_length({"a": [1, "é"]}) == 13
