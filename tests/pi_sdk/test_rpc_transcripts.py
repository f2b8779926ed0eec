"""The transcripts of the rpc spec, section 12, replayed against a server process.

`...` in a pattern stands for any value, as a key for any further keys.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from support.agent_sessions import BUSY
from support.rpc_process import Server

Step = tuple[str, Any]
"""`>` is sent, all that follow each other in one write; `<` is the next record, `<*` any number
of records; `<?` are records in any order."""


def fits(pattern: Any, value: Any) -> bool:
    """Whether a value is as the pattern says; the keys of a response are in its order."""
    if pattern is ...:
        return True
    if isinstance(pattern, dict) and isinstance(value, dict):
        known = [key for key in pattern if key is not ...]
        keys = [key for key in value if key in pattern] if ... in pattern else list(value)
        if value.get("type") != "response":
            known, keys = sorted(known), sorted(keys)
        return keys == known and all(fits(pattern[key], value[key]) for key in known)
    if isinstance(pattern, list) and isinstance(value, list):
        return len(pattern) == len(value) and all(map(fits, pattern, value))
    return pattern == value


async def replay(server: Server, *steps: Step) -> list[dict[str, Any]]:
    """Follow a transcript; gives what came back."""
    known = len(server.lines)
    sending: list[Any] = []
    later: Sequence[Any] = ()
    for kind, content in steps:
        if kind == ">":
            sending.append(content)
            continue
        server.send(*sending)
        sending = []
        if kind == "<*":
            later = content
        elif kind == "<?":
            left = list(content)
            while left:
                record = await server.read(lambda _record: True)
                found = next((p for p in left if fits(p, record)), None)
                assert found is not None, record
                left.remove(found)
        else:
            record = await server.read(lambda r, skip=later: not any(fits(p, r) for p in skip))
            assert fits(content, record), f"{content}\n{record}"
            later = ()
    server.send(*sending)
    return server.records[known:]


def done(record_id: str, command: str, *data: Any) -> dict[str, Any]:
    record = {"id": record_id, "type": "response", "command": command, "success": True}
    return record | {"data": data[0]} if data else record


def failed(record_id: str, command: str, error: str) -> dict[str, Any]:
    record = {"id": record_id, "type": "response", "command": command, "success": False}
    return record | {"error": error}


def message(kind: str, role: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "message": {"role": role, **fields, ...: ...}}


def said(kind: str, text: str) -> dict[str, Any]:
    return message(kind, "user", content=[{"type": "text", "text": text}])


def change(kind: str, **fields: Any) -> dict[str, Any]:
    told = {"type": kind, "contentIndex": 0, **fields}
    return {
        "type": "message_update",
        "usage": {"input": ..., ...: ...},
        "assistantMessageEvent": told,
    }


def answered(text: str) -> dict[str, Any]:
    return message("message_end", "assistant", content=[{"type": "text", "text": text}])


SYSTEM = (message("message_start", "system"), message("message_end", "system"))
UPDATE = {"type": "message_update", ...: ...}
RUN_START = {"type": "agent_start"}
TURN_START = {"type": "turn_start"}
TURN_END = {"type": "turn_end", "message": {"role": "assistant", ...: ...}, "toolResults": []}
RUN_END = {"type": "agent_end", "messages": ..., "willRetry": False}
PENDING = {"role": "assistant", "content": [], "stopReason": "pending", ...: ...}
ANSWER_START = {"type": "message_start", "message": PENDING}
U = {"input": ..., ...: ...}


def settled(*, aborted: bool) -> dict[str, Any]:
    return {"type": "agent_settled", "aborted": aborted}


def test_transcript_1_a_prompt_with_a_tool_call(fake, start, answer):
    fake.answers = [answer((), [("bash", {"command": "echo hi"})])]
    args = {"command": "echo hi"}
    call = {"type": "toolCall", "id": "call_1_0", "name": "bash", "arguments": args}
    named = {"toolCallId": "call_1_0", "toolName": "bash"}
    output = [{"type": "text", "text": "hi\n"}]
    result = {"role": "toolResult", **named, "content": output, "isError": False, ...: ...}
    calling = {"role": "assistant", "content": [call], "stopReason": "toolUse", ...: ...}

    async def main() -> None:
        async with start("--no-session") as server:
            records = await replay(
                server,
                (">", {"id": "r3", "type": "prompt", "message": "run echo"}),
                ("<", done("r3", "prompt", {"disposition": "started"})),
                ("<", RUN_START),
                ("<", TURN_START),
                *(("<", record) for record in SYSTEM),
                ("<", said("message_start", "run echo")),
                ("<", said("message_end", "run echo")),
                ("<", ANSWER_START),
                ("<", change("toolcall_start", id="call_1_0", toolName="bash")),
                ("<", change("toolcall_delta", delta="")),
                ("<", change("toolcall_delta", delta='{"command":')),
                ("<", change("toolcall_delta", delta=' "echo hi"}')),
                ("<", change("toolcall_end", toolCall=call)),
                ("<", {"type": "message_end", "message": calling}),
                ("<", {"type": "tool_execution_start", **named, "args": args}),
                ("<*", [{"type": "tool_execution_update", **named, "args": args, ...: ...}]),
                (
                    "<",
                    {
                        "type": "tool_execution_end",
                        **named,
                        "result": {"content": output, ...: ...},
                        "isError": False,
                        "durationMs": ...,
                    },
                ),
                ("<", {"type": "message_start", "message": result}),
                ("<", {"type": "message_end", "message": result}),
                ("<", {"type": "turn_end", "message": calling, "toolResults": [result]}),
                ("<", TURN_START),
                ("<", ANSWER_START),
                ("<", change("text_start")),
                ("<", change("text_delta", delta="Hello")),
                ("<", change("text_delta", delta=" world")),
                ("<", change("text_end", content="Hello world")),
                ("<", answered("Hello world")),
                ("<", TURN_END),
                ("<", RUN_END),
                ("<", settled(aborted=False)),
            )
            assert [m["role"] for m in records[-2]["messages"]] == [
                "system",
                "user",
                "assistant",
                "toolResult",
                "assistant",
            ]

    asyncio.run(main())


def test_transcript_2_steering_and_follow_ups_while_streaming(fake, start, answer):
    hold = asyncio.Event()
    fake.answers = [answer(hold=hold)]

    def queue(steering: list[str], follow_up: list[str]) -> dict[str, Any]:
        return {"type": "queue_update", "steering": steering, "followUp": follow_up}

    def delivered(text: str, *left: list[str]) -> list[Step]:
        return [
            ("<*", [UPDATE, TURN_END, ANSWER_START, answered("Hello world")]),
            ("<", TURN_START),
            ("<", queue(*left)),
            ("<", said("message_start", text)),
            ("<", said("message_end", text)),
        ]

    async def main() -> None:
        async with start("--no-session") as server:
            server.send({"id": "0", "type": "prompt", "message": "first"})
            await server.text("Hello")
            await replay(
                server,
                (">", {"id": "a", "type": "prompt", "message": "second"}),
                (">", {"id": "b", "type": "steer", "message": "steer one"}),
                (">", {"id": "c", "type": "follow_up", "message": "fu one"}),
                (
                    ">",
                    {
                        "id": "d",
                        "type": "prompt",
                        "message": "third",
                        "streamingBehavior": "followUp",
                    },
                ),
                (
                    "<?",
                    [
                        queue(["steer one"], []),
                        queue(["steer one"], ["fu one"]),
                        queue(["steer one"], ["fu one", "third"]),
                        done("d", "prompt", {"disposition": "queued"}),
                        failed("a", "prompt", BUSY),
                        done("b", "steer", {"disposition": "queued"}),
                        done("c", "follow_up", {"disposition": "queued"}),
                    ],
                ),
            )
            hold.set()
            await replay(
                server,
                *delivered("steer one", [], ["fu one", "third"]),
                *delivered("fu one", [], ["third"]),
                *delivered("third", [], []),
                ("<*", [UPDATE, TURN_END, ANSWER_START, answered("Hello world")]),
                ("<", RUN_END),
                ("<", settled(aborted=False)),
            )

    asyncio.run(main())


def test_transcript_3_abort_with_a_queue(fake, start, answer, project):
    sleeping = ("bash", {"command": "echo start; sleep 30"})
    fake.answers = [answer(("w0 ",), hold=asyncio.Event()), answer((), [sleeping])]

    async def main() -> None:
        async with start("--no-session") as server:
            server.send({"id": "0", "type": "prompt", "message": "go"})
            await server.text("w0 ")
            idle = {"isStreaming": False, "pendingMessageCount": 1, ...: ...}
            stopped = {"stopReason": "aborted", "errorMessage": "Request was aborted"}
            await replay(
                server,
                (">", {"id": "r13", "type": "follow_up", "message": "queued fu"}),
                ("<", {"type": "queue_update", "steering": [], "followUp": ["queued fu"]}),
                ("<", done("r13", "follow_up", {"disposition": "queued"})),
                (">", {"id": "r15", "type": "abort"}),
                ("<", change("text_end", content="w0 ")),
                (
                    "<",
                    message(
                        "message_end",
                        "assistant",
                        content=[{"type": "text", "text": "w0 "}],
                        **stopped,
                    ),
                ),
                ("<", TURN_END),
                ("<", RUN_END),
                ("<", settled(aborted=True)),
                ("<", done("r15", "abort")),
                (">", {"id": "r16", "type": "get_state"}),
                ("<", done("r16", "get_state", idle)),
                (">", {"id": "r17", "type": "clear_queue"}),
                ("<", {"type": "queue_update", "steering": [], "followUp": []}),
                ("<", done("r17", "clear_queue", {"steering": [], "followUp": ["queued fu"]})),
            )
            server.send({"id": "1", "type": "prompt", "message": "sleep"})
            await server.read(
                lambda r: (
                    r["type"] == "tool_execution_update" and "start" in str(r["partialResult"])
                )
            )
            output = [{"type": "text", "text": "start\n\n\nCommand aborted"}]
            await replay(
                server,
                (">", {"id": "x", "type": "abort"}),
                (
                    "<",
                    {
                        "type": "tool_execution_end",
                        "result": {"content": output, ...: ...},
                        "isError": True,
                        ...: ...,
                    },
                ),
                ("<", message("message_start", "toolResult", isError=True)),
                ("<", message("message_end", "toolResult", isError=True)),
                ("<", {"type": "turn_end", ...: ...}),
                ("<", TURN_START),
                ("<", message("message_start", "assistant", content=[])),
                ("<", message("message_end", "assistant", content=[], stopReason="aborted")),
                ("<", TURN_END),
                ("<", RUN_END),
                ("<", settled(aborted=True)),
                ("<", done("x", "abort")),
            )

    asyncio.run(main())


def test_transcript_4_a_retry_that_is_given_up(fake, start, answer):
    fake.answers = [answer(status=503)]
    error = '503: {"message":"overloaded","type":"x"}'

    async def main() -> None:
        async with start("--no-session") as server:
            await replay(
                server,
                (">", {"id": "p", "type": "prompt", "message": "A"}),
                ("<", done("p", "prompt", {"disposition": "started"})),
                ("<", RUN_START),
                ("<", TURN_START),
                *(("<", record) for record in SYSTEM),
                ("<", said("message_start", "A")),
                ("<", said("message_end", "A")),
                (
                    "<",
                    message(
                        "message_start",
                        "assistant",
                        content=[],
                        stopReason="error",
                        errorMessage=error,
                    ),
                ),
                ("<", message("message_end", "assistant", content=[], stopReason="error")),
                ("<", TURN_END),
                ("<", {"type": "agent_end", "messages": ..., "willRetry": True}),
                (
                    "<",
                    {
                        "type": "auto_retry_start",
                        "attempt": 1,
                        "maxAttempts": 3,
                        "delayMs": 2000,
                        "errorMessage": error,
                    },
                ),
                (
                    "<",
                    {
                        "type": "entry_appended",
                        "entry": {"type": "context_edit", "replacement": None, ...: ...},
                    },
                ),
                (">", {"id": "r", "type": "abort_retry"}),
                (
                    "<",
                    {
                        "type": "auto_retry_end",
                        "success": False,
                        "attempt": 1,
                        "finalError": "Retry cancelled",
                    },
                ),
                ("<", done("r", "abort_retry")),
                ("<", settled(aborted=False)),
                (">", {"id": "r2", "type": "abort_retry"}),  # nothing waits
                ("<", done("r2", "abort_retry")),
            )

    asyncio.run(main())


def test_transcript_4_retries_that_all_fail(fake, start, answer, agent_dir):
    fake.answers = [answer(status=503) for _ in range(3)]
    retry = '{"retry": {"maxRetries": 2, "baseDelayMs": 200}}'
    (agent_dir / "settings.json").write_text(retry)
    error = '503: {"message":"overloaded","type":"x"}'

    def attempt(number: int, delay_ms: int) -> list[Step]:
        start = {"type": "auto_retry_start", "attempt": number, "maxAttempts": 2}
        return [
            ("<*", [message(kind, "assistant") for kind in ("message_start", "message_end")]),
            ("<", TURN_END),
            ("<", {**RUN_END, "willRetry": True}),
            ("<", {**start, "delayMs": delay_ms, "errorMessage": error}),
            ("<", {"type": "entry_appended", "entry": {"type": "context_edit", ...: ...}}),
            ("<", RUN_START),
            ("<", TURN_START),
        ]

    async def main() -> None:
        async with start("--no-session") as server:
            server.send({"id": "p", "type": "prompt", "message": "A"})
            await server.read(lambda r: r.get("message", {}).get("role") == "user")
            await server.saw("message_end")
            await replay(
                server,
                *attempt(1, 200),
                *attempt(2, 400),
                ("<*", [message(kind, "assistant") for kind in ("message_start", "message_end")]),
                ("<", TURN_END),
                ("<", RUN_END),
                (
                    "<",
                    {"type": "auto_retry_end", "success": False, "attempt": 2, "finalError": error},
                ),
                ("<", settled(aborted=False)),
            )

    asyncio.run(main())


def test_transcripts_5_and_6_compaction_forks_and_clones(fake, start, answer):
    summary = {
        "summary": "SUMMARY TEXT",
        "firstKeptEntryId": ...,
        "tokensBefore": ...,
        "estimatedTokensAfter": ...,
        "usage": U,
        "details": {"readFiles": [], "modifiedFiles": []},
    }
    end = {"type": "compaction_end", "reason": "manual"}
    unsaved = "This session has not been saved yet. Send a message before cloning or forking it."
    long = "word " * 20_000

    async def main() -> None:
        async with start() as server:
            await replay(
                server,
                (">", {"id": "r4", "type": "clone"}),
                ("<", failed("r4", "clone", unsaved)),
                (">", {"id": "f2", "type": "fork", "entryId": "nope"}),
                ("<", failed("f2", "fork", "Invalid entry ID for forking")),
                (">", {"id": "r9", "type": "get_entries", "since": "nope"}),
                ("<", failed("r9", "get_entries", "Entry not found: nope")),
            )
            for text in ("first prompt", f"second prompt {long}", "third prompt"):
                server.send({"id": "p", "type": "prompt", "message": text})
                await server.saw("agent_settled")
            fake.answers = [answer(("SUMMARY TEXT",))]
            await replay(
                server,
                (">", {"id": "r7", "type": "compact", "customInstructions": "Focus here"}),
                ("<", {"type": "compaction_start", "reason": "manual"}),
                ("<", {**end, "result": summary, "aborted": False, "willRetry": False}),
                ("<", done("r7", "compact", summary)),
                (">", {"id": "r11", "type": "compact"}),
                ("<", {"type": "compaction_start", "reason": "manual"}),
                (
                    "<",
                    {
                        **end,
                        "aborted": False,
                        "willRetry": False,
                        "errorMessage": "Compaction failed: Already compacted",
                    },
                ),
                ("<", failed("r11", "compact", "Already compacted")),
            )
            points = (await server.ask("get_fork_messages"))["data"]["messages"]
            assert [point["text"][:13] for point in points] == [
                "first prompt",
                "second prompt",
                "third prompt",
            ]
            await replay(
                server,
                (">", {"id": "r16", "type": "fork", "entryId": points[1]["entryId"]}),
                ("<", done("r16", "fork", {"text": points[1]["text"], "cancelled": False})),
                (">", {"id": "s", "type": "get_state"}),
                ("<", done("s", "get_state", {"messageCount": 3, ...: ...})),
                (">", {"id": "c", "type": "clone"}),
                ("<", done("c", "clone", {"cancelled": False})),
            )

    asyncio.run(main())


def test_transcript_7_bash(start):
    def printed(record_id: str, delta: str) -> dict[str, Any]:
        return {"type": "bash_execution_update", "id": record_id, "delta": delta}

    stopped = {"output": "a\n", "cancelled": True, "truncated": False}
    ended = {"output": "out\nerr\n", "exitCode": 3, "cancelled": False, "truncated": False}

    async def main() -> None:
        async with start("--no-session") as server:
            records = await replay(
                server,
                (">", {"id": "r2", "type": "bash", "command": "echo out; echo err >&2; exit 3"}),
                ("<*", [printed("r2", ...)]),
                ("<", done("r2", "bash", ended)),
            )
            assert "".join(record["delta"] for record in records[:-1]) == "out\nerr\n"
            await replay(
                server,
                (">", {"id": "b1", "type": "bash", "command": "echo a; sleep 10"}),
                ("<", printed("b1", "a\n")),
                (">", {"id": "ab", "type": "abort_bash"}),
                ("<", done("ab", "abort_bash")),
                ("<", done("b1", "bash", stopped)),
            )

    asyncio.run(main())


def test_transcript_8_fresh_state(fake, start, agent_dir):
    async def main() -> None:
        async with start() as server:
            await replay(
                server,
                (">", {"id": "r1", "type": "get_state"}),
                (
                    "<",
                    done(
                        "r1",
                        "get_state",
                        {
                            "model": {
                                "id": "m1",
                                "name": "Model One",
                                "api": "openai-completions",
                                "provider": "fake",
                                "baseUrl": fake.url,
                                "reasoning": True,
                                "input": ["text"],
                                "cost": {
                                    "input": 1,
                                    "output": 2,
                                    "cacheRead": 0.1,
                                    "cacheWrite": 1.25,
                                },
                                "contextWindow": 128_000,
                                "maxTokens": 4096,
                            },
                            "thinkingLevel": "medium",
                            "isStreaming": False,
                            "isCompacting": False,
                            "steeringMode": "one-at-a-time",
                            "followUpMode": "one-at-a-time",
                            "sessionFile": ...,
                            "sessionId": ...,
                            "autoCompactionEnabled": True,
                            "messageCount": 0,
                            "pendingMessageCount": 0,
                        },
                    ),
                ),
                (">", {"id": "r2", "type": "get_entries"}),
                (
                    "<",
                    done(
                        "r2",
                        "get_entries",
                        {
                            "entries": [
                                {"type": "model_change", "id": ..., "parentId": None, ...: ...},
                                {"type": "thinking_level_change", "id": ..., ...: ...},
                            ],
                            "leafId": ...,
                        },
                    ),
                ),
            )

    asyncio.run(main())
