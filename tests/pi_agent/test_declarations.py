"""What the model is told of tools, and when."""

from __future__ import annotations

import json
from typing import Any

from pi_agent import AgentTool
from pi_agent.declarations import declare_tool_changes, leading_system_message, model_messages
from pi_ai import SystemMessage, Tool, ToolReference, encode
from pi_ai.transcript import to_tool_declaration
from support.agent_traces import ECHO_SCHEMA, Bench, call, echo_tool, make_tool, says, user


def declared(*tools: AgentTool) -> list[Tool]:
    return [to_tool_declaration(tool) for tool in tools]


def removed(*names: str) -> list[ToolReference]:
    return [ToolReference(name) for name in names]


def system_messages(bench: Bench) -> list[SystemMessage]:
    return [m for m in bench.messages if isinstance(m, SystemMessage)]


def test_agent_check_03_leading_system_message():
    bench = Bench([says("a", call("t1")), says("b")], system_prompt="SP")
    bench.prompt()
    assert json.loads(encode(bench.messages[0])) == {
        "role": "system",
        "content": "SP",
        "toolsAdded": [{"name": "echo", "description": "Echo", "parameters": ECHO_SCHEMA}],
        "timestamp": 0,
    }
    assert "SYS" not in bench.trace
    assert bench.agent.state.system_prompt == "SP"


def test_agent_check_05_tools_assigned_later_are_announced():
    bench = Bench([says("a"), says("b"), says("c")], tools=[])
    assert bench.messages == []
    e1, e2 = echo_tool(), make_tool("e2")
    bench.agent.state.tools = [e1]
    bench.prompt()
    bench.agent.state.tools = [e2]
    bench.prompt()
    bench.prompt()
    first, second = system_messages(bench)
    assert (first.content, first.tools_added, first.tools_removed) == ("", declared(e1), None)
    assert (second.tools_added, second.tools_removed) == (declared(e2), removed("echo"))
    assert bench.trace.endswith("AS TS U(q) A<T>stop TE(stop) AE[ua]")


def test_agent_check_06_a_changed_definition_is_removed_and_added():
    bench = Bench([says("a")])
    changed = echo_tool(description="New")
    bench.agent.state.tools = [changed]
    bench.prompt()
    _, news = system_messages(bench)
    assert (news.tools_added, news.tools_removed) == (declared(changed), removed("echo"))


def test_agent_check_07_a_pending_system_message_carries_the_change():
    bench = Bench([says("a")], tools=[echo_tool(), make_tool("e2")])
    bench.agent.state.tools = [echo_tool()]
    bench.prompt([user("q"), SystemMessage("S")])
    assert bench.trace.startswith("AS TS U(q) SYS A<")
    news = system_messages(bench)[-1]
    assert (news.content, news.tools_added, news.tools_removed) == ("S", None, removed("e2"))


def test_agent_check_07_what_a_pending_system_message_says_of_tools_is_replaced():
    bench = Bench([says("a")], tools=[])
    bench.agent.state.tools = [echo_tool()]
    wish = SystemMessage("S", tools_added=[Tool("bogus", "", {})])
    bench.prompt([wish, user("q")])
    (news,) = system_messages(bench)
    assert news.tools_added == declared(echo_tool())
    assert wish.tools_added == [Tool("bogus", "", {})]


def test_a_pending_system_message_with_nothing_to_say_is_passed_on_itself():
    carrier = SystemMessage("S")
    told = leading_system_message("", [echo_tool()])
    assert told is not None
    (passed,) = declare_tool_changes([told], [carrier], [echo_tool()])
    assert passed is carrier


def test_the_order_of_keys_in_a_schema_changes_nothing():
    schema = {key: ECHO_SCHEMA[key] for key in reversed(ECHO_SCHEMA)}
    told = leading_system_message("", [echo_tool()])
    assert told is not None
    assert declare_tool_changes([told], [], [echo_tool(parameters=schema)]) == []


def test_a_schema_that_is_equal_only_as_json_changes_nothing():
    schema: Any = {**ECHO_SCHEMA, "required": ("v",)}
    told = leading_system_message("", [echo_tool(parameters=schema)])
    assert told is not None
    assert declare_tool_changes([told], [], [echo_tool(parameters=schema)]) == []


def test_declarations_share_nothing_with_the_tool():
    schema = {"type": "object", "properties": {}}
    made = echo_tool(parameters=schema)
    told = leading_system_message("", [made])
    assert told is not None
    schema["properties"]["late"] = {"type": "string"}
    (news,) = declare_tool_changes([told], [], [made])
    assert isinstance(news, SystemMessage)
    assert news.tools_removed == removed("echo")


def test_the_first_tool_of_a_name_is_declared():
    first, second = echo_tool(), echo_tool(description="Second")
    told = leading_system_message("", [first, second])
    assert told is not None
    assert told.tools_added == declared(first)
    assert declare_tool_changes([told], [], [first, second]) == []


def test_a_change_goes_before_the_first_pending_message():
    pending = [user("a"), user("b")]
    news, *rest = declare_tool_changes([], pending, [echo_tool()])
    assert isinstance(news, SystemMessage)
    assert [id(m) for m in rest] == [id(m) for m in pending]


def test_no_prompt_and_no_tools_need_no_message():
    assert leading_system_message("", []) is None
    assert model_messages([]) == []
