"""Random commands, good and bad, pipelined and cut in pieces: each is answered exactly once.

Source: rpc spec, sections 3 to 9.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pi_ai.testing import FauxProvider, faux_message
from pi_sdk import AgentSession, AgentSessionRuntime, SessionSettings, create_agent
from pi_sdk.rpc import RpcServer
from pi_sdk.rpc_streams import StreamLines
from pi_session import CompactionSettings, SessionManager
from support.rpc_process import Server
from support.rpc_wire import Wire

Command = dict[str, Any]
"""A command; the values "@entry" and "@session" stand for what is there when it is sent."""

TEXTS = ("", "hi", "word " * 100, "é\u2028\ud800 \x00", "/foo bar")
LEVELS = ("off", "low", "high", "max")
MODES = ("all", "one-at-a-time")
PLAIN = (
    *("abort", "clear_queue", "get_state", "get_messages", "cycle_model", "get_available_models"),
    *("cycle_thinking_level", "get_available_thinking_levels", "abort_retry", "compact"),
    *("abort_bash", "clone", "get_fork_messages", "get_entries", "get_tree", "get_session_stats"),
    *("get_last_assistant_text", "get_commands", "new_session", "export_html"),
)
BAD_LINES = (
    b"",
    b"  ",
    b"not json",
    b"null",
    b"42",
    b"[]",
    b'"x"',
    b'{"type":"get_state"',
    b'\xff\xfe{"type":"get_state"}',
    b'{"type":"get_state"}{"type":"get_state"}',
    b"[" * 100_000,
    b'{"type":' + b'{"a":' * 2000 + b"1" + b"}" * 2001,
    b'{"type":"get_state","extra":' + b"[" * 500 + b"]" * 500 + b"}",
)
WRONG: tuple[Any, ...] = (None, 7, "bogus", [], {"a": 1}, True)


def command(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Command]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


TEXT = st.sampled_from(TEXTS)
PROMPT = command("prompt", message=TEXT)
RUN = st.one_of(
    PROMPT,
    PROMPT,
    command("prompt", message=TEXT, streamingBehavior=st.sampled_from(("steer", "followUp"))),
    command("steer", message=TEXT),
    command("follow_up", message=TEXT),
)
SETTING = st.one_of(
    command("set_model", provider=st.just("faux"), modelId=st.sampled_from(("faux-1", "no"))),
    command("set_thinking_level", level=st.sampled_from(LEVELS)),
    command("set_steering_mode", mode=st.sampled_from(MODES)),
    command("set_follow_up_mode", mode=st.sampled_from(MODES)),
    command("set_auto_compaction", enabled=st.booleans()),
    command("set_auto_retry", enabled=st.booleans()),
    command("set_session_name", name=TEXT),
)
SESSION = st.one_of(
    command("bash", command=st.just("echo x"), excludeFromContext=st.booleans()),
    command("get_entries", since=st.just("@entry")),
    command("fork", entryId=st.just("@entry")),
    command("switch_session", sessionPath=st.sampled_from(("a", "b", "@session", "/"))),
    command("new_session", parentSession=TEXT),
)
COMMANDS = st.one_of(RUN, RUN, st.sampled_from(PLAIN).flatmap(command), SETTING, SESSION)


@st.composite
def spoiled(draw: st.DrawFn) -> Command:
    """A command with a field that is missing, of another type, or too much."""
    told = dict(draw(COMMANDS))
    key = draw(st.sampled_from([*told, "extra"]))
    if draw(st.booleans()):
        told.pop(key, None)
    else:
        told[key] = draw(st.sampled_from(WRONG))
    return told


LINES = st.lists(
    st.one_of(COMMANDS, COMMANDS, spoiled(), st.sampled_from(BAD_LINES)), min_size=8, max_size=40
)


class Fed(Wire):
    """A client whose bytes go through the server's own reader of lines."""

    def __init__(self) -> None:
        super().__init__()
        self.stream = asyncio.StreamReader()

    def send(self, *records: Any) -> None:
        for record in records:
            self.stream.feed_data(json.dumps(record).encode() + b"\n")


class Sender:
    """Makes lines of commands and knows how many answers must come."""

    def __init__(self, stream: asyncio.StreamReader, runtime: AgentSessionRuntime, folder: Path):
        self._stream = stream
        self._runtime = runtime
        self._folder = folder
        self.ids: list[int] = []
        self.nameless = 0

    async def send(self, commands: Sequence[Command | bytes], cuts: random.Random) -> None:
        data = b"".join(self._line(each) + cuts.choice((b"\n", b"\r\n")) for each in commands)
        while data:
            size = cuts.choice((1, 7, 100, len(data)))
            self._stream.feed_data(data[:size])
            data = data[size:]
            if cuts.random() < 0.2:
                await asyncio.sleep(0)

    def _line(self, told: Command | bytes) -> bytes:
        if isinstance(told, bytes):
            self.nameless += 1
            return told
        manager = self._runtime.session.session_manager
        ids = [entry.id for entry in manager.get_entries() if entry.role == "user"] or ["none"]
        for key in ("entryId", "since"):
            if told.get(key) == "@entry":
                told = {**told, key: ids[len(ids) // 2]}
        if isinstance(path := told.get("sessionPath"), str):
            known = {"@session": str(manager.session_file), "/": "/"}
            told = {**told, "sessionPath": known.get(path, str(self._folder / f"{path}.jsonl"))}
        self.ids.append(len(self.ids))
        return json.dumps({"id": self.ids[-1], **told}).encode()


async def fuzzed(lines: Sequence[Command | bytes], seed: int, folder: Path) -> None:
    cuts = random.Random(seed)
    faux = FauxProvider([faux_message("some words to answer with")] * 200, seed=1)

    async def create(manager: SessionManager) -> AgentSession:
        return await create_agent(
            session_manager=manager,
            models=faux.models,
            model=faux.model,
            context_files=False,
            session_settings=SessionSettings(compaction=CompactionSettings(keep_recent_tokens=50)),
        )

    first = await create(SessionManager.create(folder, folder / "sessions"))
    async with AgentSessionRuntime(first, create) as runtime:
        wire = Fed()
        server = asyncio.create_task(RpcServer(runtime, StreamLines(wire.stream), wire).serve())
        sender = Sender(wire.stream, runtime, folder)

        def all_answered() -> bool:
            return len(wire.of("response")) >= len(sender.ids) + sender.nameless

        at = 0
        while at < len(lines):
            count = cuts.randint(1, 6)
            wire.gate.set()
            if cuts.random() < 0.2:
                wire.gate.clear()  # the client reads nothing for a while
            await sender.send(lines[at : at + count], cuts)
            at += count
            if cuts.random() < 0.3:
                wire.gate.set()
                await wire.until(all_answered)
        wire.gate.set()
        await wire.until(all_answered)
        await wire.ask("abort")
        state = (await wire.ask("get_state"))["data"]
        messages = (await wire.ask("get_messages"))["data"]["messages"]
        data = (await wire.ask("get_entries"))["data"]
        wire.stream.feed_eof()
        await asyncio.wait_for(server, 5)

    told = [record.get("id") for record in wire.of("response")][:-4]
    assert sorted(one for one in told if one is not None) == sender.ids
    assert told.count(None) == sender.nameless
    started = [r for r in wire.of("response") if r.get("data") == {"disposition": "started"}]
    assert len(wire.of("agent_settled")) == len(started)
    assert (state["isStreaming"], state["isCompacting"]) == (False, False)
    assert state["messageCount"] == len(messages)
    check_tree(data["entries"], data["leafId"])
    for path in (folder / "sessions").glob("*.jsonl"):
        check_tree([json.loads(line) for line in path.read_bytes().splitlines()][1:])


def check_tree(entries: Sequence[dict[str, Any]], leaf_id: str | None = None) -> None:
    known: set[str | None] = {None}
    for entry in entries:
        assert entry["parentId"] in known
        known.add(entry["id"])
    assert leaf_id in known


@settings(
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lines=LINES, seed=st.integers(0, 1000))
def test_every_command_of_a_random_stream_is_answered_once(tmp_path_factory, lines, seed):
    asyncio.run(fuzzed(lines, seed, tmp_path_factory.mktemp("fuzz")))


def test_a_server_process_outlives_a_random_stream(fake, start):
    """Some hundred lines in one go, in pieces cut anywhere, to a real process."""
    cuts = random.Random(7)
    kinds = [kind for kind in PLAIN if kind != "new_session"]

    def line(number: int) -> tuple[bytes, bool]:
        if cuts.random() < 0.2:
            return cuts.choice(BAD_LINES), False
        told: Command = {"id": number, "type": cuts.choice(kinds)}
        if cuts.random() < 0.3:
            told = {"id": number, "type": "prompt", "message": cuts.choice(TEXTS)}
        elif cuts.random() < 0.1:
            told = {"id": number, "type": "bash", "command": "echo x"}
        return json.dumps(told).encode(), True

    lines = [line(number) for number in range(300)]

    async def main() -> Server:
        async with start() as server:
            data = b"".join(text + b"\n" for text, _ in lines)
            while data:
                size = cuts.choice((1, 50, 4000, 60_000))
                server.write(data[:size])
                data = data[size:]
            left = len(lines)
            while left:
                await server.saw("response")
                left -= 1
            assert (await server.ask("abort"))["success"]
            state = (await server.ask("get_state"))["data"]
            assert state["isStreaming"] is False
            status, err = await server.end()
            assert (status, err) == (0, "")
            return server

    server = asyncio.run(main())
    ids = [r.get("id") for r in server.records if r["type"] == "response"][:-2]
    assert sorted(i for i in ids if i is not None) == [
        number for number, (_, named) in enumerate(lines) if named
    ]
