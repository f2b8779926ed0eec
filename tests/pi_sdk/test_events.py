"""The events of a session in upstream's JSON: sdk spec, section 15."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pi_sdk import (
    AutoRetryEndEvent,
    AutoRetryStartEvent,
    BashExecutionUpdateEvent,
    CompactionEndEvent,
    CompactionStartEvent,
    EntryAppendedEvent,
    RunEndEvent,
    SessionEvent,
    SessionInfoChangedEvent,
    SummarizationRetryAttemptStartEvent,
    SummarizationRetryFinishedEvent,
    SummarizationRetryScheduledEvent,
)
from pi_sdk.rpc_types import encode_event
from pi_session import CompactionResult, ContextEditEntry, FileLists

ENTRY = ContextEditEntry(id="b", parent_id="a", timestamp="t", target_id="a", replacement=None)
RESULT = CompactionResult(
    summary="S",
    first_kept_entry_id="a",
    tokens_before=9,
    estimated_tokens_after=3,
    details=FileLists(["r"], ["m"]),
)
CASES: list[tuple[SessionEvent, dict[str, Any]]] = [
    (RunEndEvent([], True), {"type": "agent_end", "messages": [], "willRetry": True}),
    (
        AutoRetryStartEvent(1, 3, 2000, "overloaded"),
        {
            "type": "auto_retry_start",
            "attempt": 1,
            "maxAttempts": 3,
            "delayMs": 2000,
            "errorMessage": "overloaded",
        },
    ),
    (AutoRetryEndEvent(True, 1), {"type": "auto_retry_end", "success": True, "attempt": 1}),
    (
        AutoRetryEndEvent(False, 1, "Retry cancelled"),
        {
            "type": "auto_retry_end",
            "success": False,
            "attempt": 1,
            "finalError": "Retry cancelled",
        },
    ),
    (CompactionStartEvent("overflow"), {"type": "compaction_start", "reason": "overflow"}),
    (
        CompactionEndEvent(reason="threshold", result=RESULT),
        {
            "type": "compaction_end",
            "reason": "threshold",
            "result": {
                "summary": "S",
                "firstKeptEntryId": "a",
                "tokensBefore": 9,
                "estimatedTokensAfter": 3,
                "details": {"readFiles": ["r"], "modifiedFiles": ["m"]},
            },
            "aborted": False,
            "willRetry": False,
        },
    ),
    (
        CompactionEndEvent(reason="manual", error_message="Compaction failed: x"),
        {
            "type": "compaction_end",
            "reason": "manual",
            "aborted": False,
            "willRetry": False,
            "errorMessage": "Compaction failed: x",
        },
    ),
    (
        SummarizationRetryScheduledEvent(1, 3, 200, "x"),
        {
            "type": "summarization_retry_scheduled",
            "attempt": 1,
            "maxAttempts": 3,
            "delayMs": 200,
            "errorMessage": "x",
        },
    ),
    (
        SummarizationRetryAttemptStartEvent("compaction", "manual"),
        {"type": "summarization_retry_attempt_start", "source": "compaction", "reason": "manual"},
    ),
    (
        SummarizationRetryAttemptStartEvent("branchSummary"),
        {"type": "summarization_retry_attempt_start", "source": "branchSummary"},
    ),
    (SummarizationRetryFinishedEvent(), {"type": "summarization_retry_finished"}),
    (
        EntryAppendedEvent(ENTRY),
        {
            "type": "entry_appended",
            "entry": {
                "type": "context_edit",
                "id": "b",
                "parentId": "a",
                "timestamp": "t",
                "targetId": "a",
                "replacement": None,
            },
        },
    ),
    (SessionInfoChangedEvent("n"), {"type": "session_info_changed", "name": "n"}),
    (SessionInfoChangedEvent(), {"type": "session_info_changed"}),
    (
        BashExecutionUpdateEvent("out", "7"),
        {"type": "bash_execution_update", "delta": "out", "id": "7"},
    ),
]


@pytest.mark.parametrize(("event", "expected"), CASES, ids=lambda case: getattr(case, "type", ""))
def test_an_event_has_upstreams_keys(event, expected):
    assert json.loads(encode_event(event)) == expected
