"""What compactions of a running session leave in its file: session spec, section 14.6."""

from __future__ import annotations

import asyncio
import json

import pytest
from msgspec.structs import replace

from pi_ai.retry import RetryPolicy
from pi_sdk import SessionSettings
from pi_session import CompactionError, CompactionSettings, SessionManager
from support.agent_sessions import opened

LONG = "All of it matters. " * 40
OVERFLOW = "prompt is too long"
SETTINGS = SessionSettings(
    compaction=CompactionSettings(reserve_tokens=1000, keep_recent_tokens=250),
    retry=RetryPolicy(max_retries=2, base_delay_ms=1),
)


def stored(fake, project, directory):
    """A session with a file whose model has a small window. To be made inside `async with fake`."""
    model = replace(fake.models.get_model("fake", "m1"), context_window=10_000)
    manager = SessionManager.create(project, directory)
    return opened(
        fake, project, model=model, session_settings=SETTINGS, session_manager=manager
    ), manager


def lines_of(manager):
    """Every line behind the header; a message in short, by its role and how it stopped."""
    found = []
    for line in manager.session_file.read_text().splitlines()[1:]:
        entry = json.loads(line)
        message = entry.get("message", {})
        stopped = "(error)" if message.get("stopReason") == "error" else ""
        found.append((f"{message.get('role', entry['type'])}{stopped}", entry))
    return found


def test_session_check_66_a_second_compaction_by_hand(fake, project, tmp_path, recorder, answer):
    async def main():
        fake.answers = [*[answer((LONG,))] * 3, answer(("S",))]
        async with fake:
            session, manager = stored(fake, project, tmp_path / "sessions")
            async with session as session:
                for text in "abc":
                    await session.prompt(text + LONG)
                await session.compact()
                seen = recorder()
                session.subscribe(seen)
                with pytest.raises(CompactionError, match=r"^Already compacted$"):
                    await session.compact()
                return seen, lines_of(manager)

    seen, lines = asyncio.run(main())
    assert seen.types == ["compaction_start", "compaction_end"]
    start, end = seen.events
    assert (start.reason, end.reason) == ("manual", "manual")
    assert (end.result, end.aborted, end.will_retry) == (None, False, False)
    assert end.error_message == "Compaction failed: Already compacted"
    assert [kind for kind, _ in lines].count("compaction") == 1
    assert lines[-1][0] == "compaction"


def test_session_check_67_an_overflow_that_is_recovered_from(fake, project, tmp_path, answer):
    async def main():
        failed = answer(status=400, error=OVERFLOW)
        fake.answers = [answer((LONG,)), failed, answer(("S",))]
        async with fake:
            session, manager = stored(fake, project, tmp_path / "sessions")
            async with session as session:
                await session.prompt("a" + LONG)
                before = len(lines_of(manager))
                await session.prompt("b" + LONG)
                return lines_of(manager)[before:]

    lines = asyncio.run(main())
    assert [kind for kind, _ in lines] == [
        *("user", "assistant(error)", "context_edit", "compaction", "assistant")
    ]
    _, failed, edit, compaction, last = (entry for _, entry in lines)
    assert (edit["targetId"], edit["replacement"]) == (failed["id"], None)
    assert edit["parentId"] == failed["id"]
    assert (compaction["parentId"], last["parentId"]) == (edit["id"], compaction["id"])


def test_session_check_67_an_overflow_that_comes_again(fake, project, tmp_path, recorder, answer):
    async def main():
        failed = answer(status=400, error=OVERFLOW)
        fake.answers = [answer((LONG,)), failed, answer(("S",)), failed]
        async with fake:
            session, manager = stored(fake, project, tmp_path / "sessions")
            async with session as session:
                await session.prompt("a" + LONG)
                before = len(lines_of(manager))
                seen = recorder()
                session.subscribe(seen)
                await session.prompt("b" + LONG)
                return seen, lines_of(manager)[before:]

    seen, lines = asyncio.run(main())
    assert [kind for kind, _ in lines] == [
        *("user", "assistant(error)", "context_edit", "compaction", "assistant(error)")
    ]
    end = seen.of("compaction_end")[-1]
    assert (end.reason, end.aborted, end.will_retry) == ("overflow", False, False)
    assert end.error_message == (
        "Context overflow recovery failed after one compact-and-retry attempt. "
        "Try reducing context or switching to a larger-context model."
    )
    assert len(fake.bodies) == 4  # the first prompt, the overflow, the summary, the overflow
