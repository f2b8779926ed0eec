"""RPC commands about the stored session, over lines in memory: rpc spec, sections 5.4 and 12."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from pi_ai import UserMessage
from pi_session import SessionManager
from support.rpc_wire import Wire, serve


@pytest.fixture
def manager(project, tmp_path) -> SessionManager:
    return SessionManager.create(project, tmp_path / "sessions")


async def prompted(wire: Wire, text: str) -> None:
    settled = len(wire.of("agent_settled"))
    await wire.ask("prompt", message=text)
    await wire.saw("agent_settled", settled + 1)


async def state_of(wire: Wire) -> dict[str, Any]:
    return (await wire.ask("get_state"))["data"]


def refused(response: dict[str, Any]) -> str:
    assert response["success"] is False
    assert "data" not in response
    return response["error"]


def lines(path: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_bytes().splitlines()]


# --- going on with another session ------------------------------------------------------------


def test_rpc_check_25_a_prompt_and_a_new_session_in_one_write(fake, project, manager):
    async def talk(wire: Wire) -> None:
        wire.send({"id": "p", "type": "prompt", "message": "A"}, {"id": "n", "type": "new_session"})
        assert (await wire.response("n"))["data"] == {"cancelled": False}
        state = await state_of(wire)
        assert (state["messageCount"], state["isStreaming"]) == (0, False)

    wire = serve(fake, project, talk, session_manager=manager)
    assert wire.responses("p")[0]["data"] == {"disposition": "started"}
    assert wire.of("agent_settled") == [{"type": "agent_settled", "aborted": True}]
    settled = wire.records.index({"type": "agent_settled", "aborted": True})
    assert settled < wire.records.index(wire.responses("n")[0])


def test_what_stands_behind_a_new_session_belongs_to_it(fake, project, manager):
    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")
        wire.send(
            {"id": "n", "type": "new_session"},
            {"id": "s", "type": "get_state"},
            {"id": "p", "type": "prompt", "message": "B"},
        )
        assert (await wire.response("s"))["data"]["messageCount"] == 0
        await wire.saw("agent_settled", 2)
        assert (await wire.ask("get_messages"))["data"]["messages"][1]["content"][0]["text"] == "B"

    wire = serve(fake, project, talk, session_manager=manager)
    assert wire.responses("p")[0]["data"] == {"disposition": "started"}
    assert not any(settled["aborted"] for settled in wire.of("agent_settled"))


def test_rpc_check_42_a_new_session_notes_the_parent_it_is_given(fake, project, manager):
    async def talk(wire: Wire) -> None:
        await wire.ask("new_session", parentSession="/over/there.jsonl")
        path = (await state_of(wire))["sessionFile"]
        await prompted(wire, "A")
        assert lines(path)[0]["parentSession"] == "/over/there.jsonl"

    serve(fake, project, talk, session_manager=manager)


def test_rpc_check_41_switching_to_files_of_every_kind(fake, project, manager, tmp_path):
    missing, garbage, gone = (tmp_path / name for name in ("new.jsonl", "bad.jsonl", "gone.jsonl"))
    garbage.write_text("no session\n")
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "", "cwd": "/gone"}
    gone.write_text(json.dumps(header) + "\n")

    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")
        before = await state_of(wire)
        assert refused(await wire.ask("switch_session", sessionPath=str(garbage))).startswith(
            f"Session file is not a valid pi session: {garbage}"
        )
        assert refused(await wire.ask("switch_session", sessionPath=str(gone))).split("\n") == [
            "Stored session working directory does not exist: /gone",
            f"Session file: {gone}",
            f"Current working directory: {Path.cwd()}",
        ]
        assert refused(await wire.ask("switch_session")) == (
            "Invalid switch_session: sessionPath is missing"
        )
        assert refused(await wire.ask("switch_session", sessionPath="")) == (
            "Invalid switch_session: sessionPath is empty"
        )
        assert refused(await wire.ask("switch_session", sessionPath="a\0b")) == (
            "Invalid switch_session: sessionPath has a NUL character in it"
        )
        assert await state_of(wire) == before
        response = await wire.ask("switch_session", sessionPath=str(missing))
        assert response["data"] == {"cancelled": False}
        after = await state_of(wire)
        assert (after["sessionFile"], after["messageCount"]) == (str(missing), 0)
        await wire.ask("switch_session", sessionPath=before["sessionFile"])
        assert await state_of(wire) == before

    serve(fake, project, talk, session_manager=manager)


def test_rpc_check_38_fork_and_clone(fake, project, manager):
    """T6."""

    async def talk(wire: Wire) -> None:
        assert refused(await wire.ask("clone")) == (
            "This session has not been saved yet. Send a message before cloning or forking it."
        )
        await prompted(wire, "first prompt")
        await prompted(wire, "second prompt")
        old = await state_of(wire)
        entries = (await wire.ask("get_entries"))["data"]["entries"]
        users = [e["id"] for e in entries if e.get("message", {}).get("role") == "user"]
        assert refused(await wire.ask("fork", entryId="nope")) == "Invalid entry ID for forking"
        assert (await wire.ask("fork", entryId=users[1]))["data"] == {
            "text": "second prompt",
            "cancelled": False,
        }
        forked = await state_of(wire)
        assert forked["messageCount"] == 3
        head, *copied = lines(forked["sessionFile"])
        assert head["parentSession"] == old["sessionFile"]
        assert [e["id"] for e in copied] == [e["id"] for e in entries[: len(copied)]]
        assert copied[-1]["message"]["role"] == "assistant"

        messages = (await wire.ask("get_messages"))["data"]
        assert (await wire.ask("clone"))["data"] == {"cancelled": False}
        cloned = await state_of(wire)
        assert cloned["sessionId"] not in {forked["sessionId"], old["sessionId"]}
        assert (await wire.ask("get_messages"))["data"] == messages

        assert (await wire.ask("fork", entryId=users[0]))["data"]["text"] == "first prompt"
        rest = (await wire.ask("get_messages"))["data"]["messages"]
        assert [m["role"] for m in rest] in ([], ["system"])

    serve(fake, project, talk, session_manager=manager)


def test_clone_without_a_leaf_says_so(fake, project):
    manager = SessionManager.in_memory(project)

    async def talk(wire: Wire) -> None:
        manager.reset_leaf()
        assert refused(await wire.ask("clone")) == (
            "Cannot clone session: no current entry selected"
        )

    serve(fake, project, talk, session_manager=manager)


def test_events_behind_the_response_are_of_the_new_session(fake, project, manager, answer):
    fake.answers = [answer(hold=asyncio.Event())]

    async def talk(wire: Wire) -> None:
        await wire.ask("prompt", message="A")
        await wire.saw("message_update", 2)
        await wire.ask("follow_up", message="lost")
        await wire.ask("new_session")
        replaced = len(wire.records)
        await wire.ask("set_thinking_level", level="high")
        await prompted(wire, "B")
        behind = wire.records[replaced:]
        assert behind[0] == {"type": "thinking_level_changed", "level": "high"}
        users = [
            record["message"]["content"][0]["text"]
            for record in behind
            if record["type"] == "message_end" and record["message"]["role"] == "user"
        ]
        assert users == ["B"]

    serve(fake, project, talk, session_manager=manager)


def test_a_session_that_somebody_writes_is_not_switched_to(fake, project, manager, tmp_path):
    path = tmp_path / "held.jsonl"

    async def talk(wire: Wire) -> None:
        before = await state_of(wire)
        text = refused(await wire.ask("switch_session", sessionPath=str(path)))
        assert text == f"Session file is open for writing in process {os.getpid()}: {path}"
        assert await state_of(wire) == before

    with SessionManager.open(path) as held:
        held.append_message(UserMessage("hi"))
        serve(fake, project, talk, session_manager=manager)


# --- looking at entries -----------------------------------------------------------------------


def test_rpc_check_39_entries_and_those_behind_one(fake, project):
    async def talk(wire: Wire) -> None:
        data = (await wire.ask("get_entries"))["data"]
        assert [e["type"] for e in data["entries"]] == ["model_change", "thinking_level_change"]
        assert data["entries"][0]["parentId"] is None
        assert data["leafId"] == data["entries"][-1]["id"]
        behind = await wire.ask("get_entries", since=data["leafId"])
        assert behind["data"] == {"entries": [], "leafId": data["leafId"]}
        await prompted(wire, "A")
        behind = await wire.ask("get_entries", since=data["leafId"])
        assert [e["message"]["role"] for e in behind["data"]["entries"]] == [
            "system",
            "user",
            "assistant",
        ]
        assert refused(await wire.ask("get_entries", since="nope")) == "Entry not found: nope"

    serve(fake, project, talk)


def test_rpc_check_40_a_session_without_branches_is_one_stem(fake, project):
    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")
        data = (await wire.ask("get_tree"))["data"]
        entries = (await wire.ask("get_entries"))["data"]["entries"]
        (node,) = data["tree"]
        found = []
        while True:
            assert list(node) == ["entry", "children"]
            found.append(node["entry"])
            if not node["children"]:
                break
            (node,) = node["children"]
        assert found == entries
        assert data["leafId"] == entries[-1]["id"]

    serve(fake, project, talk)


def test_a_tree_shows_branches_and_labels(fake, project):
    manager = SessionManager.in_memory(project)

    async def talk(wire: Wire) -> None:
        await prompted(wire, "A")
        leaf = manager.leaf_id
        assert leaf is not None
        await prompted(wire, "B")
        manager.append_label_change(leaf, "here \u2028 é")
        manager.branch(leaf)
        await prompted(wire, "C")
        (node,) = (await wire.ask("get_tree"))["data"]["tree"]
        while node["entry"]["id"] != leaf:
            (node,) = node["children"]
        assert node["label"] == "here \u2028 é"
        assert node["labelTimestamp"].endswith("Z")
        texts = [child["entry"]["message"]["content"][0]["text"] for child in node["children"]]
        assert texts == ["B", "C"]

    serve(fake, project, talk, session_manager=manager)


def test_entries_go_out_with_every_key_they_are_stored_with(fake, project, tmp_path):
    """Lines of other programs: unknown types and keys, and bytes that are no UTF-8."""
    path = tmp_path / "odd.jsonl"
    header = {"type": "session", "version": 3, "id": "x", "timestamp": "", "cwd": str(project)}
    odd = (
        b'{ "type": "later", "id": "a1", "parentId": null, "timestamp": "", "new": {"\xff": 1e3} }'
    )
    path.write_bytes(json.dumps(header).encode() + b"\n" + odd + b"\r\n")

    async def talk(wire: Wire) -> None:
        await wire.ask("switch_session", sessionPath=str(path))
        first, *_ = (await wire.ask("get_entries"))["data"]["entries"]
        assert first == {
            "type": "later",
            "id": "a1",
            "parentId": None,
            "timestamp": "",
            "new": {"\ufffd": 1000},
        }
        (node,) = (await wire.ask("get_tree"))["data"]["tree"]
        assert node["entry"] == first

    serve(fake, project, talk)


# --- the name ---------------------------------------------------------------------------------


def test_rpc_check_43_the_name_is_trimmed_and_not_empty(fake, project):
    async def talk(wire: Wire) -> None:
        await wire.ask("set_session_name", name="  my name ")
        assert (await state_of(wire))["sessionName"] == "my name"
        assert refused(await wire.ask("set_session_name", name="  ")) == (
            "Session name cannot be empty"
        )
        assert (await state_of(wire))["sessionName"] == "my name"

    told, response, *rest = serve(fake, project, talk).records
    assert told == {"type": "session_info_changed", "name": "my name"}
    assert (response["command"], response["success"]) == ("set_session_name", True)
    assert {record["type"] for record in rest} == {"response"}
