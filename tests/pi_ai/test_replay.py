"""Transcripts made to fit another model."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pi_ai import replay as r
from pi_ai.ids import short_hash
from pi_ai.types import (
    AssistantMessage,
    ImageContent,
    Message,
    Model,
    StopReason,
    SystemMessage,
    TextContent,
    ThinkingContent,
    Tool,
    ToolCall,
    ToolReference,
    ToolResultMessage,
    UserMessage,
)

MODEL = Model(
    id="m", api="anthropic-messages", provider="anthropic", input=["text", "image"], reasoning=True
)
BLIND = replace(MODEL, input=["text"])
IMAGE = ImageContent("AAAA", "image/png")
USER_NOTE = TextContent("(image omitted: model does not support images)")
TOOL_NOTE = TextContent("(tool image omitted: model does not support images)")


def user(text: str = "u") -> UserMessage:
    return UserMessage(text, timestamp=1)


def system(text: str) -> SystemMessage:
    return SystemMessage(text, timestamp=1)


def assistant(*ids: str, stop_reason: StopReason = "toolUse") -> AssistantMessage:
    return AssistantMessage(
        [ToolCall(each, "t") for each in ids],
        api=MODEL.api,
        provider=MODEL.provider,
        model=MODEL.id,
        stop_reason=stop_reason,
        timestamp=1,
    )


def result(call_id: str, text: str = "ok") -> ToolResultMessage:
    return ToolResultMessage(call_id, "t", [TextContent(text)], timestamp=1)


def outline(messages: Sequence[Message]) -> list[str]:
    """One word per message, such as `call:a`, `result:a` or `missing:a`."""
    words: list[str] = []
    for message in messages:
        match message:
            case SystemMessage():
                words.append(f"system:{message.content}")
            case UserMessage():
                words.append("user")
            case AssistantMessage():
                words.append("call:" + ",".join(call.id for call in message.tool_calls))
            case ToolResultMessage():
                missing = message.content == [TextContent("No result provided")]
                assert message.is_error is missing
                words.append(f"{'missing' if missing else 'result'}:{message.tool_call_id}")
    return words


# --- blocks -----------------------------------------------------------------------------------


def signed(text: str = "deep") -> ThinkingContent:
    return ThinkingContent(text, thinking_signature="SIG")


FOREIGN = AssistantMessage(
    [
        signed(),
        ThinkingContent("", thinking_signature="SIG", redacted=True),
        ThinkingContent("plain"),
        TextContent("said", text_signature="TS"),
        ToolCall("a|b", "t", {"x": 1}, thought_signature="GS", namespace="n"),
    ],
    api="openai-responses",
    provider="openai",
    model="o",
    stop_reason="toolUse",
    timestamp=1,
)


def test_ai_core_check_29_another_models_reasoning_and_signatures_are_dropped() -> None:
    messages = r.transform_messages(
        [user(), FOREIGN, result("a|b")], MODEL, lambda call_id, *_: call_id.replace("|", "_")
    )
    assert messages[1] == replace(
        FOREIGN,
        content=[TextContent("said"), ToolCall("a_b", "t", {"x": 1}, namespace="n")],
    )
    assert messages[2] == result("a_b")


def test_ai_core_check_29_the_same_model_gets_everything_back() -> None:
    own = replace(
        FOREIGN,
        provider=MODEL.provider,
        api=MODEL.api,
        model=MODEL.id,
        content=[
            *FOREIGN.content,
            ThinkingContent(" \n"),
            signed(""),
            ThinkingContent("", redacted=True),
        ],
    )
    messages = r.transform_messages(
        [own, result("a|b")], MODEL, lambda *_: pytest.fail("no id is to be normalized")
    )
    kept = [*FOREIGN.content, signed(""), ThinkingContent("", redacted=True)]
    assert messages == [replace(own, content=kept), result("a|b")]


@pytest.mark.parametrize("field", ["provider", "api", "model"])
def test_the_same_model_is_the_same_in_provider_api_and_id(field: str) -> None:
    same = AssistantMessage(
        [signed()], api=MODEL.api, provider=MODEL.provider, model=MODEL.id, timestamp=1
    )
    other = replace(same, **{field: "x"})
    assert r.transform_messages([same], MODEL) == [same]
    # What is left without content stays, so that user messages do not touch.
    assert r.transform_messages([other], MODEL) == [replace(other, content=[])]


def test_the_served_model_does_not_make_it_another_model() -> None:
    own = replace(assistant("1"), response_model="m-2026-01-01", content=[signed()])
    assert r.transform_messages([own], MODEL) == [own]


def test_an_id_that_the_same_model_reuses_keeps_its_own_spelling() -> None:
    messages = r.transform_messages(
        [FOREIGN, result("a|b"), assistant("a|b"), result("a|b")], MODEL, lambda *_: "new"
    )
    assert outline(messages) == ["call:new", "result:new", "call:a|b", "result:a|b"]


def test_ai_core_check_34_null_content_is_empty_content() -> None:
    null: Any = None
    messages = r.transform_messages(
        [
            UserMessage(null, timestamp=1),
            replace(assistant(), content=null),
            assistant("1"),
            ToolResultMessage("1", "t", null, timestamp=1),
        ],
        BLIND,
    )
    assert [getattr(message, "content", None) for message in messages] == [
        [],
        [],
        [ToolCall("1", "t")],
        [],
    ]


def test_input_messages_are_never_changed() -> None:
    given_ = [
        user(),
        FOREIGN,
        system("s"),
        ToolResultMessage("a|b", "t", [IMAGE], timestamp=1),
        UserMessage([IMAGE], timestamp=1),
    ]
    before = copy.deepcopy(given_)
    r.transform_messages(given_, BLIND, lambda *_: "x")
    assert given_ == before


# --- images -----------------------------------------------------------------------------------


def test_ai_core_check_33_each_run_of_images_becomes_one_note() -> None:
    shown = UserMessage([TextContent("a"), IMAGE, IMAGE, TextContent("b"), IMAGE], timestamp=1)
    answer = ToolResultMessage("1", "t", [IMAGE, IMAGE, TextContent("c")], timestamp=1)
    messages = r.transform_messages([shown, assistant("1"), answer], BLIND)
    assert messages == [
        replace(shown, content=[TextContent("a"), USER_NOTE, TextContent("b"), USER_NOTE]),
        assistant("1"),
        replace(answer, content=[TOOL_NOTE, TextContent("c")]),
    ]


def test_a_note_that_is_there_already_is_not_repeated() -> None:
    shown = UserMessage([USER_NOTE, IMAGE], timestamp=1)
    assert r.transform_messages([shown], BLIND) == [replace(shown, content=[USER_NOTE])]


def test_a_model_that_sees_gets_the_images() -> None:
    shown = UserMessage([IMAGE, IMAGE], timestamp=1)
    assert r.transform_messages([shown], MODEL) == [shown]


def test_images_of_an_error_result_are_split_off_with_a_caption() -> None:
    second = ImageContent("BBBB", "image/png")
    failed = ToolResultMessage(
        "e", "shot", [TextContent("bad"), IMAGE, second, TextContent("end")], is_error=True
    )
    note = TextContent("(image attached after the tool results)")
    assert r.split_error_tool_result_images(failed) == r.SplitImages(
        [TextContent("bad"), note, TextContent("end")],
        "Images from the error result of tool call e (shot):",
        [IMAGE, second],
    )
    assert r.split_error_tool_result_images(replace(failed, is_error=False)) is None
    assert r.split_error_tool_result_images(replace(failed, content=[TextContent("x")])) is None


# --- calls and results ------------------------------------------------------------------------


def made(call_id: str, count: int) -> str:
    """The id of a call whose own, `call_id`, is empty or taken."""
    return f"call_{short_hash(f'{call_id}:{count}')}"


PAIRINGS = [
    pytest.param(
        [assistant("1", "2"), result("2")],
        ["call:1,2", "result:2", "missing:1"],
        id="check-30-one-of-two",
    ),
    pytest.param(
        [assistant("0"), assistant("9", stop_reason="aborted"), user()],
        ["call:0", "missing:0", "user"],
        id="check-31-aborted-message-is-gone",
    ),
    pytest.param(
        [assistant("0"), system("s1"), result("0"), system("s2"), user()],
        ["call:0", "result:0", "system:s1", "system:s2", "user"],
        id="check-32-system-waits-for-the-result",
    ),
    pytest.param(
        [assistant("0"), system("s")],
        ["call:0", "missing:0", "system:s"],
        id="check-32-system-waits-at-the-end",
    ),
    pytest.param(
        [assistant("0", "1"), result("0"), system("s"), result("1")],
        ["call:0,1", "result:0", "result:1", "system:s"],
        id="system-between-two-results",
    ),
    pytest.param(
        [assistant("0", stop_reason="error"), result("0"), user()],
        ["user"],
        id="result-of-a-failed-message-goes-with-it",
    ),
    pytest.param(
        [assistant("0"), result("0"), result("0"), user()],
        ["call:0", "result:0", "user"],
        id="second-result",
    ),
    pytest.param(
        [assistant("0"), user(), result("0")],
        ["call:0", "missing:0", "user"],
        id="late-result",
    ),
    pytest.param([result("x"), user()], ["user"], id="result-without-call"),
    pytest.param(
        [assistant("", ""), result(""), result(""), result("")],
        [f"call:{made('', 1)},{made('', 2)}", f"result:{made('', 1)}", f"result:{made('', 2)}"],
        id="empty-ids-are-counted",
    ),
    pytest.param(
        [assistant("a", "a"), result("a")],
        [f"call:a,{made('a', 1)}", "result:a", f"missing:{made('a', 1)}"],
        id="repeated-ids-are-counted",
    ),
    pytest.param([system("s"), user()], ["system:s", "user"], id="no-calls"),
]


@pytest.mark.parametrize(("messages", "expected"), PAIRINGS)
def test_ai_core_check_30_31_32_every_call_has_its_result(
    messages: list[Message], expected: list[str]
) -> None:
    assert outline(r.transform_messages(messages, MODEL)) == expected


def test_a_missing_result_names_the_tool() -> None:
    call = replace(assistant(), content=[ToolCall("1", "grep")])
    missing = r.transform_messages([call], MODEL)[1]
    assert isinstance(missing, ToolResultMessage)
    assert missing.tool_name == "grep"
    assert missing.timestamp > 1_600_000_000_000


IDS = st.sampled_from(["", "a", "b"])
MESSAGES = st.lists(
    st.one_of(
        st.just(user()),
        st.just(system("s")),
        st.builds(result, IDS),
        st.lists(IDS, max_size=3).map(lambda ids: assistant(*ids)),
        st.lists(IDS, max_size=2).map(lambda ids: assistant(*ids, stop_reason="error")),
    ),
    max_size=12,
)


@given(MESSAGES)
def test_results_follow_their_calls_and_nothing_else_is_lost(messages: list[Message]) -> None:
    out = r.transform_messages(messages, MODEL)
    for kind in (UserMessage, SystemMessage):
        assert [m for m in out if isinstance(m, kind)] == [
            m for m in messages if isinstance(m, kind)
        ]
    used: Counter[str] = Counter()
    at = 0
    while at < len(out):
        message = out[at]
        at += 1
        assert not isinstance(message, ToolResultMessage)
        if isinstance(message, AssistantMessage):
            assert message.stop_reason == "toolUse"
            wanted = Counter(call.id for call in message.tool_calls)
            assert "" not in wanted
            used += wanted
            answers = out[at : at + wanted.total()]
            assert all(isinstance(answer, ToolResultMessage) for answer in answers)
            assert Counter(getattr(answer, "tool_call_id", None) for answer in answers) == wanted
            at += wanted.total()
    assert set(used.values()) <= {1}
    assert r.transform_messages(out, MODEL) == out


# --- ids --------------------------------------------------------------------------------------

FOLDED = [
    pytest.param(
        [assistant("0"), result("0"), assistant("0"), result("0"), assistant("0")],
        [
            "call:0",
            "result:0",
            f"call:{made('0', 1)}",
            f"result:{made('0', 1)}",
            f"call:{made('0', 2)}",
            f"missing:{made('0', 2)}",
        ],
        id="used-again-and-again",
    ),
    pytest.param(
        [assistant("0", "1"), result("1"), result("0"), assistant("1", "2")],
        [
            "call:0,1",
            "result:1",
            "result:0",
            f"call:{made('1', 1)},2",
            f"missing:{made('1', 1)}",
            "missing:2",
        ],
        id="only-the-second-use-changes",
    ),
    pytest.param(
        [assistant("0", stop_reason="error"), assistant("0"), result("0")],
        ["call:0", "result:0"],
        id="a-failed-answer-takes-no-id",
    ),
    pytest.param(
        [
            replace(FOREIGN, content=[ToolCall("a b", "t"), ToolCall("a_b", "t")]),
            result("a_b"),
            result("a b"),
            assistant("a_b"),
        ],
        [
            f"call:a_b,{made('a_b', 1)}",
            f"result:{made('a_b', 1)}",
            "result:a_b",
            f"call:{made('a_b', 2)}",
            f"missing:{made('a_b', 2)}",
        ],
        id="spelled-alike",
    ),
]


@pytest.mark.parametrize(("messages", "expected"), FOLDED)
def test_ids_of_calls_are_distinct_in_a_request(
    messages: list[Message], expected: list[str]
) -> None:
    normalize = r.normalize_anthropic_tool_call_id
    for length in range(len(messages)):
        # What was sent before stays as it was, so that the cached prompt is found again.
        earlier = outline(r.transform_messages(messages[:length], MODEL, normalize))
        known = [word for word in earlier if not word.startswith("missing")]
        assert known == expected[: len(known)]
    assert outline(r.transform_messages(messages, MODEL, normalize)) == expected


def test_ids_that_openai_cuts_alike_stay_distinct() -> None:
    first, second = LONG + "1", LONG + "2"
    calls = replace(FOREIGN, content=[ToolCall(first, "t"), ToolCall(second, "t")])
    messages = r.transform_messages(
        [calls, result(second), result(first)], OPENAI, r.normalize_completions_tool_call_id
    )
    assert outline(messages) == [
        f"call:{LONG[:40]},{made(second, 1)}",
        f"result:{made(second, 1)}",
        f"result:{LONG[:40]}",
    ]
    assert len(made(second, 1)) <= 40


# --- names ------------------------------------------------------------------------------------

NAMES = [
    pytest.param("mcp.read", "mcp_read", id="sign"),
    pytest.param("röntgen", "r_ntgen", id="letter"),
    pytest.param("", "unnamed_tool", id="empty"),
    pytest.param("n" * 70, "n" * 64, id="long"),
    pytest.param("Read-2_x", "Read-2_x", id="good"),
]


@pytest.mark.parametrize(("name", "expected"), NAMES)
def test_names_that_no_api_takes_are_mended_in_call_and_result(name: str, expected: str) -> None:
    call = replace(assistant(), content=[ToolCall("1", name), ToolCall("2", name)])
    answer = ToolResultMessage("1", name, [TextContent("ok")], timestamp=1)
    [sent, answered, missing] = r.transform_messages([call, answer], MODEL)
    assert isinstance(sent, AssistantMessage)
    assert [each.name for each in sent.tool_calls] == [expected] * 2
    assert answered == replace(answer, tool_name=expected)
    assert getattr(missing, "tool_name", None) == expected


def test_a_declared_tool_keeps_its_name() -> None:
    prompt = SystemMessage("", tools_added=[Tool("mcp.read", "", {})], timestamp=1)
    call = replace(assistant(), content=[ToolCall("1", "mcp.read")])
    answer = ToolResultMessage("1", "mcp.read", [TextContent("ok")], timestamp=1)
    assert r.transform_messages([prompt, call, answer], MODEL) == [prompt, call, answer]
    gone = SystemMessage("", tools_removed=[ToolReference("mcp.read")], timestamp=1)
    sent = r.transform_messages([prompt, call, answer, gone], MODEL)[1]
    assert isinstance(sent, AssistantMessage)
    assert sent.tool_calls == [ToolCall("1", "mcp_read")]


# --- how ids are spelled ----------------------------------------------------------------------

OPENAI = replace(MODEL, provider="openai", api="openai-completions")
LOCAL = replace(MODEL, provider="local", api="openai-completions")
LONG = "call_" + "x" * 60


@pytest.mark.parametrize(
    ("call_id", "expected"),
    [
        pytest.param("toolu_01-a", "toolu_01-a", id="clean"),
        pytest.param("a|b.c", "a_b_c", id="signs"),
        pytest.param("x" * 64, "x" * 64, id="64-long"),
        pytest.param("call_abc|fc_123" * 5, "call_abc_fc_123" * 3 + "call_abc_f_", id="too-long"),
    ],
)
def test_anthropic_ids_fit_its_pattern(call_id: str, expected: str) -> None:
    got = r.normalize_anthropic_tool_call_id(call_id, MODEL, FOREIGN)
    assert got.startswith(expected)
    assert len(got) == min(len(call_id), 64)


def test_long_anthropic_ids_stay_distinct() -> None:
    ids = {r.normalize_anthropic_tool_call_id("x" * 70 + end, MODEL, FOREIGN) for end in "abcdef"}
    assert len(ids) == 6
    assert all(each.startswith("x" * 55 + "_") and len(each) == 64 for each in ids)


@pytest.mark.parametrize(
    ("model", "call_id", "expected"),
    [
        pytest.param(OPENAI, "call_1", "call_1", id="plain"),
        pytest.param(OPENAI, LONG, LONG[:40], id="openai-cuts"),
        pytest.param(LOCAL, LONG, LONG, id="others-keep"),
        pytest.param(LOCAL, "functions.x:0", "functions.x:0", id="others-keep-signs"),
        pytest.param(LOCAL, "call_abc|fc_123", "call_abc_fc_123", id="pipe"),
        pytest.param(LOCAL, "call.abc|fc|1", "call_abc_fc_1", id="first-pipe-splits"),
        pytest.param(LOCAL, "call_abc|", "call_abc", id="no-item"),
        pytest.param(LOCAL, "call_1|" + "f" * 60, "call_1_", id="long-item"),
        pytest.param(LOCAL, "c" * 50 + "|i", "c" * 31 + "_", id="long-call"),
    ],
)
def test_completions_ids(model: Model, call_id: str, expected: str) -> None:
    got = r.normalize_completions_tool_call_id(call_id, model, FOREIGN)
    hashed = expected.endswith("_")
    assert got.startswith(expected) if hashed else got == expected
    assert len(got) == len(expected) + (8 if hashed else 0)
