"""The branches of a session and how two of them differ."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, Cost, TextContent, Usage, UserMessage
from pi_session import Branch, EntryNotFoundError, SessionManager
from support.session_trees import RANDOM_SESSIONS, Raw, root_path, session_entries


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def answer(text: str, total: float) -> AssistantMessage:
    usage = Usage(input=1, total_tokens=1, cost=Cost(total=total))
    return AssistantMessage([TextContent(text)], provider="p", model="m", usage=usage, timestamp=2)


def forked() -> tuple[SessionManager, dict[str, str]]:
    """q, first answer; q again answered by plan a and, on the active branch, by plan b."""
    session = SessionManager.in_memory()
    ids = {"q": session.append_message(user("q")), "1": session.append_message(answer("1", 1))}
    ids["again"] = session.append_message(user("again"))
    ids["a"] = session.append_message(answer("a", 2))
    session.branch(ids["again"])
    ids["b"] = session.append_message(answer("b", 4))
    return session, ids


def test_branches_tell_their_fork_and_costs() -> None:
    session, ids = forked()
    left, active = session.branches()
    assert (left.leaf_id, left.fork_id, left.active) == (ids["a"], ids["again"], False)
    assert (active.leaf_id, active.fork_id, active.active) == (ids["b"], ids["again"], True)
    assert (active.entries, active.own_entries) == (4, 1)
    assert (active.usage.cost.total, active.own_usage.cost.total) == (5, 4)
    assert repr(active) == f"<Branch {ids['b']}, active, 4 entries, $5.0000>"
    assert session.stats().usage.cost.total == 7


def test_an_empty_session_has_no_branches() -> None:
    assert SessionManager.in_memory().branches() == []


def test_a_branch_without_fork_owns_everything() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("q"))
    (branch,) = session.branches()
    assert isinstance(branch, Branch)
    assert (branch.fork_id, branch.own_entries, branch.own_usage) == (None, 1, branch.usage)


def test_diff_of_two_branches() -> None:
    session, ids = forked()
    diff = session.diff(ids["a"])
    assert (diff.a, diff.b, diff.common_ancestor_id) == (ids["a"], ids["b"], ids["again"])
    assert [entry.id for entry in diff.only_a] == [ids["a"]]
    assert diff.messages_b == [answer("b", 4)]
    assert (diff.stats_a.usage.cost.total, diff.stats_b.usage.cost.total) == (2, 4)
    assert repr(diff) == (
        f"<BranchDiff {ids['a']} {ids['b']}, common {ids['again']}, 1 and 1 entries>"
    )


def test_diff_with_what_lies_on_the_way() -> None:
    session, ids = forked()
    diff = session.diff(ids["1"], ids["a"])
    assert diff.common_ancestor_id == ids["1"]
    assert (diff.only_a, diff.messages_a) == ([], [])
    assert [entry.id for entry in diff.only_b] == [ids["again"], ids["a"]]


def test_diff_of_two_roots_has_no_common_ancestor() -> None:
    session, ids = forked()
    session.reset_leaf()
    root = session.append_message(user("other"))
    diff = session.diff(root, ids["1"])
    assert diff.common_ancestor_id is None
    assert [len(diff.only_a), len(diff.only_b)] == [1, 2]


@pytest.mark.parametrize(("a", "b"), [("nope", None), ("q", "nope")])
def test_diff_of_an_unknown_entry(a: str, b: str | None) -> None:
    session, ids = forked()
    with pytest.raises(EntryNotFoundError, match=r"^Entry nope not found$"):
        session.diff(ids.get(a, a), b)


def test_diff_before_the_first_entry_names_the_missing_leaf() -> None:
    session, ids = forked()
    session.reset_leaf()
    with pytest.raises(ValueError, match="no current entry"):
        session.diff(ids["a"])


def test_cycles_end() -> None:
    base = {"type": "custom", "customType": "x", "timestamp": "2026-01-01T00:00:00Z"}
    entries = [{**base, "id": "a", "parentId": "b"}, {**base, "id": "b", "parentId": "a"}]
    session = SessionManager.in_memory(entries=entries)
    assert session.diff("a", "b").common_ancestor_id == "b"
    assert [branch.leaf_id for branch in session.branches()] == ["b"]


@RANDOM_SESSIONS
@given(session_entries(), st.data())
def test_a_diff_is_set_arithmetic_on_root_paths(entries: list[Raw], data: st.DataObject) -> None:
    session = SessionManager.in_memory(entries=entries)
    picked = st.sampled_from([entry["id"] for entry in entries])
    a, b = data.draw(picked), data.draw(picked)
    path_a, path_b = root_path(entries, a), root_path(entries, b)
    common = [entry_id for entry_id in path_a if entry_id in set(path_b)]
    diff = session.diff(a, b)
    assert diff.common_ancestor_id == (common[-1] if common else None)
    assert [entry.id for entry in diff.only_a] == [x for x in path_a if x not in set(path_b)]
    assert [entry.id for entry in diff.only_b] == [x for x in path_b if x not in set(path_a)]
    assert diff.stats_a == session.diff(b, a).stats_b


@RANDOM_SESSIONS
@given(session_entries())
def test_branches_are_the_paths_to_entries_without_children(entries: list[Raw]) -> None:
    session = SessionManager.in_memory(entries=entries)
    parents = {entry["parentId"] for entry in entries}
    tips = [entry["id"] for entry in entries if entry["id"] not in parents]
    branches = session.branches()
    assert [branch.leaf_id for branch in branches] == tips
    for branch in branches:
        others = [set(root_path(entries, tip)) for tip in tips if tip != branch.leaf_id]
        path = root_path(entries, branch.leaf_id)
        own = [entry_id for entry_id in path if not any(entry_id in other for other in others)]
        assert branch.own_entries == len(own)
        assert branch.fork_id == (path[-len(own) - 1] if len(own) < len(path) else None)
