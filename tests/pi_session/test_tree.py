"""The tree: reads and moves; random operations against a plain model."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, TextContent, UserMessage
from pi_session import MessageEntry, SessionManager, TreeNode


def user(text: str) -> UserMessage:
    return UserMessage(text, timestamp=1)


def assistant(text: str) -> AssistantMessage:
    return AssistantMessage([TextContent(text)], provider="p", model="m", timestamp=2)


def ids(entries: list) -> list[str]:
    return [entry.id for entry in entries]


def raw(entry_id: str, parent: str | None, timestamp: str = "2026-01-01T00:00:00Z") -> dict:
    return {"type": "custom", "id": entry_id, "parentId": parent, "timestamp": timestamp}


def shape(nodes: list[TreeNode]) -> list:
    return [[node.entry.id, *shape(node.children)] for node in nodes]


def test_session_check_27_branching(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        u1 = session.append_message(user("1"))
        a2 = session.append_message(assistant("2"))
        u3 = session.append_message(user("3"))
        session.branch(a2)
        u4 = session.append_message(user("4"))
        assert ids(session.get_children(a2)) == [u3, u4]
        assert ids(session.get_branch()) == [u1, a2, u4]
        assert session.get_entry_count() == 4
        path = session.session_file
    assert path is not None
    with SessionManager.open(path) as session:
        assert session.leaf_id == u4
        assert shape(session.get_tree()) == [[u1, [a2, [u3], [u4]]]]


def test_session_check_28_a_move_alone_is_not_written(tmp_path: Path) -> None:
    with SessionManager.create("/proj", tmp_path) as session:
        u1 = session.append_message(user("1"))
        a2 = session.append_message(assistant("2"))
        session.branch(u1)
        assert session.leaf_id == u1
        path = session.session_file
    assert path is not None
    with SessionManager.open(path) as session:
        assert session.leaf_id == a2


def test_session_check_29_reset_leaf_starts_a_root() -> None:
    session = SessionManager.in_memory()
    u1 = session.append_message(user("1"))
    session.reset_leaf()
    assert session.leaf_id is None
    assert session.get_leaf_entry() is None
    assert session.get_branch() == []
    u2 = session.append_message(user("2"))
    assert ids(session.get_children(None)) == [u1, u2]
    assert shape(session.get_tree()) == [[u1], [u2]]


def test_session_check_30_branch_with_summary() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    session.reset_leaf()
    session.branch_with_summary(None, "S")
    entry = session.get_leaf_entry()
    assert entry is not None
    assert (entry.parent_id, entry.raw["fromId"]) == (None, "root")
    leaf = session.append_message(user("2"))
    session.branch_with_summary(entry.id, "T", details={"k": 1}, from_hook=False)
    second = session.get_leaf_entry()
    assert second is not None
    assert second.parent_id == entry.id
    assert {key: second.raw[key] for key in ("fromId", "details", "fromHook")} == {
        "fromId": leaf,
        "details": {"k": 1},
        "fromHook": False,
    }


def test_session_check_31_labels() -> None:
    session = SessionManager.in_memory()
    target = session.append_message(user("1"))
    session.append_label_change(target, "one")
    set_at = session.append_label_change(target, "two")
    assert session.get_label(target) == "two"
    (root,) = session.get_tree()
    entry = session.get_entry(set_at)
    assert entry is not None
    assert (root.label, root.label_timestamp) == ("two", entry.timestamp)
    session.append_label_change(target, None)
    assert session.get_label(target) is None
    lines = [entry.raw for entry in session.get_entries() if entry.type == "label"]
    assert [line.get("label", "absent") for line in lines] == ["one", "two", "absent"]
    assert session.leaf_id == lines[-1]["id"]


def test_session_check_22_cycles_and_orphans() -> None:
    entries = [raw("a", "b"), raw("b", "a"), raw("c", "b"), raw("s", "s"), raw("o", "gone")]
    session = SessionManager.in_memory(entries=entries)
    assert ids(session.get_branch("a")) == ["b", "a"]
    assert ids(session.get_branch("s")) == ["s"]
    assert ids(session.get_branch("o")) == ["o"]
    assert session.get_branch("nope") == []
    assert shape(session.get_tree()) == [["s"], ["o"], ["a", ["b", ["c"]]]]
    assert repr(session.get_tree()[0]) == "<TreeNode s with 0 children>"


def test_children_are_sorted_by_time_and_stay_stable() -> None:
    entries = [
        raw("r", None),
        raw("late", "r", "2026-01-02T00:00:00.000Z"),
        raw("x", "r", "2026-01-01T00:00:00.000Z"),
        raw("y", "r", "2026-01-01T01:00:00.000+01:00"),
        raw("bad", "r", "whenever"),
    ]
    session = SessionManager.in_memory(entries=entries)
    assert shape(session.get_tree()) == [["r", ["bad"], ["x"], ["y"], ["late"]]]
    assert ids(session.get_children("r")) == ["late", "x", "y", "bad"]


def test_a_very_deep_tree_is_no_problem() -> None:
    entries = [raw(str(number), str(number - 1) if number else None) for number in range(20_000)]
    session = SessionManager.in_memory(entries=entries)
    (root,) = session.get_tree()
    depth = 0
    while root.children:
        (root,) = root.children
        depth += 1
    assert depth == 19_999
    assert len(session.get_branch()) == 20_000


# --- random operations -------------------------------------------------------------------------

Operation = st.one_of(
    st.tuples(st.just("user"), st.text(max_size=5)),
    st.tuples(st.just("assistant"), st.text(max_size=5)),
    st.tuples(st.just("custom"), st.text(max_size=5)),
    st.tuples(st.just("compact"), st.integers(0, 30)),
    st.tuples(st.just("edit"), st.integers(0, 30)),
    st.tuples(st.just("label"), st.integers(0, 30)),
    st.tuples(st.just("unlabel"), st.integers(0, 30)),
    st.tuples(st.just("name"), st.text(max_size=5)),
    st.tuples(st.just("branch"), st.integers(0, 30)),
    st.tuples(st.just("summary"), st.integers(0, 30)),
    st.tuples(st.just("foreign"), st.integers(0, 30)),
    st.tuples(st.just("reset"), st.none()),
    st.tuples(st.just("reopen"), st.none()),
)


class Model:
    """What a session should be: parents in order of appending, and a leaf."""

    def __init__(self) -> None:
        self.parents: dict[str, str | None] = {}
        self.leaf: str | None = None
        self.labels: dict[str, str] = {}
        self.name = ""

    def add(self, entry_id: str) -> None:
        assert entry_id not in self.parents
        self.parents[entry_id] = self.leaf
        self.leaf = entry_id

    def path(self) -> list[str]:
        found: list[str] = []
        at = self.leaf
        while at is not None:
            found.insert(0, at)
            at = self.parents[at]
        return found


def nodes_by_id(roots: list[TreeNode]) -> dict[str, set[str]]:
    """The children of every entry of a tree; their order is that of their times."""
    found: dict[str, set[str]] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        found[node.entry.id] = {child.entry.id for child in node.children}
        pending += node.children
    return found


def check(session: SessionManager, model: Model) -> None:
    assert ids(session.get_entries()) == list(model.parents)
    assert {entry.id: entry.parent_id for entry in session.get_entries()} == model.parents
    assert session.leaf_id == model.leaf
    assert ids(session.get_branch()) == model.path()
    children = [entry_id for entry_id, parent in model.parents.items() if parent == model.leaf]
    assert ids(session.get_children(model.leaf)) == children
    labels = {entry.id: session.get_label(entry.id) for entry in session}
    assert {key: label for key, label in labels.items() if label is not None} == model.labels
    assert session.get_session_name() == (re.sub("[\r\n]+", " ", model.name).strip() or None)
    assert nodes_by_id(session.get_tree()) == {
        key: {child for child, parent in model.parents.items() if parent == key}
        for key in model.parents
    }
    # The cached projection is the one that a fresh look gives.
    fresh = SessionManager.in_memory(entries=[entry.raw for entry in session.get_entries()])
    fresh.branch(model.leaf) if model.leaf else fresh.reset_leaf()
    assert session.build_session_context() == fresh.build_session_context()


def apply(session: SessionManager, model: Model, name: str, value: str | int | None) -> None:
    known = list(model.parents)
    pick = known[int(value) % len(known)] if known and isinstance(value, int) else None
    if name == "user":
        model.add(session.append_message(user(str(value))))
    elif name == "assistant":
        model.add(session.append_message(assistant(str(value))))
    elif name == "custom":
        model.add(session.append_custom_message_entry("x", str(value), True))
    elif name == "compact":
        model.add(session.append_compaction("S", pick, 1))
    elif name == "name":
        model.add(session.append_session_info(str(value)))
        model.name = str(value)
    elif name == "reset":
        session.reset_leaf()
        model.leaf = None
    elif pick is None:
        return
    elif name == "edit":
        on_path = [e for e in session.get_branch() if isinstance(e.view, MessageEntry)]
        if on_path:
            target = on_path[int(value or 0) % len(on_path)].id
            model.add(session.append_context_edit(target, {"content": f"edit {value}"}))
    elif name == "label":
        model.add(session.append_label_change(pick, f"label {value}"))
        model.labels[pick] = f"label {value}"
    elif name == "unlabel":
        model.add(session.append_label_change(pick, None))
        model.labels.pop(pick, None)
    elif name == "branch":
        session.branch(pick)
        model.leaf = pick
    elif name == "summary":
        entry_id = session.branch_with_summary(pick, "S")
        model.leaf = pick
        model.add(entry_id)


def append_foreign(session: SessionManager, model: Model, value: int) -> None:
    assert session.session_file is not None
    parent = list(model.parents)[value % len(model.parents)]
    entry_id = f"foreign{len(model.parents)}"
    with session.session_file.open("a") as file:
        file.write(json.dumps(raw(entry_id, parent)) + "\n")
    model.parents[entry_id] = parent


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(Operation, min_size=5, max_size=30))
def test_random_operations_behave_as_the_model(operations: list[tuple[str, str | int]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        session = SessionManager.create("/proj", directory)
        model = Model()
        try:
            for name, value in [("user", "first"), *operations]:
                if name == "foreign":
                    append_foreign(session, model, int(value))
                    model_leaf = model.leaf
                    model.add(session.append_custom_entry("x"))
                    assert model.parents[session.leaf_id or ""] == model_leaf
                elif name == "reopen":
                    path = session.session_file
                    assert path is not None
                    session.close()
                    session = SessionManager.open(path)
                    model.leaf = list(model.parents)[-1]
                else:
                    apply(session, model, name, value)
                check(session, model)
        finally:
            session.close()


def test_get_entries_is_a_fresh_list() -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    session.get_entries().clear()
    session.get_branch().clear()
    session.build_session_context().messages.clear()
    session.build_projection().entries.clear()
    assert len(session.get_entries()) == len(session.get_branch()) == 1
    assert len(session.build_session_context().messages) == 1
    assert len(session.build_projection().entries) == 1


@pytest.mark.parametrize("entry_id", ["", "nope"])
def test_unknown_ids_give_nothing(entry_id: str) -> None:
    session = SessionManager.in_memory()
    session.append_message(user("1"))
    assert session.get_entry(entry_id) is None
    assert session.get_label(entry_id) is None
    assert session.get_children(entry_id) == []


@pytest.mark.parametrize(
    ("parents", "leaf", "path"),
    [
        ({"a": None, "b": "a", "c": "b"}, "c", "abc"),
        ({"a": None, "b": "a", "c": "b"}, "b", "ab"),
        ({"a": None, "b": "a", "c": "a"}, "c", "ac"),
        ({"a": "gone", "b": "a"}, "b", "ab"),
        ({"a": "b", "b": "a"}, "b", "ab"),
        ({"a": "b", "b": "a", "c": "b"}, "c", "abc"),
        ({"a": "a"}, "a", "a"),
        ({"a": None, "b": "d", "c": "b", "d": "c", "e": "d"}, "e", "bcde"),
    ],
    ids=["chain", "inside", "branch", "orphan", "cycle", "below-cycle", "self", "long-cycle"],
)
def test_paths_of_all_shapes(parents: dict[str, str | None], leaf: str, path: str) -> None:
    session = SessionManager.in_memory(entries=[raw(*link) for link in parents.items()])
    session.branch(leaf)
    assert "".join(ids(session.get_branch())) == path
    assert ids(session.get_branch(leaf)) == ids(session.get_branch())


def test_a_chain_with_an_id_twice_is_walked_by_id() -> None:
    entries = [raw("a", None), raw("b", "a"), raw("a", None) | {"again": True}, raw("c", "a")]
    session = SessionManager.in_memory(entries=entries)
    assert [entry.raw.get("again") for entry in session.get_branch()] == [True, None]
