"""Summaries of branches that are left."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pi_ai.estimate import estimate_context_tokens
from pi_ai.testing import FauxProvider, faux_message, faux_tool_call
from pi_ai.transcript import content_text
from pi_session import (
    BranchEntries,
    BranchSummary,
    FileLists,
    SessionManager,
    SummaryError,
    collect_entries_for_branch_summary,
    generate_branch_summary,
    prepare_branch_entries,
)
from pi_session.entries import Entry
from support.session_entries import (
    MODEL_CHANGE,
    TIME,
    a,
    branch_summary,
    calls,
    chain,
    compaction,
    edit,
    files,
    message,
    result,
    u,
    x,
)
from support.summaries import request_text, scripted_summarizer

LONG = {name: name + x(100)[1:] for name in "abcd"}


def tree(**parents: str | None) -> SessionManager:
    """A session of user messages, each below its parent."""
    entries = [
        {**u(entry_id), "id": entry_id, "parentId": parent, "timestamp": TIME}
        for entry_id, parent in parents.items()
    ]
    return SessionManager.in_memory(entries=entries)


@pytest.mark.parametrize(
    ("old", "target", "entries", "ancestor"),
    [
        ("e", "c", ["d", "e"], "a"),
        ("e", "a", ["d", "e"], "a"),
        ("a", "e", [], "a"),
        (None, "c", [], None),
        ("z", "c", ["y", "z"], None),
        ("e", None, ["a", "d", "e"], None),
        ("e", "e", [], "e"),
    ],
    ids=str,
)
def test_session_check_68_entries_that_are_left(
    old: str | None, target: str | None, entries: list[str], ancestor: str | None
) -> None:
    session = tree(a=None, b="a", c="b", d="a", e="d", y=None, z="y")
    found = collect_entries_for_branch_summary(session, old, target)
    assert [entry.id for entry in found.entries] == entries
    assert found.common_ancestor == ancestor


def test_session_check_68_compactions_do_not_stop_it() -> None:
    session = SessionManager.in_memory(
        entries=[entry.raw for entry in chain(u("1"), a("2"), compaction("S", None), u("4"))]
    )
    found = collect_entries_for_branch_summary(session, "4", "1")
    assert found == BranchEntries(session.get_entries()[1:], "1")


def seen(messages: list[Any]) -> str:
    """The first letter of each message."""
    return "".join(
        (each.summary if hasattr(each, "summary") else content_text(each.content, ""))[0]
        for each in messages
    )


@pytest.mark.parametrize(
    ("budget", "letters", "tokens"),
    [
        *((50, "", 0), (150, "d", 100), (200, "cd", 200), (210, "cd", 200), (222, "cd", 200)),
        *((223, "bcd", 300), (250, "bcd", 300), (400, "abcd", 400)),
    ],
)
def test_session_check_69_newest_messages_within_the_budget(
    budget: int, letters: str, tokens: int
) -> None:
    branch = chain(u(LONG["a"]), branch_summary(LONG["b"]), u(LONG["c"]), u(LONG["d"]))
    found = prepare_branch_entries(branch, budget)
    assert seen(found.messages) == letters
    assert found.total_tokens == tokens


def test_without_a_budget_everything_that_has_text_is_taken() -> None:
    branch = chain(
        message("system", x(500)),
        u("ask"),
        calls(("read", "f.py")),
        result("unseen"),
        MODEL_CHANGE,
        {"type": "custom_message", "customType": "n", "content": "note", "display": True},
        compaction("summary", "2"),
        u("was"),
        edit("8", {"content": "now"}),
        u("gone"),
        edit("10", None),
    )
    found = prepare_branch_entries(branch)
    assert [each.role for each in found.messages] == [
        *("user", "assistant", "custom", "compactionSummary", "user")
    ]
    assert content_text(found.messages[-1].content) == "now"
    assert found.file_ops.read == {"f.py"}


def test_session_check_70_files_of_earlier_summaries() -> None:
    branch = chain(
        branch_summary("B", details=files(["r"], ["m"])),
        branch_summary("B", details=files(["hook-r"], ["hook-m"]), fromHook=True),
        compaction("S", "1", details=files(["compaction-r"], ["compaction-m"])),
        calls(("write", "w")),
    )
    operations = prepare_branch_entries(branch).file_ops
    assert (operations.read, operations.edited, operations.written) == ({"r"}, {"m"}, {"w"})


# --- the summary ------------------------------------------------------------------------------


def summarized(
    branch: list[Entry],
    provider: FauxProvider,
    *,
    context_window: int | None = None,
    **options: Any,
) -> BranchSummary | None:
    summarizer = scripted_summarizer(provider, context_window=context_window)
    return asyncio.run(generate_branch_summary(branch, summarizer, **options))


BRANCH = chain(u("try it"), calls(("edit", "m"), ("read", "r")), result("R"), a("tried"))


def test_branch_summary_text_files_and_usage() -> None:
    provider = FauxProvider([faux_message("B")])
    found = summarized(BRANCH, provider)
    assert found is not None
    preamble, text = found.summary.split("\n\n", 1)
    assert "branch" in preamble
    assert text == ("B\n\n<read-files>\nr\n</read-files>\n\n<modified-files>\nm\n</modified-files>")
    assert found.files == FileLists(["r"], ["m"])
    assert found.usage.output == 1
    request = request_text(provider.requests[0])
    assert request.startswith(
        '<conversation>\n[User]: try it\n\n[Assistant tool calls]: edit(path="m"); read(path="r")'
        "\n\n[Assistant]: tried\n</conversation>\n\n"
    )
    assert [line for line in request.splitlines() if line.startswith("#")] == [
        *("## Goal", "## Constraints & Preferences", "## Progress", "### Done", "### In Progress"),
        *("### Blocked", "## Key Decisions", "## Next Steps"),
    ]
    assert provider.requests[0].options.get("cache_retention") == "none"


@pytest.mark.parametrize(
    ("options", "has_outline", "end"),
    [
        ({"custom_instructions": "F"}, True, "\n\nAdditional focus: F"),
        (
            {"custom_instructions": "F", "replace_instructions": True},
            False,
            "</conversation>\n\nF",
        ),
        ({"replace_instructions": True}, True, ""),
    ],
    ids=["focus", "replaced", "nothing-to-replace-with"],
)
def test_branch_instructions(options: dict[str, Any], has_outline: bool, end: str) -> None:
    provider = FauxProvider([faux_message("B")])
    summarized(BRANCH, provider, **options)
    request = request_text(provider.requests[0])
    assert ("## Goal" in request) is has_outline
    assert request.endswith(end)


@pytest.mark.parametrize(
    "branch",
    [
        pytest.param([], id="empty"),
        pytest.param(chain(MODEL_CHANGE, result("R")), id="nothing-that-counts"),
        pytest.param(
            chain(message("user", [{"type": "image", "data": "AA==", "mimeType": "image/png"}])),
            id="image-only",
        ),
    ],
)
def test_branch_without_text_has_no_summary(branch: list[Entry]) -> None:
    provider = FauxProvider()
    assert summarized(branch, provider) is None
    assert provider.call_count == 0


def test_newest_message_beyond_the_budget_is_shortened() -> None:
    provider = FauxProvider([faux_message("B")])
    window = 32_768
    branch = chain(u("first"), u("newest " + x(window) + " end"))
    found = summarized(branch, provider, context_window=window)
    assert found is not None
    request = request_text(provider.requests[0])
    assert "first" not in request
    assert "[User]: newest xxx" in request
    assert "xxx end\n</conversation>" in request
    tokens = estimate_context_tokens(provider.requests[0].messages).tokens
    assert window // 3 < tokens <= window - 16_384


@pytest.mark.parametrize("window", [8192, 0, -1], ids=["small", "unknown", "negative"])
def test_odd_windows_still_hold_a_branch(window: int) -> None:
    provider = FauxProvider([faux_message("B")])
    assert summarized(BRANCH, provider, context_window=window) is not None
    assert "[User]: try it" in request_text(provider.requests[0])


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            faux_message("", stop_reason="error", error_message="boom"),
            "Branch summarization failed: boom",
        ),
        (faux_message(faux_tool_call("x", {})), "Branch summarization attempted to call a tool"),
        (faux_message(""), "Branch summarization failed: the model gave no text"),
    ],
    ids=["error", "tool-call", "blank"],
)
def test_branch_summary_failures(answer: Any, text: str) -> None:
    with pytest.raises(SummaryError) as caught:
        summarized(BRANCH, FauxProvider([answer]))
    assert str(caught.value) == text
