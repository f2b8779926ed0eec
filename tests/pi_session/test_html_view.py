"""Sessions as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from hypothesis import given

from pi_ai.types import AssistantMessage, Cost, ToolCall, Usage, UserMessage
from pi_session import SessionManager
from support.session_trees import RANDOM_SESSIONS, Raw, session_entries

STORED = Path(__file__).parent / "data" / "all_entry_types.jsonl"
FREE_TEXT = {"text", "summary", "label", "name", "command", "kind", "modelId", "thinkingLevel"} | {
    "customType",
    "toolName",
    "path",
}


class Structure(HTMLParser):
    """Tags with their attributes in order, and the texts between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[Any] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *attrs))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        self.tags.append("comment")

    def handle_decl(self, decl: str) -> None:
        self.tags.append("declaration")


def html_of(session: SessionManager) -> str:
    return session._repr_html_()


def harmless(value: Any, key: str = "") -> Any:
    """The same entries with a plain letter for each free text."""
    if isinstance(value, dict):
        return {name: harmless(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [harmless(item) for item in value]
    is_text = key in FREE_TEXT or key == "content"
    return ("x" if value else "") if is_text and isinstance(value, str) else value


@RANDOM_SESSIONS
@given(session_entries())
def test_no_text_makes_a_tag_or_an_attribute(entries: list[Raw]) -> None:
    found = Structure(html_of(SessionManager.in_memory(entries=entries)))
    plain = Structure(html_of(SessionManager.in_memory(entries=harmless(entries))))
    assert found.tags == plain.tags


def test_the_header_and_every_field_of_an_entry_are_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>\"'&"
    header = {"type": "session", "version": 3, "id": evil, "cwd": evil, "timestamp": evil}
    usage = {"input": 1, "cost": {"total": 1}}
    call = {"type": "toolCall", "id": evil, "name": evil, "arguments": {evil: evil}}
    message = {"role": "assistant", "content": [call], "provider": evil, "model": evil}
    entry = {"id": evil, "parentId": evil, "timestamp": evil, "type": "message"}
    odd = {"type": evil, "id": "b", "parentId": evil, "timestamp": evil}
    label = {"type": "label", "targetId": evil, "label": evil, "id": "c"}
    lines = [header, {**entry, "message": {**message, "usage": usage}}, odd, label]
    html = html_of(SessionManager.in_memory(entries=lines))
    assert "<img" not in html
    assert html.count("&lt;img src=x onerror=alert(1)&gt;") >= 8
    assert {tag[0] for tag in Structure(html).tags if isinstance(tag, tuple)} <= {
        *("div", "p", "b", "i", "table", "tr", "th", "td")
    }


def test_a_notebook_shows_tree_and_costs() -> None:
    with SessionManager.open(STORED, read_only=True) as session:
        texts = " ".join(Structure(html_of(session)).texts)
    for shown in (
        "My name",
        "/home/dev/proj",
        "anthropic/claude-sonnet-4-5",
        "$0.000210",
        "naïve 😀 [1 image]",
        "read(notes.txt)",
        "error: overloaded",
        "2026-11-22 10:34:19",
    ):
        assert shown in texts


def test_tags_are_closed_and_nothing_is_loaded_or_run() -> None:
    with SessionManager.open(STORED, read_only=True) as session:
        html = html_of(session)
    open_tags: list[str] = []
    for tag in Structure(html).tags:
        if isinstance(tag, tuple):
            open_tags.append(tag[0])
        else:
            assert open_tags.pop() == tag[1:]
    assert open_tags == []
    assert not any(word in html for word in ("script", "href", "src=", "url(", "color"))


def test_the_size_is_bounded() -> None:
    session = SessionManager.in_memory()
    for number in range(300):
        calls = [ToolCall("c", "<" * 1000, {"path": "&" * 1000})] * 50
        usage = Usage(input=1, total_tokens=1, cost=Cost(total=1))
        answer = AssistantMessage(calls, provider='"' * 1000, model=str(number), usage=usage)
        session.append_message(UserMessage("'" * 100_000))
        session.append_label_change(session.append_message(answer), "'" * 1000)
    html = html_of(session)
    assert len(html) < 250_000
    assert "… 850 entries" in html
    assert html.count("more</td>") == 1


def test_stats_have_their_own_table() -> None:
    session = SessionManager.in_memory()
    usage = Usage(input=5, total_tokens=5, cost=Cost(unpriced=True))
    session.append_message(AssistantMessage(provider="p", model="<m>", usage=usage))
    html = session.stats()._repr_html_()
    assert "p/&lt;m&gt;" in html
    assert "some of it has no known price" in html
