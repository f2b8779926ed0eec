"""Branches as an agent leaves them in a session, made at random: every kind of entry, in turns."""

from __future__ import annotations

from random import Random
from typing import Any

START_MS = 1_733_234_400_000
_TEXTS = ("", "word ", "naïve 😀 ", "line\n", "日本語 ")
_TOOLS = ("read", "write", "edit", "bash", "mcp.look")
_METADATA = ("model_change", "thinking_level_change", "label", "session_info", "custom", "usage")


class RandomBranch:
    """Entries, each below the one before, as their lines have them.

    Calls and results stay paired. With `wild`, edits hit anything, earlier compactions keep from
    anywhere, and some lines are of unknown kinds.
    """

    def __init__(self, random: Random, *, wild: bool = False) -> None:
        self.random = random
        self.wild = wild
        self.entries: list[dict[str, Any]] = []

    def build(self, turns: int) -> list[dict[str, Any]]:
        """So many turns, and what comes between them."""
        if self.random.random() < 0.8:
            self.message(self.system())
        for _ in range(turns):
            self.random.choice([self.turn] * 6 + [self.aside] * 3 + [self.summary] * 2)()
        return self.entries

    # --- parts ------------------------------------------------------------------------------

    def add(self, kind: str, **fields: Any) -> dict[str, Any]:
        """Append an entry; its time is a second after that of the one before."""
        number = len(self.entries)
        minutes, seconds = divmod(number, 60)
        entry = {
            "type": kind,
            "id": f"e{number}",
            "parentId": f"e{number - 1}" if number else None,
            "timestamp": f"2024-12-03T{14 + minutes // 60:02}:{minutes % 60:02}:{seconds:02}.000Z",
            **fields,
        }
        self.entries.append(entry)
        return entry

    def message(self, message: dict[str, Any]) -> dict[str, Any]:
        """Append a message entry."""
        time_ms = START_MS + 1000 * len(self.entries)
        return self.add("message", message={**message, "timestamp": time_ms})

    def text(self, most: int = 400) -> str:
        """A text of some length, often short."""
        size = self.random.choice((0, 1, 3, 30, most))
        piece = self.random.choice(_TEXTS)
        return (piece * size)[:most]

    def blocks(self) -> list[dict[str, Any]]:
        """Texts, and now and then an image."""
        found: list[dict[str, Any]] = [{"type": "text", "text": self.text()}]
        if self.random.random() < 0.1:
            found.append({"type": "image", "data": "iVBORw0KGgo=", "mimeType": "image/png"})
        return found

    def system(self) -> dict[str, Any]:
        """A prompt, or a change of one section or of the tools."""
        message: dict[str, Any] = {"role": "system", "content": self.text(40)}
        if self.random.random() < 0.5:
            message["sections"] = {self.random.choice("ab"): self.random.choice([None, "part"])}
        if self.random.random() < 0.5:
            message["toolsAdded"] = [{"name": "read", "description": "Reads", "parameters": {}}]
        return message

    def user(self) -> None:
        """A question, in either shape."""
        content = self.text() if self.random.random() < 0.6 else self.blocks()
        self.message({"role": "user", "content": content})

    def assistant(self, *content: dict[str, Any], stop: str = "stop") -> dict[str, Any]:
        """An answer; half of them tell their usage."""
        tokens = self.random.choice((0, 0, 50, 5000)) if stop not in ("error", "aborted") else 0
        usage = {"input": tokens, "output": 0, "cacheRead": 0, "cacheWrite": 0}
        cost = {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0, "total": 0}
        return self.message(
            {
                "role": "assistant",
                "content": list(content),
                "api": "x",
                "provider": "p",
                "model": "m",
                "usage": {**usage, "totalTokens": tokens, "cost": cost},
                "stopReason": stop,
            }
        )

    def turn(self) -> None:
        """A question, tool rounds, and an answer or a failed attempt at one."""
        self.user()
        for _ in range(self.random.choice((0, 0, 1, 1, 2, 5))):
            self.aside_maybe()
            self.tool_round()
        if self.random.random() < 0.25:
            failed = self.assistant(stop=self.random.choice(("error", "aborted")))
            self.metadata_maybe()
            self.edit(failed, None)
        elif self.random.random() < 0.9:
            self.assistant({"type": "text", "text": self.text()})

    def tool_round(self) -> None:
        """Calls and their results."""
        calls: list[dict[str, Any]] = []
        for at in range(self.random.choice((1, 1, 2, 3))):
            arguments = {"path": self.random.choice(("a.py", "b/c.py", "", 5)), "n": at}
            name = self.random.choice(_TOOLS)
            call_id = f"c{len(self.entries)}.{at}"
            calls.append({"type": "toolCall", "id": call_id, "name": name, "arguments": arguments})
        thinking = {"type": "thinking", "thinking": self.text(80)}
        asked = self.assistant(thinking, *calls, stop="toolUse")
        results = [asked]
        for call in calls:
            result: dict[str, Any] = {
                "role": "toolResult",
                "toolCallId": call["id"],
                "toolName": call["name"],
                "content": self.blocks(),
                "isError": False,
            }
            if self.random.random() < 0.1:
                nested = {"id": "n", "name": "edit", "arguments": {"path": "n.py"}, "status": "ok"}
                result["nestedCalls"] = {"calls": [nested], "complete": True}
            results.append(self.message(result))
        if self.random.random() < 0.1:
            for each in results:
                self.edit(each, None)

    def aside(self) -> None:
        """What the host or the user puts between turns."""
        match self.random.choice(("bash", "custom", "branch", "system", "edit", "metadata")):
            case "bash":
                fields = {"command": "ls", "output": self.text(), "exitCode": 0}
                flags = {"cancelled": False, "truncated": False}
                self.message({"role": "bashExecution", **fields, **flags})
            case "custom":
                self.add("custom_message", customType="x", content=self.text(), display=True)
            case "branch":
                self.add(
                    "branch_summary", fromId="root", summary=self.text(80) or "S", **self.files()
                )
            case "system":
                self.message(self.system())
            case "edit":
                self.edit_something()
            case _:
                self.metadata()

    def aside_maybe(self) -> None:
        """Rarely, something in the middle of a turn."""
        if self.random.random() < 0.1:
            self.aside()

    def metadata_maybe(self) -> None:
        """Rarely, an entry that no model sees."""
        if self.random.random() < 0.2:
            self.metadata()

    def metadata(self) -> None:
        """An entry that no model sees."""
        match self.random.choice((*_METADATA, "unknown") if self.wild else _METADATA):
            case "model_change":
                self.add("model_change", provider="p", modelId="m")
            case "thinking_level_change":
                self.add("thinking_level_change", thinkingLevel="low")
            case "label":
                target = self.random.choice(self.entries)["id"] if self.entries else "e0"
                self.add("label", targetId=target, label="here")
            case "session_info":
                self.add("session_info", name="A name")
            case "unknown":
                self.add("later_kind", value=1)
            case _:
                self.add("custom", customType="state", data={"n": 1})

    def files(self) -> dict[str, Any]:
        """Details as a summary has them, ours or a hook's."""
        details = {"readFiles": ["old.py", "a.py"], "modifiedFiles": ["new.py"]}
        return {"details": details, "fromHook": self.random.random() < 0.3}

    def edit(self, target: dict[str, Any], content: str | None) -> None:
        """Omit an entry, or replace its content."""
        blocks: Any = content
        role = target.get("message", {}).get("role")
        if content is not None and role in ("assistant", "toolResult"):
            blocks = [{"type": "text", "text": content}]
        replacement = None if content is None else {"content": blocks}
        self.add("context_edit", targetId=target["id"], replacement=replacement)

    def edit_something(self) -> None:
        """Replace a content; with `wild`, of anything, or omit it."""
        edits = [entry for entry in self.entries if entry["type"] == "context_edit"]
        omitted_ids = {edit["targetId"] for edit in edits if edit["replacement"] is None}
        editable = [
            entry
            for entry in self.entries
            if (self.wild or entry["id"] not in omitted_ids) and self.is_editable(entry)
        ]
        if editable:
            omitted = self.wild and self.random.random() < 0.5
            self.edit(self.random.choice(editable), None if omitted else self.text())

    def is_editable(self, entry: dict[str, Any]) -> bool:
        """Whether other content of `entry` parts nothing; with `wild`, an answer's may."""
        roles = {"user", "toolResult", "assistant"} if self.wild else {"user", "toolResult"}
        return entry["type"] == "custom_message" or entry.get("message", {}).get("role") in roles

    def summary(self) -> None:
        """An earlier compaction."""
        keepable = [
            entry["id"]
            for entry in self.entries
            if self.wild
            or entry["type"] == "custom_message"
            or entry.get("message", {}).get("role") in ("user", "assistant", "bashExecution")
        ]
        kept = self.random.choice([f"e{len(self.entries)}", *keepable, *keepable[-6:]])
        fields = {"summary": self.text(80) or "S", "firstKeptEntryId": kept, "tokensBefore": 9}
        if self.random.random() < 0.7:
            fields["systemMessage"] = {**self.system(), "timestamp": 1}
        self.add("compaction", **fields, **self.files())
