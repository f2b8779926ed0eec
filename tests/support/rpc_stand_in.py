"""A process that speaks the RPC protocol and has no agent: rpc spec, sections 5, 10 and 12.

Answers every command as the transcripts show. A prompt says what else it does, such as
`flood 5000`; options say how it starts and ends, `--answer COMMAND FILE` what the data of one
command is, and `--refuse` that every command is refused.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any

MODEL = {
    "id": "m1",
    "name": "Model One",
    "api": "openai-completions",
    "provider": "fake",
    "baseUrl": "http://127.0.0.1:8080/v1",
    "reasoning": True,
    "input": ["text"],
    "cost": {"input": 1, "output": 2, "cacheRead": 0.1, "cacheWrite": 1.25},
    "contextWindow": 128000,
    "maxTokens": 4096,
}
STATE = {
    "model": MODEL,
    "thinkingLevel": "medium",
    "isStreaming": False,
    "isCompacting": False,
    "steeringMode": "one-at-a-time",
    "followUpMode": "all",
    "sessionFile": "/home/u/s.jsonl",
    "sessionId": "01a202c1",
    "autoCompactionEnabled": True,
    "messageCount": 0,
    "pendingMessageCount": 0,
}
USAGE = {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0, "totalTokens": 3}
USAGE["cost"] = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0.5}
TIME = "2026-11-22T10:15:41.923Z"
FIRST = {"type": "model_change", "id": "a1df4861", "parentId": None, "timestamp": TIME}
FIRST |= {"provider": "fake", "modelId": "m1"}
SECOND = {"type": "thinking_level_change", "id": "1d677e2c", "parentId": "a1df4861"}
SECOND |= {"timestamp": TIME, "thinkingLevel": "medium"}
COMPACTION = {
    "summary": "SUMMARY TEXT",
    "firstKeptEntryId": "7a2e4629",
    "tokensBefore": 110,
    "estimatedTokensAfter": 1436,
    "usage": USAGE,
    "details": {"readFiles": [], "modifiedFiles": []},
}
STATS = {
    "sessionFile": "/home/u/s.jsonl",
    "sessionId": "01a202c1",
    "userMessages": 1,
    "assistantMessages": 1,
    "toolCalls": 0,
    "toolResults": 0,
    "totalMessages": 3,
    "tokens": {"input": 100, "output": 10, "cacheRead": 0, "cacheWrite": 0, "total": 110},
    "cost": 0.00012,
    "contextUsage": {"tokens": None, "contextWindow": 128000, "percent": None},
}
ASSISTANT = {
    "role": "assistant",
    "content": [],
    "api": "openai-completions",
    "provider": "fake",
    "model": "m1",
    "usage": USAGE,
    "stopReason": "pending",
    "timestamp": 1795342542181,
}
MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "hi"}], "timestamp": 1},
    {"role": "bashExecution", "command": "ls", "output": "", "exitCode": 0, "cancelled": False}
    | {"truncated": False, "timestamp": 2},
]
ANSWERS: dict[str, Any] = {
    "get_state": STATE,
    "get_messages": {"messages": MESSAGES},
    "set_model": MODEL,
    "cycle_model": {"model": MODEL, "thinkingLevel": "low", "isScoped": True},
    "get_available_models": {"models": [MODEL]},
    "cycle_thinking_level": {"level": "high"},
    "get_available_thinking_levels": {"levels": ["off", "high"]},
    "clear_queue": {"steering": ["s1", "s2"], "followUp": ["f1"]},
    "new_session": {"cancelled": False},
    "switch_session": {"cancelled": True},
    "clone": {"cancelled": False},
    "fork": {"text": "second prompt", "cancelled": False},
    "get_fork_messages": {"messages": [{"entryId": "5deacec0", "text": "first prompt"}]},
    "get_entries": {"entries": [FIRST, SECOND], "leafId": "1d677e2c"},
    "get_tree": {
        "tree": [
            {
                "entry": FIRST,
                "children": [{"entry": SECOND, "children": []}],
                "label": "start",
                "labelTimestamp": TIME,
            }
        ],
        "leafId": "1d677e2c",
    },
    "get_session_stats": STATS,
    "get_last_assistant_text": {},
    "export_html": {"path": "pi-session-s.html"},
    "get_commands": {
        "commands": [{"name": "mcp", "source": "extension", "sourceInfo": {"path": "builtin:mcp"}}]
    },
    "steer": {"disposition": "queued"},
    "follow_up": {"disposition": "queued"},
}
RECEIVED: list[dict[str, Any]] = []


def put(*records: dict[str, Any]) -> None:
    """All records in one write."""
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    raw(text.encode())


def raw(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def respond(command: dict[str, Any], data: Any = None, *, error: str = "") -> None:
    response = {"id": command.get("id"), "type": "response", "command": command["type"]}
    response["success"] = not error
    if error:
        response["error"] = error
    elif data is not None or command["type"] in ANSWERS:
        response["data"] = data
    put(response)


def handle(command: dict[str, Any]) -> None:
    RECEIVED.append(command)
    name = command["type"]
    match name:
        case "prompt":
            prompt(command)
        case "compact":
            put({"type": "compaction_start", "reason": "manual"})
            end = {"type": "compaction_end", "reason": "manual", "aborted": False}
            if command.get("customInstructions") is None:
                put(end | {"willRetry": False, "errorMessage": "Compaction failed: Already"})
                respond(command, error="Already compacted")
            else:
                put(end | {"willRetry": False, "result": COMPACTION})
                respond(command, COMPACTION)
        case "bash":
            for delta in ("out\n", "err\n"):
                put({"type": "bash_execution_update", "id": command["id"], "delta": delta})
            respond(
                command,
                {"output": "out\nerr\n", "exitCode": 3, "cancelled": False, "truncated": False},
            )
        case "set_session_name" if not command["name"].strip():
            respond(command, error="Session name cannot be empty")
        case "get_entries" if command.get("since") == "nope":
            respond(command, error="Entry not found: nope")
        case "get_entries" if command.get("since"):
            respond(command, {"entries": [], "leafId": None})
        case "extension_ui_response":
            put({"type": "extension_ui_answered", "answer": command})
        case "abort_retry":
            respond(command, {"received": RECEIVED})
        case _:
            respond(command, ANSWERS.get(name))


def prompt(command: dict[str, Any]) -> None:
    what, *words = command["message"].split()
    started = {"disposition": "started"}
    match what:
        case "refuse":
            respond(command, error="No model selected.")
        case "handled":
            respond(command, {"disposition": "handled"})
        case "die":
            os.write(2, b"it hurts: sk-very-secret-key\n")
            os._exit(int(words[0]))
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "close":
            os.close(1)
            time.sleep(60)
        case "silence":
            pass
        case "hang":
            respond(command, started)
            put({"type": "agent_start"})
        case "settle":
            put({"type": "agent_settled", "aborted": False})
            respond(command, {"disposition": "queued"})
        case "flood":
            put({"type": "agent_settled", "aborted": True})  # of a run before
            respond(command, started)
            put({"type": "agent_start"})
            for number in range(int(words[0])):
                put({"type": "thinking_level_changed", "level": str(number)})
            put({"type": "agent_settled", "aborted": False})
        case "answer":
            respond(command, started)
            answer()
        case "line":
            raw(json.dumps({"type": "huge", "text": "x" * int(words[0])}).encode())
            respond(command, started)
        case "dialog":
            respond(command, started)
            request = {"type": "extension_ui_request", "id": "u1", "title": "Sure?"}
            put(request | {"method": "notify", "message": "hello"}, request | {"method": words[0]})
        case "raw":
            respond(command, started)
            put({"type": "agent_start"})
            raw(command["message"][4:].encode("utf-8", "surrogateescape"))
            put({"type": "agent_settled", "aborted": False})
        case _:
            respond(command, error=f"no such prompt: {what}")


def answer() -> None:
    """A run whose answer has three blocks, two of them open at once."""

    def update(kind: str, at: int, **fields: Any) -> dict[str, Any]:
        change = {"type": kind, "contentIndex": at, **fields}
        return {"type": "message_update", "usage": USAGE, "assistantMessageEvent": change}

    call = {"type": "toolCall", "id": "call_2", "name": "bash", "arguments": {"command": "echo"}}
    content = [
        {"type": "thinking", "thinking": "hm, so", "thinkingSignature": "s"},
        {"type": "text", "text": "Hello"},
        call,
    ]
    done = ASSISTANT | {"content": content, "stopReason": "toolUse"}
    put(
        {"type": "agent_start"},
        {"type": "turn_start"},
        {"type": "message_start", "message": ASSISTANT},
        update("thinking_start", 0),
        update("thinking_delta", 0, delta="hm"),
        update("text_start", 1),
        update("text_delta", 1, delta="Hel"),
        update("thinking_end", 0, content="hm, so"),
        update("text_end", 1, content="Hello"),
        update("toolcall_start", 2, id="call_2", toolName="bash"),
        update("toolcall_delta", 2, delta='{"command":"ec'),
        update("toolcall_end", 2, toolCall=call),
        {"type": "message_end", "message": done},
        {"type": "turn_end", "message": done, "toolResults": []},
        {"type": "agent_end", "messages": [done], "willRetry": False},
        {"type": "agent_settled", "aborted": False},
    )


def main() -> None:
    if "--refuse-to-start" in sys.argv:
        sys.exit("Error: Unknown option: --wat")
    if "--ignore-signals" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    own = sys.argv[sys.argv.index("--answer") + 1 :] if "--answer" in sys.argv else ["", ""]
    for line in sys.stdin.buffer:
        command = json.loads(line)
        if command["type"] == own[0]:
            with open(own[1], encoding="utf-8") as file:
                data = file.read()
            head = {"id": command["id"], "type": "response", "command": own[0], "success": True}
            raw((json.dumps(head)[:-1] + (f',"data":{data}' if data else "") + "}\n").encode())
        elif "--refuse" in sys.argv and command["id"] != "req_1":  # all but the first question
            respond(command, error=f"no {command['type']} today")
        elif command["type"] != "get_state" or "--mute" not in sys.argv:
            handle(command)
    if "--stay" in sys.argv or "--ignore-signals" in sys.argv:
        while True:
            time.sleep(60)


if __name__ == "__main__":
    main()
