"""AgentSessionRuntime: one session takes the place of another. sdk spec, section 14.4."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pi_sdk import (
    AgentSession,
    AgentSessionRuntime,
    SdkError,
    SessionCwdError,
    SessionEvent,
    create_agent,
)
from pi_session import SessionFormatError, SessionLockedError, SessionManager
from support.agent_sessions import said


def replacing(
    fake: Any,
    project: Path,
    talk: Callable[[AgentSessionRuntime], Awaitable[Any]],
    *,
    manager: SessionManager | None = None,
    durable: bool = False,
) -> Any:
    """A conversation with a runtime whose first session is in a file of its own directory."""

    async def main() -> Any:
        async def create(manager: SessionManager) -> AgentSession:
            return await create_agent(
                session_manager=manager, models=fake.models, context_files=False
            )

        async with fake:
            first = manager or SessionManager.create(
                project, project.parent / "sessions", durable=durable
            )
            async with AgentSessionRuntime(await create(first), create) as runtime:
                return await talk(runtime)

    return asyncio.run(main())


def lines(path: Path | None) -> list[dict[str, Any]]:
    assert path is not None
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def user_ids(session: AgentSession) -> list[str]:
    entries = session.session_manager.get_entries()
    return [entry.id for entry in entries if entry.role == "user"]


def stored(path: Path, cwd: str, session_id: str = "old") -> Path:
    header = {"type": "session", "version": 3, "id": session_id, "timestamp": "", "cwd": cwd}
    message = {"role": "user", "content": "from before", "timestamp": 1}
    entry = {"type": "message", "id": "a1", "parentId": None, "timestamp": "", "message": message}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in (header, entry)))
    return path


# --- a new one --------------------------------------------------------------------------------


def test_a_new_session_has_a_file_beside_the_old_one_and_is_told_to_the_host(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old, told = runtime.session, []
        runtime.on_replace = told.append
        await old.prompt("A")
        await runtime.new_session("from/there.jsonl")
        new = runtime.session
        assert told == [new]
        assert new is not old
        assert old.session_manager.read_only
        assert new.session_file is not None
        assert old.session_file is not None
        assert new.session_file.parent == old.session_file.parent
        assert new.messages == []
        await new.prompt("B")
        assert lines(new.session_file)[0]["parentSession"] == "from/there.jsonl"
        assert said(new.messages) == [("user", "B"), ("assistant", "Hello world")]

    replacing(fake, project, talk)


def test_in_memory_stays_in_memory_and_durable_stays_durable(fake, project):
    async def kept(runtime: AgentSessionRuntime) -> tuple[Path | None, bool]:
        await runtime.new_session()
        return runtime.session.session_file, runtime.session.session_manager.durable

    assert replacing(fake, project, kept, manager=SessionManager.in_memory(project)) == (
        None,
        False,
    )
    path, durable = replacing(fake, project, kept, durable=True)
    assert path is not None
    assert durable


def test_what_runs_is_aborted_stored_and_told_before_the_new_session(
    fake, project, answer, recorder
):
    fake.answers = [answer(hold=asyncio.Event())]

    async def talk(runtime: AgentSessionRuntime) -> None:
        old, events = runtime.session, recorder()
        old.subscribe(events)
        running = asyncio.create_task(old.prompt("A"))
        await events.saw("message_update", 2)
        await old.follow_up("never sent")
        await runtime.new_session()
        assert events.types[-1] == "agent_settled"
        assert events.events[-1].aborted
        partial = await running
        assert partial is not None
        assert (partial.stop_reason, partial.text) == ("aborted", "Hello")
        assert lines(old.session_file)[-1]["message"]["stopReason"] == "aborted"
        assert runtime.session.pending_message_count == 0
        assert runtime.session.is_idle

    replacing(fake, project, talk)


def test_operations_at_the_same_time_take_turns(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        told: list[AgentSession] = []
        runtime.on_replace = told.append
        await asyncio.gather(*(runtime.new_session() for _ in range(5)))
        assert runtime.session is told[-1]
        assert len({session.session_id for session in told}) == 5
        assert [session.session_manager.read_only for session in told] == [True] * 4 + [False]

    replacing(fake, project, talk)


def test_a_session_that_cannot_be_made_leaves_the_old_one_running(fake, project):
    async def main() -> None:
        async def fail(manager: SessionManager) -> AgentSession:
            manager.close()
            raise SdkError("no session today")

        async with fake:
            first = await create_agent(
                session_manager=SessionManager.in_memory(project), models=fake.models
            )
            async with AgentSessionRuntime(first, fail) as runtime:
                with pytest.raises(SdkError, match="no session today"):
                    await runtime.new_session()
                assert runtime.session is first
                assert (await first.prompt("A")).text == "Hello world"

    asyncio.run(main())


def test_a_listener_cannot_replace_the_session_that_waits_for_it(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old, refused = runtime.session, []

        async def replace(event: SessionEvent) -> None:
            if event.type == "turn_end":
                with pytest.raises(RuntimeError, match="in a listener") as raised:
                    await runtime.new_session()
                refused.append(raised.value)

        old.subscribe(replace)
        answer = await old.prompt("A")
        assert len(refused) == 1
        assert runtime.session is old
        assert answer is not None
        assert answer.text == "Hello world"

    replacing(fake, project, talk)


def test_a_replacement_that_is_cancelled_leaves_one_session_open(fake, project, answer, recorder):
    fake.answers = [answer(hold=asyncio.Event())]

    async def talk(runtime: AgentSessionRuntime) -> None:
        old, events = runtime.session, recorder()
        entered, leave = asyncio.Event(), asyncio.Event()

        async def slow(event: SessionEvent) -> None:
            if event.type == "agent_end":
                entered.set()
                await leave.wait()

        old.subscribe(events)
        old.subscribe(slow)
        running = asyncio.create_task(old.prompt("A"))
        await events.saw("message_update", 2)
        replacing = asyncio.create_task(runtime.new_session())
        await entered.wait()
        replacing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replacing
        leave.set()
        await running
        assert runtime.session is not old
        assert old.session_manager.read_only
        assert not runtime.session.session_manager.read_only

    replacing(fake, project, talk)


# --- another file -----------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, b""], ids=["missing", "empty"])
def test_switching_to_nothing_starts_a_session_there(fake, project, tmp_path, content):
    path = tmp_path / "elsewhere" / "new.jsonl"
    if content is not None:
        path.parent.mkdir()
        path.write_bytes(content)

    async def talk(runtime: AgentSessionRuntime) -> None:
        await runtime.switch_session(path)
        assert runtime.session.session_file == path
        await runtime.session.prompt("A")
        assert lines(path)[0]["cwd"] == str(project)
        assert said(runtime.session.messages)[0] == ("user", "A")

    replacing(fake, project, talk)


def test_switching_goes_on_with_what_is_stored(fake, project, tmp_path):
    path = stored(tmp_path / "old.jsonl", str(project))

    async def talk(runtime: AgentSessionRuntime) -> None:
        await runtime.switch_session(path)
        assert runtime.session.session_id == "old"
        await runtime.session.prompt("A")
        assert len(fake.bodies[0]["messages"]) == 3

    replacing(fake, project, talk)


def test_the_own_file_is_read_again(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        await old.prompt("A")
        assert old.session_file is not None
        await runtime.switch_session(old.session_file)
        assert runtime.session is not old
        assert runtime.session.session_id == old.session_id
        await runtime.session.prompt("B")
        assert [text for role, text in said(runtime.session.messages) if role == "user"] == [
            "A",
            "B",
        ]

    replacing(fake, project, talk)


def test_the_own_path_without_a_file_yet_is_a_new_session(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        await runtime.switch_session(str(old.session_file))
        assert runtime.session is not old
        assert runtime.session.session_file == old.session_file
        await runtime.session.prompt("A")
        assert lines(old.session_file)[0]["id"] == runtime.session.session_id

    replacing(fake, project, talk)


def test_sdk_check_49_a_session_whose_directory_is_gone_changes_nothing(fake, project, tmp_path):
    path = stored(tmp_path / "gone.jsonl", "/gone")

    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        with pytest.raises(SessionCwdError) as raised:
            await runtime.switch_session(path)
        assert str(raised.value) == (
            "Stored session working directory does not exist: /gone\n"
            f"Session file: {path}\n"
            f"Current working directory: {Path.cwd()}"
        )
        assert runtime.session is old
        assert (await old.prompt("A")).text == "Hello world"
        await runtime.switch_session(path, cwd_override=project)
        assert runtime.session.session_manager.cwd == str(project)

    replacing(fake, project, talk)


def test_a_file_that_is_no_session_or_another_program_has_changes_nothing(fake, project, tmp_path):
    garbage = tmp_path / "garbage.jsonl"
    garbage.write_text("no session\n")
    path = stored(tmp_path / "taken.jsonl", str(project))

    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        with pytest.raises(SessionFormatError, match="Session file is not a valid pi session: "):
            await runtime.switch_session(garbage)
        with SessionManager.open(path), pytest.raises(SessionLockedError):
            await runtime.switch_session(path)
        await old.prompt("A")
        assert old.session_file is not None
        old.session_file.write_text("no session any more\n")
        with pytest.raises(SessionFormatError):
            await runtime.switch_session(old.session_file)
        assert runtime.session is old
        assert not old.session_manager.read_only

    replacing(fake, project, talk)


# --- copies -----------------------------------------------------------------------------------


def test_sdk_check_47_a_fork_ends_before_the_message_whose_text_it_gives(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        await old.prompt("first prompt")
        await old.prompt("second prompt")
        branch = old.session_manager.get_branch()
        second = user_ids(old)[1]
        assert await runtime.fork(second) == "second prompt"
        new = runtime.session
        assert said(new.messages) == [("user", "first prompt"), ("assistant", "Hello world")]
        head, *entries = lines(new.session_file)
        assert head["parentSession"] == str(old.session_file)
        assert head["id"] != old.session_id
        kept = [entry.id for entry in branch[: [e.id for e in branch].index(second)]]
        assert [entry["id"] for entry in entries] == kept
        with pytest.raises(SdkError, match="Invalid entry ID for forking"):
            await runtime.fork(new.session_manager.leaf_id or "")
        with pytest.raises(SdkError, match="Invalid entry ID for forking"):
            await runtime.fork("nope")
        assert runtime.session is new
        await new.prompt("another second prompt")
        assert len(lines(old.session_file)) == len(branch) + 1

    replacing(fake, project, talk)


def test_sdk_check_47_what_is_not_saved_cannot_be_cloned(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> str:
        with pytest.raises(SdkError) as raised:
            await runtime.clone()
        return str(raised.value)

    text = replacing(fake, project, talk)
    assert (
        text == "This session has not been saved yet. Send a message before cloning or forking it."
    )


def test_a_fork_before_the_first_message_is_an_empty_session_with_a_parent(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        manager = old.session_manager
        await old.prompt("A")
        first = user_ids(old)[0]
        assert await runtime.fork(first) == "A"
        new = runtime.session
        assert said(new.messages) == []
        assert new.session_file is not None
        assert not new.session_file.exists()
        await new.prompt("B")
        assert lines(new.session_file)[0]["parentSession"] == str(manager.session_file)

    replacing(fake, project, talk)


def test_a_fork_at_an_entry_ends_with_it(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        await runtime.session.prompt("A")
        await runtime.session.prompt("B")
        assert await runtime.fork(user_ids(runtime.session)[1], "at") is None
        assert said(runtime.session.messages)[-1] == ("user", "B")

    replacing(fake, project, talk)


@pytest.mark.parametrize("in_memory", [False, True], ids=["in a file", "in memory"])
def test_a_clone_has_the_same_messages_under_another_id(fake, project, in_memory):
    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        await old.prompt("A")
        await runtime.clone()
        new = runtime.session
        assert new.session_id != old.session_id
        assert new.messages == old.messages
        await new.prompt("B")
        assert len(said(old.messages)) == 2
        assert len(said(new.messages)) == 4

    manager = SessionManager.in_memory(project) if in_memory else None
    replacing(fake, project, talk, manager=manager)


def test_a_clone_without_an_entry_says_so(fake, project):
    async def talk(runtime: AgentSessionRuntime) -> None:
        runtime.session.session_manager.reset_leaf()
        with pytest.raises(SdkError, match="Cannot clone session: no current entry selected"):
            await runtime.clone()

    replacing(fake, project, talk)


def test_a_clone_in_the_middle_of_a_run_holds_what_was_finished_by_then(
    fake, project, answer, recorder
):
    fake.answers = [answer(hold=asyncio.Event())]

    async def talk(runtime: AgentSessionRuntime) -> None:
        old, events = runtime.session, recorder()
        old.subscribe(events)
        running = asyncio.create_task(old.prompt("A"))
        await events.saw("message_update", 2)
        await runtime.clone()
        await running
        assert said(runtime.session.messages) == [("user", "A")]
        assert said(old.messages) == [("user", "A"), ("assistant", "Hello")]

    replacing(fake, project, talk)


# --- imports ----------------------------------------------------------------------------------


def test_an_import_goes_on_with_a_copy(fake, project, tmp_path):
    source = stored(tmp_path / "given" / "talk.jsonl", str(project))

    async def talk(runtime: AgentSessionRuntime) -> None:
        directory = runtime.session.session_manager.session_dir
        assert directory is not None
        first = await runtime.import_from_jsonl(source)
        assert first == directory / "talk.jsonl"
        assert runtime.session.session_file == first
        second = await runtime.import_from_jsonl(source)
        assert second == directory / "talk-1.jsonl"
        await runtime.session.prompt("A")
        assert first.read_bytes().startswith(source.read_bytes())
        assert len(lines(second)) > len(lines(first))
        for _ in range(2):  # another one there, and the own one
            assert await runtime.import_from_jsonl(first) == first
        assert runtime.session.session_file == first

    replacing(fake, project, talk)


def test_an_import_that_fails_leaves_no_copy(fake, project, tmp_path):
    gone = stored(tmp_path / "given" / "gone.jsonl", "/gone")

    async def talk(runtime: AgentSessionRuntime) -> None:
        old = runtime.session
        directory = old.session_manager.session_dir
        assert directory is not None
        with pytest.raises(SessionCwdError):
            await runtime.import_from_jsonl(gone)
        assert list(directory.glob("*")) == []
        with pytest.raises(FileNotFoundError, match="File not found: "):
            await runtime.import_from_jsonl(tmp_path / "nothing.jsonl")
        assert runtime.session is old
        await runtime.import_from_jsonl(gone, cwd_override=project)
        assert runtime.session.session_id == "old"

    replacing(fake, project, talk)
