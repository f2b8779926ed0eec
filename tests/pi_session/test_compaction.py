"""Compaction as a whole, against a scripted model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pi_ai.abort import AbortController
from pi_ai.errors import AbortError
from pi_ai.testing import FauxProvider, FauxRequest, faux_message
from pi_ai.types import (
    AssistantMessage,
    Cost,
    ImageContent,
    SystemMessage,
    TextContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from pi_session import (
    CompactionError,
    CompactionResult,
    CompactionSettings,
    FileLists,
    SessionManager,
    SessionMovedError,
    SessionReadOnlyError,
    Summarizer,
    SummaryError,
    compact,
    compact_session,
    prepare_compaction,
)
from pi_session.compaction_prompts import (
    SYSTEM_PROMPT,
    branch_request,
    history_request,
    turn_prefix_request,
)
from pi_session.entries import Entry
from support.session_entries import (
    a,
    calls,
    chain,
    compaction,
    files,
    message,
    result,
    u,
    x,
)
from support.summaries import request_text, scripted_summarizer

SMALL = CompactionSettings(keep_recent_tokens=100)
SPLIT = chain(u("one"), calls(("read", "r")), result("R"), a("two"), u("three"), a(x(200)))
OUTLINE = [
    *("## Goal", "## Constraints & Preferences", "## Progress", "### Done", "### In Progress"),
    *("### Blocked", "## Key Decisions", "## Next Steps", "## Critical Context"),
]


def summarized(branch: list[Entry], provider: FauxProvider, **options: Any) -> CompactionResult:
    preparation = prepare_compaction(branch, SMALL)
    assert preparation is not None
    return asyncio.run(compact(preparation, scripted_summarizer(provider), **options))


# --- the text ---------------------------------------------------------------------------------


def test_session_check_63_split_turn_with_history() -> None:
    provider = FauxProvider([faux_message("H"), faux_message("P")])
    found = summarized(SPLIT, provider)
    assert found.summary == (
        "H\n\n---\n\n**Turn Context (split turn):**\n\nP\n\n<read-files>\nr\n</read-files>"
    )
    assert found.first_kept_entry_id == "6"
    assert found.tokens_before > 200
    assert found.estimated_tokens_after is None
    assert found.details == FileLists(["r"], [])


def usage(n: int, **more: Any) -> Usage:
    known = more.pop("known", None)
    cost = Cost(total=n, total_from_provider=known)
    return Usage(input=n, output=2 * n, total_tokens=3 * n, cost=cost, **more)


def test_session_check_63_usages_are_summed() -> None:
    found = usage_of(SPLIT, usage(1, known=True), usage(10, reasoning=4))
    assert found == usage(11, reasoning=4, known=False)


def test_session_check_63_single_usage_is_unchanged() -> None:
    one_request = chain(u("one"), a("two"), u("three"), u(x(200)))
    assert usage_of(one_request, usage(1)) == usage(1)


def usage_of(branch: list[Entry], *usages: Usage) -> Usage | None:
    """What a compaction costs whose answers cost `usages`."""
    answers = [AssistantMessage([TextContent("T")], usage=each) for each in usages]

    async def ask(*_: object) -> AssistantMessage:
        return answers.pop(0)

    preparation = prepare_compaction(branch, SMALL)
    assert preparation is not None
    summarizer = Summarizer(ask=ask, model=FauxProvider().model)
    found = asyncio.run(compact(preparation, summarizer))
    assert not answers
    return found.usage


def test_session_check_63_split_turn_without_history() -> None:
    provider = FauxProvider([faux_message("P")])
    found = summarized(chain(u("q"), a(x(200))), provider)
    assert found.summary == "No prior history.\n\n---\n\n**Turn Context (split turn):**\n\nP"


def test_session_check_63_split_turn_with_a_previous_summary_only() -> None:
    earlier = compaction("PS", "2", details=files(["a"], []))
    provider = FauxProvider([faux_message("P")])
    found = summarized(chain(u("q"), u("r"), earlier, a(x(200))), provider)
    assert found.summary == (
        "PS\n\n---\n\n**Turn Context (split turn):**\n\nP\n\n<read-files>\na\n</read-files>"
    )


def test_messages_without_text_are_not_asked_about() -> None:
    image = message("user", [{"type": "image", "data": "AA==", "mimeType": "image/png"}])
    provider = FauxProvider()
    found = summarized(chain(image, u(x(200))), provider)
    assert (found.summary, found.usage) == ("No prior history.", None)
    assert provider.call_count == 0


# --- the requests -----------------------------------------------------------------------------


def test_first_and_prefix_requests() -> None:
    provider = FauxProvider([faux_message("H"), faux_message("P")])
    summarized(SPLIT, provider)
    history, prefix = map(request_text, provider.requests)
    assert history.startswith(
        '<conversation>\n[User]: one\n\n[Assistant tool calls]: read(path="r")\n\n'
        "[Tool result]: R\n\n[Assistant]: two\n</conversation>\n\n"
    )
    assert "<previous-summary>" not in history
    assert [line for line in history.splitlines() if line.startswith("#")] == OUTLINE
    assert prefix.startswith("# Conversation\n[User]: three\n\n# Instructions\n")
    headings = [line for line in prefix.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Original Request",
        "## Progress So Far",
        "## Context Needed to Continue",
    ]
    sessions = {asked.options.get("session_id") for asked in provider.requests}
    assert len(sessions) == 2


def test_update_request_holds_the_previous_summary() -> None:
    earlier = compaction("PS\n\n<read-files>\na\n</read-files>", "1")
    provider = FauxProvider([faux_message("H")])
    found = summarized(chain(u("one"), earlier, a("two"), u(x(200))), provider)
    text = request_text(provider.requests[0])
    assert "</conversation>\n\n<previous-summary>\nPS\n</previous-summary>\n\n" in text
    assert [line for line in text.splitlines() if line.startswith("#")] == OUTLINE
    assert found.summary == "H"


@pytest.mark.parametrize(
    ("request_of", "wanted"),
    [
        pytest.param(
            lambda: history_request("T"),
            ["another model", "exactly this outline", "concise", "file paths, function names"],
            id="first",
        ),
        pytest.param(
            lambda: history_request("T", "PS"),
            [
                *("Merge them", "Keep all information of the previous summary", "irrelevant"),
                *("progress, the decisions and the context that are new", "exactly this outline"),
                *('from "In Progress" to "Done"', '"Next Steps" up to date'),
            ],
            id="update",
        ),
        pytest.param(
            lambda: turn_prefix_request("T"),
            ["earlier part", "kept elsewhere", "do not reconstruct", "do not infer", "concise"],
            id="turn-prefix",
        ),
        pytest.param(
            lambda: branch_request("T"),
            ["come back to later", "exactly this outline", "started and not finished"],
            id="branch",
        ),
        pytest.param(
            lambda: SYSTEM_PROMPT,
            ["nothing else", "Do not carry the conversation on", "do not answer questions"],
            id="system",
        ),
    ],
)
def test_requests_ask_for_what_a_summary_needs(
    request_of: Callable[[], str], wanted: list[str]
) -> None:
    text = " ".join(request_of().split())
    assert [phrase for phrase in wanted if phrase not in text] == []


def test_session_check_65_custom_instructions_end_both_requests() -> None:
    provider = FauxProvider([faux_message("H"), faux_message("P")])
    summarized(SPLIT, provider, custom_instructions="F")
    assert len(provider.requests) == 2
    for asked in provider.requests:
        assert request_text(asked).endswith("\n\nAdditional focus: F")


def test_prefix_failures_carry_their_own_label() -> None:
    answers = [faux_message("H"), faux_message("half", stop_reason="length")]
    with pytest.raises(SummaryError, match=r"^Turn prefix summarization failed: generation hit"):
        summarized(SPLIT, FauxProvider(answers))


# --- sessions ---------------------------------------------------------------------------------


def fill(session: SessionManager, turns: int = 3) -> None:
    session.append_message(SystemMessage("Be brief.", timestamp=1))
    for _ in range(turns):
        session.append_message(UserMessage(x(60), timestamp=1))
        session.append_message(AssistantMessage([TextContent(x(60))], timestamp=1))


def test_compacted_session_is_stored_and_goes_on(tmp_path: Path) -> None:
    provider = FauxProvider([faux_message("H")])
    with SessionManager.create("/proj", tmp_path) as session:
        fill(session)
        kept_id = session.get_entries()[-2].id
        found = asyncio.run(compact_session(session, scripted_summarizer(provider), settings=SMALL))
        context = session.build_session_context().messages
        assert [each.role for each in context] == [
            *("system", "compactionSummary", "user", "assistant")
        ]
        path = session.session_file
    assert found.first_kept_entry_id == kept_id
    assert found.tokens_before == 363
    assert found.estimated_tokens_after == 3 + 1 + 120
    assert path is not None
    line = json.loads(path.read_text().splitlines()[-1])
    assert line["summary"] == "H"
    assert line["firstKeptEntryId"] == kept_id
    assert line["tokensBefore"] == 363
    assert line["details"] == {"readFiles": [], "modifiedFiles": []}
    assert line["fromHook"] is False
    assert line["usage"]["output"] == 1
    assert line["systemMessage"]["content"] == "Be brief."


def test_session_check_66_second_compaction_at_once() -> None:
    session = SessionManager.in_memory()
    fill(session)
    summarizer = scripted_summarizer(FauxProvider([faux_message("H")]))
    asyncio.run(compact_session(session, summarizer, settings=SMALL))
    with pytest.raises(CompactionError, match=r"^Already compacted$"):
        asyncio.run(compact_session(session, summarizer, settings=SMALL))


def test_small_session_is_not_compacted() -> None:
    session = SessionManager.in_memory()
    fill(session)
    provider = FauxProvider()
    with pytest.raises(CompactionError, match=r"^Nothing to compact \(session too small\)$"):
        asyncio.run(compact_session(session, scripted_summarizer(provider)))
    assert provider.call_count == 0


def test_session_check_64_failure_appends_nothing() -> None:
    session = SessionManager.in_memory()
    fill(session)
    before = session.get_entries()
    provider = FauxProvider([faux_message("", stop_reason="error", error_message="boom")])
    with pytest.raises(SummaryError, match=r"^Summarization failed: boom$"):
        asyncio.run(compact_session(session, scripted_summarizer(provider), settings=SMALL))
    controller = AbortController()
    controller.abort()
    with pytest.raises(AbortError):
        asyncio.run(
            compact_session(
                session, scripted_summarizer(provider), settings=SMALL, signal=controller.signal
            )
        )
    assert session.get_entries() == before


def test_session_that_cannot_be_written_asks_nothing(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        fill(session)
        path = session.session_file
    assert path is not None
    provider = FauxProvider()
    with SessionManager.open(path, read_only=True) as reader:
        with pytest.raises(SessionReadOnlyError):
            asyncio.run(compact_session(reader, scripted_summarizer(provider), settings=SMALL))
    assert provider.call_count == 0


def while_summarising(act: Callable[[], object]) -> Summarizer:
    async def answer(_request: FauxRequest) -> AssistantMessage:
        act()
        return faux_message("H")

    return scripted_summarizer(FauxProvider([answer]))


def test_what_comes_while_summarising_is_kept() -> None:
    session = SessionManager.in_memory()
    fill(session)
    summarizer = while_summarising(lambda: session.append_message(UserMessage("late", timestamp=1)))
    asyncio.run(compact_session(session, summarizer, settings=SMALL))
    assert session.build_session_context().messages[-1].content == "late"


def test_branch_that_is_left_while_summarising_is_not_compacted() -> None:
    session = SessionManager.in_memory()
    fill(session)
    first = session.get_entries()[1].id
    summarizer = while_summarising(lambda: session.branch(first))
    with pytest.raises(SessionMovedError):
        asyncio.run(compact_session(session, summarizer, settings=SMALL))
    assert session.leaf_id == first
    assert all(entry.type != "compaction" for entry in session.get_entries())


def test_compacted_elsewhere_while_summarising() -> None:
    session = SessionManager.in_memory()
    fill(session)
    summarizer = while_summarising(
        lambda: session.append_compaction("other", None, tokens_before=1)
    )
    with pytest.raises(SessionMovedError):
        asyncio.run(compact_session(session, summarizer, settings=SMALL))


# --- a result larger than the window ----------------------------------------------------------


def test_tool_result_ten_times_the_window_is_survived() -> None:
    window = 32_768
    session = SessionManager.in_memory()
    session.append_message(UserMessage("read it all", timestamp=1))
    call = ToolCall("c", "read", {"path": "big.txt"})
    session.append_message(AssistantMessage([call], stop_reason="toolUse", timestamp=1))
    text = "first line\n" + "w" * (window * 40) + "\nlast line"
    content = [TextContent(text), ImageContent("AA==", "image/png")]
    big = session.append_message(ToolResultMessage("c", "read", content, timestamp=1))
    provider = FauxProvider([faux_message("P")])
    summarizer = scripted_summarizer(provider, context_window=window)

    found = asyncio.run(compact_session(session, summarizer))

    assert found.estimated_tokens_after is not None
    assert found.estimated_tokens_after <= (window - 16_384) // 2 + 1
    assert len(request_text(provider.requests[0])) < 4000
    projection = session.build_projection()
    assert [each.role for each in projection.messages] == [
        *("compactionSummary", "assistant", "toolResult")
    ]
    shown = projection.messages[-1].content
    assert [block.type for block in shown] == ["text", "image"]
    assert shown[0].text.startswith("first line\nwww")
    assert shown[0].text.endswith("www\nlast line")
    assert "characters left out" in shown[0].text
    stored = session.get_entry(big)
    assert stored is not None
    assert stored.raw["message"]["content"][0]["text"] == text
