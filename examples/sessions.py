"""A session as a value: branch it, print it, count it, compare branches, take a part of it."""

from __future__ import annotations

import json

from pi_ai import (
    AssistantMessage,
    Cost,
    TextContent,
    ToolCall,
    ToolResultMessage,
    Usage,
    UserMessage,
)
from pi_session import SessionManager


def answer(model: str, price: float, *content: TextContent | ToolCall) -> AssistantMessage:
    usage = Usage(input=900, output=100, total_tokens=1000, cost=Cost(total=price))
    return AssistantMessage(list(content), provider="acme", model=model, usage=usage)


def main() -> None:
    session = SessionManager.in_memory()
    asked = session.append_message(UserMessage("Which test is slow?"))
    looked = session.append_message(
        answer("small", 0.01, ToolCall("c1", "bash", {"command": "ls"}))
    )
    session.append_message(
        ToolResultMessage("c1", "bash", [TextContent("No such file")], is_error=True)
    )
    gave_up = session.append_message(answer("small", 0.02, TextContent("I cannot tell.")))

    session.branch(asked)
    found = session.append_message(answer("large", 0.25, TextContent("test_parse: it sleeps.")))
    session.append_label_change(found, "good")
    session.append_session_info("Slow tests")

    print(session)
    session.print_tree()

    print()
    print(session.stats())
    for branch in session.branches():
        print(f"{branch.leaf_id}: {branch.entries} entries, ${branch.usage.cost.total:.2f}")

    print()
    print(session.diff(gave_up, found))

    part = session.slice(looked, looked)
    print()
    print("With its result:", [entry.role for entry in part])
    print("As JSON:", len(json.loads(session.to_json())), "objects")


if __name__ == "__main__":
    main()
