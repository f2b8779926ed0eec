"""Moving to another entry, with and without a summary of what is left."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pi_ai.abort import AbortController
from pi_ai.errors import AbortError
from pi_ai.testing import FauxProvider, FauxRequest, faux_message
from pi_ai.types import AssistantMessage, ImageContent, TextContent, UserMessage
from pi_session import (
    BranchSummaryEntry,
    EntryNotFoundError,
    NavigationResult,
    NavigationTarget,
    SessionManager,
    SessionMovedError,
    SummaryError,
    navigate_session,
    resolve_navigation,
)
from support.session_entries import MODEL_CHANGE, a, chain, compaction, message, result, u
from support.summaries import scripted_summarizer

CUSTOM = {"type": "custom_message", "customType": "n", "content": "note", "display": True}
BLOCKS = [
    {"type": "text", "text": "a"},
    {"type": "image", "data": "AA==", "mimeType": "image/png"},
    {"type": "text", "text": "b"},
]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        pytest.param((a("x"), u("ask")), NavigationTarget("1", "ask"), id="user"),
        pytest.param((u("ask"),), NavigationTarget(None, "ask"), id="first-user"),
        pytest.param((a("x"), message("user", BLOCKS)), NavigationTarget("1", "ab"), id="blocks"),
        pytest.param((a("x"), CUSTOM), NavigationTarget("1", "note"), id="custom-message"),
        pytest.param((u("x"), a("y")), NavigationTarget("2", None), id="assistant"),
        pytest.param((u("x"), result("y")), NavigationTarget("2", None), id="result"),
        pytest.param((u("x"), compaction("S", "1")), NavigationTarget("2", None), id="compaction"),
        pytest.param((MODEL_CHANGE,), NavigationTarget("1", None), id="metadata"),
    ],
)
def test_where_an_entry_leads(
    entries: tuple[dict[str, Any], ...], expected: NavigationTarget
) -> None:
    assert resolve_navigation(chain(*entries)[-1]) == expected


def user(text: str) -> UserMessage:
    content = [TextContent(text), ImageContent("AA==", "image/png")]
    return UserMessage(content, timestamp=1)


def conversation(session: SessionManager) -> list[str]:
    """Two turns; gives the ids."""
    answer = AssistantMessage([TextContent("yes")], timestamp=1)
    return [
        session.append_message(each)
        for each in (user("one"), answer, user("two"), AssistantMessage(answer.content))
    ]


def test_session_check_71_to_a_user_message_with_summary_and_label(tmp_path: Path) -> None:
    provider = FauxProvider([faux_message("B")])
    with SessionManager.create("/proj", tmp_path) as session:
        _, first_answer, second, last = conversation(session)
        found = asyncio.run(
            navigate_session(session, second, scripted_summarizer(provider), label="back")
        )
        entry = found.summary_entry
        assert entry is not None
        assert found.editor_text == "two"
        assert entry.parent_id == first_answer
        assert session.get_label(entry.id) == "back"
        assert session.get_label(second) is None
        view = entry.view
        assert isinstance(view, BranchSummaryEntry)
        assert view.from_id == last
        assert view.summary.endswith("\n\nB")
        assert view.from_hook is False
        assert view.details == {"readFiles": [], "modifiedFiles": []}
        assert view.usage is not None
        roles = [each.role for each in session.build_session_context().messages]
        assert roles == ["user", "assistant", "branchSummary"]


def test_session_check_71_to_an_assistant_message() -> None:
    session = SessionManager.in_memory()
    _, first_answer, *_ = conversation(session)
    summarizer = scripted_summarizer(FauxProvider([faux_message("B")]))
    found = asyncio.run(navigate_session(session, first_answer, summarizer))
    assert found.editor_text is None
    assert found.summary_entry is not None
    assert found.summary_entry.parent_id == first_answer


def test_session_check_71_abort_leaves_the_tree_as_it_is() -> None:
    session = SessionManager.in_memory()
    first, *_, last = conversation(session)
    controller = AbortController()

    async def answer(_request: FauxRequest) -> AssistantMessage:
        controller.abort()
        await asyncio.Event().wait()
        return faux_message("never")

    summarizer = scripted_summarizer(FauxProvider([answer]))
    with pytest.raises(AbortError):
        asyncio.run(
            navigate_session(session, first, summarizer, label="x", signal=controller.signal)
        )
    assert session.leaf_id == last
    assert session.get_entry_count() == 4


def test_failed_summary_leaves_the_tree_as_it_is() -> None:
    session = SessionManager.in_memory()
    first, *_, last = conversation(session)
    summarizer = scripted_summarizer(FauxProvider([faux_message("")]))
    with pytest.raises(SummaryError, match="Branch summarization failed"):
        asyncio.run(navigate_session(session, first, summarizer))
    assert session.leaf_id == last
    assert session.get_entry_count() == 4


def test_move_without_a_summary() -> None:
    session = SessionManager.in_memory()
    first, first_answer, *_ = conversation(session)
    assert asyncio.run(navigate_session(session, first)) == NavigationResult("one", None)
    assert session.leaf_id is None
    assert asyncio.run(navigate_session(session, first_answer)) == NavigationResult(None, None)
    assert session.leaf_id == first_answer


def test_label_of_a_move_without_a_summary_is_on_the_target() -> None:
    session = SessionManager.in_memory()
    _, first_answer, *_ = conversation(session)
    asyncio.run(navigate_session(session, first_answer, label="here"))
    assert session.get_label(first_answer) == "here"
    leaf = session.get_leaf_entry()
    assert leaf is not None
    assert (leaf.type, leaf.parent_id) == ("label", first_answer)


def test_the_leaf_itself_and_unknown_entries() -> None:
    session = SessionManager.in_memory()
    *_, last = conversation(session)
    provider = FauxProvider()
    found = asyncio.run(
        navigate_session(session, last, scripted_summarizer(provider), label="unused")
    )
    assert found == NavigationResult(None, None)
    assert session.get_entry_count() == 4
    with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
        asyncio.run(navigate_session(session, "nope"))
    assert provider.call_count == 0


def test_nothing_left_behind_is_not_summarised() -> None:
    session = SessionManager.in_memory()
    first, *_, last = conversation(session)
    session.branch(first)
    provider = FauxProvider()
    found = asyncio.run(navigate_session(session, last, scripted_summarizer(provider)))
    assert found.summary_entry is None
    assert session.leaf_id == last
    assert provider.call_count == 0


def test_leaf_that_moves_while_a_summary_is_written() -> None:
    session = SessionManager.in_memory()
    first, first_answer, *_ = conversation(session)

    async def answer(_request: FauxRequest) -> AssistantMessage:
        session.branch(first_answer)
        return faux_message("B")

    with pytest.raises(SessionMovedError):
        asyncio.run(navigate_session(session, first, scripted_summarizer(FauxProvider([answer]))))
    assert session.leaf_id == first_answer
    assert session.get_entry_count() == 4


def test_user_message_whose_parent_is_missing() -> None:
    entries = chain(a("x"), u("orphan"), a("y"))[1:]
    session = SessionManager.in_memory(entries=[entry.raw for entry in entries])
    assert asyncio.run(navigate_session(session, "2")).editor_text == "orphan"
    assert session.leaf_id is None
