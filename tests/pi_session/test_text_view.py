"""Trees, costs and differences as text."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_ai.types import AssistantMessage, Cost, TextContent, ToolCall, Usage, UserMessage
from pi_session import SessionManager, SessionStats
from pi_session.outline import Gap, build_outline
from support.session_trees import RANDOM_SESSIONS, Raw, session_entries

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"

WHOLE_TREE = """\
* 81129e8e 11-22 10:34:19 model_change anthropic/claude-sonnet-4-5
* d54a4f22 11-22 10:34:19 thinking_level_change medium
* 289e0008 11-22 10:34:19 system Answer in few words.
* a476c398 11-22 10:34:19 user naïve 😀 [1 image]
  4dd16ac6 11-22 10:34:19 |-assistant [read(notes.txt)] $0.000105
  431ea32e 11-22 10:34:19 | toolResult read: notes
  80bd58b0 11-22 10:34:19 | !assistant error: overloaded
  db1330e5 11-22 10:34:19 | context_edit omits 80bd58b0
  7a5d6dcf 11-22 10:34:19 | !bashExecution $ false
  4d9db168 11-22 10:34:19 | custom_message note: remember this
  50ce455b 11-22 10:34:19 | usage cache_warm anthropic/claude-sonnet-4-5 $0.000105
  af1f6c89 11-22 10:34:19 | label start on a476c398
  7e469289 11-22 10:34:19 | label none on a476c398
  83507af1 11-22 10:34:19 | compaction (1234 tokens before) What was done
* a603ba0b 11-22 10:34:19 branch_summary What was tried
> 2f577c8c 11-22 10:34:19 session_info My name"""

NEWEST_THREE = """\
                          … 13 entries
  83507af1 11-22 10:34:19 | compaction (1234 tokens before) What was done
* a603ba0b 11-22 10:34:19 branch_summary What was tried
> 2f577c8c 11-22 10:34:19 session_info My name"""

STATS = """\
16 entries, 6 messages (1 user, 2 assistant), 1 tool call (read 1), 0 tool errors
model                        calls  failed  input  output  cache read  cache write       cost
anthropic/claude-sonnet-4-5      3       1     20      10           0            0  $0.000210"""

DIFF = """\
common ancestor: a476c398
only in 431ea32e: 2 entries, 2 messages, $0.000105
- 4dd16ac6 11-22 10:34:19 assistant [read(notes.txt)] $0.000105
- 431ea32e 11-22 10:34:19 toolResult read: notes
only in 2f577c8c: 2 entries, 0 messages, $0.00
+ a603ba0b 11-22 10:34:19 branch_summary What was tried
+ 2f577c8c 11-22 10:34:19 session_info My name"""


@pytest.fixture
def stored() -> SessionManager:
    return SessionManager.open(STORED, read_only=True)


def raw(entry_id: str, parent: str | None, text: str = "x") -> Raw:
    message = {"role": "user", "content": text, "timestamp": 1}
    return {"type": "message", "id": entry_id, "parentId": parent, "message": message}


def test_the_tree_has_a_line_per_entry(stored: SessionManager) -> None:
    assert stored.tree_text() == WHOLE_TREE


def test_older_entries_are_counted(stored: SessionManager) -> None:
    assert stored.tree_text(newest=3) == NEWEST_THREE
    assert stored.tree_text(newest=16) == WHOLE_TREE
    assert stored.tree_text(newest=0).strip() == "… 16 entries"


def test_stats_print_as_a_table(stored: SessionManager) -> None:
    assert str(stored.stats()) == STATS
    assert repr(stored.stats()) == "<SessionStats 16 entries, 6 messages, $0.000210>"


def test_a_diff_prints_both_sides(stored: SessionManager) -> None:
    assert str(stored.diff("431ea32e")) == DIFF


def test_several_models_have_a_total_and_unknown_prices_a_mark() -> None:
    session = SessionManager.in_memory()
    for model, cost in (("m1", Cost(total=1)), ("m2", Cost(unpriced=True))):
        usage = Usage(input=1000, total_tokens=1000, cost=cost)
        session.append_message(AssistantMessage(provider="p", model=model, usage=usage))
    _, _, first, second, total, note = str(session.stats()).splitlines()
    assert first.split() == ["p/m1", "1", "0", "1,000", "0", "0", "0", "$1.0000"]
    assert second.split() == ["p/m2", "1", "0", "1,000", "0", "0", "0", "$0.00+"]
    assert total.split() == ["total", "2", "0", "2,000", "0", "0", "0", "$1.0000+"]
    assert note == "+ some of it has no known price"


def test_stats_of_nothing() -> None:
    assert str(SessionStats()).splitlines()[-1].split()[0] == "total"


def test_the_active_branch_stays_left_and_others_go_in() -> None:
    links = [("a", None), ("b", "a"), ("c", "b"), ("d", "b"), ("e", "a"), ("f", "e"), ("g", "e")]
    session = SessionManager.in_memory(entries=[raw(*link, link[0]) for link in links])
    session.branch("b")
    drawn = [f"{line[:4]} {line[19:]}" for line in lines(session)]
    assert drawn == [
        "* a  user a",
        "  e  |-user e",
        "  f  | |-user f",
        "  g  | user g",
        "> b  user b",
        "  c  |-user c",
        "  d  user d",
    ]


def lines(session: SessionManager) -> list[str]:
    return session.tree_text().splitlines()


def test_labels_show_where_they_are_set() -> None:
    session = SessionManager.in_memory()
    first = session.append_message(UserMessage("x"))
    session.append_label_change(first, "to\nkeep")
    assert lines(session)[0].endswith("user x #to keep")


def test_lines_are_cut_to_the_width_and_keep_cost_and_label() -> None:
    session = SessionManager.in_memory()
    usage = Usage(input=1, total_tokens=1, cost=Cost(total=0.5))
    answer = AssistantMessage([], provider="p", model="m", usage=usage)
    answer.error_message, answer.stop_reason = "long " * 100, "error"
    session.append_label_change(session.append_message(answer), "L")
    first, _ = session.tree_text(width=60).splitlines()
    assert len(first) <= 60
    assert first.endswith("… $0.5000 #L")


def test_tool_calls_have_room_beside_a_long_text() -> None:
    session = SessionManager.in_memory()
    calls = [ToolCall("c", "read", {"limit": 5, "path": "a.txt"}), ToolCall("c", "ls")] * 2
    session.append_message(AssistantMessage([TextContent("long " * 100), *calls]))
    (line,) = lines(session)
    assert 95 < len(line) <= 100
    assert line.endswith("… [read(a.txt), ls(), read(a.txt), ls(…")


def test_print_tree_writes_what_the_stream_can_take(
    stored: SessionManager, capsys: pytest.CaptureFixture[str]
) -> None:
    stored.print_tree()
    assert capsys.readouterr().out == WHOLE_TREE + "\n"
    text = io.StringIO()
    stored.print_tree(newest=3, file=text)
    assert text.getvalue() == NEWEST_THREE + "\n"
    binary = io.BytesIO()
    ascii_only = io.TextIOWrapper(binary, encoding="ascii", newline="\n")
    stored.print_tree(file=ascii_only)
    ascii_only.flush()
    assert b"na\\xefve \\U0001f600" in binary.getvalue()


def test_a_negative_number_of_entries_is_refused(stored: SessionManager) -> None:
    with pytest.raises(ValueError, match="newest: expected 0 or more entries, got -1"):
        stored.tree_text(newest=-1)


def test_a_very_deep_tree_is_drawn() -> None:
    chain = [raw(str(n), str(n - 1) if n else None) for n in range(3000)]
    comb = [raw(f"side{n}", str(n)) for n in range(2999)]
    session = SessionManager.in_memory(entries=[*chain, *comb])
    drawn = session.tree_text(width=60).splitlines()
    assert len(drawn) == 5999
    assert max(map(len, drawn)) <= 80


@RANDOM_SESSIONS
@given(session_entries(), st.integers(0, 12))
def test_every_entry_is_on_one_harmless_line(entries: list[Raw], newest: int) -> None:
    session = SessionManager.in_memory(entries=entries)
    drawn = session.tree_text().split("\n")
    assert sorted(line.split()[1 if line[0] in "*>" else 0] for line in drawn) == sorted(
        entry["id"] for entry in entries
    )
    shown = drawn + str(session.diff(entries[0]["id"])).split("\n") + [repr(session)]
    shown += str(session.stats()).split("\n")
    categories = {unicodedata.category(character) for character in "".join(shown)}
    assert not categories & {"Cc", "Cf", "Cs", "Zl", "Zp"}

    rows = build_outline(session, newest)
    gaps = [row for row in rows if isinstance(row, Gap)]
    assert len(rows) - len(gaps) == min(newest, len(entries))
    assert sum(gap.entries for gap in gaps) == len(entries) - min(newest, len(entries))
