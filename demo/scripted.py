"""The answers of the scripted model: what a model would say here, written down beforehand.

It stands in when there is neither a key nor a local model. Only the answers are canned; the tools
run for real, and the answers follow what they returned.
"""

from __future__ import annotations

from pi_ai import AssistantMessage, JsonObject, TextContent, ToolCall, Usage
from pi_ai.testing import ScriptedServer

__all__ = ("scripted_server",)

_TESTS = "python -m pytest -q -p no:cacheprovider"
_WRONG = "    return round(subtotal(lines) * (1 - discount_percent), 2)"
_RIGHT = "    return round(subtotal(lines) * (1 - discount_percent / 100), 2)"


def scripted_server() -> ScriptedServer:
    """A server that repairs the demo's project and answers one question about it."""
    return ScriptedServer([_run_tests, _read, _edit, _check, _report, _remember], delay=0.01)


def _answer(request: JsonObject, text: str, *calls: ToolCall) -> AssistantMessage:
    """An answer with a usage that grows with the conversation, as a real one does."""
    prompt_tokens = len(str(request)) // 4
    cached = prompt_tokens * 9 // 10 if len(request["messages"]) > 1 else 0
    output = (len(text) + sum(len(str(call.arguments)) for call in calls)) // 4
    return AssistantMessage(
        [TextContent(text), *calls],
        model="scripted",
        usage=Usage(input=prompt_tokens - cached, cache_read=cached, output=output),
        stop_reason="toolUse" if calls else "stop",
    )


def _run_tests(request: JsonObject) -> AssistantMessage:
    call = ToolCall("toolu_tests", "bash", {"command": _TESTS})
    return _answer(request, "I run the tests first, to see what fails.", call)


def _read(request: JsonObject) -> AssistantMessage:
    calls = [
        ToolCall("toolu_module", "read", {"path": "invoice.py"}),
        ToolCall("toolu_test", "read", {"path": "test_invoice.py"}),
    ]
    failed = "the discount test fails" if "1 failed" in _last_results(request) else "not as told"
    return _answer(request, f"One look at the output: {failed}. I read both files.", *calls)


def _edit(request: JsonObject) -> AssistantMessage:
    edits = [{"oldText": _WRONG, "newText": _RIGHT}]
    call = ToolCall("toolu_edit", "edit", {"path": "invoice.py", "edits": edits})
    text = (
        "`total` takes the discount in percent but subtracts it as a fraction: 10 % becomes "
        "1 - 10. It has to be divided by 100."
    )
    return _answer(request, text, call)


def _check(request: JsonObject) -> AssistantMessage:
    return _answer(request, "Once more.", ToolCall("toolu_again", "bash", {"command": _TESTS}))


def _report(request: JsonObject) -> AssistantMessage:
    if "3 passed" in _last_results(request):
        return _answer(request, "All three tests pass. I changed one line in invoice.py.")
    return _answer(request, "The tests still fail; see the output above.")


def _remember(request: JsonObject) -> AssistantMessage:
    """Answered from the history that came with the request, and from nothing else."""
    edits = [
        block["input"]
        for message in request["messages"]
        for block in message["content"]
        if isinstance(block, dict) and block.get("name") == "edit"
    ]
    if not edits:
        return _answer(request, "I find no edit in our conversation.")
    [change] = edits[0]["edits"]
    return _answer(
        request,
        f"In {edits[0]['path']} I replaced `{change['oldText'].strip()}` by "
        f"`{change['newText'].strip()}`: the discount was not divided by 100.",
    )


def _last_results(request: JsonObject) -> str:
    return str(request["messages"][-1]["content"])
