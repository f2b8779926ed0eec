"""System messages and tool state."""

from __future__ import annotations

import copy

import pytest

from pi_ai import transcript as t
from pi_ai.types import (
    AssistantMessage,
    Context,
    Message,
    SystemMessage,
    TextContent,
    Tool,
    ToolReference,
    UserMessage,
)
from pi_ai.wire import encode


def tool(name: str, description: str = "") -> Tool:
    return Tool(name, description, {"type": "object", "properties": {}})


A, B, C = tool("a"), tool("b"), tool("c")
B_NEW = tool("b", "new")
A_AGAIN = tool("a", "again")

LEADING = SystemMessage(
    "base",
    sections={"env": "<env>1</env>", "skills": "S"},
    tools_added=[A, B],
    timestamp=11,
)
SECOND = SystemMessage(
    [TextContent("more"), TextContent("lines")],
    sections={"env": "<env>2</env>", "skills": None, "newsec": "N"},
    tools_added=[C, B_NEW],
    tools_removed=[ToolReference("a")],
    timestamp=12,
)
THIRD = SystemMessage("", tools_added=[A_AGAIN], timestamp=13)
REPLAY: list[Message] = [
    LEADING,
    UserMessage("q", timestamp=1),
    SECOND,
    AssistantMessage([TextContent("answer")], timestamp=2),
    THIRD,
]


def test_ai_core_check_09_context_without_prompt_and_tools_gets_no_system_message() -> None:
    assert t.normalize_context(Context([])) == []
    assert t.normalize_context(Context([], system_prompt="", tools=[])) == []


def test_ai_core_check_09_tools_alone_give_an_empty_prompt_at_time_zero() -> None:
    assert t.normalize_context(Context([], tools=[A])) == [
        SystemMessage("", tools_added=[A], timestamp=0)
    ]


def test_normalized_prompt_stands_before_the_transcripts_own_system_message() -> None:
    given = Context([LEADING, UserMessage("q", timestamp=1)], system_prompt="P")
    normalized = t.normalize_context(given)
    assert normalized == [SystemMessage("P", timestamp=0), *given.messages]
    assert encode(normalized[0]) == b'{"role":"system","content":"P","timestamp":0}'


def test_normalizing_leaves_the_context_as_it_was() -> None:
    given = Context([UserMessage("q", timestamp=1)], system_prompt="P", tools=[A])
    before = copy.deepcopy(given)
    normalized = t.normalize_context(given)
    normalized.clear()
    assert given == before


def test_ai_core_check_10_replay_of_prompt_sections_and_tools() -> None:
    assert t.get_current_system_prompt(REPLAY) == "base\n\nmore\nlines\n\n<env>2</env>\n\nN"
    assert t.get_current_tools(REPLAY) == [B_NEW, C, A_AGAIN]
    assert t.get_declared_tools(REPLAY) == [A_AGAIN, B_NEW, C]


def test_current_system_message_holds_everything_in_force() -> None:
    assert t.get_current_system_message(REPLAY) == SystemMessage(
        "base\n\nmore\nlines",
        sections={"env": "<env>2</env>", "newsec": "N"},
        tools_added=[B_NEW, C, A_AGAIN],
        timestamp=11,
    )


def test_a_section_removed_and_set_again_goes_last() -> None:
    messages = [
        SystemMessage("", sections={"x": "1", "y": "2"}, timestamp=0),
        SystemMessage("", sections={"x": None}, timestamp=0),
        SystemMessage("", sections={"x": "3", "y": "4"}, timestamp=0),
    ]
    assert t.get_current_system_prompt(messages) == "4\n\n3"


def test_no_system_message_gives_no_prompt_and_no_tools() -> None:
    messages = [UserMessage("q", timestamp=1)]
    assert t.get_current_system_message(messages) is None
    assert t.get_current_system_prompt(messages) == ""
    assert t.get_current_tools(messages) == []
    assert t.collapse_system_messages(messages) == messages


def test_collapse_puts_one_system_message_first() -> None:
    assert t.collapse_system_messages(REPLAY) == [
        t.get_current_system_message(REPLAY),
        REPLAY[1],
        REPLAY[3],
    ]
    assert t.resolve_transcript(REPLAY, False) == t.collapse_system_messages(REPLAY)
    assert t.resolve_transcript(REPLAY, True) == REPLAY


@pytest.mark.parametrize(
    ("messages", "support", "tools", "folded"),
    [
        pytest.param(REPLAY, "none", [B_NEW, C, A_AGAIN], 3, id="none-folds-all"),
        pytest.param(REPLAY, "changes", [], 0, id="changes-folds-nothing"),
        pytest.param(REPLAY, "additions", [B_NEW, C, A_AGAIN], 3, id="additions-after-removal"),
        pytest.param(
            [LEADING, SystemMessage("", tools_added=[tool("z")], timestamp=1)],
            "additions",
            [A, B],
            1,
            id="additions-only",
        ),
        pytest.param(
            [UserMessage("q", timestamp=1), SystemMessage("", tools_added=[A], timestamp=1)],
            "additions",
            [],
            0,
            id="no-leading-system-message",
        ),
        pytest.param(
            [
                LEADING,
                SystemMessage("", tools_removed=[ToolReference("a")], timestamp=1),
                SystemMessage("", tools_added=[C], timestamp=1),
            ],
            "additions",
            [B],
            2,
            id="additions-after-a-removal-stay-in-place",
        ),
    ],
)
def test_ai_core_check_11_which_tools_go_at_the_top(
    messages: list[Message], support: t.ToolSupport, tools: list[Tool], folded: int
) -> None:
    assert t.resolve_transcript_tools(messages, support) == t.ResolvedTools(tools, folded)


def test_ai_core_check_12_update_tells_what_was_changed_and_removed() -> None:
    assert t.render_system_message_update(SECOND) == (
        'more\nlines\n\nUpdated system prompt section "env":\n\n<env>2</env>\n\n'
        'Removed system prompt section "skills".\n\n'
        'Updated system prompt section "newsec":\n\nN'
    )


def test_an_update_of_tools_alone_renders_empty() -> None:
    assert t.render_system_message_update(THIRD) == ""


def test_ai_core_check_13_a_changed_definition_is_added_and_removed() -> None:
    changes = t.get_tool_state_changes([A, B], [B_NEW, C])
    assert changes.tools_added == [B_NEW, C]
    assert changes.tools_removed == [ToolReference("a"), ToolReference("b")]
    assert t.get_tool_state_changes([A, B], [B, A]) == ([], [])


def test_ai_core_check_13_key_order_makes_no_difference() -> None:
    """Departs from the check, as agent spec 16.8 asks: upstream compares serialized text."""
    first = Tool("t", "d", {"type": "object", "properties": {"a": {}, "b": {}}})
    other = Tool("t", "d", {"properties": {"b": {}, "a": {}}, "type": "object"})
    assert t.declarations_equal(first, other)
    assert not t.declarations_equal(first, Tool("t", "d", {"type": "object"}))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param(Tool("x", "d", {}), id="name"),
        pytest.param(Tool("t", "x", {}), id="description"),
        pytest.param(Tool("t", "d", {"required": ["a"]}), id="parameters"),
        pytest.param(Tool("t", "d", {}, constrained_sampling=False), id="constrained-sampling"),
    ],
)
def test_declarations_differ_in_any_field(changed: Tool) -> None:
    assert not t.declarations_equal(Tool("t", "d", {}), changed)


def test_a_declaration_shares_nothing_with_its_tool() -> None:
    original = Tool("t", "d", {"properties": {"a": {}}}, {"type": "json_schema"})
    declared = t.to_tool_declaration(original)
    assert declared == original
    declared.parameters["properties"]["a"]["type"] = "string"
    assert original.parameters == {"properties": {"a": {}}}


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        pytest.param([LEADING], False, id="one"),
        pytest.param([LEADING, SystemMessage("", tools_added=[C])], False, id="addition"),
        pytest.param([LEADING, SystemMessage("", tools_removed=[])], False, id="empty-removal"),
        pytest.param(
            [LEADING, SystemMessage("", tools_removed=[ToolReference("a")])], True, id="removal"
        ),
        pytest.param([LEADING, SystemMessage("", tools_added=[B_NEW])], True, id="redefinition"),
        pytest.param([SystemMessage("", tools_added=[A, A])], True, id="twice-in-one-message"),
        pytest.param(REPLAY, True, id="added-again-after-removal"),
    ],
)
def test_removals_and_second_declarations_are_not_additive(
    messages: list[Message], expected: bool
) -> None:
    assert t.has_non_additive_tool_changes(messages) is expected


def test_only_a_system_message_at_the_start_is_initial() -> None:
    user = UserMessage("q", timestamp=1)
    assert t.get_initial_system_message([LEADING, user]) is LEADING
    assert t.without_initial_system_message([LEADING, user]) == [user]
    assert t.get_initial_system_message([user, LEADING]) is None
    assert t.without_initial_system_message([user, LEADING]) == [user, LEADING]
    assert t.get_initial_system_message([]) is None
    assert t.without_initial_system_message([]) == []


def test_content_text_joins_the_text_blocks() -> None:
    blocks = [TextContent("a"), TextContent("b")]
    assert t.content_text("plain") == "plain"
    assert t.content_text(blocks) == "a\nb"
    assert t.content_text(blocks, "") == "ab"


def test_replay_changes_none_of_its_messages() -> None:
    before = copy.deepcopy(REPLAY)
    t.get_current_system_message(REPLAY)
    t.resolve_transcript_tools(REPLAY, "additions")
    assert before == REPLAY
