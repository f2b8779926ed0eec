"""RpcServer over lines in memory: rpc spec, sections 4 to 9."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from pi_ai import Models, get_model
from pi_sdk import AgentSession, AgentSessionRuntime, create_agent
from pi_sdk.rpc import HANDLERS, RpcServer
from pi_sdk.rpc_call import Call
from pi_sdk.rpc_requests import Command, GetCommandsCommand
from pi_session import SessionManager
from support.agent_sessions import BUSY
from support.rpc_wire import Wire, serve


def kinds(records: Sequence[dict[str, Any]]) -> list[str]:
    return [record["type"] for record in records]


def index(records: Sequence[dict[str, Any]], **fields: Any) -> int:
    return next(i for i, r in enumerate(records) if all(r.get(k) == v for k, v in fields.items()))


def test_rpc_check_01_get_state(fake, project):
    async def talk(wire: Wire) -> None:
        await wire.ask("get_state")

    (record,) = serve(fake, project, talk).records
    state = record.pop("data")
    assert record == {
        "id": "get_state",
        "type": "response",
        "command": "get_state",
        "success": True,
    }
    model = state.pop("model")
    assert len(state.pop("sessionId")) == 36
    assert model == {
        "id": "m1",
        "name": "Model One",
        "api": "openai-completions",
        "provider": "fake",
        "baseUrl": model["baseUrl"],
        "reasoning": True,
        "input": ["text"],
        "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1.25},
        "contextWindow": 128_000,
        "maxTokens": 4096,
    }
    assert state == {
        "thinkingLevel": "medium",
        "isStreaming": False,
        "isCompacting": False,
        "steeringMode": "one-at-a-time",
        "followUpMode": "one-at-a-time",
        "autoCompactionEnabled": True,
        "messageCount": 0,
        "pendingMessageCount": 0,
    }


@pytest.mark.parametrize("record_id", [7, None, {"a": 1}, "\u2028", "\ud800x"])
def test_rpc_check_06_ids_come_back_as_they_are(fake, project, record_id):
    async def talk(wire: Wire) -> None:
        wire.send({"id": record_id, "type": "get_state"})
        await wire.saw("response")

    (record,) = serve(fake, project, talk).records
    assert record["id"] == record_id


def test_rpc_check_06_no_id_stays_no_id(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"type": "abort"}, {"type": "nope"}, {"id": "u1", "type": "nope"})
        await wire.saw("response", 3)

    records = serve(fake, project, talk).records
    assert records == [
        {"type": "response", "command": "abort", "success": True},
        {
            "type": "response",
            "command": "nope",
            "success": False,
            "error": "Unknown command: nope",
        },
        {
            "id": "u1",
            "type": "response",
            "command": "nope",
            "success": False,
            "error": "Unknown command: nope",
        },
    ]


def test_rpc_check_11_a_prompt_with_a_tool_call(fake, project, answer):
    fake.answers = [answer((), [("bash", {"command": "echo hi"})])]

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="run echo")
        await wire.saw("agent_settled")

    records = serve(fake, project, talk).records
    assert records[0] == {
        "id": "prompt",
        "type": "response",
        "command": "prompt",
        "success": True,
        "data": {"disposition": "started"},
    }
    told = [kind for kind in kinds(records[1:]) if not kind.endswith("_update")]
    assert told == [
        "agent_start",
        "turn_start",
        *("message_start", "message_end") * 2,
        "message_start",
        "message_end",
        "tool_execution_start",
        "tool_execution_end",
        "message_start",
        "message_end",
        "turn_end",
        "turn_start",
        "message_start",
        "message_end",
        "turn_end",
        "agent_end",
        "agent_settled",
    ]
    updates = [r["assistantMessageEvent"] for r in records if r["type"] == "message_update"]
    assert [update["type"] for update in updates] == [
        "toolcall_start",
        *("toolcall_delta",) * 3,
        "toolcall_end",
        "text_start",
        *("text_delta",) * 2,
        "text_end",
    ]
    assert updates[0]["toolName"] == "bash"
    assert updates[4]["toolCall"]["arguments"] == {"command": "echo hi"}
    end = next(r for r in records if r["type"] == "tool_execution_end")
    assert end["result"]["content"] == [{"type": "text", "text": "hi\n"}]
    assert (end["isError"], end["toolName"]) == (False, "bash")
    assert isinstance(end["durationMs"], int)
    (settled,) = [r for r in records if r["type"] == "agent_settled"]
    assert settled == {"type": "agent_settled", "aborted": False}
    (ended,) = [r for r in records if r["type"] == "agent_end"]
    assert ended["willRetry"] is False
    assert [m["role"] for m in ended["messages"]] == [
        "system",
        "user",
        "assistant",
        "toolResult",
        "assistant",
    ]


@pytest.mark.parametrize(
    "fields",
    [{}, {"message": 5}, {"message": "x", "images": "x"}],
    ids=["no message", "a number", "images that are none"],
)
def test_rpc_check_13_bad_prompts_leave_no_trace(fake, project, fields):
    async def talk(wire: Wire) -> None:
        refused = await wire.ask("prompt", **fields)
        assert refused["success"] is False
        state = await wire.ask("get_state")
        assert state["data"]["messageCount"] == 0

    assert kinds(serve(fake, project, talk).records) == ["response", "response"]


@pytest.mark.parametrize("text", ["", "/foo bar"], ids=["14: empty", "15: slash"])
def test_rpc_checks_14_15_any_text_is_sent_as_it_is(fake, project, text):
    async def talk(wire: Wire) -> None:
        response = await wire.ask("prompt", message=text)
        assert response["data"] == {"disposition": "started"}
        await wire.saw("agent_settled")

    wire = serve(fake, project, talk)
    assert wire.users() == [text]
    sent = fake.bodies[0]["messages"][-1]["content"]
    assert text in json.dumps(sent)


def test_rpc_check_16_queueing_while_streaming(fake, project, answer):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]

    async def talk(wire: Wire) -> None:
        wire.send({"id": "0", "type": "prompt", "message": "first"})
        await wire.saw("message_update")
        wire.send(
            {"id": "a", "type": "prompt", "message": "second"},
            {"id": "b", "type": "steer", "message": "steer one"},
            {"id": "c", "type": "follow_up", "message": "fu one"},
            {"id": "d", "type": "prompt", "message": "third", "streamingBehavior": "followUp"},
        )
        await wire.response("d")
        hold.set()
        await wire.saw("agent_settled")

    wire = serve(fake, project, talk)
    assert wire.responses("a") == [
        {"id": "a", "type": "response", "command": "prompt", "success": False, "error": BUSY}
    ]
    for record_id in "bcd":
        (response,) = wire.responses(record_id)
        assert response["data"] == {"disposition": "queued"}
    shown = [(r["steering"], r["followUp"]) for r in wire.of("queue_update")]
    assert shown == [
        (["steer one"], []),
        (["steer one"], ["fu one"]),
        (["steer one"], ["fu one", "third"]),
        ([], ["fu one", "third"]),
        ([], ["third"]),
        ([], []),
    ]
    # each update precedes the response that it belongs to
    for record_id, update in (("b", shown[0]), ("c", shown[1]), ("d", shown[2])):
        at = index(wire.records, steering=update[0], followUp=update[1])
        assert at < index(wire.records, id=record_id)
    assert wire.users() == ["first", "steer one", "fu one", "third"]
    assert len(wire.of("agent_end")) == len(wire.of("agent_settled")) == 1


def test_rpc_check_17_an_unknown_behavior_queues_nothing(fake, project, answer):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]

    async def talk(wire: Wire) -> None:
        wire.send({"id": "0", "type": "prompt", "message": "first"})
        await wire.saw("message_update")
        refused = await wire.ask("prompt", message="x", streamingBehavior="bogus")
        assert refused["error"] == (
            "Invalid prompt: streamingBehavior expected one of 'steer', 'followUp', got 'bogus'"
        )
        state = await wire.ask("get_state")
        assert state["data"]["pendingMessageCount"] == 0
        assert state["data"]["isStreaming"] is True
        hold.set()
        await wire.saw("agent_settled")

    assert serve(fake, project, talk).users() == ["first"]


def test_rpc_check_18_idle_steering_goes_with_the_next_prompt(fake, project):
    async def talk(wire: Wire) -> None:
        response = await wire.ask("steer", message="aside")
        assert response["data"] == {"disposition": "queued"}
        await wire.ask("prompt", message="go")
        await wire.saw("agent_settled")

    wire = serve(fake, project, talk)
    assert wire.users() == ["go", "aside"]
    assert len(fake.bodies) == 1


def test_rpc_check_19_clear_queue(fake, project):
    async def talk(wire: Wire) -> None:
        await wire.ask("steer", message="s1")
        await wire.ask("steer", message="s2")
        await wire.ask("follow_up", message="f1")
        await wire.ask("clear_queue")

    records = serve(fake, project, talk).records
    assert records[-2] == {"type": "queue_update", "steering": [], "followUp": []}
    assert records[-1]["data"] == {"steering": ["s1", "s2"], "followUp": ["f1"]}


def test_rpc_check_20_abort_keeps_the_queue_for_the_next_prompt(fake, project, answer):
    fake.answers = [answer(("w0 ",), hold=asyncio.Event())]

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="go")
        await wire.saw("message_update", 2)
        await wire.ask("follow_up", message="queued fu")
        await wire.ask("abort")
        state = await wire.ask("get_state")
        assert state["data"]["isStreaming"] is False
        assert state["data"]["pendingMessageCount"] == 1
        await wire.ask("prompt", message="next")
        await wire.saw("agent_settled", 2)
        text = await wire.ask("get_last_assistant_text")
        assert text["data"] == {"text": "Hello world"}

    wire = serve(fake, project, talk)
    settled = index(wire.records, type="agent_settled", aborted=True)
    assert settled < index(wire.records, command="abort")
    (stopped,) = [
        r["message"] for r in wire.of("message_end") if r["message"].get("stopReason") == "aborted"
    ]
    assert stopped["content"] == [{"type": "text", "text": "w0 "}]
    assert stopped["errorMessage"] == "Request was aborted"
    assert wire.users() == ["go", "next", "queued fu"]


def test_rpc_check_21_abort_when_idle(fake, project):
    async def talk(wire: Wire) -> None:
        await wire.ask("abort")

    assert serve(fake, project, talk).records == [
        {"id": "abort", "type": "response", "command": "abort", "success": True}
    ]


def test_rpc_check_22_two_prompts_in_one_write(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send(
            {"id": "a", "type": "prompt", "message": "A"},
            {"id": "b", "type": "prompt", "message": "B"},
            {"id": "c", "type": "prompt", "message": "C", "streamingBehavior": "followUp"},
        )
        await wire.saw("agent_settled")

    wire = serve(fake, project, talk)
    assert wire.responses("a")[0]["data"] == {"disposition": "started"}
    assert wire.responses("b")[0]["error"] == BUSY
    assert wire.responses("c")[0]["data"] == {"disposition": "queued"}
    assert wire.users() == ["A", "C"]
    assert len(wire.of("agent_settled")) == 1


def test_rpc_check_23_prompt_and_abort_in_one_write(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"id": "p", "type": "prompt", "message": "A"}, {"id": "x", "type": "abort"})
        await wire.response("x")

    wire = serve(fake, project, talk)
    assert wire.responses("p")[0]["success"] is True
    assert wire.of("agent_settled") == [{"type": "agent_settled", "aborted": True}]
    assert index(wire.records, type="agent_settled") < index(wire.records, id="x")
    assert wire.users() == ["A"]
    assert fake.bodies == []


def test_rpc_check_24_prompt_and_get_state_in_one_write(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"id": "p", "type": "prompt", "message": "A"}, {"id": "s", "type": "get_state"})
        await wire.response("s")
        await wire.saw("agent_settled")

    wire = serve(fake, project, talk)
    assert wire.responses("s")[0]["data"]["isStreaming"] is True
    assert len(wire.responses("p")) == 1


def test_prompt_and_steer_in_one_write_make_one_request(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send(
            {"id": "p", "type": "prompt", "message": "A"},
            {"id": "s", "type": "steer", "message": "B"},
        )
        await wire.saw("agent_settled")

    assert serve(fake, project, talk).users() == ["A", "B"]
    assert len(fake.bodies) == 1


def test_rpc_check_44_the_last_answer(fake, project):
    async def talk(wire: Wire) -> None:
        fresh = await wire.ask("get_last_assistant_text")
        assert fresh["data"] == {"text": None}
        await wire.ask("prompt", message="A")
        await wire.saw("agent_settled")
        after = await wire.ask("get_last_assistant_text")
        assert after["data"] == {"text": "Hello world"}
        messages = (await wire.ask("get_messages"))["data"]["messages"]
        assert [m["role"] for m in messages] == ["system", "user", "assistant"]
        assert messages[1]["content"] == [{"type": "text", "text": "A"}]

    serve(fake, project, talk)


def test_rpc_check_46_there_are_no_slash_commands(fake, project):
    async def talk(wire: Wire) -> None:
        assert (await wire.ask("get_commands"))["data"] == {"commands": []}

    serve(fake, project, talk)


def test_rpc_check_47_answers_to_dialogs_are_passed_over(fake, project):
    async def talk(wire: Wire) -> None:
        wire.send({"type": "extension_ui_response", "id": "u", "cancelled": True})
        await wire.ask("get_state")

    assert len(serve(fake, project, talk).records) == 1


def test_a_prompt_without_credentials_answers_with_what_is_missing(fake, project):
    async def talk(wire: Wire) -> None:
        refused = await wire.ask("prompt", message="A")
        assert refused["success"] is False
        assert refused["error"].startswith("No API key found for anthropic.")
        assert "ANTHROPIC_API_KEY" in refused["error"]

    model = get_model("anthropic", "claude-sonnet-4-5")
    wire = serve(fake, project, talk, model=model, models=Models())
    assert kinds(wire.records) == ["response"]


def test_rpc_check_50_a_client_that_does_not_read_stalls_the_run(fake, project):
    async def talk(wire: Wire) -> None:
        wire.gate.clear()
        wire.send({"id": "p", "type": "prompt", "message": "A"})
        await wire.saw("agent_start")
        await asyncio.sleep(0.05)
        assert kinds(wire.records) == ["response", "agent_start"]
        wire.gate.set()
        await wire.saw("agent_settled")

    assert serve(fake, project, talk).users() == ["A"]


def test_a_client_that_does_not_read_is_not_listened_to(fake, project):
    """Its commands wait in their lines, so that answers do not pile up."""

    async def talk(wire: Wire) -> None:
        wire.gate.clear()
        wire.send(*({"id": number, "type": "get_messages"} for number in range(100)))
        await wire.saw("response")
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(wire.records) < 5
        wire.gate.set()
        await wire.saw("response", 100)

    records = serve(fake, project, talk).records
    assert [record["id"] for record in records] == list(range(100))


def test_a_client_that_does_not_read_has_its_lines_left_where_they_are(fake, project):
    """Else every line would become a task that waits for the client."""

    async def talk(wire: Wire) -> None:
        wire.gate.clear()
        wire.send(*({"id": number, "type": "get_state"} for number in range(5000)))
        await wire.saw("response")
        for _ in range(50):
            await asyncio.sleep(0)
        assert wire.unread_lines > 2500
        assert len(asyncio.all_tasks()) < 1500
        wire.gate.set()
        await wire.saw("response", 5000)

    serve(fake, project, talk)


@pytest.mark.parametrize("gate", [True, False], ids=["who reads", "who does not read"])
def test_commands_in_front_of_the_end_of_input_are_handled(fake, project, gate):
    """Of a client who reads what it has written and closed, or not."""

    async def talk(wire: Wire) -> None:
        if not gate:
            wire.gate.clear()
        wire.send(
            {"id": "p", "type": "prompt", "message": "A"},
            {"id": "n", "type": "new_session"},
            {"id": "m", "type": "get_messages"},
            {"id": "q", "type": "prompt", "message": "B"},
        )

    wire = serve(fake, project, talk)
    answered = {r["id"]: r.get("data") for r in wire.of("response")}
    assert answered["p"] == answered["q"] == {"disposition": "started"}
    assert answered["n"] == {"cancelled": False}
    assert answered["m"] == {"messages": []}


def test_a_client_that_closes_its_side_without_reading_does_not_hang_the_server(fake, project):
    async def talk(wire: Wire) -> None:
        wire.gate.clear()
        wire.send({"id": "p", "type": "prompt", "message": "A"})
        await wire.saw("agent_start")

    assert kinds(serve(fake, project, talk).records) == ["response", "agent_start"]


def test_rpc_check_48_nothing_is_told_after_the_end_of_input(fake, project, answer, tmp_path):
    fake.answers = [answer(hold=asyncio.Event())]
    manager = SessionManager.create(project, tmp_path / "sessions")
    counts: list[int] = []

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="A")
        await wire.saw("message_update", 2)
        counts.append(len(wire.records))

    wire = serve(fake, project, talk, session_manager=manager)
    assert len(wire.records) == counts[0]
    last = json.loads(manager.session_file.read_bytes().splitlines()[-1])["message"]
    assert (last["stopReason"], last["content"][0]["text"]) == ("aborted", "Hello")


async def no_other(_manager: SessionManager) -> AgentSession:
    raise AssertionError("no other session was asked for")


def test_a_client_that_is_gone_ends_the_server_with_an_error(fake, project, answer, tmp_path):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]
    manager = SessionManager.create(project, tmp_path / "sessions")

    async def main() -> None:
        async with (
            fake,
            create_agent(cwd=project, models=fake.models, session_manager=manager) as session,
        ):
            wire = Wire()
            runtime = AgentSessionRuntime(session, no_other)
            server = asyncio.create_task(RpcServer(runtime, wire, wire).serve())
            await wire.ask("prompt", message="A")
            await wire.saw("message_update", 2)
            wire.broken = True
            hold.set()
            with pytest.raises(BrokenPipeError):
                await asyncio.wait_for(server, 5)

    asyncio.run(main())
    last = json.loads(manager.session_file.read_bytes().splitlines()[-1])["message"]
    assert last["role"] == "assistant"
    assert last["content"][0]["text"].startswith("Hello")


def test_a_failure_after_acceptance_is_told_on_standard_error(
    fake, project, answer, tmp_path, capsys
):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]
    manager = SessionManager.create(project, tmp_path / "sessions")

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="A")
        await wire.saw("message_update")
        manager.session_file.unlink()
        hold.set()
        await wire.saw("agent_settled")
        state = await wire.ask("get_state")
        assert state["data"]["isStreaming"] is False

    serve(fake, project, talk, session_manager=manager)
    told = capsys.readouterr().err
    assert "Error after the prompt was accepted: Session file was deleted: " in told


def test_what_fails_behind_the_answer_gets_no_second_one(fake, project, monkeypatch):
    async def bad(call: Call, _command: object) -> object:
        call.answer({"commands": []})
        raise ValueError("late")

    monkeypatch.setitem(HANDLERS, GetCommandsCommand, bad)

    async def talk(wire: Wire) -> None:
        await wire.ask("get_commands")
        await wire.ask("get_state")

    assert [r["command"] for r in serve(fake, project, talk).records] == [
        "get_commands",
        "get_state",
    ]


def test_every_command_has_a_handler():
    assert set(HANDLERS) == set(Command.__args__)
