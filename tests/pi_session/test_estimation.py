"""How many tokens a context takes, and when that is too many."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai.estimate import ContextEstimate
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    UserMessage,
)
from pi_session import (
    BashExecutionMessage,
    BranchSummaryMessage,
    CompactionSettings,
    CompactionSummaryMessage,
    ContextUsage,
    CustomMessage,
    SessionMessage,
    TokenEstimates,
    build_projection,
    estimate_context_tokens,
    estimate_projected_context_tokens,
    estimate_tokens,
    get_context_usage,
    should_compact,
)
from pi_session.entries import Entry
from support.session_entries import a, chain, compaction, edit, message, u, used, x

IMAGE = ImageContent("AA==", "image/png")


@pytest.mark.parametrize(
    ("message", "tokens"),
    [
        pytest.param(UserMessage("abcde"), 2, id="rounded-up"),
        pytest.param(UserMessage([TextContent("abc"), IMAGE]), 1201, id="image"),
        pytest.param(
            AssistantMessage(
                [TextContent("ab"), ThinkingContent("cd"), ToolCall("c", "rd", {"a": 1})]
            ),
            4,
            id="assistant",
        ),
        pytest.param(UserMessage("😀😀"), 1, id="utf-16-units"),
        pytest.param(
            SystemMessage("abcd", sections={"s": "efgh", "gone": None}), 2, id="system-sections"
        ),
        pytest.param(
            SystemMessage(
                "", tools_added=[Tool("t", "d", {})], tools_removed=[ToolReference("t" * 99)]
            ),
            12,  # [{"name":"t","description":"d","parameters":{}}] has 48 characters
            id="system-tools",
        ),
        pytest.param(BashExecutionMessage(command="ls -l", output="abc"), 2, id="bash"),
        pytest.param(CustomMessage(custom_type="long-name", content="abcd"), 1, id="custom"),
        pytest.param(BranchSummaryMessage(summary="abcd", from_id="e1234567"), 1, id="branch"),
        pytest.param(CompactionSummaryMessage(summary="abcde"), 2, id="compaction"),
    ],
)
def test_session_check_49_tokens_of_a_message(message: SessionMessage, tokens: int) -> None:
    assert estimate_tokens(message) == tokens


def test_session_check_49_unknown_role_takes_nothing() -> None:
    branch = chain(message("observer", "long text"), u("abcd"))
    assert estimate_projected_context_tokens(build_projection(branch), branch).tokens == 1


def test_each_message_is_estimated_once() -> None:
    estimates = TokenEstimates()
    question = UserMessage("abcde")
    assert estimates(question) == 2
    question.content = "looked at only once"
    assert estimates(question) == 2
    assert estimates(UserMessage("abcde")) == 2


@pytest.mark.parametrize(
    ("tokens", "window", "enabled", "expected"),
    [
        pytest.param(83_616, 100_000, True, False, id="at-the-threshold"),
        pytest.param(83_617, 100_000, True, True, id="above"),
        pytest.param(83_617, 100_000, False, False, id="disabled"),
        pytest.param(83_617, 0, True, False, id="unknown-window"),
    ],
)
def test_session_check_50_threshold(
    tokens: int, window: int, enabled: bool, expected: bool
) -> None:
    assert should_compact(tokens, window, CompactionSettings(enabled=enabled)) is expected


def messages(*entries: dict[str, Any]) -> list[SessionMessage]:
    return build_projection(chain(*entries)).messages


def test_session_check_51_usage_and_what_follows_it() -> None:
    context = messages(u("abcd"), a("yes", usage=used(10)), u("abcde"))
    assert estimate_context_tokens(context) == ContextEstimate(12, 10, 2, 1)


@pytest.mark.parametrize(
    "answer",
    [
        a("yes"),
        a("yes", usage=used(10), stopReason="error"),
        a("yes", usage=used(10), stopReason="aborted"),
    ],
    ids=["no-usage", "error", "aborted"],
)
def test_usage_that_tells_nothing(answer: dict[str, Any]) -> None:
    context = messages(u("abcd"), answer, u("abcde"))
    assert estimate_context_tokens(context) == ContextEstimate(4, 0, 4, None)


def projected(branch: list[Entry]) -> ContextEstimate:
    return estimate_projected_context_tokens(build_projection(branch), branch)


def test_usage_counts_until_the_context_is_changed() -> None:
    before = (u(x(1)), a(x(1), usage=used(5000)), u(x(1)))
    assert projected(chain(*before)).tokens == 5001
    assert projected(chain(*before, edit("1", {"content": x(7)}))).tokens == 9
    assert projected(chain(*before, compaction(x(2), "3"))).tokens == 3
    assert projected(chain(*before, compaction(x(2), "2"))).tokens == 4
    again = (*before, edit("1", None), a(x(1), usage=used(6000)), u(x(2)))
    assert projected(chain(*again)) == ContextEstimate(6002, 6000, 2, 2)


def test_prompt_and_tools_in_force_are_counted_once() -> None:
    first = message("system", x(3), sections={"s": x(50)})
    then = message("system", "", sections={"s": x(1)})
    assert projected(chain(first, u(x(1)), then)).tokens == 5


@pytest.mark.parametrize(
    ("entries", "tokens"),
    [
        pytest.param((u(x(1)), a("", usage=used(10)), u(x(2))), 12, id="usage"),
        pytest.param((u(x(1)), u(x(2))), 3, id="estimate"),
        pytest.param((u("a"), a("b", usage=used(10)), compaction("S", "1")), None, id="compacted"),
        pytest.param(
            (u("a"), compaction("S", "1"), a("b", usage=used(10), stopReason="error")),
            None,
            id="failed-since",
        ),
        pytest.param((u("a"), compaction("S", "1"), a("", usage=used(10))), 10, id="answered"),
    ],
)
def test_context_usage_report(entries: tuple[dict[str, Any], ...], tokens: int | None) -> None:
    branch = chain(*entries)
    found = get_context_usage(build_projection(branch), branch, 200)
    percent = None if tokens is None else tokens / 2
    assert found == ContextUsage(tokens, 200, percent)


def test_context_usage_that_no_float_can_hold() -> None:
    branch = chain(u("q"), a("", usage=used(int("9" * 400))))
    found = get_context_usage(build_projection(branch), branch, 100)
    assert found == ContextUsage(2**53, 100, 2**53)


def test_context_usage_of_an_unknown_window() -> None:
    assert get_context_usage(build_projection(chain()), [], 0) is None
