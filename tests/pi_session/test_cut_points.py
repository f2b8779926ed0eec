"""Where a context is cut in two, and what goes into a summary then."""

from __future__ import annotations

from typing import Any

import pytest

from pi_ai.transcript import content_text
from pi_session import (
    CompactionPreparation,
    CompactionSettings,
    CutPoint,
    FileLists,
    find_cut_point,
)
from pi_session import prepare_compaction as prepare
from pi_session.entries import Entry
from pi_session.file_tracking import list_files
from support.session_entries import (
    LEVEL_CHANGE,
    MODEL_CHANGE,
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
    used,
    x,
)


def prepared(branch: list[Entry], keep: int) -> CompactionPreparation:
    found = prepare(branch, CompactionSettings(keep_recent_tokens=keep))
    assert found is not None
    return found


def texts(messages: list[Any]) -> list[str]:
    return [
        message.summary if hasattr(message, "summary") else content_text(message.content, "")
        for message in messages
    ]


THREE_TURNS = [entry for _ in range(3) for entry in (u(x(60)), a(x(60)))]


@pytest.mark.parametrize(
    ("keep", "kept", "split", "history", "prefix"),
    [
        (100, "5", False, 4, 0),
        (120, "5", False, 4, 0),
        (121, "4", True, 2, 1),
        (130, "4", True, 2, 1),
    ],
)
def test_session_check_55_cut_by_budget(
    keep: int, kept: str, split: bool, history: int, prefix: int
) -> None:
    found = prepared(chain(*THREE_TURNS), keep)
    assert found.first_kept_entry_id == kept
    assert found.is_split_turn is split
    assert len(found.messages_to_summarize) == history
    assert len(found.turn_prefix_messages) == prefix
    assert found.tokens_before == 360
    assert found.previous_summary is None
    assert found.settings.keep_recent_tokens == keep


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param((), id="empty"),
        pytest.param((u(x(500)),), id="one-question"),
        pytest.param((u("q"), a("yes")), id="all-fits"),
        pytest.param((*THREE_TURNS, compaction("S", "5")), id="compaction-last"),
        pytest.param((u("q"), a("", stopReason="error"), edit("2", None)), id="failed-but-fits"),
        pytest.param((MODEL_CHANGE, LEVEL_CHANGE), id="no-messages"),
        pytest.param((result(x(500)),), id="result-only"),
        pytest.param((message("system", x(500)), u("q")), id="prompt-only-before"),
    ],
)
def test_session_check_56_nothing_to_compact(entries: tuple[dict[str, Any], ...]) -> None:
    assert prepare(chain(*entries), CompactionSettings(keep_recent_tokens=100)) is None


def test_session_check_57_long_answer_is_kept_without_its_question() -> None:
    found = prepared(chain(u("q"), a(x(500))), 100)
    assert (found.first_kept_entry_id, found.is_split_turn) == ("2", True)
    assert texts(found.messages_to_summarize) == []
    assert texts(found.turn_prefix_messages) == ["q"]
    assert found.tokens_before == 501


def test_session_check_58_results_stay_with_their_call() -> None:
    entries = (u(x(60)), a("t"), u("q"), calls(("read", "f.py")), result(x(500)))
    found = prepared(chain(*entries), 100)
    assert (found.first_kept_entry_id, found.is_split_turn) == ("4", True)
    assert found.file_ops.read == set()
    found = prepared(chain(*entries, a("done")), 100)
    assert (found.first_kept_entry_id, found.is_split_turn) == ("6", True)
    assert found.file_ops.read == {"f.py"}


def test_session_check_59_metadata_before_the_cut_is_kept() -> None:
    entries = (u(x(60)), a(x(60)), u(x(60)), MODEL_CHANGE, LEVEL_CHANGE, a(x(60)))
    assert prepared(chain(*entries), 50).first_kept_entry_id == "4"


@pytest.mark.parametrize("from_hook", [False, True], ids=["ours", "from-hook"])
def test_session_check_60_after_an_earlier_compaction(from_hook: bool) -> None:
    earlier = compaction("PS", "3", details=files(["r"], ["m"]), fromHook=from_hook)
    entries = (
        *(u("U"), a("A"), u(x(60)), a(x(60)), earlier),
        *(u("next"), calls(("edit", "m2"), ("read", "m"), ("write", "w")), u(x(60)), a(x(60))),
    )
    found = prepared(chain(*entries), 100)
    assert found.previous_summary == "PS"
    assert texts(found.messages_to_summarize) == [x(60), x(60), "next", ""]
    carried = (set(), set()) if from_hook else ({"r"}, {"m"})
    assert found.file_ops.read == {"m"} | carried[0]
    assert found.file_ops.edited == {"m2"} | carried[1]
    assert found.file_ops.written == {"w"}
    lists = FileLists(["m"], ["m2", "w"]) if from_hook else FileLists(["r"], ["m", "m2", "w"])
    assert list_files(found.file_ops) == lists


def test_session_check_61_failed_attempt_is_kept_without_its_question() -> None:
    failed = (u("one"), a("two"), u(x(200)), a("", stopReason="error"), edit("4", None))
    found = prepared(chain(*failed), 100)
    assert (found.first_kept_entry_id, found.is_split_turn) == ("4", True)
    assert texts(found.messages_to_summarize) == ["one", "two"]
    assert texts(found.turn_prefix_messages) == [x(200)]


@pytest.mark.parametrize(
    "more",
    [
        pytest.param((edit("3", {"content": "small"}),), id="question-edited"),
        pytest.param((a("answered"),), id="answered-since"),
    ],
)
def test_session_check_61_question_stays_otherwise(more: tuple[dict[str, Any], ...]) -> None:
    failed = (u("one"), a("two"), u(x(200)), a("", stopReason="error"), edit("4", None))
    found = prepared(chain(*failed, *more), 1 if more[0]["type"] == "context_edit" else 100)
    assert (found.first_kept_entry_id, found.is_split_turn) == ("3", False)
    assert texts(found.messages_to_summarize) == ["one", "two"]


def test_session_check_61_edits_of_what_was_omitted_later_do_not_matter() -> None:
    failed = (u("one"), a("two"), u(x(200)), a("half"))
    branch = chain(*failed, edit("4", {"content": "less"}), edit("4", None))
    assert prepared(branch, 100).first_kept_entry_id == "4"


def test_session_check_61_only_an_omitted_answer_is_a_failed_attempt() -> None:
    branch = chain(u("one"), a("two"), u(x(200)), u("again"), edit("4", None))
    assert prepared(branch, 100).first_kept_entry_id == "3"


def test_a_compaction_in_the_kept_range_is_not_kept_again() -> None:
    earlier = (u(x(60)), a(x(60)), compaction("S1", "1"))
    branch = chain(*earlier, u(x(60)), a(x(60)), compaction("S2", "2"), u("q"))
    found = prepared(branch, 100)
    assert found.first_kept_entry_id == "4"
    assert texts(found.messages_to_summarize) == [x(60)]


def test_session_check_61_metadata_alone_does_not_move_the_cut() -> None:
    found = prepared(chain(u("one"), a("two"), u(x(200)), MODEL_CHANGE, edit("1", None)), 100)
    assert found.first_kept_entry_id == "3"


def test_session_check_62_tokens_before() -> None:
    failed = a("four", stopReason="error")
    branch = chain(u("one"), a("two", usage=used(5000)), u("three"), failed, u("abcd"))
    assert prepared(branch, 1).tokens_before == 5004
    edited = edit("3", {"content": "thr"})
    branch = chain(u("one"), a("two", usage=used(5000)), u("three"), edited, u("abcd"))
    assert prepared(branch, 1).tokens_before == 4


def test_generated_lists_of_an_earlier_summary_are_not_summarised_again() -> None:
    listed = "PS\n\n<read-files>\na\n</read-files>"
    for from_hook, expected in ((False, "PS"), (True, listed)):
        earlier = compaction(listed, "1", fromHook=from_hook)
        assert prepared(chain(u(x(9)), earlier, a(x(9)), u("q")), 1).previous_summary == expected


@pytest.mark.parametrize(
    ("entries", "start", "keep", "expected"),
    [
        pytest.param(THREE_TURNS, 0, 100, CutPoint(4), id="turn-start"),
        pytest.param(THREE_TURNS, 0, 121, CutPoint(3, 2), id="split"),
        pytest.param(THREE_TURNS, 3, 150, CutPoint(3), id="no-turn-start-in-range"),
        pytest.param(THREE_TURNS, 0, 999, CutPoint(0), id="all-fits"),
        pytest.param([u("q"), result("r")], 1, 1, CutPoint(1), id="no-cut-point"),
        pytest.param(
            [u(x(60)), a(x(60)), edit("2", None), u("q")], 0, 50, CutPoint(1, 0), id="no-edits"
        ),
        pytest.param(
            [u(x(60)), branch_summary(x(60)), a(x(9))], 0, 60, CutPoint(1), id="summary-is-a-start"
        ),
        pytest.param(
            [u(x(60)), compaction(x(60), "1"), MODEL_CHANGE, a("yes")],
            0,
            1,
            CutPoint(2, 0),
            id="not-over-a-compaction",
        ),
    ],
)
def test_cut_point_of_raw_entries(
    entries: list[dict[str, Any]], start: int, keep: int, expected: CutPoint
) -> None:
    branch = chain(*entries)
    found = find_cut_point(branch, start, len(branch), keep_recent_tokens=keep)
    assert found == expected
    assert found.is_split_turn is (expected.turn_start_index >= 0)


def test_end_of_the_range_counts() -> None:
    found = find_cut_point(chain(*THREE_TURNS), 0, 4, keep_recent_tokens=100)
    assert found == CutPoint(2)
